package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Model gives the records of a log their meaning: S is what they add up to. A
// value of S never changes; Apply returns another one, which may share what did
// not change.
type Model[S any] interface {
	// Load returns the state to begin with, and puts l where that state stands:
	// the newest snapshot's, with l.Seek(snapshot.Head), or if there is none the
	// zero state, with l.Seek(Head{}). One that keeps no state and has no keys
	// calls l.FindHead. The Committer then applies what follows.
	Load(ctx context.Context, l *Log) (S, error)

	// Apply returns the state after a record of the entry at a position. Own and
	// foreign records take the same path; a record of our own is applied before
	// it is in the log, and again if it did not get there. An error that matches
	// [ErrSkip] passes over a record of a Delivered entry; any other error, and
	// any error for an Owned one, stops the Committer at the entry before.
	// Except for a record of our own, for which it fails the Commit and nothing
	// is written.
	// One that matches ErrTrimmed says that s stands on objects that are gone,
	// because newer snapshots have others: the Committer loads anew.
	Apply(ctx context.Context, s S, at Position, kind Kind, record []byte) (S, error)
}

// CommitterOptions are the options of a Committer. The zero value is right for
// one with keys.
type CommitterOptions[S any] struct {
	// Kind is how entries are sealed. Default Owned.
	Kind Kind
	// Timeout bounds one turn of reading, deciding and appending, which runs
	// under a context of its own. Default one minute.
	Timeout time.Duration
	// OnChange is called after every advance of the state, in order, but not by
	// Open and Rebase. It must not block and must not call the Committer, except
	// for State.
	OnChange func(S, Head)
	// OnEntry is called with every entry that was read or appended, before the
	// state that it makes is published, for what the model's users would else read
	// again. Entries may be seen more than once. It must not block, keep or change
	// the records' bytes, or call the Committer.
	OnEntry func(Entry)
	Logger  *slog.Logger // for what is skipped; default none
	// OnCommit is called after every entry that was appended, or failed to be, and
	// OnReplay after every load of the state. They may be nil, must be quick, and must
	// not call the Committer.
	OnCommit func(CommitReport)
	OnReplay func(ReplayReport)
}

// CommitReport is the end of a try to append an entry.
type CommitReport struct {
	Err       error
	Delivered bool // by a deliverer without keys
	Records   int  // of callers that share the entry
	Bytes     int  // of the entry
	Conflicts int  // positions lost to other processes before
	Time      time.Duration
}

// ReplayReport is a state that was loaded, or failed to be.
type ReplayReport struct {
	Err     error
	Entries int // applied after the snapshot
	Time    time.Duration
}

// Committer holds the newest state of a log and commits to it. It has the log to
// itself: nothing else may move the log's head. All methods may be called from
// any goroutine. It has no goroutine of its own; work is done by the callers.
//
// Several Committers, in this process and others, may work on one log. When one
// loses a position to another it reads what won, waits a random time that grows
// with every loss, and decides again, as often as its Timeout allows.
type Committer[S any] struct {
	log   *Log
	model Model[S]
	opts  CommitterOptions[S]

	// turn is held (one value in the channel) by whoever moves the log and the
	// state.
	turn  chan struct{}
	state atomic.Pointer[published[S]]

	mu      sync.Mutex       // protects what follows
	queue   []*commitCall[S] // waiting to be taken into an entry
	leading bool             // some caller of Commit takes turns for the queue
	catchUp *catchUp         // the next CatchUp to be run, with who waits for it
}

// published is a state and where it stands.
type published[S any] struct {
	state S
	head  Head
}

// reloads bounds how often one operation follows a log that is trimmed away
// under it.
const reloads = 4

var errNotOpen = errors.New("eventlog: committer is not open")

