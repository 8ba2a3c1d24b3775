package blobtest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Counting)(nil)

// Count is what calls amount to.
type Count struct {
	// Calls of a method, those that failed included. A listing is one, though a
	// bucket may need a request for each thousand names.
	Calls int
	// Names that a listing yielded or a delete was given; 0 for other operations.
	Names int
	// Bytes that a Create read from its reader, or a caller from what Open
	// returned; 0 for other operations.
	Bytes int64
}

func (c Count) add(d Count) Count {
	return Count{Calls: c.Calls + d.Calls, Names: c.Names + d.Names, Bytes: c.Bytes + d.Bytes}
}

// Class is what calls are counted by.
type Class struct {
	Op   Op     // never OpRead: what is read counts for OpOpen
	Name string // what the function of NewCounting made of the object's name
}

// Counting is a store that counts what goes through it, for tests and benchmarks
// that hold a number of requests to a budget.
type Counting struct {
	inner    blob.Store
	classify func(name string) string

	mu     sync.Mutex // guards counts
	counts map[Class]Count
}

// NewCounting returns inner, counted by operation and by classify of the name:
// that of the object, the prefix of a listing, or the first name of a delete (""
// if it has none). A nil classify takes the first segment: "log" of "log/0001".
func NewCounting(inner blob.Store, classify func(name string) string) *Counting {
	if classify == nil {
		classify = func(name string) string {
			first, _, _ := strings.Cut(name, "/")
			return first
		}
	}
	return &Counting{inner: inner, classify: classify, counts: map[Class]Count{}}
}

// Reset forgets what was counted.
func (c *Counting) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.counts)
}

// All returns the counts of all classes that had any call.
func (c *Counting) All() map[Class]Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// Total returns the count of an operation on all names.
func (c *Counting) Total(op Op) Count {
	var sum Count
	for class, count := range c.All() {
		if class.Op == op {
			sum = sum.add(count)
		}
	}
	return sum
}

// String returns a table of all counts, sorted, for a test's log.
func (c *Counting) String() string {
	all := c.All()
	classes := slices.SortedFunc(maps.Keys(all), func(a, b Class) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Name, b.Name))
	})
	var sb strings.Builder
	for _, class := range classes {
		n := all[class]
		fmt.Fprintf(&sb, "%-6s %-12s %6d calls %8d names %12d bytes\n", class.Op, class.Name, n.Calls, n.Names, n.Bytes)
	}
	return sb.String()
}

func (c *Counting) count(op Op, name string, d Count) {
	class := Class{Op: op, Name: c.classify(name)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[class] = c.counts[class].add(d)
}

// Create implements blob.Store.
func (c *Counting) Create(ctx context.Context, name string, r io.Reader) error {
	c.count(OpCreate, name, Count{Calls: 1})
	return c.inner.Create(ctx, name, &countingReader{Reader: r, c: c, op: OpCreate, name: name})
}

// Open implements blob.Store.
func (c *Counting) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	c.count(OpOpen, name, Count{Calls: 1})
	r, err := c.inner.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&countingReader{Reader: r, c: c, op: OpOpen, name: name}, r}, nil
}

// Stat implements blob.Store.
func (c *Counting) Stat(ctx context.Context, name string) (blob.Info, error) {
	c.count(OpStat, name, Count{Calls: 1})
	return c.inner.Stat(ctx, name)
}

// List implements blob.Store. A call is counted when its loop begins.
func (c *Counting) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		c.count(OpList, prefix, Count{Calls: 1})
		for info, err := range c.inner.List(ctx, prefix, after) {
			if err == nil {
				c.count(OpList, prefix, Count{Names: 1})
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements blob.Store.
func (c *Counting) Delete(ctx context.Context, names ...string) error {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	c.count(OpDelete, first, Count{Calls: 1, Names: len(names)})
	return c.inner.Delete(ctx, names...)
}

// countingReader counts the bytes read through it.
type countingReader struct {
	io.Reader
	c    *Counting
	op   Op
	name string
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.c.count(r.op, r.name, Count{Bytes: int64(n)})
	return n, err
}
