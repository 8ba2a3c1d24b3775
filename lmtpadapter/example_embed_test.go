package lmtpadapter_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/lmtpadapter"
	"github.com/letterlock/letterlock/mailbox"
)

// A program that has a server of go-smtp already gives it the backend.
func ExampleNewBackend() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.CreateAccount(ctx, "mary", []byte("casket letters")); err != nil {
		log.Fatal(err)
	}
	server := smtp.NewServer(lmtpadapter.NewBackend(&lmtpadapter.Options{Store: store}))
	server.LMTP = true
	server.Domain = "mx.example.org"
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ln)
	defer server.Close()

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := smtp.NewClientLMTP(conn)
	letter := strings.NewReader("Subject: sealed\r\n\r\nIn my end is my beginning.\r\n")
	fmt.Println(client.SendMail("elizabeth@example.net", []string{"mary@example.org"}, letter))
	// Output: <nil>
}
