package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/letterlock/letterlock/crypto"
)

// Begin creates entry 1, and with it the log, under the terms of [Config.Terms]. It
// needs the keys. It fails with fs.ErrExist if the log has begun. After
// ErrUnknownOutcome the log may have begun with these records or not; a new log
// with a new ID is the way out.
func (l *Log) Begin(ctx context.Context, records ...[]byte) error {
	if l.sealer.ring == nil {
		return fmt.Errorf("eventlog: begin: %w", errKeyless)
	}
	for info, err := range l.store.List(ctx, l.prefix+entryFolder, "") {
		if err != nil {
			return fmt.Errorf("eventlog: begin: %w", err)
		}
		return fmt.Errorf("eventlog: begin: %s: %w", info.Name, fs.ErrExist)
	}
	l.Seek(Head{})
	own := l.sealer.ring.keys[0]
	entry, data, err := l.rekeyAfter(Head{}, 1, own, own.identity, l.begin, records)
	if err != nil {
		return fmt.Errorf("eventlog: begin: %w", err)
	}
	start := l.now()
	out, err := l.put(ctx, l.entryName(1), data)
	if err != nil {
		return err
	}
	if !out.stored {
		return fmt.Errorf("eventlog: begin: %s: %w", l.entryName(1), fs.ErrExist)
	}
	if err := l.confirmBegin(ctx, data, out.doubt); err != nil {
		return err
	}
	l.advance(entry.Head, l.sealer.ring.term(0, 1, l.begin), true)
	l.settle(start)
	return nil
}

// rekeyAfter makes the entry after head that begins an epoch.
func (l *Log) rekeyAfter(head Head, e Epoch, by generation, next *crypto.Identity, t Terms, records [][]byte) (Entry, []byte, error) {
	payload, err := appendRecords(append([][]byte{rekeyRecord(next.Recipient(), t)}, records...))
	if err != nil {
		return Entry{}, nil, err
	}
	h := entryHeader{kind: Rekey, mac: true, close: t == TermsClosed, pos: head.Pos + 1, epoch: e, prev: head.Hash}
	entry := Entry{Prev: h.prev, Kind: Rekey, Epoch: e, Terms: t, Records: records}
	return entry.of(h.pos, l.sealer.sealRekey(h, by, next, payload))
}

// of returns an entry that has the bytes of an object.
func (e Entry) of(p Position, data []byte) (Entry, []byte, error) {
	if len(data) > MaxEntry {
		return Entry{}, nil, fmt.Errorf("entry of %d bytes, limit %d: %w", len(data), MaxEntry, ErrTooLarge)
	}
	e.Head, e.Size = Head{p, hashOf(data)}, len(data)
	return e, data, nil
}

// confirmBegin makes sure that entry 1 was not put before a log that began long
// ago and whose beginning was trimmed. Entry 1 has no entry before it to look at,
// but then the log goes on somewhere, and not after our entry.
func (l *Log) confirmBegin(ctx context.Context, data []byte, doubt bool) error {
	next, err := l.nextListed(ctx, 1)
	if err != nil {
		return fmt.Errorf("eventlog: begin: %w: %w", ErrUnknownOutcome, err)
	}
	if next == 0 {
		return nil
	}
	if err := l.settleTrimmed(ctx, 1, data, doubt); errors.Is(err, ErrTrimmed) {
		return fmt.Errorf("eventlog: begin: %s: %w", l.entryName(next), fs.ErrExist)
	} else {
		return err
	}
}

// Append adds an entry with the records after the head, if nothing is there, and
// moves the head to it. Owned needs the keys, Delivered the recipient. An error
// that matches none of these leaves the log as it was:
//
//   - [ErrConflict]: the position is taken. Read, decide anew, append again.
//   - [ErrTrimmed]: the log was trimmed beyond the head while the caller stood
//     still. Nothing was committed.
//   - [ErrUnknownOutcome]: the store did not tell, for several seconds or until
//     ctx ended. The next Append at this head competes with it for the position,
//     and so settles it: nil if it was lost, ErrConflict if it is there.
//   - [ErrRolledBack]: the log is not the one that was seen before.
//   - [ErrUnsigned]: nothing may be added to the entry at the head.
//   - [ErrTooLarge]: the records do not fit; see [MaxRecord].
//
// Append fails with fs.ErrNotExist before the first entry; see Begin.
func (l *Log) Append(ctx context.Context, kind Kind, records ...[]byte) (Entry, error) {
	at := l.standing()
	entry, data, err := l.seal(at, kind, records)
	if err != nil {
		return Entry{}, fmt.Errorf("eventlog: append: %w", err)
	}
	start, err := l.putEntry(ctx, at, entry, data)
	if err != nil {
		return Entry{}, err
	}
	l.advance(entry.Head, at.term, true)
	l.reached(start)
	return entry, nil
}

// Rekey appends the entry that begins an epoch: from it on next writes, or who
// writes now if next is nil, under other terms. It needs the keys. Its errors are
// those of Append. A change to another identity ends the use of this handle:
// whatever reads or appends next fails with [ErrRekeyed].
func (l *Log) Rekey(ctx context.Context, next *crypto.Identity, t Terms) (Entry, error) {
	at := l.standing()
	if l.sealer.ring == nil {
		return Entry{}, fmt.Errorf("eventlog: rekey: %w", errKeyless)
	}
	own := l.sealer.ring.keys[0]
	if at.term.gen != 0 || !at.term.terms.known() || !t.known() {
		return Entry{}, fmt.Errorf("eventlog: rekey: %w", errWriter)
	}
	same := next == nil
	if same {
		next = own.identity
	}
	entry, data, err := l.rekeyAfter(at.head, at.term.epoch+1, own, next, t, nil)
	if err != nil {
		return Entry{}, fmt.Errorf("eventlog: rekey: %w", err)
	}
	start, err := l.putEntry(ctx, at, entry, data)
	if err != nil || !same {
		return entry, err
	}
	l.advance(entry.Head, l.sealer.ring.term(0, entry.Epoch, t), true)
	l.reached(start)
	return entry, nil
}

