package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/letterlock/letterlock/blob"
)

// batch is the calls that go into one entry.
type batch[S any] struct {
	c     *Committer[S]
	calls []*commitCall[S] // taken from the queue; some may have been told already
}

// plan is what the calls of a batch decided on one state: the entry, if anybody
// wants one, and what each call is told once it is committed.
type plan[S any] struct {
	state   S
	records [][]byte
	size    int // of the records, encoded
	answers []answer[S]
}

type answer[S any] struct {
	call *commitCall[S]
	err  error
}

// run appends one entry for the batch, deciding anew as often as another entry
// wins. It returns why the calls that are left failed.
func (b *batch[S]) run(ctx context.Context) error {
	report := CommitReport{Delivered: b.c.opts.Kind == Delivered}
	onCommit := b.c.opts.OnCommit
	if onCommit == nil {
		return b.append(ctx, &report)
	}
	begun := time.Now()
	err := b.append(ctx, &report)
	if err != nil || report.Records > 0 {
		report.Err, report.Time = err, time.Since(begun)
		onCommit(report)
	}
	return err
}

// append is run, and records what it did.
func (b *batch[S]) append(ctx context.Context, report *CommitReport) error {
	c := b.c
	trimmed := 0
	for attempt := 0; ; attempt++ {
		b.takeQueue()
		base, err := c.base()
		if err != nil {
			return err
		}
		p := b.decide(ctx, base)
		if len(p.records) == 0 {
			return nil // all were told
		}
		entry, err := c.log.Append(b.freeing(ctx), c.opts.Kind, p.records...)
		switch {
		case err == nil:
			report.Records, report.Bytes = len(p.records), entry.Size
			c.note(entry)
			c.publish(&published[S]{p.state, entry.Head})
			for _, a := range p.answers {
				a.call.tell(entry.Head, a.err)
			}
			return nil
		case errors.Is(err, ErrUnknownOutcome): // whatever else it is
			return err
		case errors.Is(err, ErrTrimmed):
			if trimmed++; trimmed == reloads {
				return err
			}
			err = c.reload(ctx)
		case errors.Is(err, ErrConflict):
			report.Conflicts++
			if attempt > 0 {
				if err := pause(ctx, attempt, conflictDelay, conflictDelayMax); err != nil {
					return err
				}
			}
			err = c.read(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// freeing returns ctx, which is the leader's, as one of [blob.Freeing] if that of
// any call is one.
func (b *batch[S]) freeing(ctx context.Context) context.Context {
	for _, call := range b.calls {
		if blob.IsFreeing(call.ctx) {
			return blob.Freeing(ctx)
		}
	}
	return ctx
}

// takeQueue takes all calls that wait. From here on their callers do not leave
// the batch without an answer.
func (b *batch[S]) takeQueue() {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.calls = append(b.calls, b.c.queue...)
	b.c.queue = nil
}

// decide asks the calls in order, each on the state that those before it made.
// A call that was answered on the published state alone is told at once, one that
// was answered on a state which is not in the log yet is told when it is. Calls
// that no longer fit go back to the queue.
func (b *batch[S]) decide(ctx context.Context, base *published[S]) plan[S] {
	p := plan[S]{state: base.state, size: recordsSize(nil)}
	for i, call := range b.calls {
		if call.told {
			continue
		}
		if err := call.ctx.Err(); err != nil {
			call.tell(Head{}, err)
			continue
		}
		record, err := call.decideFor(p.state, base.head.Pos+1)
		if call.panicked != nil {
			call.tell(Head{}, nil)
			continue
		}
		if err == nil && record != nil {
			if p.full(record) {
				b.putBack(i)
				break
			}
			err = p.add(ctx, b.c, base.head.Pos+1, record)
		}
		if len(p.records) == 0 {
			call.tell(base.head, err)
			continue
		}
		p.answers = append(p.answers, answer[S]{call, err})
	}
	return p
}

// full reports whether a record must wait for the next entry.
func (p *plan[S]) full(record []byte) bool {
	return len(p.records) > 0 && len(record) <= MaxRecord && p.size+recordOverhead+len(record) > maxRecords
}

// add applies a record to the state of the plan.
func (p *plan[S]) add(ctx context.Context, c *Committer[S], at Position, record []byte) error {
	if len(record) > MaxRecord {
		return fmt.Errorf("eventlog: commit: record of %d bytes, limit %d: %w", len(record), MaxRecord, ErrTooLarge)
	}
	next, err := c.model.Apply(ctx, p.state, at, c.opts.Kind, record)
	if err != nil {
		return err
	}
	p.state = next
	p.records = append(p.records, record)
	p.size += recordOverhead + len(record)
	return nil
}

// putBack returns the calls from i on to the front of the queue.
func (b *batch[S]) putBack(i int) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.c.queue = append(slices.Clone(b.calls[i:]), b.c.queue...)
	b.calls = b.calls[:i]
}

// fail tells all who were not told.
func (b *batch[S]) fail(err error) {
	for _, call := range b.calls {
		if !call.told {
			call.tell(Head{}, err)
		}
	}
}

// tell ends the wait of a call.
func (call *commitCall[S]) tell(head Head, err error) {
	if err != nil {
		head = Head{}
	}
	call.head, call.err, call.told = head, err, true
	close(call.done)
}
