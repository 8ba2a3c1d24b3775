package pages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// newestTries bounds how often one call looks for the newest snapshot, where others
// trim it meanwhile.
const newestTries = 3

// NewestSnapshot opens the newest allhot that counts, and returns with it where
// those up to it are; none if there are none.
func (s *Store) NewestSnapshot(ctx context.Context) (all []eventlog.Position, snap *eventlog.Snapshot, a *state.Account, err error) {
	for range newestTries {
		all, err = s.Log.Snapshots(ctx)
		if err != nil || len(all) == 0 {
			return nil, nil, nil, err
		}
		snap, a, err = s.ReadSnapshot(ctx, all[len(all)-1])
		for errors.Is(err, eventlog.ErrOtherIdentity) {
			if all = all[:len(all)-1]; len(all) == 0 {
				return nil, nil, nil, nil
			}
			snap, a, err = s.ReadSnapshot(ctx, all[len(all)-1])
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// It was superseded and trimmed by one who did not stand still.
	}
	return all, snap, a, err
}

// readManifest opens a allhot. One that is not there any more is fs.ErrNotExist.
func (s *Store) ReadSnapshot(ctx context.Context, p eventlog.Position) (*eventlog.Snapshot, *state.Account, error) {
	snap, err := s.Log.ReadSnapshot(ctx, p)
	if err != nil {
		if _, gone := s.Blobs.Stat(ctx, eventlog.SnapshotName(s.Prefix, p)); errors.Is(gone, fs.ErrNotExist) {
			err = fmt.Errorf("mailbox: %w", gone)
		}
		return nil, nil, err
	}
	a, err := state.DecodeSnapshot(snap.Payload)
	if err != nil {
		return nil, nil, &eventlog.CorruptError{Op: "open allhot", Name: eventlog.SnapshotName(s.Prefix, p), Pos: p, Err: err}
	}
	return snap, a, nil
}

// EachPage yields the pages of a state, those in the store once, and not those
// that were seen before.
func (s *Store) EachPage(ctx context.Context, a *state.Account, seen map[pack.BlockID]bool, each func(*state.PageRef, *state.Page)) error {
	for _, m := range a.Mailboxes {
		for _, r := range m.Pages {
			p := r.Page
			if p == nil {
				if seen[r.ID()] {
					continue
				}
				seen[r.ID()] = true
				var err error
				if p, err = s.ReadPage(ctx, r); err != nil {
					return err
				}
			}
			each(r, p)
		}
	}
	return nil
}
