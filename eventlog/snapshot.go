package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/letterlock/letterlock/crypto"
)

// The clear header of a snapshot: magic, position, hash of the entry there, time.
const (
	snapPosAt   = magicSize
	snapHashAt  = snapPosAt + 8
	snapTimeAt  = snapHashAt + len(Hash{})
	snapHeadLen = snapTimeAt + 8
	maxSnapshot = snapHeadLen + MaxPayload + crypto.Overhead
)

// A Snapshot is what the records up to Head add up to, as its writer encoded it.
type Snapshot struct {
	Head
	Time    time.Time // when it was made, by its writer's clock, in seconds
	Payload []byte
}

type snapshotHeader struct {
	head Head
	time time.Time
}

func (h snapshotHeader) append(b []byte) []byte {
	b = append(b, snapshotMagic...)
	b = append(b, formatVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(h.head.Pos))
	b = append(b, h.head.Hash[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(h.time.Unix()))
}

func parseSnapshotHeader(data []byte) (snapshotHeader, error) {
	var h snapshotHeader
	if err := cutMagic(data, snapshotMagic); err != nil {
		return h, err
	}
	if len(data) < snapHeadLen {
		return h, fmt.Errorf("%d bytes are too short for a snapshot", len(data))
	}
	h.head.Pos = Position(binary.BigEndian.Uint64(data[snapPosAt:]))
	copy(h.head.Hash[:], data[snapHashAt:])
	unix := int64(binary.BigEndian.Uint64(data[snapTimeAt:]))
	if unix < 0 {
		return h, errors.New("is from before 1970")
	}
	h.time = time.Unix(unix, 0)
	return h, nil
}

// decodeSnapshot checks and opens the snapshot that stands at position p.
func (l *Log) decodeSnapshot(p Position, data []byte) (*Snapshot, error) {
	h, err := parseSnapshotHeader(data)
	if err != nil {
		return nil, err
	}
	if h.head.Pos != p {
		return nil, fmt.Errorf("holds the snapshot of entry %d", h.head.Pos)
	}
	if len(data) > maxSnapshot {
		return nil, fmt.Errorf("longer than %d bytes", maxSnapshot)
	}
	header := data[:snapHeadLen]
	payload, err := l.sealer.ring.openSnapshot(p, data[snapHeadLen:], l.sealer.entryAD(header))
	if err != nil {
		return nil, err
	}
	return &Snapshot{Head: h.head, Time: h.time, Payload: payload}, nil
}

// snapshots lists the positions of the snapshots, ascending.
func (l *Log) snapshots(ctx context.Context) ([]Position, error) {
	var all []Position
	for info, err := range l.store.List(ctx, l.prefix+snapshotFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("eventlog: list snapshots: %w", err)
		}
		if p, ok := l.parsePosition(snapshotFolder, info.Name); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// LatestSnapshot returns the newest snapshot that can be read, or nil if the log
// has none and is to be read from its beginning. A damaged one is reported to the
// logger and the one before it taken; if none is left and the beginning of the
// log was trimmed, the error is that of the newest. It needs the keys. It does
// not move the head: Seek(snapshot.Head) does.
func (l *Log) LatestSnapshot(ctx context.Context) (*Snapshot, error) {
	if l.sealer.identity == nil {
		return nil, fmt.Errorf("eventlog: open snapshot: %w", errKeyless)
	}
	for range findAttempts {
		s, err := l.latestSnapshot(ctx)
		if !errors.Is(err, errMissing) {
			return s, err
		}
	}
	return nil, fmt.Errorf("eventlog: snapshots vanish while they are read: %w", fs.ErrNotExist)
}

func (l *Log) latestSnapshot(ctx context.Context) (*Snapshot, error) {
	positions, err := l.snapshots(ctx)
	if err != nil || len(positions) == 0 {
		return nil, err
	}
	var newest error // what is wrong with the newest
	for i := len(positions) - 1; i >= 0; i-- {
		s, err := l.openSnapshot(ctx, positions[i])
		if err == nil {
			return s, nil
		}
		var damage *CorruptError
		if !errors.As(err, &damage) {
			return nil, err
		}
		if newest == nil {
			newest = err
		}
		l.logger.WarnContext(ctx, "passed over a snapshot", "err", err)
	}
	// One that vanished was superseded: look again. Damaged ones stay, but what
	// they cover may be there still.
	if errors.Is(newest, errMissing) {
		return nil, newest
	}
	whole, err := l.exists(ctx, l.entryName(1))
	if err != nil {
		return nil, err
	}
	if !whole {
		return nil, newest
	}
	return nil, nil
}

// Snapshots returns the positions of all snapshots, ascending. It costs one
// listing.
func (l *Log) Snapshots(ctx context.Context) ([]Position, error) { return l.snapshots(ctx) }

// ReadSnapshot opens the snapshot at a position. It fails with a [CorruptError]
// if it is damaged, or not there. It needs the keys and does not move the head.
func (l *Log) ReadSnapshot(ctx context.Context, p Position) (*Snapshot, error) {
	if l.sealer.identity == nil {
		return nil, fmt.Errorf("eventlog: open snapshot: %w", errKeyless)
	}
	return l.openSnapshot(ctx, p)
}

// openSnapshot reads and opens one snapshot. What is wrong with it is a
// *CorruptError; other errors are the store's.
func (l *Log) openSnapshot(ctx context.Context, p Position) (*Snapshot, error) {
	name := l.snapshotName(p)
	data, err := l.read(ctx, name, 0, maxSnapshot+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{Op: "open snapshot", Name: name, Pos: p, Err: errMissing}
	}
	if err != nil {
		return nil, err
	}
	s, err := openTwice(ctx, l, name, data, func(data []byte) (*Snapshot, error) { return l.decodeSnapshot(p, data) })
	if err != nil {
		return nil, &CorruptError{Op: "open snapshot", Name: name, Pos: p, Err: err}
	}
	return s, nil
}

// WriteSnapshot stores payload as the state at a head, which must be one that
// this log returned. It fails with fs.ErrExist if there is one for that position
// already, which is as good; with [ErrTooLarge] over [MaxPayload]; with
// [ErrUnknownOutcome] if the store does not tell. It needs the keys and does not
// move the head.
func (l *Log) WriteSnapshot(ctx context.Context, at Head, payload []byte) error {
	if l.sealer.identity == nil {
		return fmt.Errorf("eventlog: write snapshot: %w", errKeyless)
	}
	if at.Pos == 0 || at.Pos > MaxPosition {
		return fmt.Errorf("eventlog: write snapshot: no entry has position %d", at.Pos)
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("eventlog: write snapshot: %d bytes, limit %d: %w", len(payload), MaxPayload, ErrTooLarge)
	}
	h := snapshotHeader{head: at, time: l.now()}
	header := h.append(make([]byte, 0, snapHeadLen+len(payload)+crypto.Overhead))
	data := l.sealer.ring.keys[0].snap.Seal(header, payload, l.sealer.entryAD(header))
	out, err := l.put(ctx, l.snapshotName(at.Pos), data)
	if err != nil {
		return err
	}
	if !out.stored {
		return fmt.Errorf("eventlog: write snapshot %s: %w", l.snapshotName(at.Pos), fs.ErrExist)
	}
	return nil
}
