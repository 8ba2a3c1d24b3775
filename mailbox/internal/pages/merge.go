package pages

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// finish moves blocks so that packs stay few and full, stores the packs under way and
// leaves in the state the packs that it refers to. The state's references are its own.
func (w *writer) finish(ctx context.Context, next *state.Account) error {
	segments := make([]*pack.Ref, 0, len(w.segments))
	for _, seg := range w.segments {
		segments = append(segments, &seg.Metadata)
	}
	var pages []*pack.Ref
	for _, m := range next.Mailboxes {
		for i, r := range m.Pages {
			own := *r // r may belong to other states too
			m.Pages[i] = &own
			pages = append(pages, &own.Block)
		}
	}
	if err := w.merge(ctx, w.metaOut, segments); err != nil {
		return err
	}
	if err := w.merge(ctx, w.pageOut, pages); err != nil {
		return err
	}
	next.Packs, next.Segments = map[pack.ID]uint32{}, make(map[pack.BlockID]state.Segment, len(segments))
	for _, ref := range segments {
		next.Segments[ref.ID()] = state.Segment{Metadata: *ref, Messages: w.segments[ref.ID()].Messages}
		next.Packs[ref.Pack] = w.packs[ref.Pack]
	}
	for _, ref := range pages {
		next.Packs[ref.Pack] = w.packs[ref.Pack]
	}
	return nil
}

// merge moves the live blocks of packs that are small or mostly dead to the pack that
// is being written, and stores that. Where nothing is written nothing is moved: a
// state that did not change is not written again.
func (w *writer) merge(ctx context.Context, out *pack.Writer, refs []*pack.Ref) error {
	current, writing := out.Current()
	if !writing {
		return nil
	}
	live := map[pack.ID]int{}
	for _, ref := range refs {
		live[ref.Pack] += int(ref.Sealed)
	}
	var usage []pack.Usage
	for id, n := range live {
		if size, stored := w.packs[id]; stored {
			usage = append(usage, pack.Usage{Pack: id, Live: n, Size: int(size)})
		}
	}
	moving := pack.Merge(live[current], packTarget, usage)
	refs = slices.DeleteFunc(slices.Clone(refs), func(r *pack.Ref) bool { return !slices.Contains(moving, r.Pack) })
	from := make([]pack.Ref, len(refs))
	for i, r := range refs {
		from[i] = *r
	}
	if err := w.move(ctx, out, from, refs); err != nil {
		return err
	}
	return out.Flush(ctx)
}

// move copies sealed blocks into the pack under way. A block that is damaged or missing
// stays where it is, so that reading it fails as before.
func (w *writer) move(ctx context.Context, out *pack.Writer, from []pack.Ref, refs []*pack.Ref) error {
	for i, b := range pack.ReadSealed(ctx, w.store.openPack, from) {
		if errors.Is(b.Err, pack.ErrCorrupt) {
			b = w.again(ctx, from[i])
		}
		if errors.Is(b.Err, pack.ErrCorrupt) || errors.Is(b.Err, fs.ErrNotExist) {
			continue
		}
		if b.Err != nil {
			return b.Err
		}
		if err := out.Add(ctx, b.Bytes, refs[i]); err != nil {
			return err
		}
	}
	return nil
}

// again reads a block once more, in case it was damaged on its way.
func (w *writer) again(ctx context.Context, ref pack.Ref) (b pack.Sealed) {
	for _, b = range pack.ReadSealed(blob.Fresh(ctx), w.store.openPack, []pack.Ref{ref}) {
		break
	}
	return b
}
