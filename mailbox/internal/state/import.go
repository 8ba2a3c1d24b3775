package state

import (
	"math"
	"slices"
)

func (s *Account) applyImport(at ModSeq, e *ImportMessages) (*Account, error) {
	m := s.ByID(e.Mailbox)
	if m == nil || e.UIDs.Count() != int64(len(e.Messages)) {
		return nil, ErrInvalidEvent
	}
	if n := len(e.UIDs); n > 0 && (e.UIDs[0].First < m.UIDNext || e.UIDs[n-1].Last > maxUID) {
		return nil, ErrInvalidEvent
	}
	c := *s
	defined := *m
	rows, err := c.rows(at, &defined, e.Time, e.Messages)
	if err != nil {
		return nil, err
	}
	i := 0
	for _, run := range e.UIDs {
		for u := run.First; u <= run.Last; u++ {
			rows[i].UID = u
			i++
		}
	}
	n := defined.placing(at, rows)
	n.UIDNext = max(n.UIDNext, e.UIDNext)
	return c.WithMailbox(n), nil
}

func (s *Account) applyRenew(at ModSeq, e *RenewMailbox) (*Account, error) {
	m := s.ByID(e.Mailbox)
	if m == nil || !m.Unused() || e.UIDValidity == 0 || e.UIDValidity == math.MaxUint32 {
		return nil, ErrInvalidEvent
	}
	c := *s
	c.Mailboxes = slices.Clone(s.Mailboxes)
	for i := range c.Mailboxes {
		if c.Mailboxes[i] == m {
			c.Mailboxes[i] = &Mailbox{
				ID: s.NextMailbox, Name: m.Name, UIDValidity: e.UIDValidity, UIDNext: 1, RecentFrom: 1,
				ModSeq: at, Created: at, SpecialUse: m.SpecialUse,
			}
		}
	}
	c.NextMailbox++
	c.NextUIDValidity = max(c.NextUIDValidity, e.UIDValidity+1)
	return &c, nil
}
