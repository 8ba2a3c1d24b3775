package lmtpadapter_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/lmtpadapter"
	"github.com/letterlock/letterlock/mailbox"
)

// A store in memory, an account with a folder, a server, and a mail server's
// side of LMTP that delivers one letter into the folder.
func Example() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.CreateAccount(ctx, "mary@example.org", []byte("casket letters")); err != nil {
		log.Fatal(err)
	}
	mary, err := store.Login(ctx, "mary@example.org", []byte("casket letters"))
	if err != nil {
		log.Fatal(err)
	}
	defer mary.Close()
	if err := mary.Create(ctx, "Letters"); err != nil {
		log.Fatal(err)
	}

	server := lmtpadapter.NewServer(&lmtpadapter.Options{Store: store, Domain: "mx.example.org"})
	ln, err := lmtpadapter.Listen(ctx, "127.0.0.1:0") // or "unix:/run/letterlock/lmtp.sock"
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ln) // until Shutdown
	defer server.Shutdown(ctx)

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := smtp.NewClientLMTP(conn)
	letter := strings.NewReader("Subject: sealed\r\n\r\nIn my end is my beginning.\r\n")
	if err := client.SendMail("elizabeth@example.net", []string{"mary+Letters@example.org"}, letter); err != nil {
		log.Fatal(err)
	}
	if err := client.Quit(); err != nil {
		log.Fatal(err)
	}

	view, err := mary.Select(ctx, "Letters", true)
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
	all := mailbox.Set{Ranges: []mailbox.Range{{First: 1, Last: mailbox.Star}}}
	for m, err := range view.Messages(ctx, all) {
		if err != nil {
			log.Fatal(err)
		}
		body, err := m.Open(ctx, 0, -1)
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			log.Fatal(err)
		}
		body.Close()
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "Received:") && !strings.HasPrefix(line, "\t") {
				fmt.Print(strings.TrimSuffix(line, "\r\n"), "\n")
			}
		}
	}
	// Output:
	// Return-Path: <elizabeth@example.net>
	// Delivered-To: mary+Letters@example.org
	// Subject: sealed
	//
	// In my end is my beginning.
}
