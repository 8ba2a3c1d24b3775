package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// A writer that stood still may find the entry before its own gone. Either it
// created its entry in a past that was trimmed already: a stray. Or it stood
// still between creating and looking, its entry was read and built upon, and then
// trimmed with the entry before. The entry after tells: in a living log that was
// trimmed there was one, it holds the hash of the one before it, and it is deleted
// later.

// fate of an entry of ours whose predecessor is gone.
type fate int

const (
	committed fate = iota // it is, or was, in the log
	stray                 // it is in the trimmed past and nobody ever followed it
	displaced             // another entry had the position
	vanished              // nothing is left to tell
)

// fateOf finds out. It reads the entry after ours first: if that one is deleted
// and ours is seen after, ours was created after the deletion had passed.
func (l *Log) fateOf(ctx context.Context, pos Position, data []byte) (fate, error) {
	next, err := l.read(ctx, l.entryName(pos+1), 0, entryHeadLen)
	followed := err == nil
	switch {
	case err == nil:
		if h, err := parseEntryHeader(next); err == nil && h.prev == hashOf(data) {
			return committed, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	switch same, err := l.same(ctx, l.entryName(pos), data); {
	case err == nil && same:
		return stray, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return 0, err
	case followed:
		return displaced, nil
	}
	return vanished, nil
}

// settleTrimmed decides what an append in the trimmed past came to: nil if it was
// committed. doubt says that an earlier answer to it was lost, so that it may have
// been committed and trimmed even though what is there now is a stray.
func (l *Log) settleTrimmed(ctx context.Context, pos Position, data []byte, doubt bool) error {
	name := l.entryName(pos)
	f, err := l.fateOf(ctx, pos, data)
	if err != nil {
		return fmt.Errorf("eventlog: append %s: %w: %w", name, ErrUnknownOutcome, err)
	}
	switch {
	case f == committed:
		return nil
	case f == vanished, f == stray && doubt:
		if err := l.removeStray(ctx, f, name); err != nil {
			return err
		}
		return fmt.Errorf("eventlog: append %s: log was trimmed meanwhile: %w", name, ErrUnknownOutcome)
	}
	if err := l.removeStray(ctx, f, name); err != nil {
		return err
	}
	return fmt.Errorf("eventlog: append %s: %w", name, ErrTrimmed)
}

func (l *Log) removeStray(ctx context.Context, f fate, name string) error {
	if f != stray {
		return nil
	}
	if err := l.store.Delete(ctx, name); err != nil {
		return fmt.Errorf("eventlog: remove stray entry %s: %w: %w", name, ErrUnknownOutcome, err)
	}
	l.logger.WarnContext(ctx, "removed an entry written into the trimmed past", "name", name)
	return nil
}

// clearPending removes what an append of unknown outcome may have left after a
// head that is gone. If that fails, Trim removes it some day.
func (l *Log) clearPending(ctx context.Context, head Head) {
	p := l.standing().pending
	if p == nil || p.pos != head.Pos+1 {
		return
	}
	f, err := l.fateOf(ctx, p.pos, p.data)
	if err == nil {
		err = l.removeStray(ctx, f, l.entryName(p.pos))
	}
	if err != nil {
		l.logger.WarnContext(ctx, "could not remove a stray entry", "name", l.entryName(p.pos), "err", err)
		return
	}
	l.setPending(nil)
}

func (l *Log) setPending(p *pendingEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at.pending = p
}
