package pages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// cursor walks the rows of a mailbox page by page.
type cursor struct {
	pages []*state.PageRef
	k, i  int
	page  *state.Page
}

func (c *cursor) done() bool { return c.k == len(c.pages) }

// load makes the cursor's page ready.
func (c *cursor) load(ctx context.Context, s *Store) (err error) {
	if c.page == nil {
		c.page, err = s.Page(ctx, c.pages[c.k])
	}
	return err
}

func (c *cursor) step() {
	if c.i++; c.i == c.page.Len() {
		c.skip()
	}
}

func (c *cursor) skip() { c.k, c.i, c.page = c.k+1, 0, nil }

// samePage reports whether two references name equal rows of one mailbox at two
// times: rows only ever leave, or change their flags and with them their MODSEQ.
func samePage(a, b *state.PageRef) bool {
	return a == b || a.Count == b.Count && a.First == b.First && a.Last == b.Last && a.MaxModSeq == b.MaxModSeq
}

// ErrExpired says that a page is not in the store any more because no kept snapshot
// needs it.
var ErrExpired = errors.New("view was not moved on for too long")

// Diff returns the messages of old that are not in next, and calls changed, in
// order, for those in both whose flags were changed. It reads only pages that
// differ. It fails with [ErrExpired] if old is older than what is kept.
func (s *Store) Diff(ctx context.Context, old, next *state.Mailbox, changed func(u state.UID, old, now state.FlagBits)) (gone []Removed, err error) {
	if old == next {
		return nil, nil
	}
	o, n := cursor{pages: old.Pages}, cursor{pages: next.Pages}
	for !o.done() {
		if !n.done() && o.i == 0 && n.i == 0 && samePage(o.pages[o.k], n.pages[n.k]) {
			o.skip()
			n.skip()
			continue
		}
		if err := o.load(ctx, s); err != nil {
			return nil, expired(err, o.pages[o.k], next)
		}
		is := state.UID(math.MaxUint32)
		if !n.done() {
			if err := n.load(ctx, s); err != nil {
				return nil, err
			}
			is = n.page.UIDs[n.i]
		}
		was := o.page.UIDs[o.i]
		switch {
		case n.done() || was < is:
			gone = append(gone, Removed{o.page, o.i, was})
			o.step()
		case was == is:
			if o.page.ModSeqs[o.i] != n.page.ModSeqs[n.i] {
				changed(is, o.page.Flags[o.i], n.page.Flags[n.i])
			}
			o.step()
			n.step()
		default: // a row that was not there cannot come below one that was
			n.step()
		}
	}
	return gone, nil
}

// expired returns ErrExpired for a page that is gone because nothing needs it any
// more: only a view that was not moved on for longer than Grace still knew it.
func expired(err error, r *state.PageRef, now *state.Mailbox) error {
	known := slices.ContainsFunc(now.Pages, func(n *state.PageRef) bool { return n.Page == nil && n.ID() == r.ID() })
	if errors.Is(err, fs.ErrNotExist) && !known {
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	return err
}

// Below returns, for each of some messages that were removed from a mailbox, in
// ascending order of their UIDs, how many messages of it have a smaller UID. One pass
// over the pages finds them all.
func (s *Store) Below(ctx context.Context, m *state.Mailbox, removed []Removed) ([]int, error) {
	out := make([]int, len(removed))
	rows, at := 0, cursor{pages: m.Pages}
	for i, gone := range removed {
		for !at.done() && at.pages[at.k].Last < gone.UID {
			rows += at.pages[at.k].Count
			at.skip()
		}
		out[i] = rows
		if !at.done() && at.pages[at.k].First < gone.UID {
			if err := at.load(ctx, s); err != nil {
				return nil, err
			}
			row, _ := at.page.Find(gone.UID)
			out[i] += row
		}
	}
	return out, nil
}
