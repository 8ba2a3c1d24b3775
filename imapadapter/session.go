package imapadapter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
)

// Session is one connection's imapserver.Session. The engine calls its methods one after
// the other, but for Idle: that runs in a goroutine of its own, which the engine does not
// wait for if IDLE ends in anything but DONE. So every method holds mu from its
// beginning to its end, and the engine's next call waits until an Idle that was left
// behind has noticed that it should stop.
type Session struct {
	o      *Options
	conn   *imapserver.Conn
	ctx    context.Context // of the connection: the engine has none
	cancel context.CancelFunc
	id     uint64 // for the log

	mu       sync.Mutex // protects what follows
	account  *mailbox.Account
	view     *mailbox.View
	deleted  bool            // the client was notified that the view's mailbox is gone
	echo     *mailbox.Set    // messages of a STORE whose flags the client is to get
	saved    []mailbox.Range // UIDs of the last SEARCH RETURN (SAVE): RFC 5182
	failures int             // logins that failed
}

var (
	_ imapserver.SessionIMAP4rev2      = (*Session)(nil)
	_ imapserver.SessionSASL           = (*Session)(nil)
	_ imapserver.SessionUnauthenticate = (*Session)(nil)
	_ imapserver.SessionAppendLimit    = (*Session)(nil)
)

// lastSession is the id of the newest session of the process.
var lastSession atomic.Uint64

func newSession(o *Options, c *imapserver.Conn) *Session {
	s := &Session{o: o, conn: c, id: lastSession.Add(1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close is the engine's last call. It cancels what still runs, and waits for it.
func (s *Session) Close() error {
	s.cancel()
	if !s.mu.TryLock() {
		// An Idle that was left behind may be writing to a client that does not
		// read.
		_ = s.conn.NetConn().Close()
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	s.leave()
	return nil
}

// leave gives back the account and all that belongs to it.
func (s *Session) leave() {
	s.deselect()
	if s.account != nil {
		_ = s.account.Close()
		s.account = nil
	}
}

func (s *Session) deselect() {
	if s.view != nil {
		s.view.Close()
		s.view = nil
	}
	s.deleted, s.echo, s.saved = false, nil, nil
}

// rev2 reports whether the client enabled IMAP4rev2, which has no \Recent.
func (s *Session) rev2() bool { return s.conn.EnabledCaps().Has(imap.CapIMAP4rev2) }

// operation is the work on one command.
type operation struct {
	*Session
	name  string
	ctx   context.Context // done when the connection is, or the time is up
	stop  context.CancelFunc
	timer *time.Timer
}

// begin begins the work on a command. Its end must be deferred.
func (s *Session) begin(name string) *operation {
	s.mu.Lock()
	return s.operation(name)
}

func (op *operation) end() {
	op.close()
	op.mu.Unlock()
}

// operation begins work inside of what holds mu. Its close must be deferred.
func (s *Session) operation(name string) *operation {
	ctx, stop := context.WithCancel(s.ctx)
	return &operation{Session: s, name: name, ctx: ctx, stop: stop, timer: time.AfterFunc(s.o.Timeout, stop)}
}

func (op *operation) close() {
	op.timer.Stop()
	op.stop()
}

// progress gives the command its time anew.
func (op *operation) progress() { op.timer.Reset(op.o.Timeout) }

// fail returns the answer to an error, and logs the error if the client is not its
// cause.
func (op *operation) fail(err error) error { return op.answer(err, translate.Error) }

// failDestination is fail for commands whose destination may be missing.
func (op *operation) failDestination(err error) error {
	return op.answer(err, translate.DestinationError)
}

func (op *operation) answer(err error, by func(error) (*imap.Error, bool)) error {
	if err == nil {
		return nil
	}
	answer, trouble := by(err)
	if trouble {
		op.warn(err)
	}
	return answer
}

// warn logs trouble, but not that of a connection which is gone: there it only says that
// the work was cancelled.
func (op *operation) warn(err error) {
	if op.Session.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	op.o.Logger.Warn("imap command failed", slog.Uint64("session", op.id), slog.String("command", op.name), slog.Any("error", err))
}
