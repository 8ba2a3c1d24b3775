// Package observe is how a program that embeds letterlock watches it at work.
//
//	mailbox, adapters, observeblob --Hooks--> Observer   counts and durations
//	                                      +-> Tracer     spans
//
// The library calls an [Observer] when something has happened, with a value of one
// of six types. Their fields are numbers, durations, and words of fixed lists, so
// that no name, address, flag, folder or text of a mail can get into a metric, by
// whatever mistake: there is no field that could carry one. A [Tracer] is told the
// names of operations, which are words of this package and of the adapters, and
// whether they failed, not why.
//
// Both are optional, and [Hooks] without them cost a comparison. What can be asked
// at any time, such as how many accounts are open, is not told but asked for: see
// mailbox.Store.Stats and crypto.Pool.Stats. Package promobserver makes metrics for
// Prometheus of all of it.
package observe

import (
	"context"
	"time"
)

// Observer is told what happened. Its methods are called from many goroutines, on
// the paths of mail: they must be quick, and must not call what they watch.
type Observer interface {
	// Request is called after each call on the object store, if the store is
	// wrapped by package observeblob.
	Request(Request)
	// Commit is called when an entry was appended to a log, or failed to be.
	Commit(Commit)
	// Replay is called when the state of a log was loaded.
	Replay(Replay)
	// Snapshot is called when a snapshot was written, or failed to be.
	Snapshot(Snapshot)
	// Session is called when a client's session begins, ends, or changes.
	Session(Session)
	// Delivery is called for each recipient of each message that was delivered,
	// or could not be.
	Delivery(Delivery)
}

// Tracer makes spans.
type Tracer interface {
	// Start begins a span for an operation, below the one of ctx if it has one.
	// end is called once, in any goroutine.
	Start(ctx context.Context, operation string) (_ context.Context, end func(failed bool))
}

// Hooks are who watches. The zero value is nobody.
type Hooks struct {
	Observer Observer
	Tracer   Tracer
}

// Operations of [Tracer.Start]. Those of IMAP are "imap " and the command's name.
const (
	SpanLogin    = "mailbox login"
	SpanLoad     = "mailbox load account"
	SpanDeliver  = "mailbox deliver"
	SpanCommit   = "mailbox commit"
	SpanSnapshot = "mailbox snapshot"
	SpanMessage  = "lmtp message"
	// Those of the object store are "store ", the operation and the kind.
)

// Watched reports whether there is an observer: whether it is worth to measure.
func (h Hooks) Watched() bool { return h.Observer != nil }

// Traced reports whether there is a tracer.
func (h Hooks) Traced() bool { return h.Tracer != nil }

func nothing(bool) {}

// Start begins a span, or nothing if nobody traces.
func (h Hooks) Start(ctx context.Context, operation string) (context.Context, func(failed bool)) {
	if h.Tracer == nil {
		return ctx, nothing
	}
	return h.Tracer.Start(ctx, operation)
}

// Now is the time if there is an observer that is going to be told a duration,
// else the zero time.
func (h Hooks) Now() time.Time {
	if h.Observer == nil {
		return time.Time{}
	}
	return time.Now()
}

// Session tells the observer, if there is one.
func (h Hooks) Session(p Protocol, c Change) {
	if h.Observer != nil {
		h.Observer.Session(Session{p, c})
	}
}

// Request is a call on the object store that ended.
type Request struct {
	Op     Op
	Kind   Kind
	Result Result
	// Time is how long the caller waited: for Open until the bytes could be read,
	// for List without the time that the caller took for each name.
	Time  time.Duration
	Bytes int64 // created, or read by the caller
	Names int   // listed, or deleted
}

// Commit is the end of a try to append an entry.
type Commit struct {
	Result    Result
	Delivered bool // by a deliverer without keys
	Records   int  // of callers that share the entry
	Bytes     int  // of the entry
	Conflicts int  // positions lost to other processes before
	Time      time.Duration
}

// Replay is a state that was loaded.
type Replay struct {
	Result  Result
	Entries int // applied after the snapshot
	Time    time.Duration
}

// Snapshot is a snapshot that was written.
type Snapshot struct {
	Result Result
	Bytes  int // of the state's description
	Pages  int // objects written besides, because they had changed
	Time   time.Duration
}

// Session is a change in a client's session.
type Session struct {
	Protocol Protocol
	Change   Change
}

// Delivery is one message for one recipient.
type Delivery struct {
	Result Result
	Bytes  int64
	Time   time.Duration
}
