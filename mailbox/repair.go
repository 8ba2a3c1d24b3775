package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// RepairReport is what [Account.Repair] did.
type RepairReport struct {
	// Rebuilt says that a snapshot was made from an older one, or from the
	// beginning of the log, because the newest cannot be read whole.
	Rebuilt bool
	Removed int // damaged snapshots that nothing needs any more
	Collect CollectReport
}

// ErrNotRepairable says that nothing in the store can stand in for what is
// damaged: a copy of the store may.
var ErrNotRepairable = errors.New("no snapshot leads to all messages")

// Repair does what loses nothing. If the newest snapshot or what it names is
// damaged, it makes another from an older one and the entries after it, if these
// are whole; then it removes damaged snapshots; then it collects. It fails with
// [ErrNotRepairable], and changes nothing, if no snapshot leads to all messages.
// Bodies are not looked at: there is nothing that they could be made from.
func (h *Account) Repair(ctx context.Context) (RepairReport, error) {
	var rep RepairReport
	a, err := h.fresh(ctx)
	if err != nil {
		return rep, err
	}
	defer a.leave()
	damaged, err := a.damagedSnapshots(ctx)
	if err != nil {
		return rep, err
	}
	newest, err := a.log.SnapshotPosition(ctx)
	if err != nil {
		return rep, err
	}
	broken := a.whole(ctx, a.state()) != nil
	switch {
	case ctx.Err() != nil:
		return rep, ctx.Err()
	case broken:
		err = a.rebuild(ctx)
	case slices.Contains(damaged, newest):
		err = a.fencedSnapshot(ctx)
	default:
		newest = 0
	}
	if err != nil {
		return rep, err
	}
	rep.Rebuilt = newest != 0
	// A sound one takes their place.
	if rep.Removed, err = a.removeSnapshots(ctx, damaged); err != nil {
		return rep, err
	}
	rep.Collect, err = a.collect(ctx, CollectOptions{})
	return rep, err
}

// damagedSnapshots returns the snapshots that do not lead to all that they name.
func (a *account) damagedSnapshots(ctx context.Context) (all []eventlog.Position, err error) {
	snaps, err := a.log.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, pos := range snaps {
		_, s, err := a.pages.ReadSnapshot(ctx, pos)
		if err == nil {
			err = a.whole(ctx, s)
		}
		switch {
		case err == nil:
		case errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrNewerVersion), errors.Is(err, fs.ErrNotExist):
			all = append(all, pos)
		default:
			return nil, err
		}
	}
	return all, nil
}

func (a *account) removeSnapshots(ctx context.Context, damaged []eventlog.Position) (int, error) {
	for i, pos := range damaged {
		if err := a.store.blobs.Delete(ctx, eventlog.SnapshotName(a.prefix, pos)); err != nil {
			return i, fmt.Errorf("mailbox: repair: %w", err)
		}
	}
	return len(damaged), nil
}

// whole reports what of a state's pages and metadata cannot be read.
func (a *account) whole(ctx context.Context, s *state.Account) error {
	sources := map[state.MetaSource]uint32{} // to the last slot in use
	err := a.pages.EachPage(ctx, s, map[eventlog.ObjectID]bool{}, func(_ *state.PageRef, p *state.Page) {
		for i := range p.SourceIndex {
			src := p.Sources[p.SourceIndex[i]]
			sources[src] = max(sources[src], p.Slots[i])
		}
	})
	if err != nil {
		return err
	}
	for src, last := range sources {
		metas, err := a.pages.ReadMetadata(ctx, src)
		if err != nil {
			return err
		}
		if int64(last) >= int64(len(metas)) {
			return eventlog.ErrCorrupt
		}
	}
	return nil
}

// rebuild moves the account onto the newest snapshot that leads, with the entries
// after it, to a state that is whole, and writes a snapshot of that.
func (a *account) rebuild(ctx context.Context) error {
	snaps, err := a.log.Snapshots(ctx)
	if err != nil {
		return err
	}
	s, head, err := a.base(ctx, snaps)
	if err != nil {
		return err
	}
	a.store.cache.Forget(a.id)
	if _, err := a.committer.CatchUp(ctx); err != nil {
		return err
	}
	if err := a.rebase(ctx, head, s); err != nil {
		return err
	}
	return a.fencedSnapshot(ctx)
}

// base finds a state that is whole, and the head that it is of.
func (a *account) base(ctx context.Context, snaps []eventlog.Position) (*state.Account, eventlog.Head, error) {
	var last error
	for i := len(snaps) - 1; i >= -1; i-- {
		at, s := eventlog.Head{}, &state.Account{}
		if i >= 0 {
			snap, manifest, err := a.pages.ReadSnapshot(ctx, snaps[i])
			if err != nil {
				last = err
				continue
			}
			at, s = snap.Head, manifest
		}
		s, head, err := a.replayFrom(ctx, at, s)
		if err == nil {
			err = a.whole(ctx, s)
		}
		if err == nil {
			return s, head, nil
		}
		if ctx.Err() != nil {
			return nil, eventlog.Head{}, ctx.Err()
		}
		last = err
	}
	return nil, eventlog.Head{}, fmt.Errorf("mailbox: repair: %w: %w", ErrNotRepairable, last)
}

// replayFrom applies the entries after a head.
func (a *account) replayFrom(ctx context.Context, at eventlog.Head, s *state.Account) (*state.Account, eventlog.Head, error) {
	log, err := a.newLog()
	if err != nil {
		return nil, at, err
	}
	defer log.Wipe()
	log.Seek(at)
	m := model{a}
	for e, err := range log.Read(ctx) {
		if err != nil {
			return nil, at, err
		}
		for _, record := range e.Records {
			next, err := m.Apply(ctx, s, e.Pos, e.Kind, record)
			if err == nil {
				s = next
			} else if e.Kind != eventlog.Delivered || !errors.Is(err, eventlog.ErrSkip) {
				return nil, at, err
			}
		}
		at = e.Head
	}
	if s.NextMailbox == 0 {
		return nil, at, eventlog.ErrCorrupt
	}
	return s, at, nil
}

// fencedSnapshot writes a snapshot behind an entry of its own, so that no other
// has its position.
func (a *account) fencedSnapshot(ctx context.Context) error {
	began := a.store.opts.Now()
	if err := a.fence(ctx); err != nil {
		return err
	}
	return a.writeSnapshot(ctx, began, pages.Rewrite{})
}
