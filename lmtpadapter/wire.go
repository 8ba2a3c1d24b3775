package lmtpadapter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// wire is the connection as the engine sees it. It hands over one command line
// at a time, so that the engine asks for more only once it has carried out and
// answered the line before: wire always knows whether the next byte belongs to a
// command or to a message. Messages the engine never sees: the session reads them
// through [wire.message], and the engine finds only the dot at their end. A message
// in BDAT chunks is a DATA command to the engine.
//
// One engine serves one wire, and both end before the connection at STARTTLS: a new
// pair on the same peer knows nothing of what was said in the clear (RFC 3207
// section 4.2).
type wire struct {
	*peer
	domain       string        // for the farewell
	home         string        // the domain of recipients that are named without one
	writeTimeout time.Duration // of what wire writes itself
	offerTLS     bool

	sess     *session // set when the engine has made it, after LHLO
	rest     []byte   // what the engine is to read next: a line, or the dot
	chunk    *chunk   // the first of a message that the engine takes for DATA
	given    []byte   // a command that ended a message between chunks
	mute     bool     // nothing that the engine says goes to the client until the next command
	startTLS bool     // the engine's use of the connection ended so that TLS begins
	closed   bool     // by the engine
	err      error    // of the first read that failed: nothing is read after it
}

func (w *wire) Read(b []byte) (int, error) {
	if w.err == nil && len(w.rest) == 0 {
		w.rest, w.err = w.command()
	}
	if w.err != nil {
		return 0, w.err
	}
	n := copy(b, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// command reads the next command line for the engine.
func (w *wire) command() ([]byte, error) {
	line := w.given
	for w.given = nil; line == nil; {
		w.mute = false
		if w.isClosing() {
			return nil, w.farewell()
		}
		next, err := w.line()
		if err != nil {
			return nil, err
		}
		if w.offerTLS && isStartTLS(next) {
			if err := w.answerStartTLS(next); err != nil {
				return nil, err
			}
			continue
		}
		line = next
	}
	w.mute = false
	if c := parseBDAT(line); c != nil {
		return w.beginChunks(c)
	}
	return clampSize(qualify(line, w.home)), nil
}

// line reads a line, which must not be too long. A line that the client did not
// end is none.
func (w *wire) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(line) > maxLine:
		return nil, smtp.ErrTooLongLine
	case errors.Is(err, os.ErrDeadlineExceeded) && w.isClosing():
		return nil, w.farewell()
	}
	return line, err
}

// beginChunks is where the client sent the first chunk of a message. The engine gets
// DATA: it refuses that if there are no recipients, and calls the session otherwise.
func (w *wire) beginChunks(c *chunk) ([]byte, error) {
	if w.sess != nil && w.sess.takes() {
		w.chunk, w.mute = c, true // the engine says 354
	} else if _, err := io.CopyN(io.Discard, w.in, c.size); err != nil {
		return nil, w.lost()
	}
	return []byte("DATA\r\n"), nil
}

// answerStartTLS answers in the engine's place. The engine sees the connection
// end.
func (w *wire) answerStartTLS(line []byte) error {
	if len(bytes.TrimSpace(line)) != len("STARTTLS") {
		return w.say("501 5.5.4 STARTTLS takes no parameters")
	}
	if err := w.say("220 2.0.0 Ready to start TLS"); err != nil {
		return err
	}
	w.startTLS = true
	return io.EOF
}

// farewell is for a client whose next command is not served any more. The
// engine sees the connection end.
func (w *wire) farewell() error {
	if err := w.say("421 4.3.2 " + w.domain + " is shutting down"); err != nil {
		return err
	}
	return io.EOF
}

func (w *wire) say(line string) error {
	w.raw.SetWriteDeadline(time.Now().Add(w.writeTimeout))
	_, err := io.WriteString(w.rw, line+"\r\n")
	return err
}

// lost is the error of a connection that ended inside a message. The engine can
// answer with it.
func (w *wire) lost() error {
	if w.isClosing() {
		return errStopping
	}
	return errCut
}

// message returns the message that follows DATA or BDAT. Only the session calls it,
// while the engine reads nothing.
func (w *wire) message() io.Reader {
	if c := w.chunk; c != nil {
		w.chunk, w.mute = nil, false
		return &chunkReader{w: w, chunk: *c}
	}
	return &dotReader{in: w.in, end: w.endMessage}
}

// endMessage lets the engine find the end of a message, or that the connection is
// lost. It returns what the session's reader returns then.
func (w *wire) endMessage(err error) error {
	if err != nil {
		w.err = w.lost()
		return w.err
	}
	w.rest = []byte(".\r\n")
	return io.EOF
}

func (w *wire) Write(b []byte) (int, error) {
	if w.mute {
		return len(b), nil
	}
	return w.rw.Write(b)
}

// Close ends the engine's use of the connection, not the connection: the server
// that made the wire closes that.
func (w *wire) Close() error {
	w.closed = true
	return nil
}

// SetReadDeadline is called by the engine at the start of each command line.
// armed has its own for everything else.
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.closed {
		return net.ErrClosed // ends the engine's loop without a word
	}
	return w.raw.SetReadDeadline(t)
}

func (w *wire) SetWriteDeadline(t time.Time) error { return w.raw.SetWriteDeadline(t) }

func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

func (w *wire) LocalAddr() net.Addr  { return w.raw.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.raw.RemoteAddr() }

// isStartTLS is the engine's own test. It must never see a line that passes it.
func isStartTLS(line []byte) bool {
	return strings.HasPrefix(strings.ToUpper(string(line)), "STARTTLS")
}
