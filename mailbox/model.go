package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/eventlog"
)

// model gives the records of the log their meaning: eventlog.Model over states.
type model struct{ account *account }

// Load returns the newest snapshot's state.
func (m model) Load(ctx context.Context, l *eventlog.Log) (*state, error) {
	snap, err := m.account.latestSnapshot(ctx, l)
	if err != nil {
		return nil, err
	}
	if snap == nil {
		l.Seek(eventlog.Head{})
		return &state{}, nil
	}
	s, err := decodeManifest(snap.Payload)
	if err != nil {
		return nil, fmt.Errorf("mailbox: snapshot at %d: %w: %w", snap.Pos, eventlog.ErrCorrupt, err)
	}
	if s.at > ModSeq(snap.Pos) {
		return nil, fmt.Errorf("mailbox: snapshot at %d holds a later state: %w", snap.Pos, eventlog.ErrCorrupt)
	}
	m.account.sawSnapshot(snap.Head)
	l.Seek(snap.Head)
	return s, nil
}

// latestSnapshot returns the newest snapshot that is not known to be damaged, or
// nil.
func (a *account) latestSnapshot(ctx context.Context, l *eventlog.Log) (*eventlog.Snapshot, error) {
	avoid := a.avoid.Load()
	if avoid == nil {
		return l.LatestSnapshot(ctx)
	}
	snaps, err := l.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for i := len(snaps) - 1; i >= 0; i-- {
		if snaps[i] < avoid.from || snaps[i] > avoid.to {
			return l.ReadSnapshot(ctx, snaps[i])
		}
	}
	return nil, nil
}

// Apply returns the state after one record.
func (m model) Apply(ctx context.Context, s *state, at eventlog.Position, kind eventlog.Kind, record []byte) (*state, error) {
	events, err := recordEvents(kind, record)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		get, err := m.account.pagesFor(ctx, s, e)
		if err != nil {
			return nil, err
		}
		if s, err = s.apply(ModSeq(at), e, get); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// pagesFor reads the pages that an event touches, so that apply need not.
func (a *account) pagesFor(ctx context.Context, s *state, e event) (pageSource, error) {
	var read map[*pageRef]*page
	for _, r := range s.pagesFor(e) {
		if r.page != nil {
			continue
		}
		p, err := a.page(ctx, r)
		if errors.Is(err, fs.ErrNotExist) {
			// It was collected while this process stood still: newer snapshots have
			// another.
			return nil, fmt.Errorf("%w: %w", eventlog.ErrTrimmed, err)
		}
		if err != nil {
			return nil, err
		}
		if read == nil {
			read = map[*pageRef]*page{}
		}
		read[r] = p
	}
	return func(r *pageRef) *page {
		if r.page != nil {
			return r.page
		}
		return read[r]
	}, nil
}
