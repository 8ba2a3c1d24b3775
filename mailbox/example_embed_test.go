package mailbox_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// newAccount makes a store in memory with an account, as a unit test does: nothing
// is faked, and nothing is left behind.
func newAccount() (*mailbox.Store, *mailbox.Account) {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	check(store.CreateAccount(ctx, "ann", []byte("a password")))
	account, err := store.Login(ctx, "ann", []byte("a password"))
	check(err)
	return store, account
}

// A store in a folder outlives the process, and any number of processes may have it
// open.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "letterlock-example-")
	check(err)
	defer os.RemoveAll(dir)
	blobs, err := diskblob.Open(filepath.Join(dir, "mail"), nil)
	check(err)
	store, err := mailbox.Open(ctx, blobs, mailbox.Options{})
	check(err)
	defer store.Close()
	fmt.Println(store.Lookup(ctx, "ann"))
	// Output: no such account
}

// An account is opened by its password, by an app token, or by its recovery
// identity, which belongs on paper.
func ExampleStore_CreateAccount() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "ann", []byte("a password")))
	account, err := store.Login(ctx, "Ann", []byte("a password"))
	check(err)
	token, err := account.AddToken(ctx, "phone")
	check(err)
	recovery, err := account.Recovery()
	check(err)
	check(account.Close())

	account, err = store.Login(ctx, "ann", []byte(token.Export()))
	check(err)
	defer account.Close()
	fmt.Println(account.Name(), strings.HasPrefix(recovery, "AGE-SECRET-KEY-PQ-1"))
	_, err = store.Login(ctx, "ann", []byte("another password"))
	fmt.Println(err)
	// Output:
	// ann true
	// wrong name or secret
}

// Delivery needs the accounts' names and no secret. Each recipient has an answer of
// its own.
func ExampleStore_Deliver() {
	ctx := context.Background()
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	mail := strings.NewReader("Subject: Hello\r\n\r\nIt works.\r\n")
	for _, err := range store.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}, {Account: "bob"}}, mail) {
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// no such account
}

// A message is put into a folder with its flags.
func ExampleAccount_Append() {
	ctx := context.Background()
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	check(account.Create(ctx, "Drafts", `\Drafts`))
	draft := strings.NewReader("Subject: To be\r\n\r\nOr not.\r\n")
	at, err := account.Append(ctx, "Drafts", draft, mailbox.AppendOptions{Flags: []string{mailbox.FlagDraft}})
	check(err)
	fmt.Println(at.UID)
	// Output: 1
}

// Folders are listed with their counts, which cost nothing, and messages without
// their bodies.
func ExampleView_Messages() {
	ctx := context.Background()
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	for _, subject := range []string{"one", "two"} {
		_, err := account.Append(ctx, mailbox.Inbox, strings.NewReader("Subject: "+subject+"\r\n\r\n"), mailbox.AppendOptions{})
		check(err)
	}
	boxes, err := account.Mailboxes(ctx)
	check(err)
	for _, box := range boxes {
		fmt.Println(box.Name, box.Messages, "messages,", box.Unseen, "unseen")
	}
	inbox, err := account.Select(ctx, mailbox.Inbox, true)
	check(err)
	defer inbox.Close()
	for m, err := range inbox.Messages(ctx, mailbox.All()) {
		check(err)
		fmt.Println(m.UID, m.Size, m.Flags())
	}
	// Output:
	// INBOX 2 messages, 2 unseen
	// 1 16 []
	// 2 16 []
}

// A search reads the header that is kept beside each message, and bodies only
// where their text is asked for.
func ExampleView_Search() {
	ctx := context.Background()
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	for _, subject := range []string{"Lunch", "Invoice", "lunch again"} {
		_, err := account.Append(ctx, mailbox.Inbox, strings.NewReader("Subject: "+subject+"\r\n\r\n"), mailbox.AppendOptions{})
		check(err)
	}
	inbox, err := account.Select(ctx, mailbox.Inbox, true)
	check(err)
	defer inbox.Close()
	lunch := &mailbox.Query{Op: mailbox.OpAnd, Args: []*mailbox.Query{
		{Op: mailbox.OpHeader, Field: "Subject", Text: "LUNCH"},
		{Op: mailbox.OpNot, Args: []*mailbox.Query{{Op: mailbox.OpFlag, Text: mailbox.FlagSeen}}},
	}}
	for found, err := range inbox.Search(ctx, lunch) {
		check(err)
		fmt.Println(found.UID)
	}
	// Output:
	// 1
	// 3
}

// Whoever shows mail waits for a signal, and then asks what is different. Signals
// coalesce: one may stand for many changes.
func ExampleAccount_Watch() {
	ctx := context.Background()
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	inbox, err := account.Select(ctx, mailbox.Inbox, false)
	check(err)
	defer inbox.Close()
	watch := account.Watch()
	defer watch.Close()

	mail := strings.NewReader("Subject: Hello\r\n\r\n")
	check(store.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}}, mail)[0])

	<-watch.C
	changes, err := inbox.Sync(ctx, false)
	check(err)
	fmt.Println("messages:", changes.Exists)
	// Output: messages: 1
}

// Stores of one process, or with a Bus of your own of many, tell each other of
// changes at once, in place of looking into the store every two seconds.
func ExampleBus() {
	ctx := context.Background()
	blobs := memblob.New()
	bus := &mailbox.LocalBus{}
	here, err := mailbox.Open(ctx, blobs, mailbox.Options{Bus: bus, PollInterval: -1})
	check(err)
	defer here.Close()
	there, err := mailbox.Open(ctx, blobs, mailbox.Options{Bus: bus, PollInterval: -1})
	check(err)
	defer there.Close()
	check(here.CreateAccount(ctx, "ann", []byte("a password")))
	account, err := here.Login(ctx, "ann", []byte("a password"))
	check(err)
	defer account.Close()
	watch := account.Watch()
	defer watch.Close()

	mail := strings.NewReader("Subject: Hello\r\n\r\n")
	check(there.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}}, mail)[0])

	<-watch.C
	status, err := account.Status(ctx, mailbox.Inbox)
	check(err)
	fmt.Println("messages:", status.Messages)
	// Output: messages: 1
}

// Mail moves in with the UIDs that clients know. Run again, an import adds what is
// missing.
func ExampleImporter() {
	ctx := context.Background()
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	text := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("Subject: old\r\n\r\n")), nil }
	source := func(yield func(mailbox.ImportMessage, error) bool) {
		for _, uid := range []mailbox.UID{17, 42} {
			origin := fmt.Sprint("imap.example.org/INBOX/7/", uid)
			if !yield(mailbox.ImportMessage{Origin: origin, UID: uid, Open: text}, nil) {
				return
			}
		}
	}
	for range 2 {
		importer, err := account.Importer(ctx)
		check(err)
		did, err := importer.Import(ctx, mailbox.Inbox, source, mailbox.ImportOptions{UIDValidity: 7, UIDNext: 100})
		check(err)
		fmt.Println(did.Added, did.Present, did.KeptUIDs)
	}
	// Output:
	// 2 0 true
	// 0 2 true
}

// In a unit test of your own: a store in memory, made anew for each test.
func Example_unitTest() {
	store, account := newAccount()
	defer store.Close()
	defer account.Close()
	boxes, err := account.Mailboxes(context.Background())
	check(err)
	fmt.Println(slices.ContainsFunc(boxes, func(b mailbox.MailboxInfo) bool { return b.Name == mailbox.Inbox }))
	// Output: true
}
