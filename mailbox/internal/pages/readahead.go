package pages

import (
	"context"
	"sync"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// How much of what a loop over messages will ask for is read before it asks: so
// much that a listing of a thousand messages waits for a bucket two or three times,
// and not so much that what waits outgrows the cache.
const (
	pagesAhead    = 8
	segmentsAhead = 4
	entriesAhead  = 16
	rowsAhead     = 8 * state.PageRows
)

// readAhead reads pages and metadata into the cache before a loop over messages comes
// to them, several at once. What it could not read the loop meets again, with its
// error.
type readAhead struct {
	store *Store
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	pages []*state.PageRef // that the loop wants, in order
	uids  state.UIDSet
	want  func(state.MetaSource) bool // sources that the loop wants; nil: all
	began int                         // pages before this one were asked for

	mu   sync.Mutex // protects what follows
	over bool
	at   rowPlace // up to where metadata was asked for
	open map[state.MetaSource]struct{}
}

// rowPlace is a row of the pages of a loop.
type rowPlace struct{ page, row int }

// newReadAhead returns nil if the cache is too small to hold what is read ahead.
func newReadAhead(ctx context.Context, s *Store, pages []*state.PageRef, uids state.UIDSet) *readAhead {
	if !s.Cache.holds(state.SegmentBytes) {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	return &readAhead{store: s, ctx: ctx, stop: stop, pages: pages, uids: uids, open: map[state.MetaSource]struct{}{}}
}

// end gives up what is under way, and waits for it.
func (h *readAhead) end() {
	if h == nil {
		return
	}
	h.stop()
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.work.Wait()
}

// reach is called when the loop comes to its k-th page.
func (h *readAhead) reach(k int) {
	if h == nil {
		return
	}
	for h.began = max(h.began, k+1); h.began < min(k+1+pagesAhead, len(h.pages)); h.began++ {
		if r := h.pages[h.began]; r.Page == nil {
			h.work.Go(func() { h.store.Page(h.ctx, r) })
		}
	}
}

// metadata is called when the loop asks for metadata that is not at hand: src, of the
// message with a UID. It begins to read what the messages after it have.
func (h *readAhead) metadata(src state.MetaSource, u state.UID) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return // a message was kept beyond the loop
	}
	h.skip(u)
	delete(h.open, src)
	segments, entries := 0, 0
	for s := range h.open {
		if s.Entry != 0 {
			entries++
		} else {
			segments++
		}
	}
	for rows := 0; rows < rowsAhead && segments < segmentsAhead && entries < entriesAhead; rows++ {
		next, ok := h.next()
		if !ok {
			return
		}
		if _, ok := h.open[next]; ok || next == src || h.want != nil && !h.want(next) {
			continue
		}
		h.open[next] = struct{}{}
		if next.Entry != 0 {
			entries++
		} else {
			segments++
		}
		h.work.Go(func() { h.store.Metadata(h.ctx, next) })
	}
}

// skip moves on to the first message after a UID. Called with the mutex.
func (h *readAhead) skip(u state.UID) {
	for h.at.page < len(h.pages) && h.pages[h.at.page].Last <= u {
		h.at = rowPlace{h.at.page + 1, 0}
	}
	if h.at.page == len(h.pages) || h.pages[h.at.page].First > u {
		return
	}
	if p, err := h.store.Page(h.ctx, h.pages[h.at.page]); err == nil {
		i, found := p.Find(u)
		if found {
			i++
		}
		h.at.row = max(h.at.row, i)
	}
}

// next returns the source of the next message that the loop wants. Called with the
// mutex.
func (h *readAhead) next() (state.MetaSource, bool) {
	for ; h.at.page < len(h.pages); h.at = (rowPlace{h.at.page + 1, 0}) {
		p, err := h.store.Page(h.ctx, h.pages[h.at.page])
		if err != nil {
			return state.MetaSource{}, false
		}
		for h.at.row < p.Len() {
			i := h.at.row
			h.at.row++
			if h.uids.Has(p.UIDs[i]) {
				return p.Sources[p.SourceIndex[i]], true
			}
		}
	}
	return state.MetaSource{}, false
}
