package server

import (
	"errors"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// selected is set for a command of its own.
func (r *request) selected(set wire.Set) (mailbox.Set, error) {
	if r.deleted {
		return mailbox.Set{}, errDeleted
	}
	return r.set(set, r.uid)
}

// set returns the messages that a client names.
func (r *request) set(set wire.Set, uids bool) (mailbox.Set, error) {
	if !uids && len(set.Ranges) > 0 && r.enabled.uidonly {
		return mailbox.Set{}, errUIDRequired
	}
	out, err := translate.Set(r.ctx, r.view, set, uids, r.saved)
	return out, r.fail(err)
}

// searchSet is set for a search key: sequence numbers beyond the last message find
// nothing.
func (r *request) searchSet(set wire.Set, uids bool) (mailbox.Set, error) {
	if uids {
		return r.set(set, true)
	}
	last := uint32(r.view.Len())
	there := wire.Set{Saved: set.Saved}
	for _, n := range set.Ranges {
		if n.First != mailbox.Star && n.Last != mailbox.Star {
			n.First, n.Last = min(n.First, n.Last), min(max(n.First, n.Last), last)
			if n.First > last {
				continue
			}
		}
		there.Ranges = append(there.Ranges, n)
	}
	return r.set(there, false)
}

// update notifies the client of what happened in the mailbox; with hold expunged
// messages keep their numbers. Trouble in finding out is not the command's: the client is
// notified the next time.
func (r *request) update(hold bool) *mailbox.Changes {
	changes, err := r.view.Sync(r.ctx, hold)
	if errors.Is(err, mailbox.ErrExpired) {
		// What the client knows can no longer be brought up to date: it must
		// connect and select anew.
		r.warn(err)
		r.w.Text("* BYE [UNAVAILABLE] The mailbox was left alone for too long")
		r.w.end()
		r.w.flush()
		r.w.err = errors.Join(r.w.err, err)
		return &mailbox.Changes{}
	}
	if err != nil {
		r.warn(err)
		return &mailbox.Changes{}
	}
	r.deleted = r.deleted || changes.MailboxDeleted
	r.write(changes)
	return changes
}

// write writes changes in the order in which a client can follow (RFC 9051
// section 7.5.1).
func (r *request) write(c *mailbox.Changes) {
	w, e := r.w, &r.enabled
	if c.Flags != nil {
		w.Text("* FLAGS ")
		w.List(translate.ValidFlags(c.Flags))
		w.end()
	}
	r.writeExpunged(c.Expunged)
	for _, m := range c.Updated {
		r.writeFlags(m, true)
	}
	if e.condstore {
		for _, m := range c.Silenced {
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

// writeExpunged writes which messages are gone, by UID if the client knows that
// (RFC 7162 section 3.2.10).
func (r *request) writeExpunged(gone []mailbox.Expunged) {
	w, e := r.w, &r.enabled
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
	if r.enabled.uidonly {
		r.w.Text("* ", num(m.UID), " UIDFETCH (")
		return
	}
	r.w.Text("* ", num(m.Index+1), " FETCH (")
}

// writeFlags writes a message's flags, or only its mod-sequence.
func (r *request) writeFlags(m *mailbox.Message, flags bool) {
	w, e := r.w, &r.enabled
	r.fetched(m)
	w.Text("UID ", num(m.UID))
	if flags {
		w.Text(" FLAGS ")
		w.List(translate.MessageFlags(m, !e.rev2))
	}
	if e.condstore {
		w.Text(" MODSEQ (", num(m.ModSeq), ")")
	}
	w.Text(")")
	w.end()
}

// writeEcho writes the flags of those messages of a STORE that changed nothing in
// them: the client is to get all of them as if it had fetched them (RFC 9051
// section 6.4.6).
func (r *request) writeEcho(c *mailbox.Changes) {
	if r.echo == nil {
		return
	}
	set, updated := *r.echo, c.Updated
	r.echo = nil
	for m, err := range r.view.Messages(r.ctx, set) {
		if err != nil {
			r.warn(err)
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
