package server

import (
	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// open handles SELECT and EXAMINE.
func (r *request) open() error {
	args := r.p.Select()
	if err := r.p.End(); err != nil {
		return err
	}
	readOnly := r.name == "EXAMINE"
	switch {
	case args.QResync != nil && !r.enabled.qresync:
		return bad("QRESYNC was not enabled") // RFC 7162 section 3.2.5
	case args.QResync != nil && args.QResync.MatchSeqs != nil && r.enabled.uidonly:
		return errUIDRequired
	}
	if r.view != nil {
		r.ok("CLOSED", "Previous mailbox is now closed")
	}
	r.deselect()
	if args.CondStore || args.QResync != nil {
		r.knowsModSeq()
	}
	view, err := r.account.Select(r.ctx, args.Mailbox, readOnly)
	if err != nil {
		return r.fail(err)
	}
	r.view = view
	if err = r.describe(readOnly); err == nil && args.QResync != nil && args.QResync.UIDValidity == view.UIDValidity() {
		err = r.resync(args.QResync)
	}
	if err != nil {
		r.deselect()
		return r.fail(err)
	}
	if r.code = "READ-WRITE"; readOnly {
		r.code = "READ-ONLY"
	}
	return nil
}

// describe writes what there is to know of the mailbox that was selected.
func (r *request) describe(readOnly bool) error {
	w, view, rev2 := r.w, r.view, r.enabled.rev2
	w.Text("* ", num(view.Len()), " EXISTS")
	w.end()
	if !rev2 {
		w.Text("* ", num(view.Recent()), " RECENT")
		w.end()
		index, ok, err := view.FirstUnseen(r.ctx)
		if err != nil {
			return err
		}
		if ok && !r.enabled.uidonly {
			r.ok("UNSEEN "+num(index+1), "First unseen message")
		}
	}
	r.ok("UIDVALIDITY "+num(view.UIDValidity()), "UIDs valid")
	r.ok("UIDNEXT "+num(view.UIDNext()), "Predicted next UID")
	r.ok("HIGHESTMODSEQ "+num(view.HighestModSeq()), "Highest mod-sequence")
	r.ok("MAILBOXID ("+mailboxID(view.ID())+")", "Lasting identity")
	w.Text("* FLAGS ")
	w.List(translate.ValidFlags(view.Flags()))
	w.end()
	w.Text("* OK [PERMANENTFLAGS ")
	if readOnly {
		w.Text("()")
	} else {
		w.List(append(translate.ValidFlags(view.Flags()), `\*`))
	}
	w.Text("] Permanent flags")
	w.end()
	if rev2 {
		// RFC 9051 section 6.3.2 wants the mailbox's name as it is spelled here.
		w.Text(`* LIST () "/" `)
		w.Mailbox(view.Name())
		w.end()
	}
	return nil
}

// resync writes what happened to a mailbox since a client knew it (RFC 7162 section
// 3.2.5.1): which of its messages are gone, and whose flags changed.
func (r *request) resync(q *wire.QResync) error {
	known := mailbox.All()
	if q.Known != nil {
		known = mailbox.Set{Ranges: ranges(q.Known), UID: true}
	}
	since := mailbox.ModSeq(q.ModSeq)
	match := mailbox.Known{Seqs: numbers[uint32](q.MatchSeqs), UIDs: numbers[mailbox.UID](q.MatchUIDs)}
	if err := r.vanished(since, known, match); err != nil {
		return err
	}
	for m, err := range r.view.MessagesSince(r.ctx, known, since) {
		if err != nil {
			return err
		}
		r.writeFlags(m, true)
		r.progress()
	}
	return nil
}

// vanished writes which messages of a set are gone since a mod-sequence.
func (r *request) vanished(since mailbox.ModSeq, set mailbox.Set, known mailbox.Known) error {
	gone, err := r.view.Vanished(r.ctx, since, set, known)
	if err != nil || len(gone) == 0 {
		return err
	}
	r.w.Text("* VANISHED (EARLIER) ")
	for i, g := range gone {
		if i > 0 {
			r.w.Text(",")
		}
		r.w.Set([]wire.Range{{First: g.First, Last: g.Last}})
	}
	r.w.end()
	return nil
}

func ranges(in []wire.Range) []mailbox.Range {
	out := make([]mailbox.Range, len(in))
	for i, r := range in {
		out[i] = mailbox.Range{First: r.First, Last: r.Last}
	}
	return out
}

// maxMatched bounds how many pairs of sequence match data are looked at: they are
// a hint, and a few bytes can spell billions.
const maxMatched = 10_000

// numbers returns the numbers of ranges one by one.
func numbers[T ~uint32](in []wire.Range) []T {
	var out []T
	for _, r := range in {
		for n := r.First; n <= r.Last && len(out) < maxMatched; n++ {
			out = append(out, T(n))
			if n == r.Last {
				break
			}
		}
	}
	return out
}

// close handles CLOSE: it expunges without EXPUNGE responses, unless the mailbox was opened
// with EXAMINE (RFC 9051 section 6.4.1).
func (r *request) close() error {
	if err := r.p.End(); err != nil {
		return err
	}
	if !r.view.ReadOnly() && !r.deleted {
		gone, err := r.view.Expunge(r.ctx, nil)
		if err != nil {
			return r.fail(err)
		}
		if len(gone) > 0 && r.enabled.qresync { // RFC 7162 section 3.2.8
			if changes, err := r.view.Sync(r.ctx, true); err == nil {
				r.code = "HIGHESTMODSEQ " + num(changes.HighestModSeq)
			}
		}
	}
	r.deselect()
	return nil
}

// unselect handles UNSELECT.
func (r *request) unselect() error {
	if err := r.p.End(); err != nil {
		return err
	}
	r.deselect()
	return nil
}
