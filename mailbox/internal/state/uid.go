package state

import "math"

// UIDs are assigned when an event is applied: in the order of the messages, from
// UIDNEXT on. A writer that needs them before, for its client or for the event of
// an import, asks the functions of this file on the state that it commits on.

// maxUID leaves room for a UIDNEXT after it.
const maxUID = math.MaxUint32 - 1

// NextUIDs returns the first of the UIDs, one after the other, that the next n
// messages get. It fails with ErrUIDsUsedUp.
func (m *Mailbox) NextUIDs(n int64) (first UID, err error) {
	if uint64(n) > maxUID+1-uint64(m.UIDNext) {
		return 0, ErrUIDsUsedUp
	}
	return m.UIDNext, nil
}

// ImportUID returns the UID of an imported message where next is the lowest that
// is free: the one that the message had elsewhere, 0 for none, if it is free, else
// next. It fails with ErrUIDsUsedUp.
func ImportUID(next, had UID) (UID, error) {
	if had > next && had <= maxUID {
		return had, nil
	}
	if next > maxUID {
		return 0, ErrUIDsUsedUp
	}
	return next, nil
}

// Unused reports whether the mailbox never held a message.
func (m *Mailbox) Unused() bool { return m.UIDNext == 1 }

// Assigned returns all UIDs from one on that were given to messages.
func (m *Mailbox) Assigned(from UID) UIDSet {
	if from >= m.UIDNext {
		return nil
	}
	return UIDSet{{from, m.UIDNext - 1}}
}

// UID is a message's unique identifier in its mailbox (RFC 9051 section
// 2.3.1.1): 1 to 4294967295, given in ascending order, never used twice.
type UID uint32
