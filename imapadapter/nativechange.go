package imapadapter

import (
	"context"
	"strings"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// store handles STORE and UID STORE: one entry of the log.
func (r *request) store() error {
	args := r.p.Store()
	if err := r.p.End(); err != nil {
		return err
	}
	set, err := r.selected(args.Set)
	if err != nil {
		return err
	}
	o := mailbox.StoreOptions{Silent: args.Silent}
	if args.UnchangedSince != nil {
		r.condstore()
		since := mailbox.ModSeq(*args.UnchangedSince)
		o.UnchangedSince = &since
	}
	op := mailbox.FlagsSet
	switch args.Op {
	case '+':
		op = mailbox.FlagsAdd
	case '-':
		op = mailbox.FlagsRemove
	}
	modified, err := r.s.view.Store(r.ctx, set, op, withoutRecent(args.Flags), o)
	if err != nil {
		return r.fail(err)
	}
	if !args.Silent {
		r.echo = &set
	}
	if len(modified) > 0 {
		return r.modified(modified)
	}
	return nil
}

// withoutRecent drops \Recent: a client that copies a message's flags from
// elsewhere may send it, and cannot set it.
func withoutRecent(list []string) []string {
	out := make([]string, 0, len(list))
	for _, f := range list {
		if !strings.EqualFold(f, string(flagRecent)) {
			out = append(out, f)
		}
	}
	return out
}

// modified tells which messages of a conditional STORE were changed by somebody
// since (RFC 7162 section 3.1.3).
func (r *request) modified(uids []mailbox.UID) error {
	var list []wire.Range
	if r.uid {
		for _, u := range uids {
			list = wire.Add(list, uint32(u))
		}
	} else {
		q := &mailbox.Query{Op: mailbox.OpSet, Set: mailbox.UIDs(uids...)}
		for f, err := range r.s.view.Search(r.ctx, q) {
			if err != nil {
				return r.fail(err)
			}
			list = wire.Add(list, seqNum(f.Index))
		}
	}
	if list != nil {
		var e wire.Encoder
		e.Set(list)
		r.code, r.text = "MODIFIED "+string(e.B), "Conditional "+r.name+" failed for some"
	}
	return nil
}

// expunge handles EXPUNGE and UID EXPUNGE.
func (r *request) expunge() error {
	var set wire.Set
	if r.uid {
		r.p.SP()
		set = r.p.Set()
	}
	if err := r.p.End(); err != nil {
		return err
	}
	if r.s.deleted {
		return errDeleted
	}
	var within *mailbox.Set
	if r.uid {
		uids, err := r.set(set, true)
		if err != nil {
			return err
		}
		within = &uids
	}
	gone, err := r.s.view.Expunge(r.ctx, within)
	if err != nil {
		return r.fail(err)
	}
	r.tellHighest(len(gone) > 0)
	return nil
}

// tellHighest tells what happened, and in the tagged response up to where the
// client knows all, if the command expunged something (RFC 7162 section 3.2.7).
func (r *request) tellHighest(expunged bool) {
	changes := r.news(false)
	if expunged && r.s.enabled.qresync && changes.HighestModSeq > 0 {
		r.code = "HIGHESTMODSEQ " + num(changes.HighestModSeq)
	}
}

// copy handles COPY and UID COPY: one entry of the log.
func (r *request) copy() error {
	copied, err := r.transfer(r.s.view.Copy)
	if err != nil {
		return err
	}
	r.code = copyUID(copied)
	return nil
}

// move handles MOVE and UID MOVE (RFC 6851): one entry of the log.
func (r *request) move() error {
	moved, err := r.transfer(r.s.view.Move)
	if err != nil {
		return err
	}
	if code := copyUID(moved); code != "" {
		r.ok(code, "Moved")
	}
	r.tellHighest(len(moved.Source) > 0)
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
		return done, r.failCopy(err, dest)
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
