package mailbox

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"
)

// uidSet holds UIDs as ascending runs that neither touch nor overlap.
type uidSet []uidRun

type uidRun struct{ first, last UID }

var errUIDSet = errors.New("malformed set of UIDs")

// add appends a UID above all that are in the set.
func (s *uidSet) add(u UID) {
	if n := len(*s); n > 0 && (*s)[n-1].last+1 == u {
		(*s)[n-1].last = u
		return
	}
	*s = append(*s, uidRun{u, u})
}

// normalize sorts the runs and joins those that touch or overlap.
func (s uidSet) normalize() uidSet {
	slices.SortFunc(s, func(a, b uidRun) int {
		if a.first < b.first {
			return -1
		}
		if a.first > b.first {
			return 1
		}
		return 0
	})
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && (out[n-1].last == math.MaxUint32 || r.first <= out[n-1].last+1) {
			out[n-1].last = max(out[n-1].last, r.last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// has reports whether u is in the set.
func (s uidSet) has(u UID) bool {
	i := s.from(u)
	return i < len(s) && s[i].first <= u
}

// from returns the index of the first run that ends at or after u.
func (s uidSet) from(u UID) int {
	return sort.Search(len(s), func(i int) bool { return s[i].last >= u })
}

// touches reports whether any UID from first to last is in the set.
func (s uidSet) touches(first, last UID) bool {
	i := s.from(first)
	return i < len(s) && s[i].first <= last
}

// intersect returns the UIDs that are in both sets.
func (s uidSet) intersect(other uidSet) uidSet {
	var out uidSet
	for i, j := 0, 0; i < len(s) && j < len(other); {
		first, last := max(s[i].first, other[j].first), min(s[i].last, other[j].last)
		if first <= last {
			out = append(out, uidRun{first, last})
		}
		if s[i].last < other[j].last {
			i++
		} else {
			j++
		}
	}
	return out
}

// without returns the UIDs that are not in the other set.
func (s uidSet) without(other uidSet) uidSet {
	var out uidSet
	for _, r := range s {
		for _, o := range other[other.from(r.first):] {
			if o.first > r.last {
				break
			}
			if o.first > r.first {
				out = append(out, uidRun{r.first, o.first - 1})
			}
			if r.first = o.last + 1; o.last >= r.last {
				break
			}
		}
		// After a run that reached to the end, or to the last number there is,
		// nothing is left.
		if r.first != 0 && r.first <= r.last {
			out = append(out, r)
		}
	}
	return out
}

// count returns how many UIDs are in the set.
func (s uidSet) count() int64 {
	var n int64
	for _, r := range s {
		n += int64(r.last) - int64(r.first) + 1
	}
	return n
}

// encode writes the runs as pairs of unsigned varints: the distance of a run's
// first UID from the last of the run before (from 0 for the first run), and how
// many UIDs follow the first.
func (s uidSet) encode() []byte {
	b := make([]byte, 0, 4*len(s))
	var prev UID
	for _, r := range s {
		b = binary.AppendUvarint(b, uint64(r.first-prev))
		b = binary.AppendUvarint(b, uint64(r.last-r.first))
		prev = r.last
	}
	return b
}

// decodeUIDSet reads what encode wrote, and nothing else.
func decodeUIDSet(b []byte) (uidSet, error) {
	var s uidSet
	prev := uint64(0)
	next := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		// A varint that ends in a zero byte has a shorter form.
		if n <= 0 || n > 1 && b[n-1] == 0 || v > math.MaxUint32 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	for len(b) > 0 {
		gap, ok := next()
		more, ok2 := next()
		first, last := prev+gap, prev+gap+more
		// A gap of one would have been written as part of the run before.
		if !ok || !ok2 || gap == 0 || gap == 1 && len(s) > 0 || last > math.MaxUint32 {
			return nil, errUIDSet
		}
		s = append(s, uidRun{UID(first), UID(last)})
		prev = last
	}
	return s, nil
}
