package server

import (
	"github.com/letterlock/letterlock/imapadapter/internal/translate"
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
		r.knowsModSeq()
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
	modified, err := r.view.Store(r.ctx, set, op, translate.WithoutRecent(args.Flags), o)
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

// modified writes which messages of a conditional STORE were changed by another session
// since (RFC 7162 section 3.1.3).
func (r *request) modified(uids []mailbox.UID) error {
	var list []wire.Range
	if r.uid {
		for _, u := range uids {
			list = wire.Add(list, uint32(u))
		}
	} else {
		q := &mailbox.Query{Op: mailbox.OpSet, Set: mailbox.UIDs(uids...)}
		for f, err := range r.view.Search(r.ctx, q) {
			if err != nil {
				return r.fail(err)
			}
			list = wire.Add(list, uint32(f.Index)+1)
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
	if r.deleted {
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
	gone, err := r.view.Expunge(r.ctx, within)
	if err != nil {
		return r.fail(err)
	}
	r.updateExpunged(len(gone) > 0)
	return nil
}

// updateExpunged notifies the client of changes, and if the command expunged something
// writes in the tagged response up to where the client knows all (RFC 7162 section
// 3.2.7).
func (r *request) updateExpunged(expunged bool) {
	changes := r.update(false)
	if expunged && r.enabled.qresync && changes.HighestModSeq > 0 {
		r.code = "HIGHESTMODSEQ " + num(changes.HighestModSeq)
	}
}
