package blobtest

import (
	"context"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Canary)(nil)

// MinRun is the length in bytes of the shortest run of a plaintext that a Canary
// notices.
const MinRun = 8

// Canary is a store that fails a test when plaintext reaches it: any run of
// MinRun bytes of the plaintexts it was told of, in the bytes of an object or in
// a name, as it stands, in lower case, as UTF-16 (of ASCII), or encoded in hex, base32 or
// base64, at any alignment and across any two reads.
//
// Runs with fewer than 4 different bytes are not looked for: spaces, dashes and
// zeros are everywhere. Compressed plaintext is not recognised.
type Canary struct {
	inner blob.Store
	tb    testing.TB

	mu      sync.RWMutex // guards needles
	needles needles
	scanned atomic.Int64
}

// NewCanary returns inner, watched for the plaintexts until the end of tb's test.
// A leak is an error of tb that names the operation, the object and the offset,
// and not the plaintext; the call goes on. The test fails also if at its end the
// canary had nothing to look for, or nothing to look at.
//
// Each byte of plaintext costs about 3 KB of memory, so give it a few thousand
// bytes that are typical, not a mailbox.
func NewCanary(tb testing.TB, inner blob.Store, plaintexts ...[]byte) *Canary {
	c := &Canary{inner: inner, tb: tb, needles: needles{}}
	c.Watch(plaintexts...)
	tb.Cleanup(func() {
		c.mu.RLock()
		defer c.mu.RUnlock()
		if len(c.needles) == 0 {
			tb.Errorf("canary: it was given no plaintext to look for")
		}
		if c.scanned.Load() == 0 {
			tb.Errorf("canary: no bytes reached the store")
		}
	})
	return c
}

// Watch adds plaintexts to look for from now on. Those shorter than MinRun, or
// without a run of enough different bytes, fail the test: they would be watched
// in vain.
func (c *Canary) Watch(plaintexts ...[]byte) {
	c.tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range plaintexts {
		if !c.needles.add(p) {
			c.tb.Errorf("canary: plaintext %d of %d bytes has no run of %d bytes to look for", i, len(p), MinRun)
		}
	}
}

// name looks at a name on its way to the store.
func (c *Canary) name(op Op, name string) {
	c.tb.Helper()
	var w window
	c.scan(&w, []byte(name), func(at int64, form string) {
		c.tb.Errorf("canary: %s: plaintext (%s) in a name of %d bytes, up to byte %d", op, form, len(name), at)
	})
}

// scan looks at bytes that follow those that w has seen, and reports the first
// leak in them.
func (c *Canary) scan(w *window, p []byte, leak func(at int64, form string)) {
	c.mu.RLock()
	at, form := c.needles.find(w, p)
	c.mu.RUnlock()
	if form != "" {
		leak(at, form)
	}
}

// Create implements blob.Store.
func (c *Canary) Create(ctx context.Context, name string, r io.Reader) error {
	c.tb.Helper()
	c.name(OpCreate, name)
	return c.inner.Create(ctx, name, &canaryReader{r: r, c: c, name: name})
}

// Open implements blob.Store.
func (c *Canary) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	c.tb.Helper()
	c.name(OpOpen, name)
	return c.inner.Open(ctx, name, off, n)
}

// Stat implements blob.Store.
func (c *Canary) Stat(ctx context.Context, name string) (blob.Info, error) {
	c.tb.Helper()
	c.name(OpStat, name)
	return c.inner.Stat(ctx, name)
}

// List implements blob.Store.
func (c *Canary) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	c.tb.Helper()
	c.name(OpList, prefix)
	c.name(OpList, after)
	return c.inner.List(ctx, prefix, after)
}

// Delete implements blob.Store.
func (c *Canary) Delete(ctx context.Context, names ...string) error {
	c.tb.Helper()
	for _, name := range names {
		c.name(OpDelete, name)
	}
	return c.inner.Delete(ctx, names...)
}

// canaryReader looks at what is read through it.
type canaryReader struct {
	r      io.Reader
	c      *Canary
	name   string
	w      window
	leaked bool // one report for each object is enough
}

func (r *canaryReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.c.scanned.Add(int64(n))
	if !r.leaked {
		r.c.scan(&r.w, p[:n], func(at int64, form string) {
			r.leaked = true
			r.c.tb.Errorf("canary: create %s: plaintext (%s) up to byte %d", r.name, form, at)
		})
	}
	return n, err
}
