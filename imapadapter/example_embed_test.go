package imapadapter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter"
	"github.com/letterlock/letterlock/mailbox"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A program that has an IMAP server of go-imap already gives it the sessions, and
// puts the guard in front of its listener.
func ExampleNewSession() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "mary", []byte("casket letters")))

	server := imapserver.New(&imapserver.Options{
		NewSession:   imapadapter.NewSession(&imapadapter.Options{Store: store}),
		Caps:         imapadapter.Caps(),
		InsecureAuth: true, // a loopback connection
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(imapadapter.NewListener(ln, nil))
	defer server.Close()

	client, err := imapclient.DialInsecure(ln.Addr().String(), nil)
	check(err)
	defer client.Close()
	check(client.Login("mary", "casket letters").Wait())
	status, err := client.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
	check(err)
	fmt.Println(*status.NumMessages)
	// Output: 0
}

// A program with users of its own maps what they log in with to an account's
// secret. Whatever it looks up, the account opens only with a secret of its own:
// here an app token that the program keeps for each user.
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

	server := imapadapter.NewServer(&imapadapter.Options{
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
	go server.Serve(ln)
	defer server.Shutdown(ctx)

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
