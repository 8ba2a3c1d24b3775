package mailbox

import (
	"math"
	"slices"
)

func (s *state) applyImport(at ModSeq, e *importMessages) (*state, error) {
	m := s.byID(e.Mailbox)
	if m == nil || e.UIDs.count() != int64(len(e.Messages)) {
		return nil, errDoesNotFit
	}
	if n := len(e.UIDs); n > 0 && (e.UIDs[0].first < m.uidNext || e.UIDs[n-1].last > maxUID) {
		return nil, errDoesNotFit
	}
	c := *s
	defined := *m
	rows, err := c.rows(at, &defined, e.Time, e.Messages)
	if err != nil {
		return nil, err
	}
	i := 0
	for _, run := range e.UIDs {
		for u := run.first; u <= run.last; u++ {
			rows[i].uid = u
			i++
		}
	}
	n := defined.placing(at, rows)
	n.uidNext = max(n.uidNext, e.UIDNext)
	return c.replacing(n), nil
}

func (s *state) applyRenew(at ModSeq, e *renewMailbox) (*state, error) {
	m := s.byID(e.Mailbox)
	if m == nil || !m.unused() || e.UIDValidity == 0 || e.UIDValidity == math.MaxUint32 {
		return nil, errDoesNotFit
	}
	c := *s
	c.boxes = slices.Clone(s.boxes)
	for i := range c.boxes {
		if c.boxes[i] == m {
			c.boxes[i] = &Mailbox{
				id: s.nextMailbox, name: m.name, uidValidity: e.UIDValidity, uidNext: 1, recentFrom: 1,
				modseq: at, created: at, special: m.special,
			}
		}
	}
	c.nextMailbox++
	c.nextValidity = max(c.nextValidity, e.UIDValidity+1)
	return &c, nil
}
