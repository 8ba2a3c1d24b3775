package lmtpadapter

import (
	"bufio"
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// dotReader undoes the transparency of RFC 5321 section 4.5.2: it takes one dot
// from the beginning of each line that begins with one, and ends at the line
// that is a dot alone. A line ends in CR LF and in nothing else: bare CRs and
// LFs are bytes of the message, and a dot after one neither goes nor ends
// anything. That keeps bytes exact, and messages from being smuggled.
//
// The engine's own reader is not used because it loses count at CR CR LF: it
// leaves a dot too many on the next line, and waits for ever for the end of a
// message whose last line ends so.
type dotReader struct {
	in   *bufio.Reader
	end  func(error) error // called once with nil at the end, or what a read returned; gives what Read returns from then on
	rest []byte            // of the message, in in's buffer
	mid  bool              // in the middle of a line
	cr   bool              // the byte before was a CR
	err  error
}

func (d *dotReader) Read(b []byte) (int, error) {
	var n int
	for n < len(b) {
		if len(d.rest) == 0 {
			// Whole lines that have arrived are handed on before waiting for more.
			if d.err == nil && (n == 0 || d.in.Buffered() > 0) {
				d.next()
				continue
			}
			break
		}
		m := copy(b[n:], d.rest)
		d.rest = d.rest[m:]
		n += m
	}
	if n > 0 || len(b) == 0 {
		return n, nil
	}
	return 0, d.err
}

// next reads a line, or a piece of one that is longer than the buffer.
func (d *dotReader) next() {
	line, err := d.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		d.err = d.end(err) // what came of the line is lost with the message
		return
	}
	if !d.mid && line[0] == '.' {
		if string(line) == ".\r\n" {
			d.err = d.end(nil)
			return
		}
		line = line[1:]
	}
	d.mid = !d.endsLine(line)
	d.rest = line
}

// endsLine reports whether a piece ends in CR LF, of which the CR may have been
// the last byte of the piece before.
func (d *dotReader) endsLine(piece []byte) bool {
	before := d.cr
	d.cr = bytes.HasSuffix(piece, []byte{'\r'})
	return bytes.HasSuffix(piece, []byte("\r\n")) || before && string(piece) == "\n"
}

// chunk is a BDAT command (RFC 3030 section 2).
type chunk struct {
	size int64 // bytes that follow it
	last bool
}

// parseBDAT reads a BDAT command. It returns nil for any other line.
func parseBDAT(line []byte) *chunk {
	const verb = "BDAT "
	if len(line) < len(verb) || !bytes.EqualFold(line[:len(verb)], []byte(verb)) {
		return nil
	}
	args := strings.Fields(string(line[len(verb):]))
	last := len(args) == 2 && strings.EqualFold(args[1], "LAST")
	if len(args) == 0 || len(args) > 1 && !last {
		return nil
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return nil
	}
	return &chunk{int64(n), last}
}

// chunkReader reads a message in BDAT chunks. It answers each chunk but the last,
// whose answers are those to the message. A command that gives the message up
// between chunks is carried out by the engine afterwards.
type chunkReader struct {
	w *wire
	chunk
	err error
}

func (c *chunkReader) Read(b []byte) (int, error) {
	for c.err == nil && c.size == 0 {
		if c.last {
			c.err = c.w.endMessage(nil)
		} else {
			c.err = c.next()
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.in.Read(b[:min(int64(len(b)), c.size)])
	c.size -= int64(n)
	if err != nil {
		c.err = c.w.endMessage(err)
	}
	return n, c.err
}

// next answers a chunk and reads the command for the next one.
func (c *chunkReader) next() error {
	answer := "250 2.0.0 Continue"
	for {
		if err := c.w.say(answer); err != nil {
			return c.w.endMessage(err)
		}
		line, err := c.w.line()
		if err != nil {
			return c.w.endMessage(err)
		}
		if next := parseBDAT(line); next != nil {
			c.chunk = *next
			return nil
		}
		switch verb, _, _ := bytes.Cut(bytes.ToUpper(bytes.TrimSpace(line)), []byte(" ")); string(verb) {
		case "BDAT":
			answer = "501 5.5.4 Malformed BDAT command"
		case "NOOP":
			answer = "250 2.0.0 Waiting for the next chunk"
		case "RSET", "LHLO", "QUIT":
			// The answers to the message, one for each recipient, are not for the
			// client, who hears only the one to this command.
			c.w.given, c.w.mute, c.w.rest = bytes.Clone(line), true, []byte(".\r\n")
			return errOutOfOrder
		default:
			answer = "502 5.5.1 Command is not allowed between the chunks of a message"
		}
	}
}
