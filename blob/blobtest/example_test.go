package blobtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// mapStore is a store of your own, as small as one can be: a map and a lock.
type mapStore struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// TestMapStore is all it takes to see whether it keeps the contract.
func TestMapStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) (a, b blob.Store) {
		s := &mapStore{objects: map[string][]byte{}}
		return s, s // a store of many processes would be opened twice
	})
}

func (s *mapStore) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.check(ctx, "create", name); err != nil {
		return err
	}
	var data bytes.Buffer
	for {
		if err := ctx.Err(); err != nil { // between two reads
			return fmt.Errorf("create %s: %w", name, err)
		}
		_, err := io.CopyN(&data, r, 64<<10)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.objects[name]; taken {
		return fmt.Errorf("create %s: %w", name, fs.ErrExist)
	}
	s.objects[name] = data.Bytes()
	return nil
}

func (s *mapStore) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	data, err := s.get(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("open %s: negative offset", name)
	}
	data = data[min(off, int64(len(data))):]
	if n >= 0 {
		data = data[:min(n, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s *mapStore) Stat(ctx context.Context, name string) (blob.Info, error) {
	data, err := s.get(ctx, "stat", name)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Name: name, Size: int64(len(data))}, nil
}

func (s *mapStore) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		s.mu.Lock()
		objects := maps.Clone(s.objects) // the loop body may call the store
		s.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			if !strings.HasPrefix(name, prefix) || name <= after {
				continue
			}
			if ctx.Err() != nil {
				break
			}
			if !yield(blob.Info{Name: name, Size: int64(len(objects[name]))}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(blob.Info{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

func (s *mapStore) Delete(ctx context.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		if err := s.check(ctx, "delete", name); err != nil {
			errs = append(errs, err)
			continue
		}
		s.mu.Lock()
		delete(s.objects, name)
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (s *mapStore) check(ctx context.Context, op, name string) error {
	if err := blob.CheckName(name); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}

func (s *mapStore) get(ctx context.Context, op, name string) ([]byte, error) {
	if err := s.check(ctx, op, name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s %s: %w", op, name, fs.ErrNotExist)
	}
	return data, nil
}

// An answer that is lost is not a call that did not happen.
func ExampleFaulty() {
	ctx := context.Background()
	lost := blobtest.Fault{After: blobtest.ErrInjected}
	s := blobtest.NewFaulty(memblob.New(), blobtest.Nth(blobtest.OpCreate, 1, lost))
	fmt.Println(s.Create(ctx, "log/1", strings.NewReader("first")))
	fmt.Println(s.Create(ctx, "log/1", strings.NewReader("again")))
	fmt.Println(s.Stat(ctx, "log/1"))
	// Output:
	// create log/1: injected fault
	// create log/1: file already exists
	// {log/1 5} <nil>
}
