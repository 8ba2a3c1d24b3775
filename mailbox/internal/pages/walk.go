package pages

import (
	"context"
	"iter"
	"math"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Removed is a message that is gone from the mailbox, with the page that it was in.
type Removed struct {
	Page *state.Page
	Row  int
	UID  state.UID
}

// Hit is a message that [Store.Walk] found: a row of a page, and its index among all
// messages of the mailbox and those that were removed.
type Hit struct {
	Index int
	Page  *state.Page
	Row   int
}

// Walk says which messages [Store.Walk] yields.
type Walk struct {
	Mailbox *state.Mailbox
	Removed []Removed // messages that count as if they were there, ascending by UID
	UIDs    state.UIDSet

	// Want refuses pages, unless it is nil. Rows of a refused page are yielded all
	// the same if it has to be read to number those in Removed.
	Want func(*state.PageRef) bool

	Near *Nearby // reads metadata ahead while the walk lasts; may be nil
}

func (w *Walk) wants(ref *state.PageRef) bool {
	return w.UIDs.Touches(ref.First, ref.Last) && (w.Want == nil || w.Want(ref))
}

// Walk yields messages in ascending order of their UIDs. It reads only pages that
// the set touches, some of them ahead. A page that cannot be read is yielded as an
// error: whoever goes on gets the messages of the others.
func (s *Store) Walk(ctx context.Context, w Walk) iter.Seq2[Hit, error] {
	return func(yield func(Hit, error) bool) {
		var wanted []*state.PageRef
		for _, ref := range w.Mailbox.Pages {
			if w.wants(ref) {
				wanted = append(wanted, ref)
			}
		}
		k := walker{Walk: w, yield: yield, front: newReadAhead(ctx, s, wanted, w.UIDs)}
		defer k.front.end()
		w.Near.begin(k.front)
		for _, ref := range w.Mailbox.Pages {
			if !k.page(ctx, s, ref) {
				return
			}
		}
		k.removedBelow(math.MaxUint32)
	}
}

// walker is a walk under way. Its methods report whether to go on.
type walker struct {
	Walk
	yield   func(Hit, error) bool
	front   *readAhead
	reached int // wanted pages that the walk came to
	rows    int // of the pages before the place of the walk
	removed int // of Removed before it
}

// page yields what is wanted of a page, and what was removed before its last row.
func (k *walker) page(ctx context.Context, s *Store, ref *state.PageRef) bool {
	if !k.removedBelow(ref.First) {
		return false
	}
	wanted := k.wants(ref)
	if !wanted && (k.removed == len(k.Removed) || k.Removed[k.removed].UID > ref.Last) {
		k.rows += ref.Count
		return true
	}
	if wanted {
		k.front.reach(k.reached)
		k.reached++
	}
	p, err := s.page(ctx, ref, k.front.sealed)
	if err != nil {
		k.rows += ref.Count
		return k.yield(Hit{}, err)
	}
	for i, u := range p.UIDs {
		if !k.removedBelow(u) || k.UIDs.Has(u) && !k.yield(Hit{k.rows + k.removed, p, i}, nil) {
			return false
		}
		k.rows++
	}
	return true
}

// removedBelow yields what was removed below a UID. The index of such a message is
// the number of rows, and of others that were removed, before it.
func (k *walker) removedBelow(u state.UID) bool {
	for ; k.removed < len(k.Removed) && k.Removed[k.removed].UID < u; k.removed++ {
		gone := k.Removed[k.removed]
		if k.UIDs.Has(gone.UID) && !k.yield(Hit{k.rows + k.removed, gone.Page, gone.Row}, nil) {
			return false
		}
	}
	return true
}
