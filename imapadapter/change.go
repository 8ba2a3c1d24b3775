package imapadapter

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
)

// The commands of this file write nothing themselves but COPYUID. The Poll that follows
// each command notifies the client of what they changed, together with what others
// changed, so that the numbers are always right.

// Store handles STORE and UID STORE: one entry of the log.
func (s *Session) Store(_ *imapserver.FetchWriter, numSet imap.NumSet, change *imap.StoreFlags, _ *imap.StoreOptions) error {
	op := s.begin("STORE")
	defer op.end()
	set, err := s.selected(numSet)
	if err != nil {
		return err
	}
	ops := map[imap.StoreFlagsOp]mailbox.FlagOp{
		imap.StoreFlagsSet: mailbox.FlagsSet,
		imap.StoreFlagsAdd: mailbox.FlagsAdd,
		imap.StoreFlagsDel: mailbox.FlagsRemove,
	}
	_, err = s.view.Store(op.ctx, set, ops[change.Op], translate.WithoutRecent(change.Flags), mailbox.StoreOptions{Silent: change.Silent})
	if err != nil {
		return op.fail(err)
	}
	if !change.Silent {
		s.echo = &set
	}
	return nil
}

// Expunge handles EXPUNGE, UID EXPUNGE, and the first half of CLOSE, for which
// the engine calls it with a writer that writes nothing: there it is no error
// that the mailbox was opened with EXAMINE, and nothing is expunged (RFC 9051
// section 6.4.1).
func (s *Session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	op := s.begin("EXPUNGE")
	defer op.end()
	closing := *w == imapserver.ExpungeWriter{}
	if closing && s.view.ReadOnly() {
		return nil
	}
	if s.deleted {
		if closing {
			return nil
		}
		return translate.ErrDeleted
	}
	var within *mailbox.Set
	if uids != nil {
		set, err := s.set(wireSet(*uids))
		if err != nil {
			return err
		}
		within = &set
	}
	_, err := s.view.Expunge(op.ctx, within)
	return op.fail(err)
}

// Copy handles COPY and UID COPY: one entry of the log.
func (s *Session) Copy(numSet imap.NumSet, dest string) (*imap.CopyData, error) {
	op := s.begin("COPY")
	defer op.end()
	set, err := s.selected(numSet)
	if err != nil {
		return nil, err
	}
	copied, err := s.view.Copy(op.ctx, set, dest)
	if err != nil {
		return nil, op.failDestination(err)
	}
	return copyData(copied), nil
}

// Move handles MOVE and UID MOVE (RFC 6851): one entry of the log.
func (s *Session) Move(w *imapserver.MoveWriter, numSet imap.NumSet, dest string) error {
	op := s.begin("MOVE")
	defer op.end()
	set, err := s.selected(numSet)
	if err != nil {
		return err
	}
	moved, err := s.view.Move(op.ctx, set, dest)
	if err != nil {
		return op.failDestination(err)
	}
	if data := copyData(moved); data != nil {
		return w.WriteCopyData(data)
	}
	return nil
}

// copyData returns COPYUID (RFC 4315 section 3), or nil if no message was there:
// the engine cannot write an empty set.
func copyData(c mailbox.Copied) *imap.CopyData {
	if len(c.Source) == 0 {
		return nil
	}
	data := &imap.CopyData{UIDValidity: c.UIDValidity}
	for i := range c.Source {
		data.SourceUIDs.AddNum(imap.UID(c.Source[i]))
		data.DestUIDs.AddNum(imap.UID(c.Dest[i]))
	}
	return data
}