// End appends a [Tombstone], wherever the log ends, and returns it; nothing can be
// appended after it. It needs the keys or [Config.Delivery]. It fails with
// [ErrEnded] if the log has ended, and like Append.
func (l *Log) End(ctx context.Context) (Entry, error) {
	for attempt := 0; ; attempt++ {
		at := l.standing()
		entry, data, err := l.seal(at, Tombstone, nil)
		if err == nil {
			_, err = l.putEntry(ctx, at, entry, data)
		}
		if !errors.Is(err, ErrConflict) {
			return entry, err
		}
		if err := pause(ctx, attempt, conflictDelay, conflictDelayMax); err != nil {
			return Entry{}, err
		}
		for _, err := range l.Read(ctx) {
			if err != nil {
				return Entry{}, err
			}
		}
	}
}

// putEntry creates the object of an entry after where the log stood. It returns a
// time at which the position after was free.
func (l *Log) putEntry(ctx context.Context, at standing, entry Entry, data []byte) (time.Time, error) {
	start := l.now()
	if err := l.readyToAppend(ctx, at); err != nil {
		return start, err
	}
	out, err := l.put(ctx, l.entryName(entry.Pos), data)
	if errors.Is(err, ErrUnknownOutcome) {
		l.setPending(&pendingEntry{entry.Pos, data})
	}
	if err != nil {
		return start, err
	}
	if !l.fresh(at, l.now()) {
		if err := l.confirmAppend(ctx, at.head, data, out); err != nil {
			return start, err
		}
	}
	if !out.stored {
		return start, fmt.Errorf("eventlog: append %s: %w", l.entryName(entry.Pos), ErrConflict)
	}
	return start, nil
}

// seal makes the entry after where the log stands.
func (l *Log) seal(at standing, kind Kind, records [][]byte) (Entry, []byte, error) {
	if at.head.Pos >= MaxPosition {
		return Entry{}, nil, errors.New("log is full")
	}
	if kind == Owned && l.sealer.ring == nil {
		return Entry{}, nil, errKeyless
	}
	var payload []byte
	if kind != Tombstone {
		var err error
		if payload, err = appendRecords(records); err != nil {
			return Entry{}, nil, err
		}
	}
	if at.head.Pos == 0 {
		return Entry{}, nil, fmt.Errorf("log has not begun: %w", fs.ErrNotExist)
	}
	h := entryHeader{kind: kind, pos: at.head.Pos + 1, prev: at.head.Hash}
	data, err := l.sealer.seal(h, at.term, payload)
	if err != nil {
		return Entry{}, nil, err
	}
	entry := Entry{Prev: h.prev, Kind: kind, Epoch: at.term.epoch, Terms: at.term.terms, Records: records}
	return entry.of(h.pos, data)
}

// readyToAppend refuses what could not be committed at the head.
func (l *Log) readyToAppend(ctx context.Context, at standing) error {
	if err := checkSeen(at, at.head); err != nil {
		return err
	}
	next := at.head.Pos + 1
	if at.head.Pos < at.seen.Pos {
		return fmt.Errorf("eventlog: append %s: head is behind entry %d: %w", l.entryName(next), at.seen.Pos, ErrConflict)
	}
	if at.authentic || l.sealer.ring != nil {
		return nil
	}
	there, err := l.exists(ctx, l.entryName(next))
	if err != nil {
		return err
	}
	if there {
		return fmt.Errorf("eventlog: append %s: %w", l.entryName(next), ErrConflict)
	}
	return fmt.Errorf("eventlog: append after %s: %w", l.entryName(at.head.Pos), ErrUnsigned)
}

// confirmAppend makes sure that what put found was found in the living log: that
// head's entry is still there, or else that ours was followed. If ours is a stray
// in the trimmed past, it deletes it.
func (l *Log) confirmAppend(ctx context.Context, head Head, data []byte, out outcome) error {
	pos := head.Pos + 1
	for attempt := 0; ; attempt++ {
		err := l.vouch(ctx, head)
		if err == nil {
			err = l.notPassed(ctx, pos)
		}
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrTrimmed) {
			err = l.settleTrimmed(ctx, pos, data, out.doubt)
			if err == nil || errors.Is(err, ErrTrimmed) {
				return err
			}
		}
		if ctx.Err() == nil && attempt < putAttempts-1 && !errors.Is(err, ErrUnknownOutcome) {
			if pause(ctx, attempt, putDelay, putDelayMax) == nil {
				continue
			}
		}
		l.setPending(&pendingEntry{pos, data})
		return fmt.Errorf("eventlog: append %s: %w: %w", l.entryName(pos), ErrUnknownOutcome, err)
	}
}

// notPassed fails with ErrTrimmed if a snapshot says that the log went on beyond a
// position. The entry before it may be in the store although it was trimmed: a create
// of it that took effect before may have arrived once more, since.
func (l *Log) notPassed(ctx context.Context, pos Position) error {
	newest, err := l.SnapshotPosition(ctx)
	if err == nil && newest > pos {
		err = fmt.Errorf("eventlog: a snapshot at %d is beyond %s: %w", newest, l.entryName(pos), ErrTrimmed)
	}
	return err
}
