package mailbox

import (
	"math"
)

// restoredLeap is more mailboxes than anybody creates between two backups.
const restoredLeap = 1 << 16

// restored says that the account was restored from an older state. Every mailbox
// is made anew at this position, with its name, ID, messages, UIDs and flags: in
// order of their names they get UIDVALIDITYs from the one given on. IDs below
// Mailbox are not given any more.
type restored struct {
	UIDValidity uint32
	Mailbox     MailboxID
}

func (s *state) applyRestored(at ModSeq, e *restored) (*state, error) {
	if e.UIDValidity < s.nextValidity || uint64(e.UIDValidity)+uint64(len(s.boxes)) > math.MaxUint32 || e.Mailbox < s.nextMailbox {
		return nil, errDoesNotFit
	}
	c := *s
	c.boxes = make([]*Mailbox, len(s.boxes))
	c.nextValidity, c.nextMailbox = e.UIDValidity, e.Mailbox
	for i, m := range s.boxes {
		box := *m
		box.uidValidity, box.created, box.modseq = c.nextValidity, at, at
		box.vanished, box.forgotten = nil, at
		c.boxes[i] = &box
		c.nextValidity++
	}
	return &c, nil
}

// restoring decides the event. The values are above all that were given since the
// backup: UIDVALIDITYs count on from the time at which the account was made, and are
// given one for each mailbox. The random part is for a backup that is restored
// twice.
func (s *state) restoring(now int64, random uint32) (*restored, error) {
	validity := uint64(max(s.nextValidity, seconds(now))) + restoredLeap + uint64(random%restoredLeap)
	id := uint64(s.nextMailbox) + restoredLeap
	if validity+uint64(len(s.boxes)) > math.MaxUint32 {
		// An import brought a UIDVALIDITY from the end of the numbers. What is left
		// will do for a few restores.
		validity = uint64(s.nextValidity) + (math.MaxUint32-uint64(s.nextValidity))/2
	}
	if validity+uint64(len(s.boxes)) > math.MaxUint32 || id > math.MaxUint32 {
		return nil, ErrUIDsUsedUp
	}
	return &restored{UIDValidity: uint32(validity), Mailbox: MailboxID(id)}, nil
}
