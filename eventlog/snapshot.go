package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/letterlock/letterlock/crypto"
)

// The clear header of a snapshot: magic, position, hash of the entry there, time,
// epoch of the writer, epoch and terms of the entry there, whose it is.
const (
	snapPosAt   = magicSize
	snapHashAt  = snapPosAt + 8
	snapTimeAt  = snapHashAt + len(Hash{})
	snapEpochAt = snapTimeAt + 8
	snapEntryAt = snapEpochAt + 4
	snapTermsAt = snapEntryAt + 4
	snapForAt   = snapTermsAt + 1
	snapHeadLen = snapForAt + len(fingerprint{})
	maxSnapshot = snapHeadLen + MaxPayload + crypto.Overhead
)

// A Snapshot is what the records up to Head add up to, as its writer encoded it.
type Snapshot struct {
	Head
	Time    time.Time // when it was made, by its writer's clock, in seconds
	Ahead   bool      // it was made by [Log.WriteSnapshotFor], before the Rekey
	Payload []byte
}

type snapshotHeader struct {
	head  Head
	time  time.Time
	epoch Epoch // in which its writer writes; one more than entry if the change to it is still to come
	entry Epoch // of the entry at the position
	terms Terms // of the entry's epoch
	of    fingerprint
}

// fingerprint tells in the clear whose identity opens a snapshot: the first bytes of
// SHA-256 of the recipient's text. It only tells other identities from damage.
type fingerprint [8]byte

func fingerprintOf(r *crypto.Recipient) fingerprint {
	sum := sha256.Sum256([]byte(r.String()))
	return fingerprint(sum[:len(fingerprint{})])
}

// ahead reports whether the snapshot was made for an epoch that was still to begin.
// Until it begins it counts for nobody.
func (h snapshotHeader) ahead() bool { return h.epoch != h.entry }

func (h snapshotHeader) append(b []byte) []byte {
	b = append(b, snapshotMagic...)
	b = append(b, formatVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(h.head.Pos))
	b = append(b, h.head.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.time.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(h.epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(h.entry))
	b = append(b, byte(h.terms))
	return append(b, h.of[:]...)
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
	h.epoch = Epoch(binary.BigEndian.Uint32(data[snapEpochAt:]))
	h.entry = Epoch(binary.BigEndian.Uint32(data[snapEntryAt:]))
	h.terms = Terms(data[snapTermsAt])
	copy(h.of[:], data[snapForAt:])
	if h.entry == 0 || h.epoch != h.entry && h.epoch != h.entry+1 || !h.terms.known() {
		return h, errors.New("is of no epoch")
	}
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
	own := l.sealer.ring.keys[0]
	if h.of != own.print {
		return nil, ErrOtherIdentity
	}
	payload, err := own.snap.Open(nil, data[snapHeadLen:], l.sealer.entryAD(data[:snapHeadLen]))
	if err != nil {
		return nil, err
	}
	writer := 0
	if h.ahead() {
		writer = 1 // the identity before
	}
	if writer >= len(l.sealer.ring.keys) {
		return nil, errors.New("is of an identity before, which the keys lack")
	}
	l.terms.note(p, l.sealer.ring.term(writer, h.entry, h.terms))
	return &Snapshot{Head: h.head, Time: h.time, Ahead: h.ahead(), Payload: payload}, nil
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
// log was trimmed, the error is that of the newest. Snapshots of other identities
// than the newest of the keys are passed over. It needs the keys. It does not move
// the head: Seek(snapshot.Head) does.
func (l *Log) LatestSnapshot(ctx context.Context) (*Snapshot, error) {
	if l.sealer.ring == nil {
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
	var newest error // what is wrong with the newest that is not of another identity
	others := false
	for i := len(positions) - 1; i >= 0; i-- {
		s, err := l.openSnapshot(ctx, positions[i])
		if err == nil {
			return s, nil
		}
		var damage *CorruptError
		if !errors.As(err, &damage) {
			return nil, err
		}
		if errors.Is(err, ErrOtherIdentity) {
			others = true
			continue
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
	switch {
	case whole:
		return nil, nil
	case newest == nil && others:
		return nil, fmt.Errorf("eventlog: %s: none is of the identity: %w", l.prefix+snapshotFolder, ErrNotInEffect)
	}
	return nil, newest
}

// Snapshots returns the positions of all snapshots, ascending. It costs one
// listing.
func (l *Log) Snapshots(ctx context.Context) ([]Position, error) { return l.snapshots(ctx) }

// ReadSnapshot opens the snapshot at a position. It fails with a [CorruptError]
// if it is damaged, or not there. It needs the keys and does not move the head.
func (l *Log) ReadSnapshot(ctx context.Context, p Position) (*Snapshot, error) {
	if l.sealer.ring == nil {
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

// WriteSnapshot stores payload as the state at a head, which must be one at which
// this handle stood or whose snapshot it opened. It fails with fs.ErrExist if there
// is one for that position already, which is as good; with [ErrTooLarge] over
// [MaxPayload]; with [ErrUnknownOutcome] if the store does not tell. It needs the
// keys and does not move the head.
func (l *Log) WriteSnapshot(ctx context.Context, at Head, payload []byte) error {
	return l.writeSnapshot(ctx, at, nil, payload)
}

// WriteSnapshotFor is WriteSnapshot for an identity that is to take over the log by
// the next [Log.Rekey]. It counts from then on, for that identity alone; before, and
// if the log is never taken over, for nobody.
func (l *Log) WriteSnapshotFor(ctx context.Context, at Head, next *crypto.Identity, payload []byte) error {
	return l.writeSnapshot(ctx, at, next, payload)
}

func (l *Log) writeSnapshot(ctx context.Context, at Head, next *crypto.Identity, payload []byte) error {
	if l.sealer.ring == nil {
		return fmt.Errorf("eventlog: write snapshot: %w", errKeyless)
	}
	if at.Pos == 0 || at.Pos > MaxPosition {
		return fmt.Errorf("eventlog: write snapshot: no entry has position %d", at.Pos)
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("eventlog: write snapshot: %d bytes, limit %d: %w", len(payload), MaxPayload, ErrTooLarge)
	}
	t, ok := l.terms.at(at.Pos)
	if !ok || t.gen != 0 || !t.terms.known() {
		return fmt.Errorf("eventlog: write snapshot of entry %d: %w", at.Pos, errWriter)
	}
	h := snapshotHeader{head: at, time: l.now(), epoch: t.epoch, entry: t.epoch, terms: t.terms}
	key := l.sealer.ring.keys[0].snap
	h.of = l.sealer.ring.keys[0].print
	if next != nil {
		h.epoch++
		h.of = fingerprintOf(next.Recipient())
		key = next.Derive(labelSnapshot)
		defer key.Wipe()
	}
	header := h.append(make([]byte, 0, snapHeadLen+len(payload)+crypto.Overhead))
	data := key.Seal(header, payload, l.sealer.entryAD(header))
	out, err := l.put(ctx, l.snapshotName(at.Pos), data)
	if err != nil {
		return err
	}
	if !out.stored {
		return fmt.Errorf("eventlog: write snapshot %s: %w", l.snapshotName(at.Pos), fs.ErrExist)
	}
	return nil
}
