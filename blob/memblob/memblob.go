// Package memblob is a blob.Store in memory: for tests, for examples, and for
// anything that may be lost with the process.
//
// It keeps every promise of package blob but durability, and it keeps them as
// strictly as any other store: names are checked, one Create wins, and a reader
// sees whole objects. A test that passes here finds the same semantics on a
// disk or in a bucket.
//
// The objects stand in an immutable tree of which a [Store] holds the root. A
// change makes a new root; a listing walks the root it began with and holds no
// lock while the caller's loop body runs; [Store.Clone] costs one pointer. A
// clone is what a crash leaves behind: take one at any moment, open the code
// under test on it, and see whether it comes up.
//
// Read package blob for the contract, and blobtest for wrappers that lose
// answers and count requests.
package memblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Store)(nil)

// Store is a blob.Store in memory. Its zero value is an empty store. It is safe
// for concurrent use and must not be copied; see [Store.Clone].
type Store struct {
	mu    sync.Mutex // guards the fields below; nothing is called while it is held
	root  *node      // the nodes themselves never change
	count int
	bytes int64
}

// New returns an empty store.
func New() *Store {
	return &Store{}
}

// Clone returns a second store that holds what s holds at this moment. Later
// changes of one are not seen by the other. It costs a few words of memory,
// however much s holds.
func (s *Store) Clone() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Store{root: s.root, count: s.count, bytes: s.bytes}
}

// Len returns how many objects the store holds.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Bytes returns the sum of the sizes of all objects; names are not counted.
func (s *Store) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	if err := check(ctx, "create", name); err != nil {
		return err
	}
	if find(s.tree(), name) != nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	data, err := io.ReadAll(&reader{ctx: ctx, r: r})
	if err == nil {
		err = ctx.Err() // r may have yielded its last byte and been cancelled since
	}
	if err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	if !s.insert(newNode(name, fit(data))) {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return nil
}

// Open implements blob.Store. An object deleted while it is read yields all its
// bytes. ctx covers the call alone, not the reader.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, "open", name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("negative offset")}
	}
	nd := find(s.tree(), name)
	if nd == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	data := nd.data[min(off, int64(len(nd.data))):]
	if n >= 0 {
		data = data[:min(n, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := check(ctx, "stat", name); err != nil {
		return blob.Info{}, err
	}
	nd := find(s.tree(), name)
	if nd == nil {
		return blob.Info{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return nd.info(), nil
}

// List implements blob.Store. It lists the objects of the moment at which the
// loop began.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		broken := false // the caller left the loop
		ascend(s.tree(), prefix, after, func(nd *node) bool {
			if ctx.Err() != nil {
				return false
			}
			broken = !yield(nd.info(), nil)
			return !broken
		})
		if err := ctx.Err(); err != nil && !broken {
			yield(blob.Info{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, &fs.PathError{Op: "delete", Path: name, Err: err})...)
		}
		if err := blob.CheckName(name); err != nil {
			errs = append(errs, fmt.Errorf("delete: %w", err))
			continue
		}
		s.remove(name)
	}
	return errors.Join(errs...)
}

// tree returns the root of this moment.
func (s *Store) tree() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root
}

// insert adds nd and reports whether its name was free.
func (s *Store) insert(nd *node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if find(s.root, nd.name) != nil {
		return false
	}
	s.root = insert(s.root, nd)
	s.count++
	s.bytes += int64(len(nd.data))
	return true
}

// remove takes name out, if it is there.
func (s *Store) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nd := find(s.root, name)
	if nd == nil {
		return
	}
	s.root = remove(s.root, name)
	s.count--
	s.bytes -= int64(len(nd.data))
}

// check is what every method that takes a name begins with.
func check(ctx context.Context, op, name string) error {
	if err := blob.CheckName(name); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// reader reads r until ctx is cancelled.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// fit returns data in memory of its own size: io.ReadAll leaves up to as much
// again unused.
func fit(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return bytes.Clone(data)
	}
	return data
}
