package imapadapter

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/observe"
)

// NewSession returns the function that an engine's Options.NewSession wants. It
// is the Session alone: for the guard, for the bounds on connections, and for
// Shutdown, use [NewServer]. The engine's Options.Caps should be [Caps].
//
// It panics if o has neither a Store nor Authenticate.
func NewSession(o *Options) func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	o = checked(o)
	return func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		return newSession(o, c, nil), nil, nil
	}
}

func checked(o *Options) *Options {
	if o == nil || o.Store == nil && o.Authenticate == nil {
		panic("imapadapter: options need a Store or Authenticate")
	}
	return o.withDefaults()
}

// session is one connection's imapserver.Session. The engine calls its methods
// one after the other, but for Idle: that runs in a goroutine of its own, which
// the engine does not wait for if IDLE ends in anything but DONE. So every
// method holds mu from its beginning to its end, and the engine's next call
// waits until an Idle that was left behind has noticed that it should stop.
type session struct {
	o      *Options
	conn   *imapserver.Conn
	link   *link           // nil if the engine is not a Server's
	guard  *guardConn      // nil if there is none: then all commands are the engine's
	ctx    context.Context // of the connection: the engine has none
	cancel context.CancelFunc
	id     uint64 // for the log

	mu       sync.Mutex // protects what follows
	account  *mailbox.Account
	view     *mailbox.View
	notified *notify         // what the client asked NOTIFY for, or nil
	deleted  bool            // the client was told that the view's mailbox is gone
	echo     *mailbox.Set    // messages of a STORE whose flags the client is to be told
	saved    []mailbox.Range // UIDs of the last SEARCH RETURN (SAVE): RFC 5182
	failures int             // logins that failed
	enabled  enabled         // what the client enabled, if there is a guard
	idling   bool            // the client is in an IDLE of ours
	appends  []*laterAppend  // to be answered
}

var (
	_ imapserver.SessionIMAP4rev2      = (*session)(nil)
	_ imapserver.SessionSASL           = (*session)(nil)
	_ imapserver.SessionUnauthenticate = (*session)(nil)
	_ imapserver.SessionAppendLimit    = (*session)(nil)
)

// lastSession is the id of the newest session of the process.
var lastSession atomic.Uint64

func newSession(o *Options, c *imapserver.Conn, l *link) *session {
	s := &session{o: o, conn: c, link: l, id: lastSession.Add(1)}
	o.Observe.Session(observe.IMAP, observe.Begun)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.guard = guardOf(c.NetConn()); s.guard != nil {
		s.guard.native = s
	}
	return s
}

// Close is the engine's last call. What still runs is cancelled and waited for.
func (s *session) Close() error {
	s.cancel()
	if !s.mu.TryLock() {
		// An Idle that was left behind may be writing to a client that does not
		// read.
		_ = s.conn.NetConn().Close()
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	s.leave()
	s.o.Observe.Session(observe.IMAP, observe.Ended)
	s.link.over()
	return nil
}

// leave gives back the account and all that belongs to it.
func (s *session) leave() {
	s.dropAppends(s.appends)
	s.appends = nil
	s.deselect()
	if s.account != nil {
		s.notifyNothing()
		_ = s.account.Close()
		s.account = nil
	}
}

func (s *session) deselect() {
	if s.view != nil {
		s.view.Close()
		s.view = nil
	}
	s.deleted, s.echo, s.saved = false, nil, nil
}

// rev2 reports whether the client enabled IMAP4rev2, which has no \Recent.
func (s *session) rev2() bool {
	return s.enabled.rev2 || s.conn.EnabledCaps().Has(imap.CapIMAP4rev2)
}

// operation is the work on one command.
type operation struct {
	s     *session
	name  string
	ctx   context.Context // done when the connection is, or the time is up
	stop  context.CancelFunc
	timer *time.Timer

	span   func(failed bool)
	failed bool
}

// begin begins the work on a command. Its end must be deferred.
func (s *session) begin(name string) *operation {
	s.mu.Lock()
	op := s.operation(name)
	if !s.link.open() {
		op.stop()
	}
	return op
}

func (op *operation) end() {
	op.close()
	op.s.mu.Unlock()
}

// operation begins work inside of what holds mu. Its close must be deferred.
func (s *session) operation(name string) *operation {
	ctx, stop := context.WithCancel(s.ctx)
	op := &operation{s: s, name: name, ctx: ctx, stop: stop, timer: time.AfterFunc(s.o.Timeout, stop)}
	if s.o.Observe.Traced() {
		op.ctx, op.span = s.o.Observe.Start(ctx, "imap "+name)
	}
	return op
}

func (op *operation) close() {
	op.timer.Stop()
	op.stop()
	if op.span != nil {
		op.span(op.failed)
	}
}

// progress gives the command its time anew.
func (op *operation) progress() { op.timer.Reset(op.s.o.Timeout) }

func (op *operation) fail(err error) error {
	op.failed = op.failed || err != nil
	return op.s.fail(op.name, err)
}

func (op *operation) failDest(err error) error {
	op.failed = op.failed || err != nil
	return op.s.failDest(op.name, err)
}
