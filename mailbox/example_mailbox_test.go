package mailbox_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// A unit test of one's own rule, "a folder may have one flagged message", needs
// neither a store nor a password nor IMAP.
func ExampleMailbox() {
	inbox := mailbox.New(mailbox.MailboxCreated{At: 1, Mailbox: 1, Name: mailbox.Inbox, UIDValidity: 7})
	inbox, err := inbox.Apply(mailbox.MessagesAdded{At: 2, Mailbox: 1, Messages: []mailbox.MessageState{
		{UID: 1, Flags: []string{mailbox.FlagFlagged}}, {UID: 2}, {UID: 3},
	}})
	check(err)
	after, err := inbox.Apply(mailbox.FlagsChanged{
		At: 3, Mailbox: 1, UIDs: mailbox.UIDRanges{{First: 2, Last: 3}}, Op: mailbox.FlagsAdd, Flags: []string{mailbox.FlagFlagged},
	})
	check(err)
	flagged := func(m *mailbox.Mailbox) (n int) {
		for s := range m.Messages() {
			if len(s.Flags) > 0 {
				n++
			}
		}
		return n
	}
	fmt.Println("before:", flagged(inbox), "after:", flagged(after))
	// Output: before: 1 after: 3
}

// Somebody who has nothing but the events arrives at the mailboxes of the account.
func ExampleAccount_Events() {
	ctx := context.Background()
	account, close := exampleAccount(ctx)
	defer close()

	mailboxes := map[mailbox.MailboxID]*mailbox.Mailbox{}
	for event, err := range account.Events(ctx, 0) {
		check(err)
		if e, ok := event.(mailbox.MailboxCreated); ok {
			mailboxes[e.Mailbox] = mailbox.New(e)
			continue
		}
		for id, m := range mailboxes {
			mailboxes[id], err = m.Apply(event)
			check(err)
		}
	}
	for _, m := range mailboxes {
		live, err := account.Mailbox(ctx, m.Name())
		check(err)
		fmt.Println(m.Name(), m.Len(), "messages, as in the account:", m.Equal(live))
	}
	// Unordered output:
	// INBOX 1 messages, as in the account: true
	// Archive 1 messages, as in the account: true
}

// A mailbox is kept as a snapshot and brought up to date by the events after it.
func ExampleMailbox_Snapshot() {
	ctx := context.Background()
	account, close := exampleAccount(ctx)
	defer close()
	inbox, err := account.Mailbox(ctx, mailbox.Inbox)
	check(err)
	snapshot := inbox.Snapshot()

	_, err = account.Append(ctx, mailbox.Inbox, strings.NewReader("Subject: Later\r\n\r\n"), mailbox.AppendOptions{})
	check(err)

	restored, err := mailbox.Restore(snapshot)
	check(err)
	for event, err := range account.Events(ctx, restored.Position()) {
		check(err)
		restored, err = restored.Apply(event)
		check(err)
	}
	live, err := account.Mailbox(ctx, mailbox.Inbox)
	check(err)
	fmt.Println(restored.Len(), "messages, as in the account:", restored.Equal(live))
	// Output: 2 messages, as in the account: true
}

// exampleAccount returns an account with a mail in INBOX and one in Archive.
func exampleAccount(ctx context.Context) (*mailbox.Account, func()) {
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	check(store.CreateAccount(ctx, "ann", []byte("a password")))
	account, err := store.Login(ctx, "ann", []byte("a password"))
	check(err)
	check(account.Create(ctx, "Archive"))
	for _, subject := range []string{"Lunch", "Invoice"} {
		_, err := account.Append(ctx, mailbox.Inbox, strings.NewReader("Subject: "+subject+"\r\n\r\n"), mailbox.AppendOptions{})
		check(err)
	}
	view, err := account.Select(ctx, mailbox.Inbox, false)
	check(err)
	defer view.Close()
	_, err = view.Move(ctx, mailbox.UIDs(2), "Archive")
	check(err)
	return account, func() { check(account.Close()); check(store.Close()) }
}
