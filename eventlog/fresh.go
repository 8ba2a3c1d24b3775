package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"
)

// This file holds the one argument about time. Whoever knows that the position
// after its head was free at a time t also knows that nothing after its head is
// trimmed before t + Grace: only what a snapshot covers is trimmed, the snapshot
// was stamped when its entry was there, so after t, and must be Grace old. Within
// a quarter of Grace, answers from the store can therefore be taken as they are;
// the rest is for clocks that disagree. After that, and before the end of the log
// was reached at all, an answer counts only if the head's own entry is seen in
// the store after it: entries are trimmed in ascending order, so nothing behind an
// entry that is there was ever trimmed. docs/format-log.md has it in full.

// since returns how long ago from is at now: the larger of the distances on the
// wall clock, which may be set, and the monotonic one, which stops in a suspended
// machine. It returns the longest duration if a clock went backwards.
func since(now, from time.Time) time.Duration {
	return distance(now.Round(0).Sub(from.Round(0)), now.Sub(from))
}

func distance(wall, monotonic time.Duration) time.Duration {
	if wall < 0 || monotonic < 0 {
		return math.MaxInt64
	}
	return max(wall, monotonic)
}

// fresh reports whether an answer that has arrived by now can be taken as it is.
func (l *Log) fresh(at standing, now time.Time) bool {
	return at.settled && since(now, at.quiet) <= l.grace/4
}

// vouch makes sure that answers about positions after head, all of which have
// arrived, were not about a trimmed past: head's entry must still be in the
// store. It must be that entry and not just one of its name, which another
// frozen writer may have left. Before entry 1 there is nothing to look at.
func (l *Log) vouch(ctx context.Context, head Head) error {
	if head.Pos == 0 {
		return nil
	}
	_, hash, err := l.fetchHash(ctx, head.Pos)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || hash != head.Hash {
		l.clearPending(ctx, head)
		return fmt.Errorf("eventlog: %s, the entry of the head, is gone: %w", l.entryName(head.Pos), ErrTrimmed)
	}
	return nil
}

// Moved reports whether there is something to read after the head. It costs one
// Stat, and after a long silence one more read. True after such a silence may
// also mean that the log was trimmed beyond the head: Read tells.
func (l *Log) Moved(ctx context.Context) (bool, error) {
	at := l.standing()
	start := l.now()
	_, err := l.store.Stat(ctx, l.entryName(at.head.Pos+1))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("eventlog: look after the head: %w", err)
	}
	if !l.fresh(at, l.now()) && at.head.Pos > 0 {
		_, hash, err := l.fetchHash(ctx, at.head.Pos)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if hash != at.head.Hash {
			return true, nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.head == at.head && l.at.settled && start.After(l.at.quiet) {
		l.at.quiet = start
	}
	return false, nil
}
