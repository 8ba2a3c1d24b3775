package server

import (
	"context"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// copy handles COPY and UID COPY: one entry of the log.
func (r *request) copy() error {
	copied, err := r.transfer(r.view.Copy)
	if err != nil {
		return err
	}
	r.code = copyUID(copied)
	return nil
}

// move handles MOVE and UID MOVE (RFC 6851): one entry of the log.
func (r *request) move() error {
	moved, err := r.transfer(r.view.Move)
	if err != nil {
		return err
	}
	if code := copyUID(moved); code != "" {
		r.ok(code, "Moved")
	}
	r.updateExpunged(len(moved.Source) > 0)
	return nil
}

func (r *request) transfer(do transferFunc) (mailbox.Copied, error) {
	args, dest := r.p.SetAndMailbox()
	if err := r.p.End(); err != nil {
		return mailbox.Copied{}, err
	}
	set, err := r.selected(args)
	if err != nil {
		return mailbox.Copied{}, err
	}
	done, err := do(r.ctx, set, dest)
	if err != nil {
		return done, r.failDest(err)
	}
	return done, nil
}

// copyUID returns COPYUID (RFC 4315 section 3), or nothing if no message was
// there.
func copyUID(c mailbox.Copied) string {
	if len(c.Source) == 0 {
		return ""
	}
	var source, dest []wire.Range
	for i := range c.Source {
		source = wire.Add(source, uint32(c.Source[i]))
		dest = wire.Add(dest, uint32(c.Dest[i]))
	}
	var e wire.Encoder
	e.Text("COPYUID ", num(c.UIDValidity), " ")
	e.Set(source)
	e.Text(" ")
	e.Set(dest)
	return string(e.B)
}

// transferFunc is View.Copy or View.Move.
type transferFunc func(ctx context.Context, set mailbox.Set, dest string) (mailbox.Copied, error)
