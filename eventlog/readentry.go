package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// tail is the hashes of the entries that a handle, and its forks, read or appended
// lately.
type tail struct {
	mu     sync.Mutex // protects what follows
	newest Position
	hashes map[Position]Hash
}

// maxTail bounds how many are remembered, at some 60 bytes each. A log with snapshots
// keeps its tail far below it.
const maxTail = 1 << 16

func (t *tail) note(h Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hashes == nil {
		t.hashes = map[Position]Hash{}
	}
	t.hashes[h.Pos] = h.Hash
	t.newest = max(t.newest, h.Pos)
	if len(t.hashes) <= maxTail {
		return
	}
	for p := range t.hashes {
		if p+maxTail/2 < t.newest {
			delete(t.hashes, p)
		}
	}
}

func (t *tail) hash(p Position) (Hash, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hashes[p]
	return h, ok
}

// ReadEntry returns once more an entry that this handle, or a fork of it, read or
// appended, wherever it stands now, and does not move the head. Other bytes than those are a
// [CorruptError]. It fails with fs.ErrNotExist if the entry was trimmed, or is not
// among the 32,768 newest of these. It needs the keys.
func (l *Log) ReadEntry(ctx context.Context, p Position) (Entry, error) {
	want, ok := l.tail.hash(p)
	if !ok {
		return Entry{}, fmt.Errorf("eventlog: read %s: was not read before: %w", l.entryName(p), fs.ErrNotExist)
	}
	return l.showEntry(ctx, p, func(e Entry) error {
		if e.Hash != want {
			return errOther
		}
		return nil
	})
}

var errOther = errors.New("is not the entry that was read before")

// ShowEntry returns the entry that the store has at a position, for tools that show
// a log. It opens the entry, but compares it with nothing before it: whoever can
// write the store may have put another there. It fails with fs.ErrNotExist and
// [CorruptError]. It needs the keys.
func (l *Log) ShowEntry(ctx context.Context, p Position) (Entry, error) {
	return l.showEntry(ctx, p, func(Entry) error { return nil })
}

// showEntry is ShowEntry for an entry that passes a check.
func (l *Log) showEntry(ctx context.Context, p Position, check func(Entry) error) (Entry, error) {
	if l.sealer.ring == nil {
		return Entry{}, fmt.Errorf("eventlog: read entry: %w", errKeyless)
	}
	data, err := l.read(ctx, l.entryName(p), 0, MaxEntry+1)
	if err != nil {
		return Entry{}, err
	}
	e, err := openTwice(ctx, l, l.entryName(p), data, func(data []byte) (Entry, error) {
		h, err := parseEntryHeader(data)
		if err != nil {
			return Entry{}, err
		}
		t, ok := l.terms.in(h.epoch)
		if !ok || h.kind == Rekey {
			t = term{}
		}
		e, _, err := l.sealer.decode(Head{Pos: p - 1, Hash: h.prev}, t, data)
		return e, cmp.Or(err, check(e), e.Junk)
	})
	if err != nil && (e.Junk == nil || errors.Is(err, errOther)) {
		return Entry{}, l.corrupt("read", p, err)
	}
	return e, nil
}

// SnapshotPosition returns the position of the newest snapshot by its name alone,
// or 0 if there is none. It costs one listing of at most a few names.
func (l *Log) SnapshotPosition(ctx context.Context) (Position, error) {
	all, err := l.snapshots(ctx)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}
