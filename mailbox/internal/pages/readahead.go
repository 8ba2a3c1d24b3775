package pages

import (
	"context"
	"sync"

	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// How much of what a loop over messages will ask for is read before it asks: so
// much that a folder of 100,000 messages in a bucket is a few requests, and not so much
// that what waits outgrows the cache. What waits is sealed, and so compressed.
const (
	pagesAhead    = 128     // about 14 KB each
	segmentsAhead = 4 << 20 // bytes, about 100 KB each
	segmentsLeast = 1 << 20 // with less than this waiting, more is read
	entriesAhead  = 16
	rowsAhead     = 64 * state.PageRows // how far is looked
)

// readAhead reads pages and metadata before a loop over messages comes to them: many
// blocks by one request, and entries several at once. What it could not read the loop
// meets again, with its error.
type readAhead struct {
	store *Store
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	pages []*state.PageRef // that the loop wants, in order
	uids  state.UIDSet
	want  func(state.MetaSource) bool // sources that the loop wants; nil: all
	began int                         // pages before this one were asked for

	fetched fetched

	mu    sync.Mutex // protects what follows
	over  bool
	at    rowPlace // up to where metadata was asked for
	asked map[state.MetaSource]struct{}
}

// rowPlace is a row of the pages of a loop.
type rowPlace struct{ page, row int }

// newReadAhead returns nil if the cache is too small to hold what is read ahead.
func newReadAhead(ctx context.Context, s *Store, pages []*state.PageRef, uids state.UIDSet) *readAhead {
	if !s.Cache.holds(state.SegmentBytes) {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	return &readAhead{store: s, ctx: ctx, stop: stop, pages: pages, uids: uids, asked: map[state.MetaSource]struct{}{}}
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
	if h.began = max(h.began, k); h.began > k+pagesAhead/2 || h.began == len(h.pages) {
		return
	}
	var refs []pack.Ref
	for ; h.began < len(h.pages) && len(refs) < pagesAhead; h.began++ {
		if r := h.pages[h.began]; r.Page == nil && !h.store.Cache.has(pageKey(h.store.ID, r)) {
			refs = append(refs, r.Block)
		}
	}
	h.fetch(refs)
}

// fetch begins to read blocks.
func (h *readAhead) fetch(refs []pack.Ref) {
	if len(refs) > 0 {
		h.fetched.expect(refs)
		h.work.Go(func() { h.fetched.read(h.ctx, h.store, refs) })
	}
}

// page returns a page, if it was read ahead from that.
func (h *readAhead) page(ctx context.Context, ref *state.PageRef) (*state.Page, error) {
	return h.store.page(ctx, ref, h.sealed)
}

// sealed returns the sealed bytes of a block that was read ahead, else nil.
func (h *readAhead) sealed(ctx context.Context, ref pack.Ref) []byte {
	if h == nil {
		return nil
	}
	return h.fetched.take(ctx, ref.ID())
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
	waiting := h.fetched.bytes()
	var batch []pack.Ref
	add := func(s state.MetaSource) {
		if seg, err := h.store.segment(s.Segment); err == nil && !h.store.Cache.has(sourceKey(h.store.ID, s)) {
			batch = append(batch, seg.Metadata)
			waiting += int(seg.Metadata.Sealed)
		}
	}
	if _, ok := h.asked[src]; src.Entry == 0 && !ok {
		add(src)
	} else if waiting > segmentsLeast {
		return
	}
	delete(h.asked, src)
	entries := 0
	for s := range h.asked {
		if s.Entry != 0 {
			entries++
		}
	}
	for rows := 0; rows < rowsAhead && waiting < segmentsAhead && entries < entriesAhead; rows++ {
		next, ok := h.next()
		if !ok {
			break
		}
		if _, ok := h.asked[next]; ok || next == src || h.want != nil && !h.want(next) {
			continue
		}
		h.asked[next] = struct{}{}
		if next.Entry == 0 {
			add(next)
			continue
		}
		entries++
		h.work.Go(func() { h.store.Metadata(h.ctx, next) })
	}
	h.fetch(batch)
}

// skip moves on to the first message after a UID. Called with the mutex.
func (h *readAhead) skip(u state.UID) {
	for h.at.page < len(h.pages) && h.pages[h.at.page].Last <= u {
		h.at = rowPlace{h.at.page + 1, 0}
	}
	if h.at.page == len(h.pages) || h.pages[h.at.page].First > u {
		return
	}
	if p, err := h.page(h.ctx, h.pages[h.at.page]); err == nil {
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
		p, err := h.page(h.ctx, h.pages[h.at.page])
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
