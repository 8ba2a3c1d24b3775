package mailbox

import (
	"context"
	"iter"
	"sort"
	"sync"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// View is a mailbox as one session shows it to its client. It lags behind the
// account's state until [View.Sync] moves it on. All its methods answer from what the
// session has seen, so a session's sequence numbers never change between two Syncs: a
// message that another session expunged keeps its Index, and its bytes, until a Sync
// reports it.
//
// A View serves one goroutine at a time; [View.Close] may be called from any. It
// holds under 1 KiB, and until the next Sync the pages that were in no snapshot at the
// last one: about 100 bytes for each of their messages.
type View struct {
	handle   *Account
	account  *account
	readOnly bool

	mu sync.Mutex // protects what follows
	shown
	silent []silentChange // changes of the session that Sync does not report to it
	closed bool
}

// shown is a mailbox as a session has seen it.
type shown struct {
	box      *state.Mailbox
	expunged []pages.Removed // expunged but not reported, ascending by UID
	recent   state.UIDSet    // UIDs that are \Recent for the session
	recents  int             // how many of its messages those are
}

func (t *shown) len() int { return t.box.Messages + len(t.expunged) }

// Expunged is a message that a Sync reports as gone. Index counts the messages before
// it, without those that the same Sync reported before it.
type Expunged struct {
	Index int
	UID   UID
}

// Changes is what happened in a mailbox since the last [View.Sync]. A protocol
// reports it in the order of the fields.
type Changes struct {
	Flags          []string   // all flags defined, if there are more than before; else nil
	Expunged       []Expunged // in the order in which to report them
	Updated        []*Message // whose flags changed; Index as it is after Expunged
	Silenced       []*Message // whose flags only this session changed, silently; their MODSEQ is new
	Exists         int        // messages in the view
	ExistsChanged  bool
	Recent         int // messages that are \Recent for this session
	RecentChanged  bool
	HighestModSeq  ModSeq
	MailboxDeleted bool // the mailbox is gone: all its messages are in Expunged
}

// Empty reports whether nothing changed.
func (c *Changes) Empty() bool {
	return c.Flags == nil && len(c.Expunged) == 0 && len(c.Updated) == 0 && !c.ExistsChanged && !c.RecentChanged
}

// Name returns the mailbox's name when the view was last moved on.
func (v *View) Name() string { return v.picture().box.Name }

// ID returns the mailbox's lasting identity.
func (v *View) ID() MailboxID { return v.picture().box.ID }

// ReadOnly reports whether the mailbox was opened read-only.
func (v *View) ReadOnly() bool { return v.readOnly }

// UIDNext returns the UID that the next message gets, as of the last Sync.
func (v *View) UIDNext() UID { return v.picture().box.UIDNext }

// UIDValidity returns the mailbox's UIDVALIDITY.
func (v *View) UIDValidity() uint32 { return v.picture().box.UIDValidity }

// HighestModSeq returns the highest MODSEQ as of the last Sync.
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

func (v *View) picture() shown {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shown
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
					return start + i + expungedBelow(t.expunged, p.UIDs[i]), true, nil
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
			Mailbox: t.box, Removed: t.expunged, UIDs: uids, Near: near,
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

// lookup finds messages of a view by number. It counts pages and expunged messages
// once, so that ten thousand questions cost little more than one.
type lookup struct {
	account *account
	shown   *shown
	starts  []int // index in the view of each page's first row

	k    int // the page read last
	page *state.Page
}

func (t *shown) lookup(a *account) *lookup {
	l := &lookup{account: a, shown: t, starts: make([]int, len(t.box.Pages))}
	rows, expunged := 0, 0
	for i, r := range t.box.Pages {
		for expunged < len(t.expunged) && t.expunged[expunged].UID < r.First {
			expunged++
		}
		l.starts[i] = rows + expunged
		rows += r.Count
	}
	return l
}

// load returns page k.
func (l *lookup) load(ctx context.Context, k int) (*state.Page, error) {
	if l.page == nil || l.k != k {
		p, err := l.account.pages.Page(ctx, l.shown.box.Pages[k])
		if err != nil {
			return nil, err
		}
		l.k, l.page = k, p
	}
	return l.page, nil
}

// uid returns the UID of the message with an index that is in the view.
func (l *lookup) uid(ctx context.Context, index int) (UID, error) {
	pages, expunged := l.shown.box.Pages, l.shown.expunged
	k := sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > index }) - 1
	if k < 0 {
		return expunged[index].UID, nil
	}
	r, n := pages[k], index-l.starts[k]
	if n == 0 {
		return r.First, nil
	}
	// The expunged messages among and behind the page's rows, before the next page.
	low, high := expungedBelow(expunged, r.First), len(expunged)
	if k+1 < len(pages) {
		high = expungedBelow(expunged, pages[k+1].First)
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
	// Row i has index i and the expunged messages before it: find the first that reaches n.
	place := func(i int) int { return i + expungedBelow(expunged, p.UIDs[i]) - low }
	i := sort.Search(p.Len(), func(i int) bool { return place(i) >= n })
	if i < p.Len() && place(i) == n {
		return p.UIDs[i], nil
	}
	return expunged[low+n-i].UID, nil
}

// expungedBelow returns how many expunged messages have a smaller UID.
func expungedBelow(expunged []pages.Removed, u UID) int {
	return sort.Search(len(expunged), func(i int) bool { return expunged[i].UID >= u })
}

// resolve turns a set into UIDs of messages that are or were in the view. What
// came to the mailbox later is not among them, whatever numbers the set has: the
// client does not know of it.
func (t *shown) resolve(ctx context.Context, a *account, set Set) (state.UIDSet, error) {
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
func (t *shown) lastUID() UID {
	var u UID
	if n := len(t.box.Pages); n > 0 {
		u = t.box.Pages[n-1].Last
	}
	if n := len(t.expunged); n > 0 {
		u = max(u, t.expunged[n-1].UID)
	}
	return u
}
