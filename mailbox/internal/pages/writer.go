package pages

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// metaPlace is where one message's metadata is.
type metaPlace struct {
	src  state.MetaSource
	slot uint32
}

// packTarget is about how large a pack gets.
const packTarget = 8 << 20

// writer writes the pages of a state that are not in the store, and the metadata that
// only the log has. It holds one segment, the packs under way and where each metadata
// went.
type writer struct {
	store  *Store
	also   Rewrite
	looked map[*state.PageRef]bool // pages in the store, and whether they stay
	at     map[metaPlace]metaPlace // from -> to, of what was written

	near    Nearby
	segment [][]byte
	places  []metaPlace // where those of segment come from
	bytes   int

	packs    map[pack.ID]uint32 // that the state referred to, and those written
	segments map[pack.BlockID]state.Segment
	metaOut  *pack.Writer
	pageOut  *pack.Writer
}

// Write writes the pages of a state that are not in the store, and what is to be
// rewritten. It returns the same state with all its pages in the store, and how many
// packs it wrote.
func (s *Store) Write(ctx context.Context, a *state.Account, also Rewrite) (stored *state.Account, packs int, err error) {
	w := writer{store: s, also: also, looked: map[*state.PageRef]bool{}, at: map[metaPlace]metaPlace{}, packs: maps.Clone(a.Packs), segments: maps.Clone(a.Segments)}
	if w.packs == nil {
		w.packs, w.segments = map[pack.ID]uint32{}, map[pack.BlockID]state.Segment{}
	}
	w.metaOut, w.pageOut = pack.NewWriter(packTarget, w.create), pack.NewWriter(packTarget, w.create)
	stored, err = w.write(ctx, a)
	return stored, w.metaOut.Packs + w.pageOut.Packs, err
}

// create is a [pack.Creator].
func (w *writer) create(ctx context.Context, id pack.ID, data []byte) error {
	if err := w.store.Log.PutSealed(ctx, layout.KindPack, eventlog.ObjectID(id), data); err != nil {
		return err
	}
	w.packs[id] = uint32(len(data))
	return nil
}

func (w *writer) write(ctx context.Context, s *state.Account) (*state.Account, error) {
	// Metadata first, over all mailboxes, so that segments come out full.
	groups := make([][][]*state.PageRef, len(s.Mailboxes))
	for i, m := range s.Mailboxes {
		groups[i] = group(m.Pages)
		for _, g := range groups[i] {
			if err := w.gather(ctx, g); err != nil {
				return nil, err
			}
		}
	}
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	for id := range w.also.Segments {
		delete(w.segments, id)
	}
	next := *s
	next.Mailboxes = make([]*state.Mailbox, len(s.Mailboxes))
	for i, m := range s.Mailboxes {
		box := *m
		box.Pages = make([]*state.PageRef, 0, len(groups[i]))
		for _, g := range groups[i] {
			refs, err := w.pages(ctx, g)
			if err != nil {
				return nil, err
			}
			box.Pages = append(box.Pages, refs...)
		}
		next.Mailboxes[i] = &box
	}
	if err := w.finish(ctx, &next); err != nil {
		return nil, err
	}
	return &next, nil
}

// group divides pages into those that are written again together: a page that
// must be written takes a small neighbour along, and new messages any page before
// them that has room, so that pages fill up.
func group(pages []*state.PageRef) [][]*state.PageRef {
	const most = 8 * state.PageRows
	small := func(r *state.PageRef) bool { return r.Count <= state.PageRows*3/4 }
	var out [][]*state.PageRef
	rows := 0 // of the last group
	for i, r := range pages {
		rows += r.Count
		if i > 0 && rows <= most {
			before := pages[i-1]
			if small(before) && (r.Page != nil || before.Page != nil && small(r)) || before.Count < state.PageRows && isNew(r) {
				out[len(out)-1] = append(out[len(out)-1], r)
				continue
			}
		}
		out = append(out, []*state.PageRef{r})
		rows = r.Count
	}
	return out
}

// isNew reports whether no snapshot has a message of the page.
func isNew(r *state.PageRef) bool {
	return r.Page != nil && !slices.ContainsFunc(r.Page.Sources, func(s state.MetaSource) bool { return s.Entry == 0 })
}

// Rewrite says what a snapshot writes anew although the store has it: segments that
// hold metadata of messages which are gone, with the pages that name them. Which pages
// these are is looked at when they are written: since the segments were found, the
// account may have been moved onto a snapshot with other pages. A segment that no page
// names is left out of the snapshot.
type Rewrite struct {
	Segments map[pack.BlockID]bool
}

// kept reports whether a group is one page that is in the store and stays.
func (w *writer) kept(ctx context.Context, g []*state.PageRef) (bool, error) {
	if len(g) != 1 || g[0].Page != nil {
		return false, nil
	}
	if len(w.also.Segments) == 0 {
		return true, nil
	}
	if kept, ok := w.looked[g[0]]; ok {
		return kept, nil
	}
	p, err := w.store.ReadPage(ctx, g[0])
	if err != nil {
		return false, err
	}
	kept := !slices.ContainsFunc(p.Sources, func(s state.MetaSource) bool { return s.Entry == 0 && w.also.Segments[s.Segment] })
	w.looked[g[0]] = kept
	return kept, nil
}

