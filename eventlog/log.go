package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
)

// DefaultGrace is the default of [Config.Grace].
const DefaultGrace = 24 * time.Hour

// Labels of the keys that are derived from the identity. They are part of the
// format. Key kinds of sealed objects are derived from the last one.
const (
	labelLog      = "letterlock/v1/log"
	labelSnapshot = "letterlock/v1/snapshot"
	labelObject   = "letterlock/v1/object"
	labelDeliver  = "letterlock/v2/deliver"
)

// Keys open a log and seal for it: the log, snapshot and object keys are derived
// from the identity. They print as a placeholder.
//
// A log whose identity was changed is written under the new one. What the retired
// ones sealed is still read: entries up to the [Rekey] that ended their time, and
// sealed objects. See docs/format-log.md.
type Keys struct {
	Identity *crypto.Identity
	Retired  []*crypto.Identity // that the log had before, newest first
}

// String returns a placeholder.
func (Keys) String() string { return "(keys of a log)" }

// GoString returns a placeholder.
func (Keys) GoString() string { return "(keys of a log)" }

// LogValue returns a placeholder.
func (Keys) LogValue() slog.Value { return slog.StringValue("(keys of a log)") }

// Config says which log, and what this process knows of it.
type Config struct {
	Store  blob.Store
	Prefix string // of all object names; empty, or ends in a slash
	ID     ID     // the log's identity; must not be zero

	// Keys may be nil: a log without keys finds its head, appends Delivered
	// entries, checks the chain and trims, and reads nothing.
	Keys *Keys
	// Terms are those that Begin gives to the log. Default [TermsOpen].
	Terms Terms
	// Delivery lets a log without keys append: it returns what that needs in an
	// epoch. It is asked once for each epoch that the handle meets. Its errors pass
	// through; what it cannot vouch for is [ErrUnsigned].
	Delivery func(context.Context, Epoch) (Delivery, error)

	// Grace is how old a snapshot must be before what it covers is trimmed, and
	// four times as long as a process may stand still before it must make sure
	// that it was not left behind. All processes of a log must use the same; it
	// must be much larger than the difference between their clocks. Default
	// [DefaultGrace], at least one minute.
	Grace time.Duration

	// Seen is the furthest head that this process, or whoever configures it, saw
	// before. A log that is shorter, or has another entry there, is
	// [ErrRolledBack]. A log that was trimmed beyond Seen is only held to be
	// longer; [Log.Check] compares more. The zero Head checks nothing. What the
	// handle itself sees counts from then on: a rollback under a running process
	// is noticed the next time it loads, or has not seen the log's end for a
	// quarter of Grace.
	Seen Head

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // for what was skipped or damaged but does not stop; default none
}

// Log is a handle on one log, standing at one head. It holds no connection,
// goroutine or lock on the store; any number of handles, in any number of
// processes, may work on one log.
//
// Begin, Append, Read, Seek and FindHead move the head or rely on it, and must be
// called by one goroutine at a time (a [Committer] sees to that). All other
// methods may be called from any goroutine at any time.
type Log struct {
	store  blob.Store
	prefix string
	grace  time.Duration
	now    func() time.Time
	logger *slog.Logger
	sealer sealer
	begin  Terms

	delivery func(context.Context, Epoch) (Delivery, error)
	terms    *terms // shared with forks
	tail     *tail  // shared with forks

	mu sync.Mutex // protects what follows
	at standing
}

// standing is where a Log stands, and how it knows.
type standing struct {
	head Head
	term term // that holds from the next entry on
	// authentic says, in a handle that delivers, that the head has the MAC that it
	// must have. By the chain it vouches for all before it.
	authentic bool
	seen      Head // the furthest ever: a log that does not hold it was rolled back

	// settled says that head was in the log, with nothing missing before it, when
	// the log was last seen. Until the end is reached for the first time after a
	// Seek that is not known, nor that anchor, where the Seek went or the first
	// entry read after it, was not trimmed away since.
	settled bool
	anchor  Head

	// quiet is a time at which the position after some head was seen to be free;
	// only meaningful when settled. See fresh.
	quiet time.Time

	pending *pendingEntry
}

// pendingEntry is an entry whose append ended in ErrUnknownOutcome. It is settled
// when any entry is seen at its position; it is kept because it may turn out to be
// a stray in the trimmed past, which is ours to remove.
type pendingEntry struct {
	pos  Position
	data []byte
}

