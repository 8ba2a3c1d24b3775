package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Begin creates entry 1, and with it the log. It needs the keys. It fails with
// fs.ErrExist if the log has begun. After ErrUnknownOutcome the log may have
// begun with these records or not; a new log with a new ID is the way out.
func (l *Log) Begin(ctx context.Context, records ...[]byte) error {
	for info, err := range l.store.List(ctx, l.prefix+entryFolder, "") {
		if err != nil {
			return fmt.Errorf("eventlog: begin: %w", err)
		}
		return fmt.Errorf("eventlog: begin: %s: %w", info.Name, fs.ErrExist)
	}
	l.Seek(Head{})
	entry, data, err := l.seal(Head{}, Owned, records)
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
	l.advance(entry.Head)
	l.settle(start)
	return nil
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
//   - [ErrTooLarge]: the records do not fit; see [MaxRecord].
//
// Append fails with fs.ErrNotExist before the first entry; see Begin.
func (l *Log) Append(ctx context.Context, kind Kind, records ...[]byte) (Entry, error) {
	at := l.standing()
	entry, data, err := l.seal(at.head, kind, records)
	if err != nil {
		return Entry{}, fmt.Errorf("eventlog: append: %w", err)
	}
	if err := l.readyToAppend(at); err != nil {
		return Entry{}, err
	}
	start := l.now()
	out, err := l.put(ctx, l.entryName(entry.Pos), data)
	if errors.Is(err, ErrUnknownOutcome) {
		l.setPending(&pendingEntry{entry.Pos, data})
	}
	if err != nil {
		return Entry{}, err
	}
	if !l.fresh(at, l.now()) {
		if err := l.confirmAppend(ctx, at.head, data, out); err != nil {
			return Entry{}, err
		}
	}
	if !out.stored {
		return Entry{}, fmt.Errorf("eventlog: append %s: %w", l.entryName(entry.Pos), ErrConflict)
	}
	l.advance(entry.Head)
	l.reached(start)
	return entry, nil
}

// seal makes the entry after head.
func (l *Log) seal(head Head, kind Kind, records [][]byte) (Entry, []byte, error) {
	if head.Pos >= MaxPosition {
		return Entry{}, nil, errors.New("log is full")
	}
	payload, err := appendRecords(records)
	if err != nil {
		return Entry{}, nil, err
	}
	h := entryHeader{kind: kind, pos: head.Pos + 1, prev: head.Hash}
	data, err := l.sealer.seal(h, payload)
	if err != nil {
		return Entry{}, nil, err
	}
	if len(data) > MaxEntry {
		return Entry{}, nil, fmt.Errorf("entry of %d bytes, limit %d: %w", len(data), MaxEntry, ErrTooLarge)
	}
	return Entry{
		Head: Head{h.pos, hashOf(data)}, Prev: h.prev, Kind: kind, Records: records, Size: len(data),
	}, data, nil
}

// readyToAppend refuses what could not be committed at the head.
func (l *Log) readyToAppend(at standing) error {
	if at.head.Pos == 0 {
		return fmt.Errorf("eventlog: append: log has not begun: %w", fs.ErrNotExist)
	}
	if err := checkSeen(at, at.head); err != nil {
		return err
	}
	next := at.head.Pos + 1
	if at.head.Pos < at.seen.Pos {
		return fmt.Errorf("eventlog: append %s: head is behind entry %d: %w", l.entryName(next), at.seen.Pos, ErrConflict)
	}
	return nil
}

// confirmAppend makes sure that what put found was found in the living log: that
// head's entry is still there, or else that ours was followed. If ours is a stray
// in the trimmed past, it deletes it.
func (l *Log) confirmAppend(ctx context.Context, head Head, data []byte, out outcome) error {
	pos := head.Pos + 1
	for attempt := 0; ; attempt++ {
		err := l.vouch(ctx, head)
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
