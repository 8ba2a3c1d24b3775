package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Flipping)(nil)

// Flipping is a store that damages what is read: of each object the first read
// yields one byte with a flipped bit, as a bad wire would, and later ones yield
// what is kept. A caller that reads an object again before it calls it damaged
// does not notice.
type Flipping struct {
	blob.Store

	mu      sync.Mutex // guards what follows
	flipped map[string]bool
	only    func(name string) bool
	at      int64
	seen    bool
}

// NewFlipping returns inner, which flips nothing yet.
func NewFlipping(inner blob.Store) *Flipping {
	return &Flipping{Store: inner}
}

// Flip makes the next read of each object that only allows yield a flipped bit in
// the byte at an offset of the range that is read, or in its last byte if the
// range has fewer. A nil only allows all.
func (f *Flipping) Flip(at int64, only func(name string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flipped, f.only, f.at = map[string]bool{}, only, at
}

// Notice makes reads that are damaged end with blob.ErrDamaged, as those of a store
// with checksums.
func (f *Flipping) Notice() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = true
}

// Flipped returns how many objects were damaged since Flip was called.
func (f *Flipping) Flipped() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flipped)
}

// Open implements blob.Store.
func (f *Flipping) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := f.Store.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flipped == nil || f.flipped[name] || f.only != nil && !f.only(name) {
		return r, nil
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if len(data) > 0 {
		f.flipped[name] = true
		data[min(f.at, int64(len(data)-1))] ^= 1
		if f.seen {
			return io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)-1]), damaged{name})), nil
		}
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// damaged is the end of a read that the store saw to be damaged.
type damaged struct{ name string }

func (d damaged) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: blob.ErrDamaged}
}
