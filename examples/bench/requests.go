package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// RequestCount is how many requests one thing costs that a user does, of a store
// in which an object is one PUT and a range of it one GET.
type RequestCount struct {
	What   string  `json:"what"`
	Put    float64 `json:"put"`
	Get    float64 `json:"get"`
	List   float64 `json:"list"`
	Head   float64 `json:"head"`
	Delete float64 `json:"delete"`
}

// counter counts what goes to a store in this process. That the store keeps
// objects in memory changes no count.
type counter struct {
	blobs *blobtest.Counting
	all   []RequestCount
}

// of does something n times and keeps the average.
func (c *counter) of(what string, n int, do func(i int) error) error {
	c.blobs.Reset()
	for i := range n {
		if err := do(i); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	each := func(op blobtest.Op) float64 { return float64(c.blobs.Total(op).Calls) / float64(n) }
	c.all = append(c.all, RequestCount{
		What: what, Put: each(blobtest.OpCreate), Get: each(blobtest.OpOpen), List: each(blobtest.OpList),
		Head: each(blobtest.OpStat), Delete: each(blobtest.OpDelete),
	})
	return nil
}

// countRequests does in this process what a user does, with a folder of n mails.
func countRequests(ctx context.Context, mails []mail, n int) ([]RequestCount, error) {
	c := &counter{blobs: blobtest.NewCounting(memblob.New(), nil)}
	if err := c.warm(ctx, mails, n); err != nil {
		return nil, err
	}
	return c.all, c.cold(ctx)
}

// warm counts in a process that has the account open. When it returns that process
// has ended, with the last snapshot: it is not for the next one to pay.
func (c *counter) warm(ctx context.Context, mails []mail, n int) (err error) {
	s, err := openStore(ctx, c.blobs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.CreateAccount(ctx, "ann", []byte(password)); err != nil {
		return err
	}
	a, err := s.Login(ctx, "ann", []byte(password))
	if err != nil {
		return err
	}
	return errors.Join(c.writing(ctx, s, a, mails, n), a.Close())
}

// openStore does not look for other processes on the clock, which would count at
// random.
func openStore(ctx context.Context, blobs blob.Store) (*mailbox.Store, error) {
	return mailbox.Open(ctx, blobs, mailbox.Options{PollInterval: -1})
}

func (c *counter) writing(ctx context.Context, s *mailbox.Store, a *mailbox.Account, mails []mail, n int) error {
	text := func(i int) io.Reader { return bytes.NewReader(mails[i%len(mails)].text) }
	if err := c.of(fmt.Sprintf("APPEND, each of %d, snapshots included", n), n, func(i int) error {
		_, err := a.Append(ctx, mailbox.Inbox, text(i), mailbox.AppendOptions{})
		return err
	}); err != nil {
		return err
	}
	if err := c.of("delivery (LMTP), each of 100", 100, func(i int) error {
		return s.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}}, text(i))[0]
	}); err != nil {
		return err
	}
	for _, folder := range []string{"Sent", "Archive"} {
		if err := a.Create(ctx, folder); err != nil {
			return err
		}
	}
	v, err := a.Select(ctx, mailbox.Inbox, false)
	if err != nil {
		return err
	}
	defer v.Close()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"STORE, one flag on one", func() error {
			_, err := v.Store(ctx, mailbox.UIDs(1), mailbox.FlagsAdd, []string{mailbox.FlagSeen}, mailbox.StoreOptions{})
			return err
		}},
		{fmt.Sprintf("STORE, one flag on %d", n), func() error {
			_, err := v.Store(ctx, mailbox.All(), mailbox.FlagsAdd, []string{mailbox.FlagFlagged}, mailbox.StoreOptions{})
			return err
		}},
		{fmt.Sprintf("COPY of %d", n), func() error {
			_, err := v.Copy(ctx, mailbox.All(), "Sent")
			return err
		}},
		{"STATUS of all folders, warm", func() error {
			for _, folder := range []string{mailbox.Inbox, "Sent", "Archive"} {
				if _, err := a.Status(ctx, folder); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		if err := c.of(step.what, 1, func(int) error { return step.do() }); err != nil {
			return err
		}
	}
	return nil
}

// cold does what a client does at a server that was just started.
func (c *counter) cold(ctx context.Context) (err error) {
	s, err := openStore(ctx, c.blobs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var a *mailbox.Account
	if err := c.of("LOGIN, cold", 1, func(int) error {
		a, err = s.Login(ctx, "ann", []byte(password))
		return err
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := c.of("LOGIN, warm", 1, func(int) error {
		again, err := s.Login(ctx, "ann", []byte(password))
		if err != nil {
			return err
		}
		return again.Close()
	}); err != nil {
		return err
	}
	var v *mailbox.View
	if err := c.of("SELECT, cold", 1, func(int) error {
		v, err = a.Select(ctx, mailbox.Inbox, false)
		return err
	}); err != nil {
		return err
	}
	defer v.Close()
	if err := c.of(fmt.Sprintf("FETCH FULL of %d, cold", v.Len()), 1, func(int) error { return readMeta(ctx, v) }); err != nil {
		return err
	}
	return c.of("FETCH BODY.PEEK[] of one mail", 1, func(int) error { return readBodies(ctx, v, mailbox.UIDs(1)) })
}

// readMeta reads what FETCH FULL needs of every message.
func readMeta(ctx context.Context, v *mailbox.View) error {
	for m, err := range v.Messages(ctx, mailbox.All()) {
		if err != nil {
			return err
		}
		if _, err := m.Meta(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readBodies reads messages from their first byte to the last.
func readBodies(ctx context.Context, v *mailbox.View, set mailbox.Set) error {
	for m, err := range v.Messages(ctx, set) {
		if err != nil {
			return err
		}
		r, err := m.Open(ctx, 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}
