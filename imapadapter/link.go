package imapadapter

import (
	"io"
	"net"
	"sync"
	"time"
)

// farewellTimeout is how long a client may take to be told that the server ends.
const farewellTimeout = time.Second

// A link is the connection between the engine and the guard. It knows whether
// the engine waits for a command, which is when the connection can be ended with
// nothing half done.
//
// All methods but those of net.Conn may be called on nil, which is the link of a
// session whose engine is not a Server's.
type link struct {
	net.Conn // the guard's
	guard    *guardConn
	quit     chan struct{} // closed when the server shuts down

	// Set before the first Read:
	session *session
	done    func() // tells the server that the session is over

	mu      sync.Mutex // protects what follows; taken after the session's
	ending  bool       // quit is closed
	reading bool       // the engine is in Read
	gone    bool       // the client was told; nothing may be begun or written
}

// atRest reports whether the engine, when it reads, waits for the client to say
// something new, rather than for the rest of a command that it has begun.
func (c *guardConn) atRest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.responses
	return !c.working && (r.tag == "" || r.answered || r.name == "IDLE" || r.name == "AUTHENTICATE")
}

// Read reads for the engine. When the server shuts down it says goodbye to the
// client in place of reading another command, and ends.
func (l *link) Read(p []byte) (int, error) {
	l.mu.Lock()
	if l.ending && l.guard.atRest() {
		l.mu.Unlock()
		l.session.mu.Lock() // Idle may be writing
		defer l.session.mu.Unlock()
		l.farewell()
		return 0, io.EOF
	}
	l.reading = true
	l.mu.Unlock()

	n, err := l.Conn.Read(p)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = false
	if l.gone {
		return 0, io.EOF
	}
	return n, err
}

// Write writes for the engine.
func (l *link) Write(p []byte) (int, error) {
	l.mu.Lock()
	gone := l.gone
	l.mu.Unlock()
	if gone {
		return 0, net.ErrClosed
	}
	return l.Conn.Write(p)
}

// drain ends the connection as soon as the command at work is answered. It
// waits for the work on it, not for the answer, which Read does.
func (l *link) drain() {
	l.mu.Lock()
	if !l.ending {
		l.ending = true
		close(l.quit)
	}
	l.mu.Unlock()
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.mu.Lock()
	waiting := l.reading && l.guard.atRest()
	l.mu.Unlock()
	if waiting {
		l.farewell()
	}
}

// leaving says goodbye if the server shuts down. It is asked when no command is at
// work.
func (l *link) leaving() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	ending := l.ending
	l.mu.Unlock()
	if ending {
		l.farewell()
	}
	return ending
}

// farewell says goodbye, and closes the connection so that a Read returns. The
// caller holds the session's lock, and the engine waits for a command or is in
// Read: nobody else writes.
func (l *link) farewell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	l.gone = true
	if l.SetWriteDeadline(time.Now().Add(farewellTimeout)) == nil {
		_, _ = l.Conn.Write([]byte("* BYE Server is shutting down\r\n"))
	}
	_ = l.Conn.Close()
}

// open reports whether a method of the session may begin.
func (l *link) open() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.gone
}

// draining returns a channel that is closed when the server shuts down.
func (l *link) draining() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.quit
}

// over notes that the session is closed.
func (l *link) over() {
	if l != nil {
		l.done()
	}
}
