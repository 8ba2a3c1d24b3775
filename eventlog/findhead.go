package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// findAttempts bounds how often a listing that a trimming process overtook is
// made again.
const findAttempts = 4

// FindHead puts the log at its last entry without reading what it says, and so
// without keys: it takes the position of the newest snapshot from its name, lists
// the entries from there, and reads the last one for its hash. It returns
// fs.ErrNotExist if the log has not begun, a [CorruptError] if an entry is
// missing, [ErrRolledBack] as Read does. Follow the log from there with Read.
func (l *Log) FindHead(ctx context.Context) (Head, error) {
	var err error
	for range findAttempts {
		var h Head
		if h, err = l.findHead(ctx); err == nil || !errors.Is(err, errMissing) {
			return h, err
		}
	}
	return Head{}, err
}

func (l *Log) findHead(ctx context.Context) (Head, error) {
	start := l.now()
	found, err := l.findLast(ctx)
	if err != nil {
		return Head{}, err
	}
	h := Head{found.pos, found.hash}
	if err := l.compareSeen(ctx, found.base, h); err != nil {
		return Head{}, err
	}
	t, ok := l.terms.in(found.epoch)
	if !ok {
		t = term{epoch: found.epoch}
	}
	t, authentic, err := l.authenticate(ctx, t, h.Pos, found.data)
	switch {
	case err != nil:
		return Head{}, err
	case !authentic:
		return Head{}, fmt.Errorf("eventlog: find head: %s: %w", l.entryName(h.Pos), ErrUnsigned)
	case found.kind == Tombstone:
		return Head{}, fmt.Errorf("eventlog: find head: %s: %w", l.entryName(h.Pos), ErrEnded)
	}
	l.Seek(h)
	l.advance(h, t, authentic)
	l.settle(start)
	return h, nil
}

// lastFound is the last entry of a log, of which nothing was opened.
type lastFound struct {
	entryHeader
	base Position // from which on nothing was trimmed
	hash Hash
	data []byte
}

func (l *Log) findLast(ctx context.Context) (lastFound, error) {
	snaps, err := l.snapshots(ctx)
	if err != nil {
		return lastFound{}, err
	}
	base := Position(1)
	if len(snaps) > 0 {
		base = snaps[len(snaps)-1]
	}
	last, err := l.lastEntry(ctx, base)
	if err != nil {
		return lastFound{}, err
	}
	if last == 0 && len(snaps) == 0 {
		if seen := l.standing().seen; seen.Pos > 0 {
			return lastFound{}, fmt.Errorf("eventlog: find head: log is empty, entry %d was seen: %w", seen.Pos, ErrRolledBack)
		}
		return lastFound{}, fmt.Errorf("eventlog: find head: %s: %w", l.entryName(1), fs.ErrNotExist)
	}
	if last == 0 {
		return lastFound{}, l.corrupt("find head", base, errMissing)
	}
	found, err := l.hashEntry(ctx, last)
	found.base = base
	return found, err
}

// lastEntry lists the entries from base on and returns the last; 0 if there is
// none. All from base on must be there.
func (l *Log) lastEntry(ctx context.Context, base Position) (Position, error) {
	after := ""
	if base > 1 {
		after = l.entryName(base - 1)
	}
	want := base
	for info, err := range l.store.List(ctx, l.prefix+entryFolder, after) {
		if err != nil {
			return 0, fmt.Errorf("eventlog: find head: %w", err)
		}
		p, ok := l.parsePosition(entryFolder, info.Name)
		if !ok {
			continue
		}
		for ; want < p; want++ {
			// It may have been created after the listing had passed.
			there, err := l.exists(ctx, l.entryName(want))
			if err != nil {
				return 0, err
			}
			if !there {
				return 0, l.corrupt("find head", want, errMissing)
			}
		}
		want = p + 1
	}
	if want == base {
		return 0, nil
	}
	return want - 1, nil
}

// hashEntry reads an entry for its hash and checks what is in the clear.
func (l *Log) hashEntry(ctx context.Context, p Position) (lastFound, error) {
	data, hash, err := l.fetchHash(ctx, p)
	if errors.Is(err, fs.ErrNotExist) {
		return lastFound{}, l.corrupt("find head", p, errMissing)
	}
	if err != nil {
		return lastFound{}, err
	}
	h, err := parseEntryHeader(data)
	if err == nil && h.pos != p {
		err = fmt.Errorf("holds entry %d", h.pos)
	}
	if err != nil {
		return lastFound{}, l.corrupt("find head", p, err)
	}
	return lastFound{entryHeader: h, hash: hash, data: data}, nil
}

// compareSeen compares a head found by listing with the furthest one seen. base
// is a position from which on nothing was trimmed.
func (l *Log) compareSeen(ctx context.Context, base Position, h Head) error {
	at := l.standing()
	if h.Pos < at.seen.Pos {
		return fmt.Errorf("eventlog: log ends at entry %d, before entry %d that was seen: %w", h.Pos, at.seen.Pos, ErrRolledBack)
	}
	if at.seen.Pos == 0 || at.seen.Pos < base {
		return nil
	}
	if h.Pos > at.seen.Pos {
		found, err := l.hashEntry(ctx, at.seen.Pos)
		if err != nil {
			return err
		}
		h = Head{found.pos, found.hash}
	}
	return checkSeen(at, h)
}
