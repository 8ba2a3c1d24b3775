package mailbox

import (
	"context"
	"iter"
	"sort"
	"sync"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// View is what one session has been told about a mailbox. It lags behind the
// account's state until [View.Sync] moves it on, and answers every question from
// what it was told, so that a session's numbers never shift under it: a message
// that another session expunged keeps its Index, and its bytes, until a Sync
// that may tell.
//
// A View serves one goroutine at a time; [View.Close] may be called from any. It
// holds under 1 KiB, and, as long as it is not moved on, the pages that no snapshot
// had when it was: about 100 bytes for each message of theirs.
type View struct {
	handle   *Account
	account  *account
	readOnly bool

	mu sync.Mutex // protects what follows
	told
	silent []silentChange // what the session did and does not want to be told
	closed bool
}

// told is a picture of a mailbox that a session has.
type told struct {
	box     *state.Mailbox
	ghosts  []pages.Removed // expunged but not told, ascending by UID
	recent  state.UIDSet    // UIDs that are \Recent for the session
	recents int             // how many of its messages those are
}

func (t *told) len() int { return t.box.Messages + len(t.ghosts) }

// Expunged is a message that the session is told is gone. Index is its place at
// that moment of the telling: each one counts those before it as gone.
type Expunged struct {
	Index int
	UID   UID
}

// Changes is what happened in a mailbox since the session was last told. A
// protocol tells it in the order of the fields.
type Changes struct {
	Flags          []string   // all flags defined, if there are more than before; else nil
	Expunged       []Expunged // in telling order
	Updated        []*Message // whose flags changed; Index as it is after Expunged
	Hushed         []*Message // whose flags only this session changed, silently; their MODSEQ is new
	Exists         int        // messages in the view
	ExistsChanged  bool
	Recent         int // messages that are \Recent for this session
	RecentChanged  bool
	HighestModSeq  ModSeq
	MailboxDeleted bool // the mailbox is gone: all its messages are in Expunged
}

// Empty reports whether there is nothing to tell.
func (c *Changes) Empty() bool {
	return c.Flags == nil && len(c.Expunged) == 0 && len(c.Updated) == 0 && !c.ExistsChanged && !c.RecentChanged
}

// Name returns the mailbox's name when the view was last moved on.
func (v *View) Name() string { return v.picture().box.Name }

// ID returns the mailbox's lasting identity.
func (v *View) ID() MailboxID { return v.picture().box.ID }

// ReadOnly reports whether the mailbox was opened read-only.
func (v *View) ReadOnly() bool { return v.readOnly }

// UIDNext returns the UID that the next message will get, as far as told.
func (v *View) UIDNext() UID { return v.picture().box.UIDNext }

// UIDValidity returns the mailbox's UIDVALIDITY.
func (v *View) UIDValidity() uint32 { return v.picture().box.UIDValidity }

// HighestModSeq returns the highest MODSEQ told of.
func (v *View) HighestModSeq() ModSeq { return v.picture().box.ModSeq }

// Flags returns all flags that the mailbox defines, system flags first.
func (v *View) Flags() []string { return v.picture().box.Flags() }

// Len returns the number of messages in the view.
func (v *View) Len() int {
	t := v.picture()
	return t.len()
}

// Recent returns the number of messages that are \Recent for this session
// (RFC 3501 section 2.3.2): the first session to open the mailbox after they
// came has them so.
func (v *View) Recent() int {
	return v.picture().recents
}

func (v *View) picture() told {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.told
}

// Close ends the view. Its methods fail with [ErrClosed] from then on.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.silent = nil
}

// use begins a call: the caller must leave the account when it ends.
func (v *View) use() (*account, error) {
	v.mu.Lock()
	closed := v.closed
	v.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	return v.handle.use()
}

// FirstUnseen returns the Index of the first message without \Seen.
func (v *View) FirstUnseen(ctx context.Context) (index int, ok bool, err error) {
	a, err := v.use()
	if err != nil {
		return 0, false, err
	}
	defer a.leave()
	t := v.picture()
	start := 0
	for _, r := range t.box.Pages {
		if r.Unseen > 0 {
			p, err := a.pages.Page(ctx, r)
			if err != nil {
				return 0, false, err
			}
			for i, f := range p.Flags {
				if f&state.Seen == 0 {
					return start + i + ghostsBelow(t.ghosts, p.UIDs[i]), true, nil
				}
			}
		}
		start += r.Count
	}
	return 0, false, nil
}

// Messages yields the messages of a set in ascending order. Those that are not
// there are left out. An error may concern only some of them: whoever goes on
// after it gets the others. A Message stays good after the next one is asked for, but
// costs memory as long as it is kept.
func (v *View) Messages(ctx context.Context, set Set) iter.Seq2[*Message, error] {
	return v.MessagesSince(ctx, set, 0)
}

// MessagesSince is Messages without those whose MODSEQ is not above since (RFC
// 7162 section 3.1.4.1). It reads only pages that hold one that is.
func (v *View) MessagesSince(ctx context.Context, set Set, since ModSeq) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		a, err := v.use()
		if err != nil {
			yield(nil, err)
			return
		}
		defer a.leave()
		t := v.picture()
		uids, err := t.resolve(ctx, a, set)
		if err != nil {
			yield(nil, err)
			return
		}
		near := &pages.Nearby{}
		walk := pages.Walk{
			Mailbox: t.box, Removed: t.ghosts, UIDs: uids, Near: near,
			Want: func(r *state.PageRef) bool { return r.MaxModSeq > since },
		}
		for hit, err := range a.pages.Walk(ctx, walk) {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if hit.Page.ModSeqs[hit.Row] > since && !yield(t.message(v.handle, hit, near), nil) {
				return
			}
		}
	}
}

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
