package imapadapter_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter"
	"github.com/letterlock/letterlock/imapadapter/guard"
	"github.com/letterlock/letterlock/mailbox"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A stock server of go-imap serves the mailboxes of a store, behind the guard.
func Example() {
	ctx := context.Background()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(ctx, "mary", []byte("casket letters")))

	backend := imapadapter.New(&imapadapter.Options{Store: store})
	caps := imapadapter.Caps((*imapadapter.Session)(nil))
	caps[imap.CapLiteralPlus] = struct{}{} // the guard makes that safe
	server := imapserver.New(&imapserver.Options{
		NewSession:   backend.NewSession,
		Caps:         caps,
		InsecureAuth: true, // TLS, and passwords without it, are the guard's
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(guard.NewListener(ln, nil))
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

// careful is a session of the program's own: it is one of this package, and refuses to
// delete mailboxes.
type careful struct{ *imapadapter.Session }

func (careful) Delete(string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Nothing is deleted here"}
}

// A program wraps sessions to see, change or refuse what clients ask for.
func ExampleBackend_Session() {
	store, err := mailbox.Open(context.Background(), memblob.New(), mailbox.Options{})
	check(err)
	defer store.Close()
	check(store.CreateAccount(context.Background(), "mary", []byte("casket letters")))

	backend := imapadapter.New(&imapadapter.Options{Store: store})
	server := imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return careful{backend.Session(c)}, nil, nil
		},
		Caps:         imapadapter.Caps(careful{}),
		InsecureAuth: true,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(guard.NewListener(ln, nil))
	defer server.Close()

	client, err := imapclient.DialInsecure(ln.Addr().String(), nil)
	check(err)
	defer client.Close()
	check(client.Login("mary", "casket letters").Wait())
	check(client.Create("box", nil).Wait())
	fmt.Println(client.Delete("box").Wait())
	// Output: imap: NO [NOPERM] Nothing is deleted here
}
