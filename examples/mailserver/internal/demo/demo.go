// Package demo makes the account that shows a new user what the server does.
package demo

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/mailbox"
)

const demoAccount = "demo"

//go:embed mails/*.eml
var demoMails embed.FS

// Start makes the account, fills it at the first start, and prints what to
// do with it. Started again, it prints the same password.
func Start(ctx context.Context, w io.Writer, s *mailbox.Store, passwordFile string, at map[string]net.Addr) error {
	password, err := demoPassword(passwordFile)
	if err != nil {
		return err
	}
	err = s.CreateAccount(ctx, demoAccount, []byte(password))
	if err != nil && !errors.Is(err, mailbox.ErrAccountExists) {
		return err
	}
	a, err := s.Login(ctx, demoAccount, []byte(password))
	if errors.Is(err, mailbox.ErrAuth) {
		_, err = fmt.Fprintf(w, "\nThe account demo is there and has a password of its own.\n\n")
		return err
	}
	if err != nil {
		return err
	}
	defer a.Close()
	inbox, err := a.Status(ctx, mailbox.Inbox)
	if err != nil {
		return err
	}
	if inbox.UIDNext == 1 { // nothing was ever put in
		if err := errors.Join(makeFolders(ctx, a), deliverDemo(ctx, s)); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, demoText(password, at))
	return err
}

// makeFolders makes the folders that mail programs look for, with the uses of RFC 6154.
func makeFolders(ctx context.Context, a *mailbox.Account) error {
	for _, name := range []string{"Drafts", "Sent", "Trash"} {
		err := a.Create(ctx, name, `\`+name)
		if errors.Is(err, mailbox.ErrMailboxExists) {
			continue // of a start that was interrupted
		}
		if err = errors.Join(err, a.Subscribe(ctx, name, true)); err != nil {
			return err
		}
	}
	return nil
}

// demoPassword returns the password in a file, which it makes if there is none.
func demoPassword(file string) (string, error) {
	if err := access.CreateFile(file, strings.ToLower(rand.Text())+"\n"); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make password file: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// deliverDemo delivers the sample mails as a mail server would: without any
// secret.
func deliverDemo(ctx context.Context, s *mailbox.Store) error {
	files, err := fs.Glob(demoMails, "mails/*.eml") // sorted
	if err != nil {
		return err
	}
	prefix := "Return-Path: <>\r\nDelivered-To: demo@localhost\r\nDate: " + time.Now().Format(time.RFC1123Z) + "\r\n"
	for _, file := range files {
		text, err := demoMails.ReadFile(file)
		if err != nil {
			return err
		}
		// Files have the line ends of whoever checked them out, mails CR LF.
		mail := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n", "\r\n")
		to := []mailbox.Recipient{{Account: demoAccount, Prefix: []byte(prefix)}}
		if err := s.Deliver(ctx, to, strings.NewReader(mail))[0]; err != nil {
			return err
		}
	}
	return nil
}

// demoText returns the lines to paste. They are the README's.
func demoText(password string, at map[string]net.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe account demo is ready. Its password: %s\n", password)
	if addr := at["imap"]; addr != nil {
		host, port, _ := net.SplitHostPort(addr.String())
		fmt.Fprintf(&b, `
Read with any mail program: IMAP server %[2]s, port %[3]s, connection security
none (this machine only), user demo. Or with curl, the newest mail and a list:

    curl -s --user demo:%[1]s 'imap://%[2]s:%[3]s/INBOX;MAILINDEX=*'
    curl -s --user demo:%[1]s 'imap://%[2]s:%[3]s/INBOX' -X 'FETCH 1:* (FLAGS ENVELOPE)'
`, password, reachable(host), port)
	}
	if addr := at["lmtp"]; addr != nil {
		address := "unix:" + addr.String()
		if host, port, err := net.SplitHostPort(addr.String()); err == nil {
			address = net.JoinHostPort(reachable(host), port)
		}
		fmt.Fprintf(&b, `
Deliver a mail by LMTP:

    printf 'Subject: Hello\n\nIt works.\n' | go run ./examples/mailserver deliver demo@localhost -lmtp %s
`, address)
	}
	return b.String() + "\n"
}

// reachable returns a host to connect to for a host that is listened on.
func reachable(host string) string {
	ip := net.ParseIP(host)
	switch {
	case ip == nil || !ip.IsUnspecified() && ip.To4() != nil:
		return host
	case ip.IsUnspecified():
		return "127.0.0.1"
	}
	return "[" + host + "]" // in URLs
}
