package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/message"
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
	e, err := decodeEvent(record)
	if kind == eventlog.Delivered {
		d, ok := e.(*deliver)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: not a delivery", eventlog.ErrSkip)
		}
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("%w: %w", eventlog.ErrSkip, err)
		}
	} else if err != nil {
		return nil, err
	} else if _, ok := e.(*deliver); ok {
		return nil, errDoesNotFit
	}
	events := []event{e}
	if all, ok := e.(*many); ok {
		events = all.events
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

// check reports what a delivery says that cannot be true. Whoever may create
// objects in the store can write one.
func (d *deliver) check() error {
	for _, n := range d.Messages {
		if len(n.Flags) > 0 || len(n.Meta) > maxMeta || !goodDate(n.Date) {
			return errMalformed
		}
		meta, err := message.Decode(n.Meta)
		if err != nil || meta.Size != int64(n.Size) {
			return errMalformed
		}
	}
	return nil
}

// goodDate reports whether IMAP can write the year of a time in seconds since
// 1970: 1 to 9999, whatever the zone (RFC 9051 section 9, date-year). Another
// would break clients that list the mailbox.
func goodDate(unix int64) bool {
	const first, last = -62135596800 + 86400, 253402300800 - 86400
	return first <= unix && unix < last
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
