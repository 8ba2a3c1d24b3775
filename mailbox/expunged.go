package mailbox

import (
	"slices"
	"sort"
)

// maxVanished bounds how many runs of expunged UIDs a mailbox remembers.
const maxVanished = 1024

// vanished is a run of UIDs that were expunged by one log entry.
type vanished struct {
	at          ModSeq
	first, last UID
}

// remember notes UIDs that vanished, for clients that come back (RFC 7162
// section 3.2.6), and forgets the oldest where there are too many.
func (m *Mailbox) remember(at ModSeq, uids uidSet) {
	v := make([]vanished, 0, len(m.vanished)+len(uids))
	v = append(v, m.vanished...)
	for _, r := range uids {
		v = append(v, vanished{at, r.first, r.last})
	}
	if over := len(v) - maxVanished; over > 0 {
		m.forgotten = v[over-1].at
		v = slices.Clone(v[over:])
		// An entry is remembered whole or not at all.
		v = slices.DeleteFunc(v, func(x vanished) bool { return x.at <= m.forgotten })
	}
	m.vanished = v
}

// vanishedSince returns the UIDs that were expunged after a position, and whether
// all of them are remembered.
func (m *Mailbox) vanishedSince(since ModSeq) (uidSet, bool) {
	if since < m.forgotten {
		return nil, false
	}
	i := sort.Search(len(m.vanished), func(i int) bool { return m.vanished[i].at > since })
	var out uidSet
	for _, v := range m.vanished[i:] {
		out = append(out, uidRun{v.first, v.last})
	}
	return out.normalize(), true
}
