package message

import (
	"bytes"
	"encoding/base64"
	"io"
)

const blockSize = 32 << 10

// base64Reader decodes base64 by blocks. Octets outside of the alphabet are
// passed over (RFC 2045 section 6.8), and padding may lack. After padding only a line
// that is base64 from its beginning to its end continues the data, as where blocks were
// put together; other text, such as the footer of a mailing list, ends it.
type base64Reader struct {
	r      io.Reader
	err    error
	buf    []byte // what is read from r
	in     []byte // the same without line ends, after an incomplete group
	out    []byte
	text   []byte // the decoded octets that have not been returned
	padded bool   // the last group ended with "="
	line   []byte // after padding: a line that is not complete yet
}

func newBase64Reader(size int) *base64Reader {
	return &base64Reader{buf: make([]byte, size), in: make([]byte, 0, size+4), out: make([]byte, size+4)}
}

func (d *base64Reader) reset(r io.Reader) {
	d.r, d.err, d.in, d.text = r, nil, d.in[:0], nil
	d.padded, d.line = false, d.line[:0]
}

// Read returns 0, nil if the source does.
func (d *base64Reader) Read(p []byte) (int, error) {
	for len(d.text) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		var n int
		if n, d.err = d.r.Read(d.buf); n == 0 && d.err == nil {
			return 0, nil
		}
		d.text = d.out[:0]
		d.take(d.buf[:n])
		if d.err != nil {
			if len(d.line) > 0 {
				d.judge()
			}
			d.endGroup()
		}
	}
	n := copy(p, d.text)
	d.text = d.text[n:]
	return n, nil
}

// take decodes what was read, up to the end of the data.
func (d *base64Reader) take(b []byte) {
	for len(b) > 0 {
		if d.padded {
			b = d.afterPadding(b)
			continue
		}
		pad := bytes.IndexByte(b, '=')
		if pad < 0 {
			d.decode(b)
			return
		}
		d.decode(b[:pad])
		d.endGroup()
		d.padded = true
		b = b[pad+1:]
	}
}

// decode decodes text without padding to d.text, and leaves an incomplete group in d.in.
func (d *base64Reader) decode(b []byte) {
	d.in = stripLines(d.in, b)
	whole := len(d.in) &^ 3
	if n, err := base64.StdEncoding.Decode(d.out[len(d.text):], d.in[:whole]); err == nil {
		d.text = d.out[:len(d.text)+n]
		d.in = append(d.in[:0], d.in[whole:]...)
	} else {
		d.text, d.in = decodeDirty(d.text, d.in)
	}
}

// endGroup decodes an incomplete group.
func (d *base64Reader) endGroup() {
	var group []byte
	d.text, group = decodeDirty(d.text, d.in)
	d.text = append(d.text, groupOctets(group)...)
	d.in = d.in[:0]
}

// maxJudged is how much of a line after padding is looked at.
const maxJudged = 1 << 10

// afterPadding takes the next line, and returns what follows it.
func (d *base64Reader) afterPadding(b []byte) (rest []byte) {
	n := bytes.IndexByte(b, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(b)
	}
	if room := maxJudged - len(d.line); n >= room {
		n, whole = room, true
	}
	d.line = append(d.line, b[:n]...)
	if whole && !d.judge() {
		return nil
	}
	return b[n:]
}

// judge decides whether the line after padding continues the data. It reports false
// if the data has ended.
func (d *base64Reader) judge() bool {
	line := bytes.TrimLeft(bytes.TrimRight(d.line, " \t\r\n"), "=")
	whole := len(d.line) < maxJudged
	d.line = d.line[:0]
	for _, c := range line {
		if c != '=' && unbase64(c) == 64 {
			whole, line = true, []byte{c} // no base64
			break
		}
	}
	switch {
	case len(line) == 0:
		return true
	case whole && len(line)%4 != 0 && line[len(line)-1] != '=':
		d.in = d.in[:0]
		if d.err == nil {
			d.err = io.EOF
		}
		return false
	}
	d.padded = false
	d.take(append(bytes.Clone(line), newline...))
	return true
}

