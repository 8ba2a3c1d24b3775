package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/gc"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Host is the open account that a repair works on.
type Host interface {
	gc.Host
	// Rebase moves the account onto a snapshot's state.
	Rebase(ctx context.Context, head eventlog.Head, s *state.Account) error
}

// ErrNotRepairable says that nothing in the store can stand in for what is damaged.
var ErrNotRepairable = errors.New("no snapshot leads to all messages")

// Repairer repairs an account.
type Repairer struct {
	*Account
	Host Host
}

// Repair does what loses nothing. If the newest snapshot or what it names is damaged, it
// makes another from an older one and the entries after it, if these are whole; then it
// removes damaged snapshots. It fails with [ErrNotRepairable], and changes nothing, if
// no snapshot leads to all messages.
func (a *Repairer) Repair(ctx context.Context) (rebuilt bool, removed int, err error) {
	damaged, err := a.damagedSnapshots(ctx)
	if err != nil {
		return false, 0, err
	}
	newest, err := a.Pages.Log.SnapshotPosition(ctx)
	if err != nil {
		return false, 0, err
	}
	now, _ := a.Host.State()
	broken := a.whole(ctx, now) != nil
	switch {
	case ctx.Err() != nil:
		return false, 0, ctx.Err()
	case broken:
		rebuilt, err = true, a.rebuild(ctx)
	case slices.Contains(damaged, newest):
		rebuilt, err = true, a.fencedSnapshot(ctx)
	}
	if err != nil {
		return false, 0, err
	}
	// A sound one takes their place.
	removed, err = a.removeSnapshots(ctx, damaged)
	return rebuilt, removed, err
}

// damagedSnapshots returns the snapshots that do not lead to all that they name.
func (a *Repairer) damagedSnapshots(ctx context.Context) (all []eventlog.Position, err error) {
	snaps, err := a.Pages.Log.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, pos := range snaps {
		_, s, err := a.Pages.ReadSnapshot(ctx, pos)
		if err == nil {
			err = a.whole(ctx, s)
		}
		switch {
		case err == nil, errors.Is(err, eventlog.ErrOtherIdentity):
		case errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrNewerVersion), errors.Is(err, fs.ErrNotExist):
			all = append(all, pos)
		default:
			return nil, err
		}
	}
	return all, nil
}

func (a *Repairer) removeSnapshots(ctx context.Context, damaged []eventlog.Position) (int, error) {
	for i, pos := range damaged {
		if err := a.Blobs.Delete(ctx, eventlog.SnapshotName(a.Pages.Prefix, pos)); err != nil {
			return i, fmt.Errorf("mailbox: repair: %w", err)
		}
	}
	return len(damaged), nil
}

// whole reports what of a state's pages and metadata cannot be read.
func (a *Repairer) whole(ctx context.Context, s *state.Account) error {
	sources := map[state.MetaSource]uint32{} // to the last slot in use
	err := a.Pages.EachPage(ctx, s, map[pack.BlockID]bool{}, func(_ *state.PageRef, p *state.Page) {
		for i := range p.SourceIndex {
			src := p.Sources[p.SourceIndex[i]]
			sources[src] = max(sources[src], p.Slots[i])
		}
	})
	if err != nil {
		return err
	}
	for src, last := range sources {
		metas, err := a.Pages.ReadMetadata(ctx, src)
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
func (a *Repairer) rebuild(ctx context.Context) error {
	snaps, err := a.Pages.Log.Snapshots(ctx)
	if err != nil {
		return err
	}
	s, head, err := a.base(ctx, snaps)
	if err != nil {
		return err
	}
	a.Pages.Cache.Forget(a.Pages.ID)
	if err := a.Host.Rebase(ctx, head, s); err != nil {
		return err
	}
	return a.fencedSnapshot(ctx)
}

// base finds a state that is whole, and the head that it is of.
func (a *Repairer) base(ctx context.Context, snaps []eventlog.Position) (*state.Account, eventlog.Head, error) {
	var last error
	for i := len(snaps) - 1; i >= -1; i-- {
		at, s := eventlog.Head{}, &state.Account{}
		if i >= 0 {
			snap, manifest, err := a.Pages.ReadSnapshot(ctx, snaps[i])
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
func (a *Repairer) replayFrom(ctx context.Context, at eventlog.Head, s *state.Account) (*state.Account, eventlog.Head, error) {
	for e, err := range a.Pages.Log.Fork(at).Read(ctx) {
		if err != nil {
			return nil, at, err
		}
		for _, record := range e.Records {
			next, err := a.Pages.Apply(ctx, s, state.ModSeq(e.Pos), e.Kind, record, nil)
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
func (a *Repairer) fencedSnapshot(ctx context.Context) error {
	began := a.Now()
	if err := a.Host.Fence(ctx); err != nil {
		return err
	}
	return a.Host.WriteSnapshot(ctx, began, pages.Rewrite{})
}
