package state

import (
	"strings"

	"github.com/letterlock/letterlock/mailbox/message"
)

// CheckRoom reports whether a mailbox and those above it can be made.
func (s *Account) CheckRoom(name string) error {
	if len(s.Mailboxes)+1+len(parents(name)) > MaxMailboxes || int64(s.NextUIDValidity)+MaxMailboxDepth > 1<<32-1 {
		return ErrTooManyMailboxes
	}
	return nil
}

// CheckRename reports what stands against a rename.
func (s *Account) CheckRename(m *Mailbox, to string) error {
	if err := s.CheckRoom(to); err != nil {
		return err
	}
	if s.ByName(to) != nil {
		return ErrMailboxExists
	}
	if m.Name == Inbox {
		return nil
	}
	above := m.Name + string(Separator)
	if strings.HasPrefix(to, above) {
		return ErrBadName // below itself
	}
	for _, b := range s.Mailboxes {
		if rest, below := strings.CutPrefix(b.Name, above); below {
			name, err := CanonicalName(to + string(Separator) + rest)
			if err != nil {
				return err
			}
			if s.ByName(name) != nil {
				return ErrMailboxExists
			}
		}
	}
	return nil
}

// Fitting returns the flags that the mailbox has room for, and how many others
// there are. It defines them in m, which must be a copy of the caller's own.
func (m *Mailbox) Fitting(flags []string) (fit []string, others int) {
	fit = make([]string, 0, len(flags))
	for _, f := range flags {
		_, words, err := m.FlagBits([]string{f})
		if err != nil {
			others++
			continue
		}
		m.Keywords = words
		fit = append(fit, f)
	}
	return fit, others
}

// Check reports what a delivery says that cannot be true. Whoever may create
// objects in the store can write one.
func (d *Deliver) Check() error {
	for _, n := range d.Messages {
		if len(n.Flags) > 0 || len(n.Meta) > MaxMetadata || !ValidDate(n.Date) {
			return errMalformedEvent
		}
		meta, err := message.Decode(n.Meta)
		if err != nil || meta.Size != int64(n.Size) {
			return errMalformedEvent
		}
	}
	return nil
}

// MaxMetadata bounds one message's encoded metadata, in bytes.
const MaxMetadata = 512 << 10

// ValidDate reports whether IMAP can write the year of a time in seconds since
// 1970: 1 to 9999, whatever the zone (RFC 9051 section 9, date-year). Another
// would break clients that list the mailbox.
func ValidDate(unix int64) bool {
	const first, last = -62135596800 + 86400, 253402300800 - 86400
	return first <= unix && unix < last
}
