package imapadapter

import (
	"errors"

	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/observe"
)

// Poll tells the client what happened, at the end of each command that
// succeeded. Trouble in finding out is not the command's: the client is told
// the next time. Only an error of the connection is returned, which the engine
// then closes.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if s.guard != nil {
		return nil // the next command of ours tells it, in our words
	}
	op := s.begin("poll")
	defer op.end()
	if s.view == nil {
		return nil
	}
	changes, err := op.tell(w, !allowExpunge)
	if err != nil || s.echo == nil {
		return err
	}
	return op.tellEcho(w, changes)
}

// tellEcho tells the flags of those messages of a STORE that changed nothing in
// them: the client is to get all of them as if it had fetched them (RFC 9051
// section 6.4.6).
func (op *operation) tellEcho(w *imapserver.UpdateWriter, told *mailbox.Changes) error {
	s := op.s
	set := *s.echo
	s.echo = nil
	rev2 := s.rev2()
	for m, err := range s.view.Messages(op.ctx, set) {
		if err != nil {
			s.warn(op.name, err)
			return nil
		}
		for len(told.Updated) > 0 && told.Updated[0].Index < m.Index {
			told.Updated = told.Updated[1:]
		}
		if len(told.Updated) > 0 && told.Updated[0].Index == m.Index {
			continue
		}
		if err := w.WriteMessageFlags(seqNum(m.Index), uid(m.UID), messageFlags(m, rev2)); err != nil {
			return err
		}
		op.progress()
	}
	return nil
}

// Idle tells the client what happens until stop is closed. It returns nil when
// the connection or the server ends, too: the engine waits for the client then.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-stop: // before this goroutine ran: the client's next command may be at work
		return nil
	default:
	}
	s.o.Observe.Session(observe.IMAP, observe.IdleBegun)
	defer s.o.Observe.Session(observe.IMAP, observe.IdleEnded)
	var moved <-chan struct{}
	if s.view != nil {
		watch := s.account.Watch()
		defer watch.Close()
		moved = watch.C
	}
	for {
		if s.view != nil {
			if err := s.idleTell(w); err != nil {
				return err
			}
		}
		select {
		case <-moved:
		case <-stop:
			return nil
		case <-s.ctx.Done():
			return nil
		case <-s.link.draining():
			return nil
		}
		select {
		case <-stop: // both were ready: nothing more may be written
			return nil
		default:
		}
	}
}

func (s *session) idleTell(w *imapserver.UpdateWriter) error {
	op := s.operation("IDLE")
	defer op.close()
	_, err := op.tell(w, false)
	return err
}

// tell moves the view on and writes what changed, in the order in which a client
// can follow (RFC 9051 section 7.5.1).
func (op *operation) tell(w *imapserver.UpdateWriter, holdExpunges bool) (*mailbox.Changes, error) {
	changes, err := op.s.view.Sync(op.ctx, holdExpunges)
	if errors.Is(err, mailbox.ErrExpired) {
		// What the client knows can no longer be brought up to date: it must
		// connect and select anew.
		op.s.warn(op.name, err)
		return nil, err
	}
	if err != nil {
		op.s.warn(op.name, err)
		return &mailbox.Changes{}, nil
	}
	op.s.deleted = op.s.deleted || changes.MailboxDeleted
	return changes, op.s.write(w, changes)
}

func (s *session) write(w *imapserver.UpdateWriter, c *mailbox.Changes) error {
	if c.Flags != nil {
		if err := w.WriteMailboxFlags(flags(c.Flags)); err != nil {
			return err
		}
	}
	for _, e := range c.Expunged {
		if err := w.WriteExpunge(seqNum(e.Index)); err != nil {
			return err
		}
	}
	if len(c.Updated) > 0 {
		rev2 := s.rev2()
		for _, m := range c.Updated {
			if err := w.WriteMessageFlags(seqNum(m.Index), uid(m.UID), messageFlags(m, rev2)); err != nil {
				return err
			}
		}
	}
	if c.ExistsChanged {
		if err := w.WriteNumMessages(uint32(c.Exists)); err != nil {
			return err
		}
	}
	if c.RecentChanged {
		return w.WriteNumRecent(uint32(c.Recent))
	}
	return nil
}
