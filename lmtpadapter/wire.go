package lmtpadapter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// wire is the connection as the engine sees it. It hands over one command line
// at a time, so that the engine asks for more only once it has carried out and
// answered the line before: wire always knows whether the next byte belongs to a
// command, to a BDAT chunk, or to a message after DATA. The latter the engine
// never sees: the session reads it through [wire.message], and the engine finds
// only the dot at its end.
//
// One engine serves one wire, and both end before the connection in two cases.
// STARTTLS: a new pair on the same peer knows nothing of what was said in the
// clear (RFC 3207 section 4.2). And RSET or LHLO between the chunks of a message:
// the engine's goroutine that took the chunks may report its result to the next
// message that comes by BDAT, whose recipients would be told 250 too soon. The
// new engine is sent LHLO in the client's name.
type wire struct {
	*peer
	domain       string        // for the farewell
	home         string        // the domain of recipients that are named without one
	writeTimeout time.Duration // of what wire writes itself
	offerTLS     bool
	mute         bool // until the client's next command: an engine before this one has greeted it

	sess   *session        // set when the engine has made it, after LHLO
	rest   []byte          // what the engine is to read next: a line, or the dot
	chunk  int64           // bytes of a BDAT chunk to come after rest
	begun  <-chan struct{} // after rest, wait until the session has taken up the message
	open   bool            // a message came by BDAT, and not yet its last chunk
	given  bool            // such a message was given up
	next   next            // what the connection goes on with
	err    error           // of the first read that failed: nothing is read after it
	closed chan struct{}   // by the engine
	once   sync.Once
}

// next is what follows when an engine has ended.
type next int

const (
	theEnd next = iota
	startTLS
	freshEngine
)

func (w *wire) Read(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.read(b)
	w.err = err
	return n, err
}

func (w *wire) read(b []byte) (int, error) {
	if len(w.rest) == 0 {
		if w.begun != nil {
			select {
			case <-w.begun:
				w.begun = nil
			case <-w.closed:
				return 0, net.ErrClosed
			}
		}
		if w.chunk > 0 {
			return w.readChunk(b)
		}
		line, err := w.command()
		if err != nil {
			return 0, err
		}
		w.rest = line
	}
	n := copy(b, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// command reads the next command line for the engine. A line that the client
// did not end is no command.
func (w *wire) command() ([]byte, error) {
	for {
		if w.given {
			w.next = freshEngine
			return nil, io.EOF
		}
		w.mute = false
		if w.isClosing() {
			return nil, w.farewell()
		}
		line, err := w.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
			return nil, smtp.ErrTooLongLine
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && w.isClosing() {
				return nil, w.farewell()
			}
			return nil, err
		}
		if w.offerTLS && isStartTLS(line) {
			if err := w.answerStartTLS(line); err != nil {
				return nil, err
			}
			continue
		}
		if n, last, ok := parseBDAT(line); ok {
			w.chunk = n
			if w.sess != nil {
				w.begun = w.sess.expected()
				w.open = w.begun != nil && !last
			}
		}
		return clampSize(qualify(line, w.home)), nil
	}
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
	w.next = startTLS
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

// readChunk reads from a BDAT chunk. The engine takes an end of the connection
// in the middle of the last chunk for the end of the message, so that is never
// what it gets to see.
func (w *wire) readChunk(b []byte) (int, error) {
	if int64(len(b)) > w.chunk {
		b = b[:w.chunk]
	}
	n, err := w.in.Read(b)
	w.chunk -= int64(n)
	if err != nil {
		return n, w.lost()
	}
	return n, nil
}

// lost is the error of a connection that ended inside a message. The engine can
// answer with it.
func (w *wire) lost() error {
	if w.isClosing() {
		return errStopping
	}
	return errCut
}

// message returns the message that follows DATA, with the dots of its lines
// taken off. Only the session calls it, while the engine reads nothing.
func (w *wire) message() io.Reader {
	return &dotReader{in: w.in, end: func(err error) error {
		if err != nil {
			w.err = w.lost()
			return w.err
		}
		w.rest = []byte(".\r\n")
		return io.EOF
	}}
}

// reset is told by the session that the transaction is over.
func (w *wire) reset() {
	w.given = w.given || w.open
	w.open = false
	w.setBusy(false)
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
	w.once.Do(func() { close(w.closed) })
	return nil
}

// SetReadDeadline is called by the engine at the start of each command line.
// armed has its own for everything else.
func (w *wire) SetReadDeadline(t time.Time) error {
	select {
	case <-w.closed:
		return net.ErrClosed // ends the engine's loop without a word
	default:
		return w.raw.SetReadDeadline(t)
	}
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

// parseBDAT returns the number of bytes that the engine reads after a line as a
// BDAT chunk, and whether it is the last (RFC 3030 section 2). It is not ok for a
// line that the engine does not take for a BDAT command in good order, and reads
// nothing after.
func parseBDAT(line []byte) (size int64, last, ok bool) {
	const verb = "BDAT "
	if len(line) < len(verb) || !bytes.EqualFold(line[:len(verb)], []byte(verb)) {
		return 0, false, false
	}
	args := strings.Fields(string(line[len(verb):]))
	last = len(args) == 2 && strings.EqualFold(args[1], "LAST")
	if len(args) == 0 || len(args) > 1 && !last {
		return 0, false, false
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	return int64(n), last, err == nil
}