// New returns a handle that stands before the first entry. It does no I/O.
func New(cfg Config) (*Log, error) {
	if cfg.Store == nil {
		return nil, errors.New("eventlog: no store")
	}
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	if cfg.ID == (ID{}) {
		return nil, errors.New("eventlog: no log ID")
	}
	if cfg.Keys != nil && cfg.Keys.Identity == nil {
		return nil, errors.New("eventlog: keys without an identity")
	}
	if cfg.Terms == 0 {
		cfg.Terms = TermsOpen
	}
	if !cfg.Terms.known() {
		return nil, fmt.Errorf("eventlog: %v are not known", cfg.Terms)
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Grace < time.Minute {
		return nil, fmt.Errorf("eventlog: grace of %v is under a minute", cfg.Grace)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		store:  cfg.Store,
		prefix: cfg.Prefix,
		grace:  cfg.Grace,
		now:    cfg.Now,
		logger: cfg.Logger.With("log", cfg.Prefix),
		sealer: sealer{id: cfg.ID},
		begin:  cfg.Terms, delivery: cfg.Delivery, terms: new(terms), tail: new(tail),
		at: standing{seen: cfg.Seen},
	}
	if cfg.Keys != nil {
		l.sealer.ring = newRing(*cfg.Keys)
	}
	return l, nil
}

// Wipe overwrites the keys that were derived for the log, but not the identities,
// which are the caller's. Nothing may use the log meanwhile or afterwards.
func (l *Log) Wipe() {
	if l.sealer.ring != nil {
		l.sealer.ring.wipe()
	}
}

// Head returns where the log stands: the last entry read, appended or sought.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at.head
}

// Seek puts the log at h without I/O; Read goes on after it. h must be the head
// of a snapshot that this handle opened, or one at which it stood; the zero Head is
// before the first entry. The next Read checks that h is still in the log when it
// gets to the end.
func (l *Log) Seek(h Head) {
	t, _ := l.terms.at(h.Pos)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at.head, l.at.anchor, l.at.settled = h, h, false
	l.at.term, l.at.authentic = t, false
}

// rewind puts the log back to a head at which it was settled before. What it reads
// there it does not believe before it has seen that the head is still in the log.
func (l *Log) rewind(h Head) {
	t, _ := l.terms.at(h.Pos)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.head != h {
		l.at.authentic = false // as good as unknown
	}
	l.at.head, l.at.anchor, l.at.settled, l.at.quiet = h, h, true, time.Time{}
	l.at.term = t
}

// Fork returns another handle on the log that stands at h, as by [Log.Seek]. It
// shares the keys, which [Log.Wipe] of either overwrites.
func (l *Log) Fork(h Head) *Log {
	f := &Log{
		store: l.store, prefix: l.prefix, grace: l.grace, now: l.now, logger: l.logger,
		sealer: l.sealer, delivery: l.delivery, terms: l.terms, tail: l.tail,
	}
	f.at.seen = l.standing().seen
	f.Seek(h)
	return f
}

func (l *Log) standing() standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// advance moves the head by one entry, after which a term holds.
func (l *Log) advance(h Head, t term, authentic bool) {
	l.terms.note(h.Pos, t)
	l.tail.note(h)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at.head, l.at.term, l.at.authentic = h, t, authentic
	if l.at.anchor.Pos == 0 {
		l.at.anchor = h
	}
	if h.Pos > l.at.seen.Pos {
		l.at.seen = h
	}
	if l.at.pending != nil && l.at.pending.pos <= h.Pos {
		l.at.pending = nil
	}
}

// reached notes that the position after the head, or after the entry before it,
// was free at t or later.
func (l *Log) reached(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at.quiet = t
}

// settle notes that the log was seen whole up to its end, at t.
func (l *Log) settle(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at.settled, l.at.quiet = true, t
}

// corrupt names an entry in an error.
func (l *Log) corrupt(op string, p Position, err error) error {
	return &CorruptError{Op: op, Name: l.entryName(p), Pos: p, Err: err}
}

// checkSeen compares a head with the furthest one seen.
func checkSeen(at standing, h Head) error {
	if h.Pos == at.seen.Pos && h != at.seen {
		return fmt.Errorf("eventlog: entry %d is not the one seen before: %w", h.Pos, ErrRolledBack)
	}
	return nil
}
