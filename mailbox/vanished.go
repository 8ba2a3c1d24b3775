package mailbox

import (
	"context"
	"math"
	"sort"
)

// Known is what a client that comes back says of a mailbox: that the messages had
// these sequence numbers when it was last told (RFC 7162 section 3.2.5.2). Both
// are in ascending order and of one length.
type Known struct {
	Seqs []uint32
	UIDs []UID
}

// Vanished returns the UIDs of a set that were expunged after a position, as far
// as the session was told (RFC 7162 section 3.2.6). The ranges are ascending and
// may hold UIDs that were expunged before or never used; where the expunges since
// then are no longer known, they are all that are not in the mailbox, less those
// that known proves to have been gone before.
func (v *View) Vanished(ctx context.Context, since ModSeq, set Set, known Known) ([]Range, error) {
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	t := v.picture()
	within := t.named(set)
	gone, ok := t.box.vanishedSince(since)
	if ok {
		gone = gone.intersect(within)
	} else {
		from, err := t.intact(ctx, a, known)
		if err != nil {
			return nil, err
		}
		if gone, err = t.absent(ctx, a, within.intersect(uidSet{{from, math.MaxUint32}})); err != nil {
			return nil, err
		}
	}
	var ghosts uidSet // they are told as they should be, later
	for _, g := range t.ghosts {
		ghosts.add(g.uid)
	}
	var out []Range
	for _, r := range gone.without(ghosts) {
		out = append(out, Range{uint32(r.first), uint32(r.last)})
	}
	return out, nil
}

// named returns the UIDs that a set of UIDs names, as far as they were given out.
func (t *told) named(set Set) uidSet {
	all := t.box.assigned(1)
	if len(all) == 0 {
		return nil
	}
	top := uint32(all[0].last)
	var out uidSet
	for _, r := range set.Ranges {
		first, last := r.First, r.Last
		if first == Star {
			first = top
		}
		if last == Star {
			last = top
		}
		if first > last {
			first, last = last, first
		}
		if first = max(first, 1); first <= top {
			out = append(out, uidRun{UID(first), UID(min(last, top))})
		}
	}
	return out.normalize()
}

// intact returns the UID from which on something may be missing that known has:
// where a message has the sequence number that it had, none below it is gone.
func (t *told) intact(ctx context.Context, a *account, known Known) (UID, error) {
	var failed error
	n := sort.Search(min(len(known.Seqs), len(known.UIDs)), func(i int) bool {
		below, err := a.rowsBelow(ctx, t.box, known.UIDs[i])
		if err != nil {
			failed = err
		}
		return err != nil || uint32(below)+1 < known.Seqs[i]
	})
	if failed != nil || n == 0 {
		return 1, failed
	}
	return known.UIDs[n-1], nil
}

// absent returns the UIDs of a set that no message has. It reads only pages with
// gaps.
func (t *told) absent(ctx context.Context, a *account, within uidSet) (uidSet, error) {
	var there uidSet
	for _, i := range t.box.touched(within) {
		r := t.box.pages[i]
		if r.dense() {
			there = append(there, uidRun{r.first, r.last})
			continue
		}
		p, err := a.page(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, u := range p.uids {
			there.add(u)
		}
	}
	return within.without(there), nil
}
