package guard

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// A conn is the connection that the engine reads and writes. One Read returns bytes of
// one piece of one command, so the engine's buffer never holds anything of the next.
// The engine reads only when it wants more of a command or is done with it; what it
// wrote in between says which.
//
// Reads happen one at a time (readMu), and so do writes (writeMu): the engine writes
// from two goroutines while a client idles. Close and the deadlines may be called at
// any time.
type conn struct {
	raw       net.Conn // under TLS, if any
	o         *Options
	onClose   func()
	closeOnce sync.Once
	plainAuth bool // a password may cross this connection without TLS

	readMu   sync.Mutex // protects what follows
	frames   frame.Reader
	cmd      *frame.Command // that the engine reads, or nil
	out      []byte         // of it, not read yet
	cuts     []int          // ends of the pieces of the text that out is the rest of
	given    int            // bytes of that text that were read already
	left     int64          // bytes of the message that were not read yet
	verdict  *frame.Refusal // to be given when there is no current command
	err      error          // ends every Read from now on
	refusals int            // in a row

	writeMu  sync.Mutex // guards line and gathered, and is held while anything is written
	line     []byte     // of the response being edited, not whole yet
	gathered *[]byte    // responses not written yet, from gatherPool

	mu        sync.Mutex // protects what follows; nothing waits while it is held
	conn      net.Conn   // raw, or TLS on it
	secure    bool       // conn is TLS
	authed    bool
	responses responseScanner
	instead   string    // replaces the answer to the current command
	loginBy   time.Time // unless authed
	phase     time.Time // the guard's own read deadline, or zero
	engine    time.Time // the engine's read deadline, or zero
	grace     time.Duration
}

func newConn(raw net.Conn, o *Options, onClose func()) *conn {
	c := &conn{raw: raw, o: o, onClose: onClose, conn: raw, loginBy: time.Now().Add(o.LoginTimeout)}
	if _, ok := raw.(*tls.Conn); ok {
		c.secure = true
	} else if o.ImplicitTLS {
		c.conn, c.secure = tls.Server(raw, o.TLSConfig), true
	}
	c.plainAuth = c.secure || o.InsecureAuth(raw.RemoteAddr())
	c.frames.Init(transportReader{c}, policy{c})
	c.mu.Lock()
	c.applyReadDeadline()
	c.mu.Unlock()
	return c
}

// Read reads bytes of the current command, or waits for the next one.
func (c *conn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	for len(p) > 0 {
		if c.cmd != nil && c.answered() {
			c.finish()
		}
		switch {
		case len(c.cuts) > 0:
			return c.hand(p), nil
		case c.verdict != nil && c.cmd == nil:
			c.refuse(c.verdict)
			c.verdict = nil
		case c.err != nil:
			return 0, c.err
		case c.cmd == nil:
			c.next()
		case c.left > 1:
			c.setPhase(commandTimeout)
			n, err := c.frames.Read(p[:min(int64(len(p)), c.left-1)])
			c.left -= int64(n)
			return n, c.inMessage(err)
		case c.left == 1:
			c.endMessage()
		default:
			c.interact()
		}
	}
	return 0, nil
}

// hand gives the engine what it may read at once.
func (c *conn) hand(p []byte) int {
	n := copy(p, c.out[:c.cuts[0]-c.given])
	c.out = c.out[n:]
	if c.given += n; c.given == c.cuts[0] {
		c.cuts = c.cuts[1:]
	}
	return n
}

// load makes text what the engine reads next, in pieces that end at cuts.
func (c *conn) load(text []byte, cuts ...int) {
	c.out, c.cuts, c.given = text, cuts, 0
}

// next waits for a command.
func (c *conn) next() {
	c.await()
	cmd, err := c.frames.Next()
	if err != nil {
		c.fail(err)
		return
	}
	if cmd.Name == "STARTTLS" {
		c.startTLS(cmd)
		return
	}
	if cmd.Name == "AUTHENTICATE" && !validAuthenticate(cmd) {
		c.refuse(&frame.Refusal{Tag: cmd.Tag, Text: "BAD [CLIENTBUG] Syntax error: malformed AUTHENTICATE"})
		return
	}
	c.refusals = 0
	mendSearch(cmd)
	c.cmd, c.left = cmd, max(cmd.Message, 0)
	c.load(cmd.Text, cmd.Cuts...)
	c.mu.Lock()
	c.responses.begin(cmd.Tag, cmd.Name)
	c.grace = time.Duration(c.left/minRate) * time.Second
	c.mu.Unlock()
}

