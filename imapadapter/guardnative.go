package imapadapter

import (
	"errors"
	"os"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
)

// A native answers commands in the place of the engine. It is asked between two
// commands, in the goroutine that reads, when the engine waits for the next: so
// commands are answered in order whoever answers them, and nobody else writes.
// docs/decisions/native-commands.md has the reasons.
type native interface {
	// takes reports whether a command is native's and not the engine's.
	takes(name string) bool
	// answer executes a command and writes its answer. An error ends the
	// connection.
	answer(cmd *frame.Command) error
	// settle answers commands whose answer was put off. It is called before the
	// client is waited for, and before a command that is not of their kind.
	settle() error
	// told is called after a poke, while the client is waited for.
	told() error
	// leaving says goodbye if the connection is to end now.
	leaving() bool
	// capabilities returns what is offered beside what the engine offers, after
	// a login or before.
	capabilities(authed bool) []string
}

func (c *guardConn) setWorking(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working = on
}

// longAgo is a deadline that ends a Read at once.
var longAgo = time.Unix(1, 0)

// poke makes native's told be called, from the goroutine that waits for the
// client. It does not wait, and many pokes may be one.
func (c *guardConn) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.poked {
		c.poked = true
		_ = c.applyReadDeadline() // a closed connection fails its Read anyway
	}
}

// takePoke reports whether a Read was ended by poke, and undoes it. In the middle
// of a command nothing may be told: the poke is kept.
func (c *guardConn) takePoke() (poked, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.poked {
		return false, false
	}
	c.poked, c.pokedLate = false, !c.resting
	_ = c.applyReadDeadline()
	return true, c.resting
}

// transportReader reads from the connection, TLS included, that is in use, and
// lets native tell the client something when it is poked meanwhile.
type transportReader struct{ c *guardConn }

func (r transportReader) Read(p []byte) (int, error) {
	for {
		if err := r.c.push(); err != nil {
			return 0, err
		}
		n, err := r.c.transport().Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		poked, now := r.c.takePoke()
		if !poked {
			return n, err
		}
		if now {
			if err := r.c.native.told(); err != nil {
				return 0, err
			}
		}
	}
}

// A responder gathers what a native command answers, and writes it in blocks. Its
// first error stays, and makes it write nothing more.
type responder struct {
	wire.Encoder
	guard *guardConn
	box   *[]byte
	err   error
}

func (c *guardConn) responder() *responder {
	w := &responder{guard: c, box: gatherPool.Get().(*[]byte)}
	w.B = (*w.box)[:0]
	return w
}

// end ends a line, and writes what was gathered if it is much.
func (w *responder) end() {
	w.CRLF()
	if len(w.B) > maxGathered/2 {
		w.flush()
	}
}

// flush writes what was gathered.
func (w *responder) flush() {
	if w.err == nil && len(w.B) > 0 {
		w.err = w.guard.pass(w.B)
	}
	w.B = w.B[:0]
}

// Write writes p behind what was gathered.
func (w *responder) Write(p []byte) (int, error) {
	if len(w.B)+len(p) <= maxGathered {
		w.B = append(w.B, p...)
		return len(p), w.err
	}
	w.flush()
	if w.err == nil {
		w.err = w.guard.pass(p)
	}
	return len(p), w.err
}

// close writes the rest and gives the buffer back.
func (w *responder) close() error {
	w.rest()
	return w.err
}

// rest writes what was gathered and gives the buffer back, to take another when
// there is more to say.
func (w *responder) rest() {
	w.flush()
	if w.box != nil && cap(w.B) <= 2*maxGathered {
		*w.box = w.B[:0]
		gatherPool.Put(w.box)
	}
	w.B, w.box = nil, nil
}

// pass writes bytes of native's.
func (c *guardConn) pass(p []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
		return err
	}
	if _, err := c.transport().Write(p); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}
