package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/deflate"
	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// conn is one client's connection. Its goroutine runs serve. Fields above mu belong to
// that goroutine; where another reads or writes on its behalf (see laterAppend), it
// waits.
type conn struct {
	server *Server
	o      *Options
	id     uint64          // for the log
	raw    net.Conn        // as it was accepted
	addr   netip.Addr      // by which it is counted
	life   context.Context // ends with the connection
	cancel context.CancelFunc

	stream  net.Conn        // raw, or TLS on it
	secure  bool            // stream is TLS
	deflate *deflate.Writer // on stream, after COMPRESS; or nil
	frames  frame.Reader

	err      error          // why the connection ends; nothing more is read then
	verdict  *frame.Refusal // to be sent before the next command is read
	refusals int            // in a row

	// The state of the client. It has logged in if account is not nil, and has
	// selected a mailbox if view is not nil too.
	account  *mailbox.Account
	user     string // the name that the client logged in with
	failures int    // logins that failed
	unknowns int    // commands before the login that do not exist
	enabled  enabled
	view     *mailbox.View
	deleted  bool            // the client was notified that the view's mailbox is gone
	saved    []mailbox.Range // UIDs of the last SEARCH RETURN (SAVE): RFC 5182
	notified *notified       // what the client asked NOTIFY for, or nil
	idling   bool            // the client is in IDLE
	appends  []*laterAppend  // that are not answered yet
	message  *messageReader  // of the command at work, or nil

	memory *holder // before the login

	mu       sync.Mutex    // protects what follows; nothing waits while it is held
	phase    phase         // what the goroutine does
	until    time.Time     // the read deadline of the phase
	loginBy  time.Time     // the read deadline before the login, or zero
	poked    bool          // wake was called
	ending   bool          // the server shuts down
	evicted  bool          // the memory before logins ran out
	reading  bool          // the goroutine reads, or is about to
	watching chan struct{} // closed when the watcher returns; nil if there is none
	ahead    []byte        // what the watcher has read
	aheadErr error         // what ended its reading
}

func newConn(s *Server, raw net.Conn, addr netip.Addr) *conn {
	c := &conn{server: s, o: s.o, id: lastSession.Add(1), raw: raw, addr: addr, stream: raw}
	_, c.secure = raw.(*tls.Conn)
	c.life, c.cancel = context.WithCancel(context.Background())
	c.frames.Init(source{c}, policy{c})
	c.memory = &holder{conn: c}
	c.loginBy = time.Now().Add(s.o.LoginTimeout)
	return c
}

