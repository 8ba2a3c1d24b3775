package eventlog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"
	"time"
)

const (
	// maxWindow is how many entries are read at once: a tail of ten thousand is
	// some 160 round trips to a bucket.
	maxWindow = 64
	// readAhead is how much of an entry is read ahead of its turn, so that a
	// window never holds more than 8 MiB and one entry.
	readAhead = 128 << 10
	// coldWindow is how many are asked for first by who does not know how long the
	// tail is. To ask for one that is not there costs less than another round trip.
	coldWindow = 16
)

// windowAfter returns how many entries to ask for where n were found so far: one
// more, so that a gap behind the newest entry is seen.
func windowAfter(n int) int { return min(n+1, maxWindow) }

func hashOf(data []byte) Hash { return sha256.Sum256(data) }

// Read yields the entries after the head in order, up to the first position that
// is free, and moves the head to each just before it is yielded. It verifies the
// chain, the position, the log's ID and, with keys, the seal. After it yields an
// error it stops, and the head is at the last good entry.
//
// Entries are read ahead in parallel, up to 64 of them or 8 MiB and one entry.
// The first time Read reaches the end after a Seek, it lists what is after it: an
// entry that is missing with others after it is a [CorruptError], not an end. And
// it looks at the entry of the Seek again: if that was trimmed away, the error is
// ErrTrimmed, and what Read yielded since the Seek must not be relied on.
//
// Errors: [ErrTrimmed] (load the newest snapshot), [ErrRolledBack], [ErrRekeyed],
// [ErrNotInEffect], [ErrEnded], [CorruptError], and the store's.
func (l *Log) Read(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		found := 0
		if !l.standing().settled {
			found = coldWindow - 1
		}
		for {
			w, err := l.readWindow(ctx, windowAfter(found))
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for i := range w.objects {
				e, err := l.accept(ctx, w, i)
				if err != nil {
					yield(Entry{}, err)
					return
				}
				if !yield(e, nil) {
					return
				}
			}
			found += len(w.objects)
			if !w.end {
				continue
			}
			if more, err := l.reachEnd(ctx, w); err != nil {
				yield(Entry{}, err)
				return
			} else if !more {
				return
			}
		}
	}
}

// window is a run of entry objects read together.
type window struct {
	base    Head      // the head before the first
	objects []object  // those there, in order, without a gap
	end     bool      // the position after them was free
	gap     bool      // but one further on was not
	start   time.Time // when the reading began
}

// object is what was read of an entry.
type object struct {
	data []byte // at most readAhead+1 bytes
	err  error
}

// readWindow reads up to size entries after the head.
func (l *Log) readWindow(ctx context.Context, size int) (window, error) {
	at := l.standing()
	w := window{base: at.head, start: l.now()}
	if err := checkSeen(at, at.head); err != nil {
		return w, err
	}
	if l.sealer.ring != nil && at.head.Pos > 0 && !at.term.terms.known() {
		return w, fmt.Errorf("eventlog: read after entry %d: its snapshot was not opened by this handle", at.head.Pos)
	}
	size = int(min(Position(size), MaxPosition-at.head.Pos))
	if size == 0 {
		w.end = true
		return w, nil
	}
	objects := make([]object, size)
	fetch := func(i int) {
		o := &objects[i]
		o.data, o.err = l.read(ctx, l.entryName(at.head.Pos+1+Position(i)), 0, readAhead+1)
	}
	var wg sync.WaitGroup
	for i := 1; i < size; i++ {
		wg.Go(func() { fetch(i) })
	}
	fetch(0)
	wg.Wait()
	for i, o := range objects {
		if o.err == nil && !w.end {
			w.objects = objects[:i+1]
			continue
		}
		if o.err == nil {
			w.gap = true
		} else if errors.Is(o.err, fs.ErrNotExist) {
			w.end = true
		} else if !w.end {
			// Hand out what came before; the next window begins here.
			if i == 0 {
				return w, o.err
			}
			break
		}
	}
	if at.settled && !l.fresh(at, l.now()) {
		return w, l.vouch(ctx, at.head)
	}
	return w, nil
}

// decoded is an entry with the term that holds after it and the bytes of its object.
type decoded struct {
	Entry
	term term
	data []byte
}