// NewCommitter returns a Committer on l, which it has to itself from then on.
// Open must be called before anything else.
func NewCommitter[S any](l *Log, m Model[S], o CommitterOptions[S]) *Committer[S] {
	if o.Kind == 0 {
		o.Kind = Owned
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = o.Logger.With("log", l.prefix)
	return &Committer[S]{log: l, model: m, opts: o, turn: make(chan struct{}, 1)}
}

// Open loads the state and applies what follows it. It fails with fs.ErrNotExist
// if the log has not begun, and with the errors of [Log.Read] and of the model.
// It may be called again, after an error or to load everything anew.
func (c *Committer[S]) Open(ctx context.Context) error {
	if err := c.takeTurn(ctx); err != nil {
		return err
	}
	defer c.endTurn()
	p, err := c.load(ctx)
	if err != nil {
		return err
	}
	c.state.Store(p)
	return nil
}

// State returns the newest state applied and where it stands, or zero values
// before Open. It never blocks.
func (c *Committer[S]) State() (S, Head) {
	if p := c.state.Load(); p != nil {
		return p.state, p.head
	}
	var zero S
	return zero, Head{}
}

// Rebase replaces the state by an equal one: s is the state at h, which is the
// head of State or an earlier one whose following entries are still in the log.
// It applies these to s and then swaps, so that memory that only the old state
// refers to goes. OnChange is not called.
func (c *Committer[S]) Rebase(ctx context.Context, h Head, s S) error {
	p := &published[S]{s, h}
	// Most of the way is gone beside the commits, the rest while none runs.
	_, head := c.State()
	p, err := c.replay(ctx, p, head)
	if err != nil {
		return err
	}
	if err := c.takeTurn(ctx); err != nil {
		return err
	}
	defer c.endTurn()
	_, head = c.State()
	if p, err = c.replay(ctx, p, head); err != nil {
		return err
	}
	c.state.Store(p)
	return nil
}

// replay applies the entries after p up to head, on a handle of its own.
func (c *Committer[S]) replay(ctx context.Context, p *published[S], head Head) (*published[S], error) {
	if c.state.Load() == nil {
		return nil, errNotOpen
	}
	if p.head.Pos > head.Pos {
		return nil, fmt.Errorf("eventlog: rebase: head %v is after the state's, %v", p.head, head)
	}
	if p.head.Pos < head.Pos {
		for e, err := range c.log.Fork(p.head).Read(ctx) {
			if err == nil {
				p, err = c.apply(ctx, p, e)
			}
			if err != nil {
				return nil, fmt.Errorf("eventlog: rebase: %w", err)
			}
			if e.Pos == head.Pos {
				break
			}
		}
	}
	if p.head != head {
		return nil, fmt.Errorf("eventlog: rebase: got to %v and not to the state's head %v", p.head, head)
	}
	return p, nil
}

// load returns the state at the end of the log. Called with the turn.
func (c *Committer[S]) load(ctx context.Context) (*published[S], error) {
	for attempt := 1; ; attempt++ {
		p, err := c.loadOnce(ctx)
		if !errors.Is(err, ErrTrimmed) || attempt == reloads {
			return p, err
		}
	}
}

func (c *Committer[S]) loadOnce(ctx context.Context) (*published[S], error) {
	report := ReplayReport{}
	begun := time.Now()
	p, err := c.replayAll(ctx, &report.Entries)
	if c.opts.OnReplay != nil {
		report.Err, report.Time = err, time.Since(begun)
		c.opts.OnReplay(report)
	}
	return p, err
}

// replayAll counts the entries that it applies.
func (c *Committer[S]) replayAll(ctx context.Context, entries *int) (*published[S], error) {
	s, err := c.model.Load(ctx, c.log)
	if err != nil {
		return nil, err
	}
	p := &published[S]{s, c.log.Head()}
	for e, err := range c.log.Read(ctx) {
		if err != nil {
			return nil, err
		}
		if p, err = c.apply(ctx, p, e); err != nil {
			return nil, err
		}
		*entries++
	}
	if p.head.Pos == 0 {
		return nil, fmt.Errorf("eventlog: open %s: log has not begun: %w", c.log.entryName(1), fs.ErrNotExist)
	}
	return p, nil
}

// read applies what others wrote and publishes each step; if the log was trimmed
// beyond the state, it loads anew. Called with the turn.
func (c *Committer[S]) read(ctx context.Context) error {
	p, err := c.base()
	if err != nil {
		return err
	}
	for e, err := range c.log.Read(ctx) {
		if err == nil {
			p, err = c.apply(ctx, p, e)
		}
		if errors.Is(err, ErrTrimmed) {
			return c.reload(ctx)
		}
		if err != nil {
			return err
		}
		c.publish(p)
	}
	return nil
}

// reload replaces the state after ErrTrimmed. Called with the turn.
func (c *Committer[S]) reload(ctx context.Context) error {
	p, err := c.load(ctx)
	if err == nil {
		c.publish(p)
	}
	return err
}

func (c *Committer[S]) publish(p *published[S]) {
	old := c.state.Swap(p)
	if c.opts.OnChange != nil && p.head != old.head {
		c.opts.OnChange(p.state, p.head)
	}
}

// apply returns p after the records of an entry.
func (c *Committer[S]) apply(ctx context.Context, p *published[S], e Entry) (*published[S], error) {
	name := c.log.entryName(e.Pos)
	c.note(e)
	if e.Junk != nil {
		c.opts.Logger.WarnContext(ctx, "skipped an entry that is junk", "name", name, "err", e.Junk)
	}
	s := p.state
	for i, record := range e.Records {
		next, err := c.model.Apply(ctx, s, e.Pos, e.Kind, record)
		switch {
		case err == nil:
			s = next
		case e.Kind == Delivered && errors.Is(err, ErrSkip):
			c.opts.Logger.WarnContext(ctx, "skipped a record", "name", name, "record", i, "err", err)
		default:
			return nil, fmt.Errorf("eventlog: apply record %d of %s: %w", i, name, err)
		}
	}
	return &published[S]{s, e.Head}, nil
}

func (c *Committer[S]) note(e Entry) {
	if c.opts.OnEntry != nil {
		c.opts.OnEntry(e)
	}
}

func (c *Committer[S]) takeTurn(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("eventlog: wait for a turn: %w", ctx.Err())
	}
}

// base returns the state and puts the log where it stands, which it may have left
// if something failed in an earlier turn. Called with the turn.
func (c *Committer[S]) base() (*published[S], error) {
	p := c.state.Load()
	if p == nil {
		return nil, errNotOpen
	}
	if at := c.log.standing(); at.head != p.head || !at.settled {
		c.log.rewind(p.head)
	}
	return p, nil
}

func (c *Committer[S]) endTurn() { <-c.turn }
