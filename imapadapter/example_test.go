package imapadapter_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter"
	"github.com/letterlock/letterlock/mailbox"
)

// A store in memory, an account with one letter, a server, and a client that
// reads the letter.
func Example() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.CreateAccount(ctx, "mary", []byte("casket letters")); err != nil {
		log.Fatal(err)
	}
	letter := "Subject: sealed\r\n\r\nIn my end is my beginning.\r\n"
	for _, err := range store.Deliver(ctx, []mailbox.Recipient{{Account: "mary"}}, strings.NewReader(letter)) {
		if err != nil {
			log.Fatal(err)
		}
	}

	server := imapadapter.NewServer(&imapadapter.Options{Store: store})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ln) // until Shutdown
	defer server.Shutdown(ctx)

	client, err := imapclient.DialInsecure(ln.Addr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Login("mary", "casket letters").Wait(); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Select("INBOX", nil).Wait(); err != nil {
		log.Fatal(err)
	}
	body := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Peek: true}
	messages, err := client.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope:    true,
		BodySection: []*imap.FetchItemBodySection{body},
	}).Collect()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(messages[0].Envelope.Subject)
	fmt.Print(string(messages[0].FindBodySection(body)))
	// Output:
	// sealed
	// In my end is my beginning.
}