// decodeDirty decodes a character at a time. It returns the characters of an
// incomplete group, which are in the memory of src.
func decodeDirty(dst, src []byte) (out, group []byte) {
	group = src[:0]
	for _, c := range src {
		if unbase64(c) < 64 {
			if group = append(group, c); len(group) == 4 {
				dst = append(dst, groupOctets(group)...)
				group = group[:0]
			}
		}
	}
	return dst, group
}

// groupOctets decodes up to four characters.
func groupOctets(group []byte) []byte {
	var bits uint32
	for i, c := range group {
		bits |= uint32(unbase64(c)) << (18 - 6*i)
	}
	b := []byte{byte(bits >> 16), byte(bits >> 8), byte(bits)}
	return b[:len(group)*6/8]
}

// stripLines appends b to dst without line ends.
func stripLines(dst, b []byte) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(dst, b...)
		}
		line := b[:i]
		if i > 0 && line[i-1] == '\r' {
			line = line[:i-1]
		}
		dst = append(dst, line...)
		b = b[i+1:]
	}
	return dst
}

// unbase64 returns the value of a base64 character, or 64.
func unbase64(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A'
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26
	case '0' <= c && c <= '9':
		return c - '0' + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return 64
}

// qpReader decodes quoted-printable by blocks. What is no valid escape is text.
type qpReader struct {
	r    io.Reader
	err  error
	buf  []byte
	n    int // octets of buf that are not decoded yet
	out  []byte
	text []byte
}

func newQPReader(size int) *qpReader {
	return &qpReader{buf: make([]byte, size), out: make([]byte, 0, size)}
}

func (d *qpReader) reset(r io.Reader) {
	d.r, d.err, d.n, d.text = r, nil, 0, nil
}

// Read returns 0, nil if the source does.
func (d *qpReader) Read(p []byte) (int, error) {
	for len(d.text) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.r.Read(d.buf[d.n:])
		if n == 0 && err == nil {
			return 0, nil
		}
		d.n += n
		d.err = err
		d.fill()
	}
	n := copy(p, d.text)
	d.text = d.text[n:]
	return n, nil
}

// fill decodes the whole lines in buf, or all of it at the end. A line that fills
// the buffer is decoded up to where an escape or blanks could be cut.
func (d *qpReader) fill() {
	in := d.buf[:d.n]
	out := d.out[:0]
	used := 0
	for {
		i := bytes.IndexByte(in[used:], '\n')
		if i < 0 {
			break
		}
		out = decodeLine(out, in[used:used+i+1])
		used += i + 1
	}
	rest := in[used:]
	switch {
	case d.err != nil:
		out = decodeLine(out, rest)
		used = len(in)
	case used == 0 && len(rest) == len(d.buf):
		keep := len(bytes.TrimRight(rest, " \t\r"))
		tail := max(0, keep-3)
		if i := bytes.LastIndexByte(rest[tail:keep], '='); i >= 0 {
			keep = tail + i
		}
		if keep == 0 {
			keep = len(rest) // a buffer of blanks: they are text
		}
		out = decodeEscapes(out, rest[:keep])
		used = keep
	}
	d.n = copy(d.buf, in[used:])
	d.text = out
}

// decodeLine decodes one line with its line end, if it has one.
func decodeLine(dst, line []byte) []byte {
	text := bytes.TrimRight(line, " \t\r\n")
	end := line[len(line):]
	switch {
	case bytes.HasSuffix(line, []byte("\r\n")):
		end = line[len(line)-2:]
	case bytes.HasSuffix(line, newline):
		end = line[len(line)-1:]
	}
	if n := len(text); n > 0 && text[n-1] == '=' {
		return decodeEscapes(dst, text[:n-1]) // soft line break
	}
	if len(end) == 0 {
		text = line // blanks at the end of the text are no end of a line
	}
	return append(decodeEscapes(dst, text), end...)
}

func decodeEscapes(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '=')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		b = b[i:]
		if len(b) >= 3 {
			if hi, lo := unhex(b[1]), unhex(b[2]); hi < 16 && lo < 16 {
				dst = append(dst, hi<<4|lo)
				b = b[3:]
				continue
			}
		}
		dst = append(dst, '=')
		b = b[1:]
	}
}
