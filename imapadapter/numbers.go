package imapadapter

import (
	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// seqNum returns the sequence number of a message in a view.
func seqNum(index int) uint32 { return uint32(index) + 1 }

// flags returns flags for the engine. One that it cannot write would leave half a line
// in its buffer, and is left out.
func flags(names []string) []imap.Flag {
	out := make([]imap.Flag, 0, len(names)+1)
	for _, n := range translate.ValidFlags(names) {
		out = append(out, imap.Flag(n))
	}
	return out
}

// messageFlags returns a message's flags for the engine.
func messageFlags(m *mailbox.Message, rev2 bool) []imap.Flag {
	return flags(translate.MessageFlags(m, !rev2))
}

// selected is set for a command of its own.
func (s *Session) selected(nums imap.NumSet) (mailbox.Set, error) {
	if s.deleted {
		return mailbox.Set{}, translate.ErrDeleted
	}
	return s.set(wireSet(nums))
}

// set returns the messages that a client names.
func (s *Session) set(set wire.Set, uid bool) (mailbox.Set, error) {
	return translate.Set(s.ctx, s.view, set, uid, s.saved)
}

// wireSet returns a set of the engine's as it was written, and whether it is of UIDs.
func wireSet(nums imap.NumSet) (set wire.Set, uid bool) {
	if imap.IsSearchRes(nums) {
		return wire.Set{Saved: true}, true
	}
	switch nums := nums.(type) {
	case imap.SeqSet:
		for _, r := range nums {
			set.Ranges = append(set.Ranges, wire.Range{First: r.Start, Last: r.Stop})
		}
	case imap.UIDSet:
		uid = true
		for _, r := range nums {
			set.Ranges = append(set.Ranges, wire.Range{First: uint32(r.Start), Last: uint32(r.Stop)})
		}
	}
	return set, uid
}
