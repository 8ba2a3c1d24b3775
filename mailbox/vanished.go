package mailbox

import (
	"context"
	"math"
	"sort"

	"github.com/letterlock/letterlock/mailbox/internal/state"
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
	gone, ok := t.box.VanishedSince(since)
	if ok {
		gone = gone.Intersect(within)
	} else {
		from, err := t.intact(ctx, a, known)
		if err != nil {
			return nil, err
		}
		if gone, err = t.absent(ctx, a, within.Intersect(state.UIDSet{{First: from, Last: math.MaxUint32}})); err != nil {
			return nil, err
		}
	}
	var ghosts state.UIDSet // they are told as they should be, later
	for _, g := range t.ghosts {
		ghosts.Add(g.UID)
	}
	var out []Range
	for _, r := range gone.Without(ghosts) {
		out = append(out, Range{uint32(r.First), uint32(r.Last)})
	}
	return out, nil
}

// named returns the UIDs that a set of UIDs names, as far as they were given out.
func (t *told) named(set Set) state.UIDSet {
	all := t.box.Assigned(1)
	if len(all) == 0 {
		return nil
	}
	top := uint32(all[0].Last)
	var out state.UIDSet
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
			out = append(out, state.UIDRun{First: UID(first), Last: UID(min(last, top))})
		}
	}
	return out.Normalize()
}

// intact returns the UID from which on something may be missing that known has:
// where a message has the sequence number that it had, none below it is gone.
func (t *told) intact(ctx context.Context, a *account, known Known) (UID, error) {
	var failed error
	n := sort.Search(min(len(known.Seqs), len(known.UIDs)), func(i int) bool {
		below, err := a.pages.RowsBelow(ctx, t.box, known.UIDs[i])
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
func (t *told) absent(ctx context.Context, a *account, within state.UIDSet) (state.UIDSet, error) {
	var there state.UIDSet
	for _, i := range t.box.PagesOf(within) {
		r := t.box.Pages[i]
		if r.Dense() {
			there = append(there, state.UIDRun{First: r.First, Last: r.Last})
			continue
		}
		p, err := a.pages.Page(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, u := range p.UIDs {
			there.Add(u)
		}
	}
	return within.Without(there), nil
}
