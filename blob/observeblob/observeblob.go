// Package observeblob watches the calls on a [blob.Store]: which method on which
// kind of object, how it ended, how long it took and how many bytes it moved.
//
// The kind is taken from where an object's name stands in the tree of a letterlock
// store (docs/format.md). Names themselves are not told.
package observeblob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// Wrap returns a store whose calls h is told of. Without an observer and a tracer
// it is the store itself.
func Wrap(s blob.Store, h observe.Hooks) blob.Store {
	if !h.Watched() && !h.Traced() {
		return s
	}
	return &watched{s, h}
}

type watched struct {
	inner blob.Store
	hooks observe.Hooks
}

// KindOf returns the kind of object that a name, or the prefix of a listing, is of.
func KindOf(name string) observe.Kind {
	first, rest, _ := strings.Cut(name, "/")
	if first == "acct" {
		_, rest, _ = strings.Cut(rest, "/")
		first, _, _ = strings.Cut(rest, "/")
	}
	switch first {
	case "body":
		return observe.KindBody
	case "log":
		return observe.KindEntry
	case "snap":
		return observe.KindSnapshot
	case "pack":
		return observe.KindPack
	case "slot":
		return observe.KindSlot
	case "key":
		return observe.KindKey
	case "name":
		return observe.KindName
	case "wake":
		return observe.KindWake
	case "store":
		return observe.KindStore
	}
	return observe.KindOther
}

func result(err error) observe.Result {
	switch {
	case err == nil:
		return observe.OK
	case errors.Is(err, fs.ErrExist):
		return observe.Taken
	case errors.Is(err, fs.ErrNotExist):
		return observe.Missing
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return observe.Canceled
	}
	return observe.Failed
}

// call is one that is under way.
type call struct {
	hooks observe.Hooks
	req   observe.Request
	begun time.Time
	end   func(bool)
}

func (w *watched) begin(ctx context.Context, op observe.Op, name string) (context.Context, *call) {
	c := &call{hooks: w.hooks, req: observe.Request{Op: op, Kind: KindOf(name)}, begun: time.Now(), end: func(bool) {}}
	if w.hooks.Traced() {
		ctx, c.end = w.hooks.Start(ctx, "store "+op.String()+" "+c.req.Kind.String())
	}
	return ctx, c
}

// finish tells. A name that is taken or missing is an answer and no failure.
func (c *call) finish(err error) {
	c.req.Result = result(err)
	c.end(c.req.Result == observe.Failed)
	if c.hooks.Observer != nil {
		c.hooks.Observer.Request(c.req)
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += int64(n)
	return n, err
}

func (w *watched) Create(ctx context.Context, name string, r io.Reader) error {
	ctx, c := w.begin(ctx, observe.Create, name)
	err := w.inner.Create(ctx, name, counted{r, &c.req.Bytes})
	c.req.Time = time.Since(c.begun)
	c.finish(err)
	return err
}

func (w *watched) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	ctx, c := w.begin(ctx, observe.Open, name)
	r, err := w.inner.Open(ctx, name, off, n)
	c.req.Time = time.Since(c.begun)
	if err != nil {
		c.finish(err)
		return nil, err
	}
	return &reader{ReadCloser: r, call: c}, nil
}

// reader tells when it is closed, for the first time.
type reader struct {
	io.ReadCloser
	call   *call
	failed error
	closed bool
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.call.req.Bytes += int64(n)
	if err != nil && err != io.EOF {
		r.failed = err
	}
	return n, err
}

func (r *reader) Close() error {
	err := r.ReadCloser.Close()
	if !r.closed {
		r.closed = true
		r.call.finish(r.failed)
	}
	return err
}

func (w *watched) Stat(ctx context.Context, name string) (blob.Info, error) {
	ctx, c := w.begin(ctx, observe.Stat, name)
	info, err := w.inner.Stat(ctx, name)
	c.req.Time = time.Since(c.begun)
	c.finish(err)
	return info, err
}

func (w *watched) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		ctx, c := w.begin(ctx, observe.List, prefix)
		var failed error
		defer func() {
			c.req.Time += time.Since(c.begun)
			c.finish(failed)
		}()
		for info, err := range w.inner.List(ctx, prefix, after) {
			c.req.Time += time.Since(c.begun)
			if failed = err; err == nil {
				c.req.Names++
			}
			more := yield(info, err)
			c.begun = time.Now()
			if !more {
				return
			}
		}
	}
}

func (w *watched) Delete(ctx context.Context, names ...string) error {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	ctx, c := w.begin(ctx, observe.Delete, first)
	err := w.inner.Delete(ctx, names...)
	c.req.Time, c.req.Names = time.Since(c.begun), len(names)
	c.finish(err)
	return err
}