// accept checks and opens the i-th object of a window against the head, and moves
// the head to it.
func (l *Log) accept(ctx context.Context, w window, i int) (Entry, error) {
	at := l.standing()
	pos := at.head.Pos + 1
	data := w.objects[i].data
	if len(data) > readAhead {
		rest, err := l.read(ctx, l.entryName(pos), len(data), MaxEntry+1-len(data))
		if err != nil {
			return Entry{}, l.explain(ctx, at, err)
		}
		data = append(data, rest...)
	}
	w.objects[i].data = nil // the entry owns it now
	d, err := openTwice(ctx, l, l.entryName(pos), data, func(data []byte) (decoded, error) {
		e, t, err := l.sealer.decode(at.head, at.term, data)
		return decoded{e, t, data}, cmp.Or(err, e.Junk)
	})
	e := d.Entry
	switch {
	case errors.Is(err, ErrRekeyed):
		return Entry{}, l.explain(ctx, at, fmt.Errorf("eventlog: read %s: %w", l.entryName(pos), err))
	case err != nil && e.Junk == nil:
		return Entry{}, l.explain(ctx, at, l.corrupt("read", pos, err))
	}
	if err := checkSeen(at, e.Head); err != nil {
		return Entry{}, err
	}
	t, authentic, err := l.authenticate(ctx, d.term, e.Pos, d.data)
	if err != nil {
		return Entry{}, err
	}
	if e.Kind == Tombstone {
		if !authentic {
			return Entry{}, l.explain(ctx, at, l.corrupt("read", pos, ErrForged))
		}
		return Entry{}, l.explain(ctx, at, fmt.Errorf("eventlog: read %s: %w", l.entryName(pos), ErrEnded))
	}
	l.advance(e.Head, t, authentic)
	return e, nil
}

// explain returns err, or ErrTrimmed if that is the reason for it: where the log
// is being trimmed and written into the trimmed past, anything may be read.
func (l *Log) explain(ctx context.Context, at standing, err error) error {
	if l.fresh(at, l.now()) {
		return err
	}
	if v := l.vouch(ctx, at.head); errors.Is(v, ErrTrimmed) {
		return v
	}
	return err
}

// reachEnd is called when the position after the head was free. It reports
// whether there is more to read all the same.
func (l *Log) reachEnd(ctx context.Context, w window) (more bool, err error) {
	at := l.standing()
	if !at.settled || w.gap {
		if more, err := l.checkGap(ctx, at); more || err != nil {
			return more, err
		}
	}
	if at.head.Pos < at.seen.Pos {
		return false, fmt.Errorf("eventlog: log ends at entry %d, before entry %d that was seen: %w",
			at.head.Pos, at.seen.Pos, ErrRolledBack)
	}
	if l.sealer.ring != nil && at.term.gen != 0 {
		return false, fmt.Errorf("eventlog: %s is the last entry: %w", l.entryName(at.head.Pos), ErrNotInEffect)
	}
	l.settle(w.start)
	return false, nil
}

// checkGap tells the end of the log from a gap in it, and from a log that was
// trimmed while it was read: nothing is listed after the head, and the entry at
// which the reading began is there still.
func (l *Log) checkGap(ctx context.Context, at standing) (more bool, err error) {
	from := at.head
	if !at.settled {
		from = at.anchor
	}
	var later Position
	var listErr error
	var wg sync.WaitGroup
	wg.Go(func() { later, listErr = l.nextListed(ctx, at.head.Pos) })
	err = l.vouch(ctx, from)
	wg.Wait()
	if err = errors.Join(err, listErr); err != nil || later == 0 {
		return false, err
	}
	next := at.head.Pos + 1
	if there, err := l.exists(ctx, l.entryName(next)); err != nil || there {
		return there, err // it was created after we looked
	}
	if at.head.Pos == 0 {
		return false, fmt.Errorf("eventlog: %s, the first entry, is gone: %w", l.entryName(next), ErrTrimmed)
	}
	if err := l.vouch(ctx, at.head); err != nil {
		return false, err
	}
	return false, l.corrupt("read", next, fmt.Errorf("%w, but entry %d is there", errMissing, later))
}

// nextListed returns the first position listed after p, or 0.
func (l *Log) nextListed(ctx context.Context, p Position) (Position, error) {
	after := ""
	if p > 0 {
		after = l.entryName(p)
	}
	for info, err := range l.store.List(ctx, l.prefix+entryFolder, after) {
		if err != nil {
			return 0, fmt.Errorf("eventlog: list entries: %w", err)
		}
		if next, ok := l.parsePosition(entryFolder, info.Name); ok {
			return next, nil // Check reports other names
		}
	}
	return 0, nil
}
