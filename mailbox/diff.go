package mailbox

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
func (c *cursor) load(ctx context.Context, a *account) (err error) {
	if c.page == nil {
		c.page, err = a.page(ctx, c.pages[c.k])
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

// diff returns the messages of old that are not in next, and calls changed, in
// order, for those in both whose flags were changed. It reads only pages that
// differ.
func diff(ctx context.Context, a *account, old, next *state.Mailbox, changed func(u UID, old, now state.FlagBits)) (gone []ghost, err error) {
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
		if err := o.load(ctx, a); err != nil {
			return nil, expired(err, o.pages[o.k], next)
		}
		is := UID(math.MaxUint32)
		if !n.done() {
			if err := n.load(ctx, a); err != nil {
				return nil, err
			}
			is = n.page.UIDs[n.i]
		}
		was := o.page.UIDs[o.i]
		switch {
		case n.done() || was < is:
			gone = append(gone, ghost{o.page, o.i, was})
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
	known := slices.ContainsFunc(now.Pages, func(n *state.PageRef) bool { return n.Page == nil && n.ID == r.ID })
	if errors.Is(err, fs.ErrNotExist) && !known {
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	return err
}
