package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Faulty)(nil)

// Op is what a wrapper sees happen: a call of a method, or of Read on a reader
// that Open returned.
type Op string

// The operations.
const (
	OpCreate Op = "create"
	OpOpen   Op = "open"
	OpRead   Op = "read"
	OpStat   Op = "stat"
	OpList   Op = "list"
	OpDelete Op = "delete"
)

// ErrInjected is an error for faults, for tests that need none of their own.
var ErrInjected = errors.New("injected fault")

// Fault is what becomes of one call. The zero value is no fault.
type Fault struct {
	// Before is returned in place of the call, which is not made.
	Before error
	// After is returned once the call was made, whatever its answer was: the
	// answer is lost. A listing yields After at its end, a Read returns it with no
	// bytes. What Open returned is closed.
	After error
	// Hold, if not nil, keeps the answer of the call back, after it was made,
	// until Hold is closed; or until the context is cancelled, whose error is then
	// the answer. A Read waits for Hold alone.
	Hold <-chan struct{}
}

// Plan decides on a fault for the n-th call of op, counted from 1. name is the
// object, the prefix of a listing, or the first name of a delete ("" if it has
// none). It is called by the goroutine that calls the store and with no lock
// held: a plan may block or sleep to delay the call, and is called from many
// goroutines at once. It is not called for a Read without room for bytes.
type Plan func(op Op, name string, n int) Fault

// Nth plans f for the n-th call of op alone.
func Nth(op Op, n int, f Fault) Plan {
	return func(o Op, _ string, i int) Fault {
		if o == op && i == n {
			return f
		}
		return Fault{}
	}
}

// Every plans f for every call of op.
func Every(op Op, f Fault) Plan {
	return func(o Op, _ string, _ int) Fault {
		if o == op {
			return f
		}
		return Fault{}
	}
}

// Faulty is a store whose calls fail, or lose their answers, as planned.
type Faulty struct {
	inner blob.Store

	mu    sync.Mutex // guards plan and calls
	plan  Plan
	calls map[Op]int
}

// NewFaulty returns inner with the faults of plan; nil plans none.
func NewFaulty(inner blob.Store, plan Plan) *Faulty {
	f := &Faulty{inner: inner}
	f.SetPlan(plan)
	return f
}

// SetPlan replaces the plan and starts to count calls anew.
func (f *Faulty) SetPlan(plan Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.calls = plan, map[Op]int{}
}

// Calls returns how many calls of op there were since the plan was set, those
// that failed included. A test that plans a fault for the n-th call should see
// that there were as many.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// next counts a call and returns its fault.
func (f *Faulty) next(op Op, name string) Fault {
	f.mu.Lock()
	f.calls[op]++
	n, plan := f.calls[op], f.plan
	f.mu.Unlock()
	if plan == nil {
		return Fault{}
	}
	return plan(op, name, n)
}

// before returns the error in place of a call, if there is one.
func (ft Fault) before(op Op, name string) error {
	if ft.Before == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, name, ft.Before)
}

// after returns the answer to a call that answered err.
func (ft Fault) after(ctx context.Context, op Op, name string, err error) error {
	if ft.Hold != nil {
		select {
		case <-ft.Hold:
		case <-ctx.Done():
			err = fmt.Errorf("%s %s: %w", op, name, ctx.Err())
		}
	}
	if ft.After != nil {
		return fmt.Errorf("%s %s: %w", op, name, ft.After)
	}
	return err
}

// Create implements blob.Store.
func (f *Faulty) Create(ctx context.Context, name string, r io.Reader) error {
	ft := f.next(OpCreate, name)
	if err := ft.before(OpCreate, name); err != nil {
		return err
	}
	return ft.after(ctx, OpCreate, name, f.inner.Create(ctx, name, r))
}

// Open implements blob.Store. The reader's calls are subject to the plan too.
func (f *Faulty) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	ft := f.next(OpOpen, name)
	if err := ft.before(OpOpen, name); err != nil {
		return nil, err
	}
	r, err := f.inner.Open(ctx, name, off, n)
	if answer := ft.after(ctx, OpOpen, name, err); answer != nil {
		if err == nil {
			r.Close()
		}
		return nil, answer
	}
	return &faultyBody{ReadCloser: r, f: f, name: name}, nil
}

// Stat implements blob.Store.
func (f *Faulty) Stat(ctx context.Context, name string) (blob.Info, error) {
	ft := f.next(OpStat, name)
	if err := ft.before(OpStat, name); err != nil {
		return blob.Info{}, err
	}
	info, err := f.inner.Stat(ctx, name)
	if err := ft.after(ctx, OpStat, name, err); err != nil {
		return blob.Info{}, err
	}
	return info, nil
}

// List implements blob.Store. A call is counted when its loop begins.
func (f *Faulty) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		ft := f.next(OpList, prefix)
		if err := ft.before(OpList, prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		for info, err := range f.inner.List(ctx, prefix, after) {
			if !yield(info, err) || err != nil {
				return
			}
		}
		if err := ft.after(ctx, OpList, prefix, nil); err != nil {
			yield(blob.Info{}, err)
		}
	}
}

// Delete implements blob.Store. It is one call, however many names it has.
func (f *Faulty) Delete(ctx context.Context, names ...string) error {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	ft := f.next(OpDelete, first)
	if err := ft.before(OpDelete, first); err != nil {
		return err
	}
	return ft.after(ctx, OpDelete, first, f.inner.Delete(ctx, names...))
}

// faultyBody is a reader whose reads fail as planned.
type faultyBody struct {
	io.ReadCloser
	f    *Faulty
	name string
}

func (b *faultyBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return b.ReadCloser.Read(p)
	}
	ft := b.f.next(OpRead, b.name)
	if err := ft.before(OpRead, b.name); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	answer := ft.after(context.Background(), OpRead, b.name, err)
	if ft.After != nil {
		n = 0
	}
	return n, answer
}
