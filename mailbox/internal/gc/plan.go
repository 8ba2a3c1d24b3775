package gc

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// collectPlan is what a collection writes before it deletes.
type collectPlan struct {
	snapshot bool // a snapshot
	fence    bool // and before it an entry
	rewrite  pages.Rewrite
}

// plan finds out what the log and the snapshots still hold of what is gone.
//
// A snapshot lets go of old ones, and of the entries that they cover, only when
// there is another after it and it is a grace time old. So an account that
// changed gets a snapshot now, and one more at the collection after, where it
// stays as it is then.
func (c *collector) plan(ctx context.Context) (collectPlan, error) {
	var p collectPlan
	a := c.a
	s, head := a.State()
	var err error
	if p.rewrite, err = c.dirt(ctx, s); err != nil {
		return p, err
	}
	snaps, snap, manifest, err := a.Pages.NewestSnapshot(ctx)
	if err != nil {
		return p, err
	}
	if len(snaps) == 0 {
		p.snapshot, p.fence = true, c.marks.any()
		return p, nil
	}
	newest := snaps[len(snaps)-1]
	changed := !sameState(manifest, s)
	ripe := false // another snapshot would let go of what is before this one
	if !changed && a.Now().Sub(snap.Time) >= a.Grace {
		if ripe, err = c.superseded(ctx, snaps, manifest); err != nil {
			return p, err
		}
	}
	aged := c.marks.any()
	p.snapshot = changed || ripe || aged || len(p.rewrite.Segments) > 0
	p.fence = aged || head.Pos == newest
	return p, nil
}

// superseded reports whether the log says something before the newest snapshot
// that this one does not say: more than fences.
func (c *collector) superseded(ctx context.Context, snaps []eventlog.Position, newest *state.Account) (bool, error) {
	_, oldest, err := c.a.Pages.ReadSnapshot(ctx, snaps[0])
	var damage *eventlog.CorruptError
	if errors.As(err, &damage) || errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || !sameState(oldest, newest) {
		return true, err
	}
	for info, err := range c.a.Pages.Blobs.List(ctx, eventlog.EntryFolder(c.a.Pages.Prefix), "") {
		// The first there is tells: entries before the oldest snapshot's.
		return info.Name < eventlog.EntryName(c.a.Pages.Prefix, snaps[0]), err
	}
	return false, nil
}

// sameState reports whether two states say the same of all but the position.
func sameState(a, b *state.Account) bool {
	x, y := *a, *b
	x.At, y.At = 0, 0
	for _, s := range []*state.Account{&x, &y} {
		for _, m := range s.Mailboxes {
			for _, r := range m.Pages {
				if r.Page != nil {
					return false // not in the store, and so in no snapshot
				}
			}
		}
	}
	return bytes.Equal(state.EncodeSnapshot(&x), state.EncodeSnapshot(&y))
}

// maxRewrite bounds how many segments one collection writes anew, and with them
// what that holds in memory; the next one goes on.
const maxRewrite = 512

// dirt finds segments that hold metadata of messages which are gone.
func (c *collector) dirt(ctx context.Context, s *state.Account) (pages.Rewrite, error) {
	found := pages.Rewrite{Segments: map[pack.BlockID]bool{}}
	slots := newSlotSurvey()
	if err := slots.state(ctx, c.a, s); err != nil {
		return found, err
	}
	for id, seg := range s.Segments {
		used := slots.segments[id]
		if used.count() >= seg.Messages || used == nil && slots.full() {
			continue
		}
		if len(found.Segments) == maxRewrite {
			c.rep.More = true
			break
		}
		found.Segments[id] = true
	}
	return found, nil
}