// gathersAll reports whether a group gets all of its metadata together, so that a
// listing reads a segment or two for it: when its pages have become nearly full by new
// messages, or have their metadata from many places by copies.
func (w *writer) gathersAll(ctx context.Context, g []*state.PageRef) (bool, error) {
	count, logged, segments := 0, false, map[state.MetaSource]bool{}
	for _, r := range g {
		p, err := w.store.Page(ctx, r)
		if err != nil {
			return false, err
		}
		count += r.Count
		for _, s := range p.Sources {
			if logged = logged || s.Entry != 0; s.Entry == 0 {
				segments[s] = true
			}
		}
	}
	const many = 8
	return logged && count >= state.PageRows*3/4 || len(segments) > many*len(g), nil
}

// gather collects the metadata that a group has in the log.
func (w *writer) gather(ctx context.Context, g []*state.PageRef) error {
	if kept, err := w.kept(ctx, g); kept || err != nil {
		return err
	}
	all, err := w.gathersAll(ctx, g)
	if err != nil {
		return err
	}
	front := newReadAhead(ctx, w.store, g, state.AllUIDs())
	defer front.end()
	if front != nil {
		front.want = func(src state.MetaSource) bool { return all || src.Entry != 0 }
	}
	w.near.begin(front)
	for _, r := range g {
		p, err := w.store.Page(ctx, r)
		if err != nil {
			return err
		}
		for i := range p.Len() {
			from := metaPlace{p.Sources[p.SourceIndex[i]], p.Slots[i]}
			if !all && from.src.Entry == 0 && !w.also.Segments[from.src.Segment] {
				continue
			}
			if err := w.add(ctx, from, p.UIDs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// add puts the metadata of the message with a UID into the segment, once however
// many copies of the message there are.
func (w *writer) add(ctx context.Context, from metaPlace, u state.UID) error {
	if _, ok := w.at[from]; ok {
		return nil
	}
	metas, err := w.near.Read(ctx, w.store, from.src, u)
	if err != nil {
		return err
	}
	if int64(from.slot) >= int64(len(metas)) {
		return fmt.Errorf("mailbox: %s: metadata %d is not in its source: %w", w.store.Prefix, from.slot, eventlog.ErrCorrupt)
	}
	meta := metas[from.slot]
	if len(w.segment) == state.SegmentMessages || w.bytes+len(meta) > state.SegmentBytes {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.at[from] = metaPlace{} // until flush knows
	w.segment = append(w.segment, meta)
	w.places = append(w.places, from)
	w.bytes += len(meta)
	return nil
}

func (w *writer) flush(ctx context.Context) error {
	if len(w.segment) == 0 {
		return nil
	}
	b := w.store.sealer().Seal(kindMetadata, pack.Zstd, state.EncodeSegment(w.segment), 0)
	if err := w.metaOut.Add(ctx, b.Sealed, &b.Ref); err != nil {
		return err
	}
	id := b.Ref.ID()
	w.segments[id] = state.Segment{Metadata: b.Ref, Messages: len(w.segment)}
	for i, from := range w.places {
		w.at[from] = metaPlace{state.MetaSource{Segment: id}, uint32(i)}
	}
	w.segment, w.places, w.bytes = nil, nil, 0
	return nil
}

// pages writes a group, if it is not in the store as it is.
func (w *writer) pages(ctx context.Context, g []*state.PageRef) (out []*state.PageRef, err error) {
	if kept, err := w.kept(ctx, g); kept || err != nil {
		return g, err
	}
	n := state.NewPage(state.PageRows)
	flush := func() error {
		if n.Len() == 0 {
			return nil
		}
		ref, err := w.put(ctx, n)
		out, n = append(out, ref), state.NewPage(state.PageRows)
		return err
	}
	for _, r := range g {
		p, err := w.store.Page(ctx, r)
		if err != nil {
			return nil, err
		}
		for i := range p.Len() {
			row := p.Row(i)
			if to, ok := w.at[metaPlace{row.Meta, row.Slot}]; ok {
				row.Meta, row.Slot = to.src, to.slot
			}
			n.Append(row)
			if n.Len() == state.PageRows {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, flush()
}

func (w *writer) put(ctx context.Context, p *state.Page) (*state.PageRef, error) {
	b := w.store.sealer().Seal(kindPage, pack.Flate, p.Encode(), p.Len()*state.BodyRefSize)
	if err := w.pageOut.Add(ctx, b.Sealed, &b.Ref); err != nil {
		return nil, err
	}
	ref := p.Ref()
	ref.Block, ref.Page = b.Ref, nil
	w.store.Cache.put(pageKey(w.store.ID, ref), p, p.Memory())
	return ref, nil
}
