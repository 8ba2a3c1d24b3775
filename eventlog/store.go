package eventlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/internal/jitter"
)

// How a create whose answer is not known is tried again: about five seconds in
// all, enough for a connection to be made anew, short enough for a caller who
// waits to be told.
const (
	putAttempts = 10
	putDelay    = 10 * time.Millisecond
	putDelayMax = 2 * time.Second
)

// outcome is what put found out.
type outcome struct {
	stored bool // our bytes are in the store; if not, other bytes have the name
	doubt  bool // the answer to an earlier try was lost
}

// put creates an object and finds out what became of it: an error of Create but
// fs.ErrExist says nothing, and fs.ErrExist may be about our own bytes, if the
// answer to an earlier try was lost on the way. So the name is read back, and the
// same bytes are put again if nothing is there; but not by one who stood still,
// because what is free now may have been trimmed, and nobody could tell the second
// object from the first. The error matches ErrUnknownOutcome if the outcome is not
// known in the end. A store that is sure to have created nothing is believed, and
// not asked again: waiting does not empty a disk.
func (l *Log) put(ctx context.Context, name string, data []byte) (outcome, error) {
	var out outcome
	start := l.now()
	for attempt := 0; ; attempt++ {
		err := l.store.Create(ctx, name, bytes.NewReader(data))
		if err == nil {
			out.stored = true
			return out, nil
		}
		if errors.Is(err, blob.ErrNotCreated) && !out.doubt {
			return out, fmt.Errorf("eventlog: %w", err)
		}
		out.doubt = out.doubt || !errors.Is(err, fs.ErrExist)
		same, readErr := l.same(ctx, name, data)
		if readErr == nil && (!same || errors.Is(err, fs.ErrExist)) {
			out.stored = same
			return out, nil
		}
		// Our bytes may be there. What acknowledges them is a Create that says so, by
		// fs.ErrExist (see blob.Store): one whose answer is never lost.
		if ctx.Err() == nil && attempt < putAttempts-1 {
			if pause(ctx, attempt, putDelay, putDelayMax) == nil && since(l.now(), start) <= l.grace/4 {
				continue
			}
		}
		return out, fmt.Errorf("eventlog: create %s: %w: %w", name, ErrUnknownOutcome, err)
	}
}

// same reports whether the object holds exactly data.
func (l *Log) same(ctx context.Context, name string, data []byte) (bool, error) {
	got, err := l.read(ctx, name, 0, len(data)+1)
	if err != nil {
		return false, err
	}
	return bytes.Equal(got, data), nil
}

// read returns at most n bytes of an object from off on.
func (l *Log) read(ctx context.Context, name string, off, n int) ([]byte, error) {
	r, err := l.store.Open(ctx, name, int64(off), int64(n))
	if err != nil {
		return nil, fmt.Errorf("eventlog: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	err = errors.Join(err, r.Close())
	if errors.Is(err, blob.ErrDamaged) && !blob.IsFresh(ctx) {
		return l.read(blob.Fresh(ctx), name, off, n)
	}
	if err != nil {
		return nil, fmt.Errorf("eventlog: read %s: %w", name, err)
	}
	return data, nil
}

// fetchHash reads an entry object and hashes it. One that is over MaxEntry has
// the hash of its beginning, which no entry has.
func (l *Log) fetchHash(ctx context.Context, p Position) ([]byte, Hash, error) {
	data, err := l.read(ctx, l.entryName(p), 0, MaxEntry+1)
	if err != nil {
		return nil, Hash{}, err
	}
	return data, sha256.Sum256(data), nil
}

// exists reports whether there is an object of that name.
func (l *Log) exists(ctx context.Context, name string) (bool, error) {
	_, err := l.store.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("eventlog: %w", err)
	}
	return true, nil
}

// pause waits before the next attempt: a random part of a delay that doubles, so
// that writers who met once do not meet again.
func pause(ctx context.Context, attempt int, first, most time.Duration) error {
	limit := most
	if attempt < 30 {
		limit = min(most, first<<attempt)
	}
	timer := time.NewTimer(limit/2 + jitter.Duration(ctx, limit/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
