package mailbox

import (
	"strings"

	"github.com/letterlock/letterlock/mailbox/message"
)

// room reports whether a mailbox and those above it can be made.
func (s *state) room(name string) error {
	if len(s.boxes)+1+len(parents(name)) > MaxMailboxes || int64(s.nextValidity)+MaxMailboxDepth > 1<<32-1 {
		return ErrTooManyMailboxes
	}
	return nil
}

// renameable reports what stands against a rename.
func (s *state) renameable(m *Mailbox, to string) error {
	if err := s.room(to); err != nil {
		return err
	}
	if s.byName(to) != nil {
		return ErrMailboxExists
	}
	if m.name == Inbox {
		return nil
	}
	above := m.name + string(Separator)
	if strings.HasPrefix(to, above) {
		return ErrBadName // below itself
	}
	for _, b := range s.boxes {
		if rest, below := strings.CutPrefix(b.name, above); below {
			name, err := CanonicalName(to + string(Separator) + rest)
			if err != nil {
				return err
			}
			if s.byName(name) != nil {
				return ErrMailboxExists
			}
		}
	}
	return nil
}

// fitting returns the flags that the mailbox has room for, which it then defines,
// and how many others there are.
func (m *Mailbox) fitting(flags []string) (fit []string, others int) {
	fit = make([]string, 0, len(flags))
	for _, f := range flags {
		_, words, err := m.bits([]string{f})
		if err != nil {
			others++
			continue
		}
		m.keywords = words
		fit = append(fit, f)
	}
	return fit, others
}

// check reports what a delivery says that cannot be true. Whoever may create
// objects in the store can write one.
func (d *deliver) check() error {
	for _, n := range d.Messages {
		if len(n.Flags) > 0 || len(n.Meta) > maxMeta || !goodDate(n.Date) {
			return errMalformed
		}
		meta, err := message.Decode(n.Meta)
		if err != nil || meta.Size != int64(n.Size) {
			return errMalformed
		}
	}
	return nil
}

// maxMeta bounds one message's encoded metadata, in bytes.
const maxMeta = 512 << 10

// goodDate reports whether IMAP can write the year of a time in seconds since
// 1970: 1 to 9999, whatever the zone (RFC 9051 section 9, date-year). Another
// would break clients that list the mailbox.
func goodDate(unix int64) bool {
	const first, last = -62135596800 + 86400, 253402300800 - 86400
	return first <= unix && unix < last
}
