package state

import (
	"math"
)

// restoredLeap is more mailboxes than anybody creates between two backups.
const restoredLeap = 1 << 16

func (s *Account) applyRestored(at ModSeq, e *RenewAll) (*Account, error) {
	if e.UIDValidity < s.NextUIDValidity || uint64(e.UIDValidity)+uint64(len(s.Mailboxes)) > math.MaxUint32 || e.Mailbox < s.NextMailbox {
		return nil, ErrInvalidEvent
	}
	c := *s
	c.Mailboxes = make([]*Mailbox, len(s.Mailboxes))
	c.NextUIDValidity, c.NextMailbox = e.UIDValidity, e.Mailbox
	for i, m := range s.Mailboxes {
		box := *m
		box.UIDValidity, box.Created, box.ModSeq = c.NextUIDValidity, at, at
		box.Vanished, box.Forgotten = nil, at
		c.Mailboxes[i] = &box
		c.NextUIDValidity++
	}
	return &c, nil
}

// Restore decides the event. The values are above all that were given since the
// backup: UIDVALIDITYs count on from the time at which the account was made, and are
// given one for each mailbox. The random part is for a backup that is restored
// twice.
func (s *Account) Restore(now int64, random uint32) (*RenewAll, error) {
	validity := uint64(max(s.NextUIDValidity, Seconds(now))) + restoredLeap + uint64(random%restoredLeap)
	id := uint64(s.NextMailbox) + restoredLeap
	if validity+uint64(len(s.Mailboxes)) > math.MaxUint32 {
		// An import brought a UIDVALIDITY from the end of the numbers. What is left
		// will do for a few restores.
		validity = uint64(s.NextUIDValidity) + (math.MaxUint32-uint64(s.NextUIDValidity))/2
	}
	if validity+uint64(len(s.Mailboxes)) > math.MaxUint32 || id > math.MaxUint32 {
		return nil, ErrUIDsUsedUp
	}
	return &RenewAll{UIDValidity: uint32(validity), Mailbox: MailboxID(id)}, nil
}
