package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// TrimReport says what Trim did.
type TrimReport struct {
	Keep      Position // the oldest position kept; 0 if nothing could be trimmed
	Entries   int      // entries deleted
	Snapshots int      // snapshots deleted
}

// Trim deletes what superseded snapshots cover: all entries and snapshots below
// the newest snapshot that is not the newest of all, is at least [Config.Grace]
// old by the time in its header, and is sound. Only snapshots of the epoch that the
// log is in count for either: those before may be of an identity that nobody reads
// with any more. So the two newest of these always stay, each with the entry at its
// position and all after it.
//
// It deletes one entry after the other in ascending order, and stops at the first
// that cannot be deleted: what is left has no gap, and the next Trim goes on. It
// works without keys; with them it also makes sure that both snapshots open. Any
// number of processes may trim at once.
func (l *Log) Trim(ctx context.Context) (TrimReport, error) {
	var report TrimReport
	snaps, err := l.snapshots(ctx)
	if err != nil {
		return report, err
	}
	keep, err := l.trimPoint(ctx, snaps)
	if err != nil || keep == 0 {
		return report, err
	}
	report.Keep = keep
	// Snapshots first: whoever finds one finds the entries after it.
	for _, p := range snaps {
		if p >= keep {
			break
		}
		if err := l.store.Delete(ctx, l.snapshotName(p)); err != nil {
			return report, fmt.Errorf("eventlog: trim: %w", err)
		}
		report.Snapshots++
	}
	for info, err := range l.store.List(ctx, l.prefix+entryFolder, "") {
		if err != nil {
			return report, fmt.Errorf("eventlog: trim: %w", err)
		}
		p, ok := l.parsePosition(entryFolder, info.Name)
		if !ok {
			continue
		}
		if p >= keep {
			break
		}
		// One name in a call: a call with many keeps no order.
		if err := l.store.Delete(ctx, info.Name); err != nil {
			return report, fmt.Errorf("eventlog: trim: %w", err)
		}
		report.Entries++
	}
	return report, nil
}

// trimPoint returns the position of the newest snapshot below which may be
// trimmed, or 0.
func (l *Log) trimPoint(ctx context.Context, snaps []Position) (Position, error) {
	if len(snaps) < 2 {
		return 0, nil
	}
	epoch, err := l.epochNow(ctx)
	if errors.Is(err, ErrCorrupt) {
		l.logger.WarnContext(ctx, "damaged log is not trimmed", "err", err)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var newest Position
	for _, p := range slices.Backward(snaps) {
		h, err := l.soundSnapshot(ctx, p, false)
		switch {
		case err == nil && (h.epoch != epoch || h.ahead()):
			continue
		case err == nil && newest == 0:
			newest = p
			continue
		case err == nil && l.now().Sub(h.time) < l.grace:
			continue // and one from the future is no older
		case err == nil:
			_, err = l.soundSnapshot(ctx, newest, true)
		}
		if err == nil {
			_, err = l.soundSnapshot(ctx, p, true)
		}
		var damage *CorruptError
		if errors.As(err, &damage) {
			l.logger.WarnContext(ctx, "log is not trimmed by a damaged snapshot", "err", err)
			if newest == 0 || damage.Pos == newest {
				return 0, nil
			}
			continue
		}
		if err != nil {
			return 0, err
		}
		return p, nil
	}
	return 0, nil
}

// epochNow returns the epoch that the log is in.
func (l *Log) epochNow(ctx context.Context) (Epoch, error) {
	if at := l.standing(); l.fresh(at, l.now()) {
		return at.term.epoch, nil
	}
	found, err := l.findLast(ctx)
	return found.epoch, err
}

// soundSnapshot returns the header of a snapshot; whole makes sure that the entry
// it names is in the log, and that it opens if the keys are here. What is wrong
// with it is a *CorruptError.
func (l *Log) soundSnapshot(ctx context.Context, p Position, whole bool) (snapshotHeader, error) {
	damaged := func(err error) (snapshotHeader, error) {
		return snapshotHeader{}, &CorruptError{Op: "check snapshot", Name: l.snapshotName(p), Pos: p, Err: err}
	}
	data, err := l.read(ctx, l.snapshotName(p), 0, snapHeadLen)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(errMissing)
	}
	if err != nil {
		return snapshotHeader{}, err
	}
	h, err := parseSnapshotHeader(data)
	if err != nil {
		return damaged(err)
	}
	if h.head.Pos != p {
		return damaged(fmt.Errorf("holds the snapshot of entry %d", h.head.Pos))
	}
	if !whole {
		return h, nil
	}
	_, hash, err := l.fetchHash(ctx, p)
	if errors.Is(err, fs.ErrNotExist) || err == nil && hash != h.head.Hash {
		return damaged(errors.New("the log does not hold its entry"))
	}
	if err != nil {
		return snapshotHeader{}, err
	}
	if l.sealer.ring != nil {
		if _, err := l.openSnapshot(ctx, p); err != nil {
			return snapshotHeader{}, err
		}
	}
	return h, nil
}

// inFuture reports whether a time is later than clocks that agree can make it.
func (l *Log) inFuture(t time.Time) bool { return t.Sub(l.now()) > l.grace/4 }
