package mailbox_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// A mail's way: delivered by somebody who can read nothing, told to a session that
// waits, found, listed, read, flagged and moved.
func Example() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "ann", []byte("a password")))

	account, err := store.Login(ctx, "ann", []byte("a password"))
	check(err)
	defer account.Close()
	check(account.Create(ctx, "Archive", `\Archive`))
	watch := account.Watch()
	defer watch.Close()
	inbox, err := account.Select(ctx, mailbox.Inbox, false)
	check(err)
	defer inbox.Close()

	mail := "From: Bob <bob@example.org>\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"
	for _, err := range store.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}}, strings.NewReader(mail)) {
		check(err)
	}

	<-watch.C // something happened: ask what
	changes, err := inbox.Sync(ctx, false)
	check(err)
	fmt.Println("messages:", changes.Exists)

	for found, err := range inbox.Search(ctx, &mailbox.Query{Op: mailbox.OpText, Text: "NOON"}) {
		check(err)
		for m, err := range inbox.Messages(ctx, mailbox.UIDs(found.UID)) {
			check(err)
			meta, err := m.Meta(ctx)
			check(err)
			envelope := message.ParseEnvelope(message.ParseHeader(meta.Header))
			fmt.Println("found:", m.UID, envelope.From[0].Name, "-", envelope.Subject)
			body, err := m.Open(ctx, meta.Root.BodyOffset, meta.Root.BodySize)
			check(err)
			text, err := io.ReadAll(body)
			check(err)
			check(body.Close())
			fmt.Println("text:", strings.TrimSpace(string(text)))
		}
	}

	_, err = inbox.Store(ctx, mailbox.All(), mailbox.FlagsAdd, []string{mailbox.FlagSeen}, mailbox.StoreOptions{})
	check(err)
	_, err = inbox.Move(ctx, mailbox.All(), "Archive")
	check(err)
	boxes, err := account.Mailboxes(ctx)
	check(err)
	for _, box := range boxes {
		fmt.Println(box.Name, box.Messages, box.Unseen)
	}

	// Output:
	// messages: 1
	// found: 1 Bob - Lunch
	// text: At noon?
	// Archive 1 0
	// INBOX 0 0
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
