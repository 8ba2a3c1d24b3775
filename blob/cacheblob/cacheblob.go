// Package cacheblob keeps on a local disk what was read of a store at a distance,
// such as a bucket, so that it is asked for once.
//
// It is a [blob.Store] around another one. Ranges of objects that are read to their
// end go into files of a folder, as they are, which for letterlock means encrypted;
// the names of the files are hashes. Reading them again asks the store nothing. When
// the files outgrow a size, those that were not read for longest go.
//
// # What is promised
//
//   - Nothing is lost with the folder: it may be deleted, in parts or as a whole, at
//     any time, and shared by any number of processes.
//   - A file that is damaged, cut or of another object is never served: each 64 KiB
//     have a checksum, and where it fails the bytes come from the store.
//   - A folder that is full, not writable or gone makes reading no worse than without
//     a cache.
//
// # What is not
//
//   - An object that somebody else deleted may be served as long as its file is
//     there. So only objects are to be cached of which that breaks no promise, and
//     whose names are never given to other bytes: [Options.Cacheable] says which. Of
//     letterlock's those are bodies, pages and metadata (mailbox.Cacheable), and not
//     the log, whose end decides who writes next, nor slots, where a token that was
//     revoked must be gone.
//   - The size is exceeded by what was read since the folder was looked through, a
//     sixteenth of it for each process.
package cacheblob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Store)(nil)

// Options adjusts a Store.
type Options struct {
	// Cacheable says which objects are cached, by their names. It must be given.
	Cacheable func(name string) bool
	// Size is how many bytes the files may have together; 0 is 1 GiB. What is larger
	// than an eighth of it is not cached.
	Size int64
}

const defaultSize = 1 << 30

// Store is a blob.Store around another one. It is safe for concurrent use.
type Store struct {
	inner     blob.Store
	dir       string
	size      int64
	cacheable func(string) bool
	trims     sync.WaitGroup
	deletes   atomic.Int64 // calls of Delete that began: what is being read may be gone

	mu       sync.Mutex // protects what follows
	added    int64      // bytes since the folder was looked through
	trimming bool
	closed   bool
}

// Open returns inner with a cache in a folder, which is made if it is missing.
func Open(inner blob.Store, dir string, o Options) (*Store, error) {
	switch {
	case inner == nil:
		return nil, errors.New("cacheblob: no store")
	case o.Cacheable == nil:
		return nil, errors.New("cacheblob: nothing says what to cache")
	case o.Size < 0:
		return nil, fmt.Errorf("cacheblob: a size of %d bytes", o.Size)
	}
	if o.Size == 0 {
		o.Size = defaultSize
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cacheblob: %w", err)
	}
	probe, err := os.CreateTemp(dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("cacheblob: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("cacheblob: %w", err)
	}
	s := &Store{inner: inner, dir: dir, size: o.Size, cacheable: o.Cacheable}
	s.add(s.size) // what is there already may be too much
	return s, nil
}

// Close waits for what goes on in the background. It does not close the store within,
// and the Store still works, without growing.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.trims.Wait()
	return nil
}

// place is where the files of an object are.
type place struct {
	sum    [sha256.Size]byte // of the name
	folder string
	prefix string // of the files' names
}

func (s *Store) place(name string) place {
	p := place{sum: sha256.Sum256([]byte(name))}
	text := hex.EncodeToString(p.sum[:])
	p.folder, p.prefix = filepath.Join(s.dir, text[:3]), text[3:43]+"-"
	return p
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n == 0 || blob.CheckName(name) != nil || !s.cacheable(name) {
		return s.inner.Open(ctx, name, off, n)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	at := s.place(name)
	if blob.IsFresh(ctx) {
		at.remove()
	} else if f, err := at.find(off, n); err == nil {
		return &hit{ctx: ctx, s: s, name: name, file: f, off: off, n: n}, nil
	}
	w := &writer{s: s, place: at, off: off, deletes: s.deletes.Load()}
	r, err := s.inner.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return &miss{ReadCloser: r, w: w, n: n}, nil
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	return s.inner.Create(ctx, name, r)
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	return s.inner.Stat(ctx, name)
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return s.inner.List(ctx, prefix, after)
}

// Delete implements blob.Store. The files of the objects go too.
func (s *Store) Delete(ctx context.Context, names ...string) error {
	s.deletes.Add(1)
	err := s.inner.Delete(ctx, names...)
	for _, name := range names {
		if s.cacheable(name) {
			s.place(name).remove()
		}
	}
	return err
}

// touchAfter is how old the time of a file is when reading it sets the time anew:
// files go in the order of their times.
const touchAfter = time.Minute