// serve serves the connection to its end.
func (c *conn) serve() {
	c.o.Observe.Session(observe.IMAP, observe.Begun)
	defer c.end()
	defer func() {
		if p := recover(); p != nil {
			c.o.Logger.Error("imap session panicked", slog.Uint64("session", c.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	if c.secure && c.handshake(c.raw.(*tls.Conn)) != nil {
		return
	}
	if c.err = c.send([]byte("* OK [CAPABILITY " + c.capabilities() + "] IMAP server ready\r\n")); c.err != nil {
		return
	}
	for c.err == nil {
		c.next()
	}
}

// end gives back what the connection holds.
func (c *conn) end() {
	c.cancel()
	c.stopWatching()
	if c.deflate != nil && c.raw.SetWriteDeadline(time.Now().Add(goodbyeTimeout)) == nil {
		_ = c.deflate.Flush()
	}
	c.leave()
	_ = c.stream.Close()
	if c.memory != nil {
		c.server.memory.set(c.memory, 0)
	}
	c.o.Observe.Session(observe.IMAP, observe.Ended)
	c.server.left(c)
}

// leave gives back the account and all that belongs to it.
func (c *conn) leave() {
	c.dropAppends(c.appends)
	c.appends = nil
	c.deselect()
	if c.account != nil {
		c.stopNotify()
		_ = c.account.Close()
		c.account, c.user = nil, ""
	}
}

func (c *conn) deselect() {
	if c.view != nil {
		c.view.Close()
		c.view = nil
	}
	c.deleted, c.saved = false, nil
}

// next reads a command and executes it.
func (c *conn) next() {
	if r := c.verdict; r != nil {
		c.verdict = nil
		c.refuse(r)
		return
	}
	if !c.appendFollows() {
		if c.err = c.answerAppends(); c.err != nil {
			return
		}
	}
	c.rest()
	cmd, err := c.frames.Next()
	if err != nil {
		c.finish(err)
		return
	}
	c.refusals = 0
	c.setPhase(working, 0)
	c.finish(c.execute(cmd))
	c.dropMessage(cmd)
	c.releaseMemory()
}

// Errors of the reading of a connection that the server ends itself.
var (
	errEnding  = errors.New("server is shutting down")
	errEvicted = errors.New("too much memory is held before logins")
)

// finish ends the connection for err, or sends a refusal if that is what err is. A client
// is sent why the server ends its connection.
func (c *conn) finish(err error) {
	var r *frame.Refusal
	switch {
	case err == nil:
	case errors.As(err, &r):
		c.refuse(r)
	case errors.Is(err, errEnding):
		_ = c.answerAppends() // a client that is gone does not get the goodbye either
		c.bye("Server is shutting down")
	case errors.Is(err, errEvicted):
		c.frames.Release()
		c.bye("[UNAVAILABLE] Too many unfinished logins")
		c.logEnd(err.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.bye("Timed out")
		c.logEnd("timed out")
	default:
		c.err = err
	}
}

// bye sends the last line of a connection.
func (c *conn) bye(text string) {
	c.err = io.EOF
	if c.raw.SetWriteDeadline(time.Now().Add(goodbyeTimeout)) == nil {
		_, _ = c.writer().Write([]byte("* BYE " + text + "\r\n"))
	}
}

func (c *conn) logEnd(reason string) {
	c.o.Logger.Info("imap server closed a connection", slog.Uint64("session", c.id), slog.String("remote", c.raw.RemoteAddr().String()), slog.String("reason", reason))
}

// refuse sends a refusal. A client that speaks another protocol is cut off at its first
// line unless it has logged in: a web page can make a browser send lines of the page's
// choice.
func (c *conn) refuse(r *frame.Refusal) {
	c.refusals++
	goodbye, isGoodbye := strings.CutPrefix(r.Text, "BYE ")
	if !isGoodbye {
		goodbye = "Closing the connection"
		if c.err = c.send([]byte(r.Tag + " " + r.Text + "\r\n")); c.err != nil {
			return
		}
	}
	if r.Fatal || c.refusals >= maxRefusals || r.Nameless && c.account == nil {
		c.bye(goodbye)
		c.logEnd(r.Text)
	}
}

// policy is what the frame.Reader asks.
type policy struct{ c *conn }

// Limits returns the bounds of a command. They are wider after the login.
func (p policy) Limits(string) frame.Limits {
	o := p.c.o
	if p.c.account == nil {
		return frame.Limits{Line: maxLoginLine, Literal: maxLoginLiteral, Literals: maxLoginLiterals, Drop: maxLoginDrop}
	}
	most := int64(o.MaxCommand)
	return frame.Limits{Line: o.MaxCommand, Literal: most, Literals: most, Message: o.AppendLimit, Drop: max(2*o.AppendLimit, maxLoginDrop)}
}

// Admit refuses, before any literal is asked for, what a client may not do now. A
// password that is refused here was not sent, if it is in a synchronizing literal.
func (p policy) Admit(tag, name string) *frame.Refusal {
	switch name {
	case "LOGIN", "AUTHENTICATE":
		if !p.c.mayLogIn() {
			return &frame.Refusal{Tag: tag, Text: "NO [PRIVACYREQUIRED] TLS is required to log in"}
		}
	case "APPEND", "REPLACE", "UID REPLACE":
		if p.c.account == nil {
			return &frame.Refusal{Tag: tag, Text: "BAD [CLIENTBUG] This command is only valid after a login"}
		}
	}
	return nil
}

// Proceed asks for a literal.
func (p policy) Proceed() error { return p.c.send([]byte(continuation)) }

const continuation = "+ Ready for literal data\r\n"

// Pace gives the client time to go on with a command, or with the message of the one at
// work.
func (p policy) Pace() { p.c.receive(commandTimeout) }

// mayLogIn reports whether a password may cross the connection.
func (c *conn) mayLogIn() bool { return c.secure || c.o.InsecureAuth(c.raw.RemoteAddr()) }
