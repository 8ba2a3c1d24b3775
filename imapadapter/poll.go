package imapadapter

import (
	"errors"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/mailbox"
)

// Poll notifies the client of what happened, at the end of each command that succeeded.
// Trouble in finding out is not the command's: the client is notified the next time. Only
// an error of the connection is returned, which the engine then closes.
func (s *Session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	op := s.begin("poll")
	defer op.end()
	if s.view == nil {
		return nil
	}
	changes, err := op.notify(w, !allowExpunge)
	if err != nil || s.echo == nil {
		return err
	}
	return op.writeEcho(w, changes)
}

// writeEcho writes the flags of those messages of a STORE in which it changed nothing:
// the client gets all of them as if it had fetched them (RFC 9051 section 6.4.6).
func (op *operation) writeEcho(w *imapserver.UpdateWriter, written *mailbox.Changes) error {
	set := *op.echo
	op.echo = nil
	rev2 := op.rev2()
	for m, err := range op.view.Messages(op.ctx, set) {
		if err != nil {
			op.warn(err)
			return nil
		}
		for len(written.Updated) > 0 && written.Updated[0].Index < m.Index {
			written.Updated = written.Updated[1:]
		}
		if len(written.Updated) > 0 && written.Updated[0].Index == m.Index {
			continue
		}
		if err := w.WriteMessageFlags(seqNum(m.Index), imap.UID(m.UID), messageFlags(m, rev2)); err != nil {
			return err
		}
		op.progress()
	}
	return nil
}

// Idle notifies the client of what happens until stop is closed. It returns nil when the
// connection ends, too: the engine waits for the client then.
func (s *Session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-stop: // before this goroutine ran: the client's next command may be at work
		return nil
	default:
	}
	var moved <-chan struct{}
	if s.view != nil {
		watch := s.account.Watch()
		defer watch.Close()
		moved = watch.C
	}
	for {
		if s.view != nil {
			if err := s.idleOnce(w); err != nil {
				return err
			}
		}
		select {
		case <-moved:
		case <-stop:
			return nil
		case <-s.ctx.Done():
			return nil
		}
		select {
		case <-stop: // both were ready: nothing more may be written
			return nil
		default:
		}
	}
}

func (s *Session) idleOnce(w *imapserver.UpdateWriter) error {
	op := s.operation("IDLE")
	defer op.close()
	_, err := op.notify(w, false)
	return err
}

// notify moves the view on and writes what changed, in the order in which a client
// can follow (RFC 9051 section 7.5.1).
func (op *operation) notify(w *imapserver.UpdateWriter, holdExpunges bool) (*mailbox.Changes, error) {
	changes, err := op.view.Sync(op.ctx, holdExpunges)
	if errors.Is(err, mailbox.ErrExpired) {
		// What the client knows can no longer be brought up to date: it must
		// connect and select anew.
		op.warn(err)
		return nil, err
	}
	if err != nil {
		op.warn(err)
		return &mailbox.Changes{}, nil
	}
	op.deleted = op.deleted || changes.MailboxDeleted
	return changes, op.write(w, changes)
}

func (s *Session) write(w *imapserver.UpdateWriter, c *mailbox.Changes) error {
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
			if err := w.WriteMessageFlags(seqNum(m.Index), imap.UID(m.UID), messageFlags(m, rev2)); err != nil {
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
