package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
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
	s, head := a.committer.State()
	var err error
	if p.rewrite, err = c.dirt(ctx, s); err != nil {
		return p, err
	}
	snaps, snap, manifest, err := a.newestManifest(ctx)
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
	if !changed && a.store.opts.Now().Sub(snap.Time) >= a.store.opts.Grace {
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
	_, oldest, err := c.a.readManifest(ctx, snaps[0])
	var damage *eventlog.CorruptError
	if errors.As(err, &damage) || errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || !sameState(oldest, newest) {
		return true, err
	}
	for info, err := range c.a.store.blobs.List(ctx, eventlog.EntryFolder(c.a.prefix), "") {
		// The first there is tells: entries before the oldest snapshot's.
		return info.Name < eventlog.EntryName(c.a.prefix, snaps[0]), err
	}
	return false, nil
}

// newestManifest opens the newest snapshot that counts, and returns with it where
// those up to it are; none if there are none.
func (a *account) newestManifest(ctx context.Context) (snaps []eventlog.Position, snap *eventlog.Snapshot, s *state.Account, err error) {
	for range adoptTries {
		snaps, err = a.log.Snapshots(ctx)
		if err != nil || len(snaps) == 0 {
			return nil, nil, nil, err
		}
		snap, s, err = a.readManifest(ctx, snaps[len(snaps)-1])
		for errors.Is(err, eventlog.ErrRetired) {
			if snaps = snaps[:len(snaps)-1]; len(snaps) == 0 {
				return nil, nil, nil, nil
			}
			snap, s, err = a.readManifest(ctx, snaps[len(snaps)-1])
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// It was superseded and trimmed by one who did not stand still.
	}
	return snaps, snap, s, err
}

// readManifest opens a snapshot. One that is not there any more is fs.ErrNotExist.
func (a *account) readManifest(ctx context.Context, p eventlog.Position) (*eventlog.Snapshot, *state.Account, error) {
	snap, err := a.log.ReadSnapshot(ctx, p)
	if err != nil {
		if _, gone := a.store.blobs.Stat(ctx, eventlog.SnapshotName(a.prefix, p)); errors.Is(gone, fs.ErrNotExist) {
			err = fmt.Errorf("mailbox: %w", gone)
		}
		return nil, nil, err
	}
	s, err := state.DecodeSnapshot(snap.Payload)
	if err != nil {
		return nil, nil, &eventlog.CorruptError{Op: "open snapshot", Name: eventlog.SnapshotName(a.prefix, p), Pos: p, Err: err}
	}
	return snap, s, nil
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

// dirt finds segments that hold metadata of messages which are gone, and the
// pages to be written with them.
func (c *collector) dirt(ctx context.Context, s *state.Account) (pages.Rewrite, error) {
	found := pages.Rewrite{Segments: map[eventlog.ObjectID]bool{}, Pages: map[eventlog.ObjectID]bool{}}
	slots := newSlotSurvey()
	if err := slots.state(ctx, c.a, s); err != nil {
		return found, err
	}
	c.known = make(map[eventlog.ObjectID]int, len(slots.segments))
	for id, used := range slots.segments {
		n, err := c.messages(ctx, id)
		if err != nil {
			return found, err
		}
		if used.count() >= n {
			c.known[id] = n
			continue
		}
		if len(found.Segments) == maxRewrite {
			c.known[id], c.rep.More = n, true
			continue
		}
		found.Segments[id] = true
		for _, p := range used.pages {
			found.Pages[p] = true
		}
	}
	return found, nil
}

// messages returns of how many messages a segment holds the metadata. Each is
// read for that once in its life.
func (c *collector) messages(ctx context.Context, id eventlog.ObjectID) (int, error) {
	if n, ok := c.marks.segments[id]; ok {
		return n, nil
	}
	b, err := c.a.log.GetObject(ctx, layout.KindMetadata, id)
	if err != nil {
		return 0, err
	}
	metas, err := state.DecodeSegment(b)
	if err != nil {
		return 0, fmt.Errorf("%s%s/%v: %w: %w", c.a.prefix, layout.KindMetadata, id, eventlog.ErrCorrupt, err)
	}
	return len(metas), nil
}
