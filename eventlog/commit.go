package eventlog

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// Delays between a lost position and the next attempt at the following one.
const (
	conflictDelay    = time.Millisecond
	conflictDelayMax = 250 * time.Millisecond
)

// commitCall is one Commit that waits.
type commitCall[S any] struct {
	ctx    context.Context
	decide func(context.Context, S, Position) ([]byte, error)
	lead   chan struct{} // closed to make the caller lead
	done   chan struct{} // closed when what follows is set
	led    bool          // lead is closed; protected by Committer.mu
	told   bool          // done is closed; for the batch that holds the call

	head     Head
	err      error
	panicked any
}

// Commit adds the record that decide returns to the log, durable when Commit
// returns nil, and returns the head it made. decide is given the very state that
// its record will be applied to, and the position; it may run several times, when
// another process wins the position, and only the last run counts. It runs in the
// goroutine of some caller of Commit and must not call the Committer except for
// State. If it returns nil and no error there is nothing to write, and Commit
// returns the head of the state that this was decided on, once that is durable.
// That answer, and an error of decide, may rest on a state that other processes
// have moved on from; where that matters, CatchUp first.
//
// Calls that arrive while an append is under way share the next entry, in order
// of arrival; the state that decide sees has the records of those before it. One
// that does not fit goes into the entry after. An error from decide, a panic in
// it, or a record that the model does not apply fails that call only (a panic is
// raised again in its caller).
//
// A call whose ctx ends while it waits returns ctx's error; if it was already
// taken into an entry, the record may still be committed. The caller who leads
// stays until its own record is done, under a context with the Committer's
// Timeout, so that a cancellation never fails others.
//
// Errors: those of decide; [ErrUnknownOutcome], after which the record may or may
// not be in the log; [ErrTooLarge]; [ErrRolledBack]; [CorruptError]; the store's.
// ErrConflict and ErrTrimmed are dealt with here.
func (c *Committer[S]) Commit(ctx context.Context, decide func(ctx context.Context, s S, at Position) (record []byte, err error)) (Head, error) {
	if err := ctx.Err(); err != nil {
		return Head{}, err
	}
	call := &commitCall[S]{ctx: ctx, decide: decide, lead: make(chan struct{}), done: make(chan struct{})}
	c.enqueue(call)
	select {
	case <-call.done:
	case <-call.lead:
		c.leadFor(call)
	case <-ctx.Done():
		if err := c.withdraw(call); err != nil {
			return Head{}, err
		}
	}
	if call.panicked != nil {
		panic(call.panicked)
	}
	return call.head, call.err
}

func (c *Committer[S]) enqueue(call *commitCall[S]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, call)
	if !c.leading {
		c.passLead()
	}
}

// passLead makes the first caller in the queue lead, if there is one. Called with
// the mutex.
func (c *Committer[S]) passLead() {
	c.leading = len(c.queue) > 0
	if c.leading {
		first := c.queue[0]
		first.led = true
		close(first.lead)
	}
}

// withdraw takes a call whose context ended from the queue. It returns nil if the
// call was done in the meantime.
func (c *Committer[S]) withdraw(call *commitCall[S]) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drop(call) {
		if call.led {
			c.passLead()
		}
		return call.ctx.Err()
	}
	select {
	case <-call.done:
		return nil
	default:
		return fmt.Errorf("eventlog: commit was under way and may succeed: %w", call.ctx.Err())
	}
}

// leadFor takes turns until call is done, and then makes another caller lead.
func (c *Committer[S]) leadFor(call *commitCall[S]) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.drop(call) // it is there only if a callback panicked
		c.passLead()
	}()
	for {
		select {
		case <-call.done:
			return
		default:
			c.lead(call)
		}
	}
}

// drop takes a call from the queue. Called with the mutex.
func (c *Committer[S]) drop(call *commitCall[S]) bool {
	i := slices.Index(c.queue, call)
	if i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	return i >= 0
}

// lead takes one turn: one entry, with as much of the queue as fits.
func (c *Committer[S]) lead(leader *commitCall[S]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(leader.ctx), c.opts.Timeout)
	defer cancel()
	b := &batch[S]{c: c}
	err := errors.New("eventlog: commit: a callback did not return")
	defer func() { b.fail(err) }() // whoever is not told, also if something panics
	if turn := c.takeTurn(ctx); turn != nil {
		b.takeQueue()
		err = turn
		return
	}
	defer c.endTurn()
	err = b.run(ctx)
}

// decideFor calls decide and keeps a panic from taking others with it.
func (call *commitCall[S]) decideFor(s S, at Position) (record []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			call.panicked = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
		}
	}()
	return call.decide(call.ctx, s, at)
}
