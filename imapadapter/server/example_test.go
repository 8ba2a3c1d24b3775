package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

// A store in memory, an account with one letter, a server, and a client that reads the
// letter.
func Example() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "mary", []byte("casket letters")))
	letter := "Subject: sealed\r\n\r\nIn my end is my beginning.\r\n"
	for _, err := range store.Deliver(ctx, []mailbox.Recipient{{Account: "mary"}}, strings.NewReader(letter)) {
		check(err)
	}

	srv := server.New(&server.Options{Store: store})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go srv.Serve(ln) // until Shutdown
	defer srv.Shutdown(ctx)

	client, err := imapclient.DialInsecure(ln.Addr().String(), nil)
	check(err)
	defer client.Close()
	check(client.Login("mary", "casket letters").Wait())
	_, err = client.Select("INBOX", nil).Wait()
	check(err)
	body := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Peek: true}
	messages, err := client.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope:    true,
		BodySection: []*imap.FetchItemBodySection{body},
	}).Collect()
	check(err)
	fmt.Println(messages[0].Envelope.Subject)
	fmt.Print(string(messages[0].FindBodySection(body)))
	// Output:
	// sealed
	// In my end is my beginning.
}

// Hooks see logins and commands, and can refuse them: here the accounts of people who
// have left, and deleting mailboxes.
func ExampleHooks() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "mary", []byte("casket letters")))

	refuse := func(text string) error {
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: text}
	}
	srv := server.New(&server.Options{Store: store, Hooks: server.Hooks{
		BeforeLogin: func(_ context.Context, l server.Login) error {
			if l.Name == "bothwell" {
				return refuse("This account is closed")
			}
			return nil
		},
		AfterLogin: func(_ context.Context, l server.Login) error {
			fmt.Println("login of", l.Name, "failed:", l.Err != nil)
			return nil
		},
		BeforeCommand: func(_ context.Context, c server.Command) error {
			if c.Name == "DELETE" {
				return refuse("Mailboxes are kept here")
			}
			return nil
		},
		AfterCommand: func(_ context.Context, c server.Command) {
			fmt.Printf("%s of %q: %s\n", c.Name, c.Session.Account, c.Status)
		},
	}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go srv.Serve(ln)
	defer srv.Shutdown(ctx)

	client, err := imapclient.DialInsecure(ln.Addr().String(), nil)
	check(err)
	defer client.Close()
	check(client.WaitGreeting())
	var refused *imap.Error
	fmt.Println(errors.As(client.Login("bothwell", "x").Wait(), &refused), refused.Text)
	check(client.Login("mary", "casket letters").Wait())
	fmt.Println(errors.As(client.Delete("INBOX").Wait(), &refused), refused.Text)
	// Output:
	// LOGIN of "": NO
	// true This account is closed
	// login of mary failed: false
	// LOGIN of "mary": OK
	// DELETE of "mary": NO
	// true Mailboxes are kept here
}

// A program with users of its own maps what they log in with to an account's secret.
// Whatever it looks up, the account opens only with a secret of its own: here an app
// token that the program keeps for each user.
func ExampleOptions_authenticate() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "mary", []byte("never typed")))
	account, err := store.Login(ctx, "mary", []byte("never typed"))
	check(err)
	token, err := account.AddToken(ctx, "single sign-on")
	check(err)
	check(account.Close())

	srv := server.New(&server.Options{
		Store: store,
		Authenticate: func(ctx context.Context, user string, secret []byte) (*mailbox.Account, error) {
			if user != "mary@example.org" || string(secret) != "from single sign-on" {
				return nil, mailbox.ErrAuth
			}
			return store.Login(ctx, "mary", []byte(token.Export()))
		},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go srv.Serve(ln)
	defer srv.Shutdown(ctx)

	client, err := imapclient.DialInsecure(ln.Addr().String(), nil)
	check(err)
	defer client.Close()
	var refused *imap.Error
	fmt.Println(errors.As(client.Login("mary@example.org", "guess").Wait(), &refused))
	fmt.Println(client.Login("mary@example.org", "from single sign-on").Wait())
	// Output:
	// true
	// <nil>
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
