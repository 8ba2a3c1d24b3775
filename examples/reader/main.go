// Reader shows an account's mail in a terminal, and new mail as it comes.
//
//	reader -store ./mail ann
//
// Type a number to read a message, "?" and a word to search, "l" to list, "f" and a
// name to change the folder, "q" to leave. It is an example of reading from a
// program of one's own, without IMAP: what it shows comes from the library.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

func main() {
	dir := flag.String("store", "", "the `folder` of the store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, flag.Arg(0)); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, name string) error {
	if dir == "" || name == "" {
		return errors.New("usage: reader -store FOLDER ACCOUNT")
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	blobs, err := diskblob.Open(dir, nil)
	if err != nil {
		return err
	}
	store, err := mailbox.Open(ctx, blobs, mailbox.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	fmt.Fprint(os.Stderr, "Password: ")
	password, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return err
	}
	account, err := store.Login(ctx, name, password)
	if err != nil {
		return err
	}
	defer account.Close()
	r := &reader{account: account, out: os.Stdout}
	return r.loop(ctx, os.Stdin)
}

// reader is one session: an account, and what it was told of one folder.
type reader struct {
	account *mailbox.Account
	view    *mailbox.View
	out     io.Writer
}

// loop does what is typed, and tells what happens meanwhile.
func (r *reader) loop(ctx context.Context, in io.Reader) error {
	if err := r.open(ctx, mailbox.Inbox); err != nil {
		return err
	}
	watch := r.account.Watch()
	defer watch.Close()
	typed := make(chan string)
	go func() {
		defer close(typed)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case typed <- strings.TrimSpace(s.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C:
			if err := r.news(ctx); err != nil {
				return err
			}
		case line, ok := <-typed:
			if !ok || line == "q" {
				return nil
			}
			if err := r.do(ctx, line); err != nil {
				fmt.Fprintln(r.out, err)
			}
		}
	}
}

func (r *reader) do(ctx context.Context, line string) error {
	switch n, err := strconv.ParseUint(line, 10, 32); {
	case err == nil:
		return r.show(ctx, mailbox.UID(n))
	case line == "" || line == "l":
		return r.list(ctx, mailbox.All())
	case strings.HasPrefix(line, "f "):
		return r.open(ctx, strings.TrimSpace(line[2:]))
	case strings.HasPrefix(line, "?"):
		return r.search(ctx, strings.TrimSpace(line[1:]))
	}
	return errors.New(`a number reads, "? word" searches, "l" lists, "f name" opens a folder, "q" leaves`)
}

// open begins with a folder.
func (r *reader) open(ctx context.Context, folder string) error {
	view, err := r.account.Select(ctx, folder, false)
	if err != nil {
		return err
	}
	if r.view != nil {
		r.view.Close()
	}
	r.view = view
	return r.list(ctx, mailbox.All())
}

// list prints a line for each message of a set. No body is read for it.
func (r *reader) list(ctx context.Context, set mailbox.Set) error {
	for m, err := range r.view.Messages(ctx, set) {
		if err != nil {
			return err
		}
		meta, err := m.Meta(ctx)
		if err != nil {
			return err
		}
		e := message.ParseEnvelope(message.ParseHeader(meta.Header))
		from := ""
		if len(e.From) > 0 {
			from = e.From[0].Name
			if from == "" {
				from = e.From[0].Mailbox + "@" + e.From[0].Host
			}
		}
		mark := "N"
		if m.HasFlag(mailbox.FlagSeen) {
			mark = " "
		}
		fmt.Fprintf(r.out, "%s %5d  %s  %-20.20s  %s\n", mark, m.UID, m.Date.Format("2006-01-02 15:04"), clean(message.DecodeHeader(from)), clean(message.DecodeHeader(e.Subject)))
	}
	return nil
}

// search lists the messages that contain a word.
func (r *reader) search(ctx context.Context, word string) error {
	var found []mailbox.UID
	for f, err := range r.view.Search(ctx, &mailbox.Query{Op: mailbox.OpText, Text: word}) {
		if err != nil {
			return err
		}
		found = append(found, f.UID)
	}
	return r.list(ctx, mailbox.UIDs(found...))
}

// show prints a message's text and marks it as seen.
func (r *reader) show(ctx context.Context, uid mailbox.UID) error {
	for m, err := range r.view.Messages(ctx, mailbox.UIDs(uid)) {
		if err != nil {
			return err
		}
		meta, err := m.Meta(ctx)
		if err != nil {
			return err
		}
		e := message.ParseEnvelope(message.ParseHeader(meta.Header))
		fmt.Fprintf(r.out, "Subject: %s\nDate: %s\n\n", clean(message.DecodeHeader(e.Subject)), clean(e.Date))
		if part := text(meta.Root); part == nil {
			fmt.Fprintln(r.out, "(no text)")
		} else if err := r.print(ctx, m, part); err != nil {
			return err
		}
		_, err = r.view.Store(ctx, mailbox.UIDs(uid), mailbox.FlagsAdd, []string{mailbox.FlagSeen}, mailbox.StoreOptions{Silent: true})
		return err
	}
	return errors.New("no such message")
}

// news moves the view on, and prints what came.
func (r *reader) news(ctx context.Context) error {
	next := uint32(r.view.UIDNext())
	changes, err := r.view.Sync(ctx, false)
	if err != nil {
		return err
	}
	if changes.MailboxDeleted {
		return r.open(ctx, mailbox.Inbox)
	}
	if uint32(r.view.UIDNext()) == next {
		return nil
	}
	return r.list(ctx, mailbox.Set{UID: true, Ranges: []mailbox.Range{{First: next, Last: uint32(r.view.UIDNext()) - 1}}})
}

// print prints a part's text. Only that part is read.
func (r *reader) print(ctx context.Context, m *mailbox.Message, part *message.Part) error {
	body, err := m.Open(ctx, part.BodyOffset, part.BodySize)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewReader(part.Text(body))
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			fmt.Fprintln(r.out, clean(line))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// text returns the first part that is text.
func text(p *message.Part) *message.Part {
	if strings.EqualFold(p.Type, "text") {
		return p
	}
	for _, c := range p.Children {
		if t := text(c); t != nil {
			return t
		}
	}
	return nil
}

// clean leaves out what could change the terminal: mail is written by strangers.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' || unicode.IsPrint(c) {
			return c
		}
		return -1
	}, s)
}
