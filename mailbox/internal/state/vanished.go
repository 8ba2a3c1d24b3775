package state

import (
	"slices"
	"sort"
)

// MaxVanished bounds how many runs of expunged UIDs a mailbox remembers.
const MaxVanished = 1024

// Vanished is a run of UIDs that were expunged by one log entry.
type Vanished struct {
	At          ModSeq
	First, Last UID
}

// remember notes UIDs that vanished, for clients that come back (RFC 7162
// section 3.2.6), and forgets the oldest where there are too many.
func (m *Mailbox) remember(at ModSeq, uids UIDSet) {
	v := make([]Vanished, 0, len(m.Vanished)+len(uids))
	v = append(v, m.Vanished...)
	for _, r := range uids {
		v = append(v, Vanished{at, r.First, r.Last})
	}
	if over := len(v) - MaxVanished; over > 0 {
		m.Forgotten = v[over-1].At
		v = slices.Clone(v[over:])
		// An entry is remembered whole or not at all.
		v = slices.DeleteFunc(v, func(x Vanished) bool { return x.At <= m.Forgotten })
	}
	m.Vanished = v
}

// VanishedSince returns the UIDs that were expunged after a position, and whether
// all of them are remembered.
func (m *Mailbox) VanishedSince(since ModSeq) (UIDSet, bool) {
	if since < m.Forgotten {
		return nil, false
	}
	i := sort.Search(len(m.Vanished), func(i int) bool { return m.Vanished[i].At > since })
	var out UIDSet
	for _, v := range m.Vanished[i:] {
		out = append(out, UIDRun{v.First, v.Last})
	}
	return out.Normalize(), true
}
