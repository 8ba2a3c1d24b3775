package imapadapter

import (
	"errors"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

type mailboxSet = mailbox.Set

// selected is set for a command of its own.
func (r *request) selected(set wire.Set) (mailbox.Set, error) {
	if r.s.deleted {
		return mailbox.Set{}, errDeleted
	}
	return r.set(set, r.uid)
}

// set returns the messages that a client names. A sequence number beyond the last
// message is the client's mistake (RFC 9051 section 9, seq-number); UIDs that are
// not there are not.
func (r *request) set(set wire.Set, uids bool) (mailbox.Set, error) {
	if set.Saved {
		return mailbox.Set{Ranges: r.s.saved, UID: true}, nil
	}
	if !uids && r.s.enabled.uidonly {
		return mailbox.Set{}, badCode("UIDREQUIRED", "Sequence numbers are not used any more")
	}
	out := mailbox.Set{UID: uids, Ranges: make([]mailbox.Range, 0, len(set.Ranges))}
	last := uint32(r.s.view.Len())
	for _, n := range set.Ranges {
		if !uids && n.First != mailbox.Star && n.Last != mailbox.Star && max(n.First, n.Last) > last {
			return out, bad("No message has this sequence number")
		}
		out.Ranges = append(out.Ranges, mailbox.Range{First: n.First, Last: n.Last})
	}
	return out, nil
}

// condstore notes that the client knows mod-sequences (RFC 7162 section 3.1).
func (r *request) condstore() { r.s.enabled.condstore = true }

// news tells what happened in the mailbox. Trouble in finding out is not the
// command's: the client is told the next time.
func (r *request) news(hold bool) *mailbox.Changes {
	s := r.s
	changes, err := s.view.Sync(r.ctx, hold)
	if errors.Is(err, mailbox.ErrExpired) {
		// What the client knows can no longer be brought up to date: it must
		// connect and select anew.
		s.warn(r.name, err)
		r.w.Text("* BYE [UNAVAILABLE] The mailbox was left alone for too long")
		r.w.end()
		r.w.flush()
		r.w.err = errors.Join(r.w.err, err)
		return &mailbox.Changes{}
	}
	if err != nil {
		s.warn(r.name, err)
		return &mailbox.Changes{}
	}
	s.deleted = s.deleted || changes.MailboxDeleted
	r.write(changes)
	return changes
}

// write writes changes in the order in which a client can follow (RFC 9051
// section 7.5.1).
func (r *request) write(c *mailbox.Changes) {
	w, e := r.w, &r.s.enabled
	if c.Flags != nil {
		w.Text("* FLAGS ")
		w.List(validFlags(c.Flags))
		w.end()
	}
	r.writeExpunged(c.Expunged)
	for _, m := range c.Updated {
		r.writeFlags(m, true)
	}
	if e.condstore {
		for _, m := range c.Hushed {
			r.writeFlags(m, false)
		}
	}
	r.writeEcho(c)
	if c.ExistsChanged {
		w.Text("* ", num(c.Exists), " EXISTS")
		w.end()
	}
	if c.RecentChanged && !e.rev2 {
		w.Text("* ", num(c.Recent), " RECENT")
		w.end()
	}
}

// writeExpunged tells which messages are gone, by UID if the client knows that
// (RFC 7162 section 3.2.10).
func (r *request) writeExpunged(gone []mailbox.Expunged) {
	w, e := r.w, &r.s.enabled
	if len(gone) == 0 {
		return
	}
	if !e.qresync && !e.uidonly {
		for _, g := range gone {
			w.Text("* ", num(g.Index+1), " EXPUNGE")
			w.end()
		}
		return
	}
	var uids []wire.Range
	for _, g := range gone {
		uids = wire.Add(uids, uint32(g.UID))
	}
	w.Text("* VANISHED ")
	w.Set(uids)
	w.end()
}

// fetched begins the FETCH response of a message, which a closing parenthesis
// ends; without sequence numbers it is UIDFETCH (RFC 9586 section 3.2).
func (r *request) fetched(m *mailbox.Message) {
	if r.s.enabled.uidonly {
		r.w.Text("* ", num(m.UID), " UIDFETCH (")
		return
	}
	r.w.Text("* ", num(m.Index+1), " FETCH (")
}

// writeFlags tells a message's flags, or only its mod-sequence.
func (r *request) writeFlags(m *mailbox.Message, flags bool) {
	w, e := r.w, &r.s.enabled
	r.fetched(m)
	w.Text("UID ", num(m.UID))
	if flags {
		w.Text(" FLAGS ")
		w.List(shownFlags(m, e.rev2))
	}
	if e.condstore {
		w.Text(" MODSEQ (", num(m.ModSeq), ")")
	}
	w.Text(")")
	w.end()
}

// writeEcho tells the flags of those messages of a STORE that changed nothing in
// them: the client is to get all of them as if it had fetched them (RFC 9051
// section 6.4.6).
func (r *request) writeEcho(told *mailbox.Changes) {
	if r.echo == nil {
		return
	}
	set, updated := *r.echo, told.Updated
	r.echo = nil
	for m, err := range r.s.view.Messages(r.ctx, set) {
		if err != nil {
			r.s.warn(r.name, err)
			return
		}
		for len(updated) > 0 && updated[0].Index < m.Index {
			updated = updated[1:]
		}
		if len(updated) > 0 && updated[0].Index == m.Index {
			continue
		}
		r.writeFlags(m, true)
		r.progress()
	}
}
