package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Slow)(nil)

// namesPerRequest is how many names one request of a listing or a delete moves.
const namesPerRequest = 1000

// Slow is a store of which each request takes a while, as one at a distance does,
// however many are under way. In a bubble of package testing/synctest the waiting
// costs no time, and the clock tells exactly how many requests were made one after
// the other.
type Slow struct {
	inner   blob.Store
	latency time.Duration

	mu    sync.Mutex // guards what follows
	under int        // requests under way
	most  int
}

// NewSlow returns inner, whose requests take latency each. A listing and a delete
// make a request for each thousand names.
func NewSlow(inner blob.Store, latency time.Duration) *Slow {
	return &Slow{inner: inner, latency: latency}
}

// Most returns how many requests were under way at once, at most.
func (s *Slow) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// request waits as long as a request takes.
func (s *Slow) request(ctx context.Context, op Op, name string) error {
	s.mu.Lock()
	s.under++
	s.most = max(s.most, s.under)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.under--
	}()
	timer := time.NewTimer(s.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", op, name, ctx.Err())
	}
}

// Create implements blob.Store. The request begins when r was read, as a bucket's
// does, which is told the length first.
func (s *Slow) Create(ctx context.Context, name string, r io.Reader) error {
	var data bytes.Buffer
	if blob.CheckName(name) == nil {
		if _, err := data.ReadFrom(untilDone{ctx, r}); err != nil {
			return fmt.Errorf("%s %s: %w", OpCreate, name, err)
		}
	}
	if err := s.request(ctx, OpCreate, name); err != nil {
		return err
	}
	return s.inner.Create(ctx, name, &data)
}

// Open implements blob.Store.
func (s *Slow) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := s.request(ctx, OpOpen, name); err != nil {
		return nil, err
	}
	return s.inner.Open(ctx, name, off, n)
}

// Stat implements blob.Store.
func (s *Slow) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := s.request(ctx, OpStat, name); err != nil {
		return blob.Info{}, err
	}
	return s.inner.Stat(ctx, name)
}

// List implements blob.Store.
func (s *Slow) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		n := 0
		wait := func() bool {
			err := s.request(ctx, OpList, prefix)
			return err == nil || yield(blob.Info{}, err) && false
		}
		if !wait() {
			return
		}
		for info, err := range s.inner.List(ctx, prefix, after) {
			if n++; n > namesPerRequest {
				if n = 1; !wait() {
					return
				}
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements blob.Store.
func (s *Slow) Delete(ctx context.Context, names ...string) error {
	for n := 0; n == 0 || n < len(names); n += namesPerRequest {
		if err := s.request(ctx, OpDelete, ""); err != nil {
			return err
		}
	}
	return s.inner.Delete(ctx, names...)
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
