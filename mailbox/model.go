package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// model gives the records of the log their meaning: eventlog.Model over states.
type model struct{ account *account }

// Load returns the newest snapshot's state.
func (m model) Load(ctx context.Context, l *eventlog.Log) (*state.Account, error) {
	snap, err := m.account.latestSnapshot(ctx, l)
	if err != nil {
		return nil, err
	}
	m.account.interrupted = snap == nil || snap.Ahead
	if snap == nil {
		l.Seek(eventlog.Head{})
		return &state.Account{}, nil
	}
	s, err := state.DecodeSnapshot(snap.Payload)
	if err != nil {
		return nil, fmt.Errorf("mailbox: snapshot at %d: %w: %w", snap.Pos, eventlog.ErrCorrupt, err)
	}
	if s.At > ModSeq(snap.Pos) {
		return nil, fmt.Errorf("mailbox: snapshot at %d holds a later state: %w", snap.Pos, eventlog.ErrCorrupt)
	}
	m.account.sawSnapshot(snap.Head)
	m.account.pages.Use(s)
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
	for _, at := range slices.Backward(snaps) {
		if at >= avoid.from && at <= avoid.to {
			continue
		}
		snap, err := l.ReadSnapshot(ctx, at)
		if !errors.Is(err, eventlog.ErrOtherIdentity) {
			return snap, err
		}
	}
	return nil, nil
}

// Apply returns the state after one record.
func (m model) Apply(ctx context.Context, s *state.Account, at eventlog.Position, kind eventlog.Kind, record []byte) (*state.Account, error) {
	return m.account.pages.Apply(ctx, s, ModSeq(at), kind, record, nil)
}
