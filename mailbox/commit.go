package mailbox

import (
	"context"
	"errors"
	"sync"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// commit decides an event on the newest state and appends it. decide may run
// several times and returns nil where there is nothing to do. On return the
// account's state is at the committed position or later. A refusal, and that
// there is nothing to do, is decided on a state that is newer than the call.
//
// When it returns, decide does not run any more, not even for a caller whose ctx
// ended while its record was under way: what decide noted is then of its last run,
// and if that wrote nothing, nothing was or will be written.
func (a *account) commit(ctx context.Context, decide decideFunc) error {
	ctx, end := a.store.opts.Observe.Start(ctx, observe.SpanCommit)
	err := a.commitTraced(ctx, decide)
	end(err != nil)
	return a.explain(err)
}

func (a *account) commitTraced(ctx context.Context, decide decideFunc) error {
	if err := a.store.announced(ctx); err != nil {
		return err
	}
	if a.sinceLook() > a.store.opts.Grace/2 {
		// It stood still: what the state stands on may be collected by now.
		if err := a.catchUp(ctx); err != nil {
			return err
		}
	}
	for {
		d := decision{account: a, decide: decide}
		_, err := a.committer.Commit(ctx, d.run)
		if d.end() {
			if err == nil {
				// Nobody wrote between the state and the record: to win the
				// position was a look at the log.
				a.looked(d.look)
			}
			// Also if the outcome is unknown: a wake too many costs a look.
			a.store.waker.Publish(a.id)
			a.snapshots.consider()
			a.noteUsage(ctx)
			return err
		}
		if err != nil && !errors.Is(err, d.refusal) {
			return err // nobody decided this: the store, or ctx
		}
		// Another process may have written what makes the difference.
		moved, behind := a.committer.CatchUp(ctx)
		if behind != nil {
			return behind // a refusal on a state that may be old is none
		}
		if !moved {
			return err
		}
	}
}

// decideFunc decides an event on a state; nil where there is nothing to do.
type decideFunc func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error)

// decision runs a decideFunc for one call of Commit. The leader of the batch runs
// it, in another goroutine than the caller's, and a caller whose ctx ends does not
// wait for the leader.
type decision struct {
	account *account
	decide  decideFunc

	mu      sync.Mutex // held while decide runs; protects what follows
	over    bool
	wrote   bool  // the last run returned an event
	refusal error // what the last run returned
	look    look  // when the last run began
}

var errDecided = errors.New("caller is gone")

func (d *decision) run(ctx context.Context, s *state.Account, at eventlog.Position) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return nil, errDecided
	}
	d.look = d.account.look()
	e, err := d.decide(ctx, s, ModSeq(at))
	if err == nil && e != nil {
		err = d.account.store.tooLate(e)
	}
	d.wrote, d.refusal = err == nil && e != nil, err
	if !d.wrote {
		return nil, err
	}
	if shown := d.account.shown(s); len(shown) > 0 {
		if all, ok := e.(*state.Batch); ok {
			shown = append(shown, all.Events...)
		} else {
			shown = append(shown, e)
		}
		e = state.NewBatch(shown...)
	}
	return state.EncodeEvent(e), nil
}

// end waits for a run under way, prevents others, and reports whether the last
// one wrote.
func (d *decision) end() (wrote bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	return d.wrote
}

var errTooLate = errors.New("mailbox: the message was stored too long ago to be added")

// tooLate refuses to add messages whose bodies may be collected by now. It must
// run after the position of the entry is known.
func (s *Store) tooLate(e state.Event) error {
	var added []state.NewMessage
	switch e := e.(type) {
	case *state.AddMessages:
		added = e.Messages
	case *state.ImportMessages:
		added = e.Messages
	case *state.Deliver:
		added = e.Messages
	case *state.Batch:
		for _, e := range e.Events {
			if err := s.tooLate(e); err != nil {
				return err
			}
		}
	}
	for _, m := range added {
		if !m.Staged.IsZero() && s.stoodStill(m.Staged) {
			return errTooLate
		}
	}
	return nil
}

// onCommit returns what tells the observer of commits; nil if there is none.
func (s *Store) onCommit() func(eventlog.CommitReport) {
	if !s.opts.Observe.Watched() {
		return nil
	}
	return func(r eventlog.CommitReport) {
		s.opts.Observe.Observer.Commit(observe.Commit{
			Result: resultOf(r.Err), Delivered: r.Delivered, Records: r.Records, Bytes: r.Bytes, Conflicts: r.Conflicts, Time: r.Time,
		})
	}
}

// onReplay returns what tells the observer of loads; nil if there is none.
func (s *Store) onReplay() func(eventlog.ReplayReport) {
	if !s.opts.Observe.Watched() {
		return nil
	}
	return func(r eventlog.ReplayReport) {
		s.opts.Observe.Observer.Replay(observe.Replay{Result: resultOf(r.Err), Entries: r.Entries, Time: r.Time})
	}
}

// resultOf is how work on the log ended.
func resultOf(err error) observe.Result {
	switch {
	case err == nil:
		return observe.OK
	case errors.Is(err, eventlog.ErrUnknownOutcome):
		return observe.Unknown
	case errors.Is(err, context.Canceled):
		return observe.Canceled
	}
	return observe.Failed
}
