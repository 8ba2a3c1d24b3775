package lmtpadapter

import (
	"bufio"
	"bytes"
	"errors"
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
