package mailbox

import (
	"context"
	"sort"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// lookup answers questions about places in a picture. It counts pages and ghosts
// once, so that ten thousand questions cost little more than one.
type lookup struct {
	account *account
	told    *told
	starts  []int // index in the view of each page's first row

	k    int // the page read last
	page *state.Page
}

func (t *told) lookup(a *account) *lookup {
	l := &lookup{account: a, told: t, starts: make([]int, len(t.box.Pages))}
	rows, ghosts := 0, 0
	for i, r := range t.box.Pages {
		for ghosts < len(t.ghosts) && t.ghosts[ghosts].UID < r.First {
			ghosts++
		}
		l.starts[i] = rows + ghosts
		rows += r.Count
	}
	return l
}

// load returns page k.
func (l *lookup) load(ctx context.Context, k int) (*state.Page, error) {
	if l.page == nil || l.k != k {
		p, err := l.account.pages.Page(ctx, l.told.box.Pages[k])
		if err != nil {
			return nil, err
		}
		l.k, l.page = k, p
	}
	return l.page, nil
}

// uid returns the UID of the message with an index that is in the view.
func (l *lookup) uid(ctx context.Context, index int) (UID, error) {
	pages, ghosts := l.told.box.Pages, l.told.ghosts
	k := sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > index }) - 1
	if k < 0 {
		return ghosts[index].UID, nil
	}
	r, n := pages[k], index-l.starts[k]
	if n == 0 {
		return r.First, nil
	}
	// The ghosts among and behind the page's rows, before the next page.
	low, high := ghostsBelow(ghosts, r.First), len(ghosts)
	if k+1 < len(pages) {
		high = ghostsBelow(ghosts, pages[k+1].First)
	}
	if low == high {
		switch {
		case n == r.Count-1:
			return r.Last, nil
		case r.Dense():
			return r.First + UID(n), nil
		}
	}
	p, err := l.load(ctx, k)
	if err != nil {
		return 0, err
	}
	// Row i has index i and the ghosts before it: find the first that reaches n.
	place := func(i int) int { return i + ghostsBelow(ghosts, p.UIDs[i]) - low }
	i := sort.Search(p.Len(), func(i int) bool { return place(i) >= n })
	if i < p.Len() && place(i) == n {
		return p.UIDs[i], nil
	}
	return ghosts[low+n-i].UID, nil
}

// ghostsBelow returns how many ghosts have a smaller UID.
func ghostsBelow(ghosts []pages.Removed, u UID) int {
	return sort.Search(len(ghosts), func(i int) bool { return ghosts[i].UID >= u })
}

// resolve turns a set into UIDs of messages that are or were in the view. What
// came to the mailbox later is not among them, whatever numbers the set has: the
// client does not know of it.
func (t *told) resolve(ctx context.Context, a *account, set Set) (state.UIDSet, error) {
	n := t.len()
	if n == 0 {
		return nil, nil
	}
	top := uint32(n)
	var places *lookup
	if set.UID {
		top = uint32(t.lastUID())
	} else {
		places = t.lookup(a)
	}
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
		if first > top {
			continue
		}
		last = min(last, top)
		if set.UID {
			out = append(out, state.UIDRun{First: UID(first), Last: UID(last)})
			continue
		}
		// The UIDs of a run of sequence numbers are a run of UIDs, because no
		// message lies between them that is not in the run.
		low, err := places.uid(ctx, int(first)-1)
		if err != nil {
			return nil, err
		}
		high, err := places.uid(ctx, int(last)-1)
		if err != nil {
			return nil, err
		}
		out = append(out, state.UIDRun{First: low, Last: high})
	}
	return out.Normalize(), nil
}

// lastUID returns the greatest UID in the view, 0 if it is empty.
func (t *told) lastUID() UID {
	var u UID
	if n := len(t.box.Pages); n > 0 {
		u = t.box.Pages[n-1].Last
	}
	if n := len(t.ghosts); n > 0 {
		u = max(u, t.ghosts[n-1].UID)
	}
	return u
}
