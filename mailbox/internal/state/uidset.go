package state

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"
)

// UIDSet holds UIDs as ascending runs that neither touch nor overlap.
type UIDSet []UIDRun

type UIDRun struct{ First, Last UID }

var errUIDSet = errors.New("malformed set of UIDs")

// Add appends a UID above all that are in the set.
func (s *UIDSet) Add(u UID) {
	if n := len(*s); n > 0 && (*s)[n-1].Last+1 == u {
		(*s)[n-1].Last = u
		return
	}
	*s = append(*s, UIDRun{u, u})
}

// Normalize sorts the runs and joins those that touch or overlap.
func (s UIDSet) Normalize() UIDSet {
	slices.SortFunc(s, func(a, b UIDRun) int {
		if a.First < b.First {
			return -1
		}
		if a.First > b.First {
			return 1
		}
		return 0
	})
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && (out[n-1].Last == math.MaxUint32 || r.First <= out[n-1].Last+1) {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Has reports whether u is in the set.
func (s UIDSet) Has(u UID) bool {
	i := s.Index(u)
	return i < len(s) && s[i].First <= u
}

// Index returns the index of the first run that ends at or after u.
func (s UIDSet) Index(u UID) int {
	return sort.Search(len(s), func(i int) bool { return s[i].Last >= u })
}

// Touches reports whether any UID from first to last is in the set.
func (s UIDSet) Touches(first, last UID) bool {
	i := s.Index(first)
	return i < len(s) && s[i].First <= last
}

// Intersect returns the UIDs that are in both sets.
func (s UIDSet) Intersect(other UIDSet) UIDSet {
	var out UIDSet
	for i, j := 0, 0; i < len(s) && j < len(other); {
		first, last := max(s[i].First, other[j].First), min(s[i].Last, other[j].Last)
		if first <= last {
			out = append(out, UIDRun{first, last})
		}
		if s[i].Last < other[j].Last {
			i++
		} else {
			j++
		}
	}
	return out
}

// Without returns the UIDs that are not in the other set.
func (s UIDSet) Without(other UIDSet) UIDSet {
	var out UIDSet
	for _, r := range s {
		for _, o := range other[other.Index(r.First):] {
			if o.First > r.Last {
				break
			}
			if o.First > r.First {
				out = append(out, UIDRun{r.First, o.First - 1})
			}
			if r.First = o.Last + 1; o.Last >= r.Last {
				break
			}
		}
		// After a run that reached to the end, or to the last number there is,
		// nothing is left.
		if r.First != 0 && r.First <= r.Last {
			out = append(out, r)
		}
	}
	return out
}

// Count returns how many UIDs are in the set.
func (s UIDSet) Count() int64 {
	var n int64
	for _, r := range s {
		n += int64(r.Last) - int64(r.First) + 1
	}
	return n
}

// encode writes the runs as pairs of unsigned varints: the distance of a run's
// first UID from the last of the run before (from 0 for the first run), and how
// many UIDs follow the first.
func (s UIDSet) encode() []byte {
	b := make([]byte, 0, 4*len(s))
	var prev UID
	for _, r := range s {
		b = binary.AppendUvarint(b, uint64(r.First-prev))
		b = binary.AppendUvarint(b, uint64(r.Last-r.First))
		prev = r.Last
	}
	return b
}

// decodeUIDSet reads what encode wrote, and nothing else.
func decodeUIDSet(b []byte) (UIDSet, error) {
	var s UIDSet
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
		s = append(s, UIDRun{UID(first), UID(last)})
		prev = last
	}
	return s, nil
}

// AllUIDs returns the set of all UIDs.
func AllUIDs() UIDSet { return UIDSet{{1, math.MaxUint32}} }
