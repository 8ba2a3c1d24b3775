package server

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/mailbox/message"
)

const (
	maxHeldHeader = 64 << 10 // bytes of a header that a transcoder holds
	base64Line    = 57       // bytes in a line of 76 characters (RFC 2045 section 6.8)
)

// A transcoder reads a message that came as a literal8 (RFC 3516), and yields it with
// base64 in place of the binary encoding: BODY[...] can then be sent in a literal, which
// holds no NUL. Containers, and what a signature covers, stay as they are. Read fails
// with NO [UNKNOWN-CTE] if NUL remains.
type transcoder struct {
	src *bufio.Reader
	err error // of src, or why the message is refused
	out []byte
	at  int // what was read of out

	header   []byte // of the part whose header is being read, nil in a body
	inHeader bool
	open     []container // the innermost last
	mid      bool        // the next bytes continue a line

	encoding bool   // the body is being encoded
	group    []byte // what is not encoded yet, less than a line
	lines    bool   // a line of base64 was written
	eol      []byte // a line end that belongs to the body, or to a boundary line behind it
}

// container is a multipart whose end was not seen.
type container struct {
	boundary string
	keep     bool // its parts are not changed
}

func newTranscoder(r io.Reader) *transcoder {
	return &transcoder{src: bufio.NewReader(r), inHeader: true}
}

func (t *transcoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for t.at == len(t.out) && t.err == nil {
		t.out, t.at = t.out[:0], 0
		piece, err := t.src.ReadSlice('\n')
		if len(piece) > 0 {
			t.take(piece)
		}
		if err == bufio.ErrBufferFull {
			err = nil
		}
		if err == io.EOF {
			t.end()
		}
		if t.err == nil {
			t.err = err
		}
	}
	if t.err != nil && t.err != io.EOF {
		return 0, t.err
	}
	if t.at == len(t.out) {
		return 0, t.err
	}
	n := copy(p, t.out[t.at:])
	t.at += n
	return n, nil
}

// take handles a line, or a piece of a long one.
func (t *transcoder) take(piece []byte) {
	begins := !t.mid
	t.mid = piece[len(piece)-1] != '\n'
	if begins && t.delimiter(piece) {
		return
	}
	switch {
	case t.inHeader:
		t.header = append(t.header, piece...)
		switch {
		case begins && len(bytes.TrimLeft(piece, "\r")) == 1 && !t.mid:
			t.endHeader()
		case len(t.header) > maxHeldHeader:
			t.flushHeader()
		}
	case t.encoding:
		t.encode(piece)
	default:
		t.write(piece)
	}
}

// write yields bytes as they are.
func (t *transcoder) write(b []byte) {
	if bytes.IndexByte(b, 0) >= 0 {
		t.err = no("UNKNOWN-CTE", "NUL can only be in parts with Content-Transfer-Encoding: binary that no signature covers")
		return
	}
	t.out = append(t.out, b...)
}

// flushHeader yields a header as it is; what follows is a body.
func (t *transcoder) flushHeader() {
	t.write(t.header)
	t.header, t.inHeader = nil, false
}

// keeps reports whether parts are not changed here.
func (t *transcoder) keeps() bool { return len(t.open) > 0 && t.open[len(t.open)-1].keep }

// endHeader decides about a part whose header is complete.
func (t *transcoder) endHeader() {
	s := message.NewScanner()
	_, _ = s.Write(t.header)
	part := s.Close().Root
	switch {
	case part.IsMultipart():
		t.open = append(t.open, container{
			boundary: strings.TrimRight(part.Param("boundary"), " \t"),
			keep:     t.keeps() || part.Subtype == "signed" || part.Subtype == "digest",
		})
	case part.IsMessage():
		t.flushHeader()
		t.inHeader = true
		return
	case part.Encoding == "binary" && !t.keeps():
		t.header = inBase64(t.header)
		t.encoding, t.lines = true, false
	}
	t.flushHeader()
}

// inBase64 returns a header with base64 as its Content-Transfer-Encoding.
func inBase64(header []byte) []byte {
	var out []byte
	var done, dropping bool
	for line := range bytes.Lines(header) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			dropping = strings.EqualFold(string(bytes.TrimRight(name, " \t")), "Content-Transfer-Encoding")
			if dropping && !done {
				out = append(out, "Content-Transfer-Encoding: base64\r\n"...)
				done = true
			}
		}
		if !dropping {
			out = append(out, line...)
		}
	}
	return out
}

// delimiter handles a boundary line, and reports whether the line is one.
func (t *transcoder) delimiter(line []byte) bool {
	if len(t.open) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	text := strings.TrimRight(string(line[2:]), " \t\r\n")
	for i, c := range slices.Backward(t.open) {
		closing := text == c.boundary+"--"
		if text != c.boundary && !closing {
			continue
		}
		t.endBody()
		t.flushHeader()
		t.write(line)
		t.inHeader = !closing
		t.open = t.open[:i+1]
		if closing {
			t.open = t.open[:i]
		}
		return true
	}
	return false
}

// encode takes a piece of a body that becomes base64.
func (t *transcoder) encode(piece []byte) {
	body := append(t.eol, piece...)
	n := len(bytes.TrimSuffix(body, []byte("\n")))
	n = len(bytes.TrimSuffix(body[:n], []byte("\r")))
	t.eol = slices.Clone(body[n:])
	t.encodeAll(body[:n])
}

func (t *transcoder) encodeAll(b []byte) {
	t.group = append(t.group, b...)
	left := t.group
	for len(left) >= base64Line {
		t.line(left[:base64Line])
		left = left[base64Line:]
	}
	t.group = append(t.group[:0], left...)
}

func (t *transcoder) line(b []byte) {
	if t.lines {
		t.out = append(t.out, "\r\n"...)
	}
	t.lines = true
	t.out = base64.StdEncoding.AppendEncode(t.out, b)
}

// endBody completes the base64 of a body in front of a boundary line.
func (t *transcoder) endBody() {
	if !t.encoding {
		return
	}
	if len(t.group) > 0 {
		t.line(t.group)
	}
	t.write(t.eol)
	t.encoding, t.group, t.eol = false, t.group[:0], nil
}

// end completes the message.
func (t *transcoder) end() {
	if t.encoding {
		t.encodeAll(t.eol)
		t.eol = []byte("\r\n")
	}
	t.endBody()
	t.flushHeader()
}
