package mailbox

import (
	"context"
	"sort"
)

// lookup answers questions about places in a picture. It counts pages and ghosts
// once, so that ten thousand questions cost little more than one.
type lookup struct {
	account *account
	told    *told
	starts  []int // index in the view of each page's first row

	k    int // the page read last
	page *page
}

func (t *told) lookup(a *account) *lookup {
	l := &lookup{account: a, told: t, starts: make([]int, len(t.box.pages))}
	rows, ghosts := 0, 0
	for i, r := range t.box.pages {
		for ghosts < len(t.ghosts) && t.ghosts[ghosts].uid < r.first {
			ghosts++
		}
		l.starts[i] = rows + ghosts
		rows += r.count
	}
	return l
}

// load returns page k.
func (l *lookup) load(ctx context.Context, k int) (*page, error) {
	if l.page == nil || l.k != k {
		p, err := l.account.page(ctx, l.told.box.pages[k])
		if err != nil {
			return nil, err
		}
		l.k, l.page = k, p
	}
	return l.page, nil
}

// uid returns the UID of the message with an index that is in the view.
func (l *lookup) uid(ctx context.Context, index int) (UID, error) {
	pages, ghosts := l.told.box.pages, l.told.ghosts
	k := sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > index }) - 1
	if k < 0 {
		return ghosts[index].uid, nil
	}
	r, n := pages[k], index-l.starts[k]
	if n == 0 {
		return r.first, nil
	}
	// The ghosts among and behind the page's rows, before the next page.
	low, high := ghostsBelow(ghosts, r.first), len(ghosts)
	if k+1 < len(pages) {
		high = ghostsBelow(ghosts, pages[k+1].first)
	}
	if low == high {
		switch {
		case n == r.count-1:
			return r.last, nil
		case r.dense():
			return r.first + UID(n), nil
		}
	}
	p, err := l.load(ctx, k)
	if err != nil {
		return 0, err
	}
	// Row i has index i and the ghosts before it: find the first that reaches n.
	place := func(i int) int { return i + ghostsBelow(ghosts, p.uids[i]) - low }
	i := sort.Search(p.len(), func(i int) bool { return place(i) >= n })
	if i < p.len() && place(i) == n {
		return p.uids[i], nil
	}
	return ghosts[low+n-i].uid, nil
}

// ghostsBelow returns how many ghosts have a smaller UID.
func ghostsBelow(ghosts []ghost, u UID) int {
	return sort.Search(len(ghosts), func(i int) bool { return ghosts[i].uid >= u })
}

// rowsBelow returns how many messages of a mailbox have a smaller UID.
func (a *account) rowsBelow(ctx context.Context, m *Mailbox, u UID) (int, error) {
	k := m.pageOf(u)
	below := 0
	for _, r := range m.pages[:k] {
		below += r.count
	}
	if k == len(m.pages) || u <= m.pages[k].first {
		return below, nil
	}
	r := m.pages[k]
	if r.dense() {
		return below + int(u-r.first), nil
	}
	p, err := a.page(ctx, r)
	if err != nil {
		return 0, err
	}
	i, _ := p.find(u)
	return below + i, nil
}

// resolve turns a set into UIDs of messages that are or were in the view. What
// came to the mailbox later is not among them, whatever numbers the set has: the
// client does not know of it.
func (t *told) resolve(ctx context.Context, a *account, set Set) (uidSet, error) {
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
		if first > top {
			continue
		}
		last = min(last, top)
		if set.UID {
			out = append(out, uidRun{UID(first), UID(last)})
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
		out = append(out, uidRun{low, high})
	}
	return out.normalize(), nil
}

// lastUID returns the greatest UID in the view, 0 if it is empty.
func (t *told) lastUID() UID {
	var u UID
	if n := len(t.box.pages); n > 0 {
		u = t.box.pages[n-1].last
	}
	if n := len(t.ghosts); n > 0 {
		u = max(u, t.ghosts[n-1].uid)
	}
	return u
}