// finish forgets the command that the engine has answered, and has what the
// client still sends of it dropped: the message, if the client did not wait to
// be asked for it, or was asked.
func (c *conn) finish() {
	c.mu.Lock()
	asked := c.responses.continued
	if c.responses.ok {
		c.changeState(c.cmd.Name)
	}
	c.responses.begin("", "")
	c.instead, c.grace = "", 0
	c.mu.Unlock()
	if c.left > 0 && (c.cmd.NonSync || asked) {
		c.frames.Abandon(c.left)
	}
	c.cmd, c.left = nil, 0
	c.load(nil)
}

// changeState follows the engine's state, as far as it matters here. The caller
// holds mu.
func (c *conn) changeState(name string) {
	switch name {
	case "LOGIN", "AUTHENTICATE":
		c.authed, c.loginBy = true, time.Time{}
	case "UNAUTHENTICATE":
		c.authed = false
		c.loginBy = time.Now().Add(c.o.LoginTimeout)
	}
}

// endMessage reads what follows a message before it gives the engine the last
// byte of it. A message that something else follows, or that the connection
// does not outlive, must not be stored: the session sees an error, not an end.
func (c *conn) endMessage() {
	var last [1]byte
	if _, err := io.ReadFull(&c.frames, last[:]); err != nil {
		c.err = c.inMessage(err)
		return
	}
	line := "\r\n"
	if c.cmd.Closing {
		line = ")\r\n"
	}
	_, err := c.frames.Tail(c.cmd, false)
	var r *frame.Refusal
	if errors.As(err, &r) {
		c.refuse(r)
		c.err = io.ErrUnexpectedEOF
		return
	} else if err != nil {
		c.err = c.inMessage(err)
		return
	}
	c.left = 0
	c.load(append(last[:], line...), 1, 1+len(line))
}

// inMessage makes an end of the connection an error: a reader of the message
// must not take it for the end of the message.
func (c *conn) inMessage(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	c.err = err
	return err
}

// interact serves the engine when it reads on after a whole command: inside
// IDLE and AUTHENTICATE it wants a line that is no command. Otherwise it
// takes the command for unfinished, or has forgotten to answer; either way the
// two do not agree on where a command ends, and the connection is closed.
func (c *conn) interact() {
	c.mu.Lock()
	asked := c.responses.continued
	c.responses.continued = false
	c.mu.Unlock()
	switch {
	case asked && c.cmd.Name == "IDLE":
		c.awaitDone()
	case asked && c.cmd.Name == "AUTHENTICATE":
		c.awaitResponse()
	default:
		c.refuse(&frame.Refusal{Tag: "*", Text: "BAD Command was not completed", Fatal: true})
	}
}

// awaitDone waits for the end of IDLE (RFC 9051 section 6.3.13). The engine
// gets its DONE in every case, because only then does it wait for the goroutine
// that writes updates; if it was not what the client sent, its answer is
// replaced.
func (c *conn) awaitDone() {
	c.await()
	line, r, err := c.reply()
	switch {
	case err != nil:
		c.fail(err)
	case r != nil || !strings.EqualFold(string(line), "DONE"):
		c.mu.Lock()
		c.instead = "BAD [CLIENTBUG] Expected DONE to end IDLE"
		c.mu.Unlock()
		if r != nil && r.Fatal {
			c.verdict = r
		}
	}
	c.load([]byte("DONE\r\n"), 6)
}

// reply waits for a line that is no command.
func (c *conn) reply() (line []byte, r *frame.Refusal, err error) {
	line, err = c.frames.Reply()
	if errors.As(err, &r) {
		err = nil
	}
	return line, r, err
}

// Close closes the connection. It interrupts a Read or Write.
func (c *conn) Close() error {
	if c.writeMu.TryLock() {
		// What the engine said before a session broke off is sent.
		if c.gathered != nil && c.raw.SetWriteDeadline(time.Now().Add(refuseTimeout)) == nil {
			_ = c.flush()
		}
		c.writeMu.Unlock()
	}
	c.closeOnce.Do(c.onClose)
	return c.transport().Close()
}

// transport returns the connection, TLS included, that is in use now.
func (c *conn) transport() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// LocalAddr returns the local address.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr returns the client's address.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// transportReader reads from the connection, TLS included, that is in use now.
type transportReader struct{ c *conn }

func (r transportReader) Read(p []byte) (int, error) { return r.c.transport().Read(p) }
