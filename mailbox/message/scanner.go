package message

import (
	"bytes"
)

// maxHead is how many octets of a line are looked at to decide what the line is.
// A longer one is never a boundary line.
const maxHead = 2048

// Scanner reads the structure of a mail that is written to it. It holds a few
// hundred KiB at most, whatever is written, and does not fail: what cannot be
// understood is text. A Scanner is for one mail and one goroutine.
type Scanner struct {
	msg    *Message
	stack  []frame // the open parts, the root first
	parts  int     // parts made, and those promised to open multiparts
	meta   int     // octets of metadata kept, without the root's header block
	active int     // open multiparts whose boundary is looked for
	sealed bool    // a limit is reached: all to the end is the body of the last part

	inHeader bool // the header of the innermost part is being read
	blanks   bool // the line before, in a header, has nothing but blanks
	mid      bool // the head of the current line has been judged
	cr       bool // the last octet of the current line was a CR

	off  int64 // octets judged
	line int64 // offset of the current line
	eol  int64 // length of the line end before the current line, 0 if there is none
	lf   int64 // LF octets before the current line

	held []byte // the head of a line that is not complete yet
	hdr  capture
	view previewing
}

// frame is a part whose end has not been seen.
type frame struct {
	part     *Part
	boundary string // of a multipart whose close delimiter has not been seen
	padded   bool   // the boundary parameter ended in blanks, which are cut off
	lf       int64  // LF octets before the body
}

// NewScanner returns a scanner for one mail.
func NewScanner() *Scanner {
	s := &Scanner{msg: &Message{}}
	s.push("text", "plain", true)
	s.msg.Root = s.stack[0].part
	return s
}

// Write takes the next octets of the mail. It always returns len(p), nil.
func (s *Scanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		switch {
		case s.mid:
			p = s.skipLine(p)
		case s.inHeader || s.watching():
			p = s.startLine(p)
		default: // nothing can end the part any more
			s.lf += int64(bytes.Count(p, newline))
			s.view.take(p)
			s.off += int64(len(p))
			p = nil
		}
	}
	return n, nil
}

var newline = []byte{'\n'}

// Close ends the mail and returns what is known of it. It must be called once;
// the scanner is of no use afterwards.
func (s *Scanner) Close() *Message {
	if len(s.held) > 0 {
		s.judge(s.held, true)
	}
	for s.inHeader {
		s.endHeader(s.off)
	}
	s.line, s.eol = s.off, 0
	s.pop(0)
	s.msg.Size = s.off
	s.msg.Preview, s.msg.HasPreview = s.view.text, true
	s.view.close()
	return s.msg
}

// watching reports whether a boundary line could end the current part.
func (s *Scanner) watching() bool { return s.active > 0 && !s.sealed }

// skipLine consumes the rest of a line whose head has been judged.
func (s *Scanner) skipLine(p []byte) []byte {
	n := bytes.IndexByte(p, '\n') + 1
	if n == 0 {
		n = len(p)
	}
	if s.inHeader {
		s.hdr.more(p[:n])
	}
	s.advance(p[:n])
	return p[n:]
}

// startLine gathers the head of a line until it can be judged.
func (s *Scanner) startLine(p []byte) []byte {
	if !s.inHeader && len(s.held) == 0 && p[0] != '-' {
		s.mid = true
		return p
	}
	n := bytes.IndexByte(p, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(p)
	}
	if room := maxHead - len(s.held); n > room {
		n, whole = room, false
	}
	if whole && len(s.held) == 0 {
		s.judge(p[:n], true)
		return p[n:]
	}
	s.held = append(s.held, p[:n]...)
	if whole || len(s.held) == maxHead {
		held := s.held
		s.held = s.held[:0]
		s.judge(held, whole)
	}
	return p[n:]
}

// advance moves past octets of the current line.
func (s *Scanner) advance(b []byte) {
	n := len(b)
	s.off += int64(n)
	s.view.take(b)
	if b[n-1] != '\n' {
		s.cr = b[n-1] == '\r'
		return
	}
	s.eol = 1
	if n > 1 && b[n-2] == '\r' || n == 1 && s.cr {
		s.eol = 2
	}
	s.lf++
	s.line, s.mid, s.cr = s.off, false, false
}

// judge decides what a line is. head is all of it if whole is set.
func (s *Scanner) judge(head []byte, whole bool) {
	if whole && len(head) > 2 && head[0] == '-' && head[1] == '-' {
		if s.inHeader && s.hdr.opens(head) {
			s.endHeader(s.line)
		}
		if s.watching() {
			if at, closing := s.match(head); at >= 0 && s.delimiter(at, closing, head) {
				return
			}
		}
	}
	if s.inHeader && s.blanks && !isBlank(head) && !continues(head) && bytes.IndexByte(head, ':') < 0 {
		s.endHeader(s.line)
	}
	s.mid = true // advance clears it at the end of the line
	if !s.inHeader {
		s.advance(head)
		return
	}
	s.blanks = whole && hasBlanksOnly(head)
	s.hdr.start(head)
	s.advance(head)
	if isBlank(head) {
		s.endHeader(s.off)
	}
}

// continues reports whether a line continues the field of the line before.
func continues(line []byte) bool { return line[0] == ' ' || line[0] == '\t' }

// hasBlanksOnly reports whether a line begins with a blank and has nothing else.
func hasBlanksOnly(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return continues(line)
}

// isBlank reports whether a line ends a header: it has nothing but its line end, of
// which there may be more than one CR.
func isBlank(line []byte) bool {
	if len(line) == 0 || line[0] != '\r' && line[0] != '\n' {
		return false
	}
	n := len(line) - 1
	return line[n] == '\n' && len(bytes.Trim(line[:n], "\r")) == 0
}

// match finds the innermost open multipart that a line delimits, or -1. The line
// begins with two hyphens; blanks after the boundary do not count (RFC 2046
// section 5.1.1, transport padding). A last boundary line with text behind it counts
// if the line is no other boundary line.
func (s *Scanner) match(line []byte) (at int, closing bool) {
	text := boundaryText(line)
	at = -1
	for i := len(s.stack) - 1; i >= 0; i-- {
		f := &s.stack[i]
		if f.boundary == "" || len(text) < len(f.boundary) || string(text[:len(f.boundary)]) != f.boundary {
			continue
		}
		rest := text[len(f.boundary):]
		if f.padded {
			rest = bytes.TrimLeft(rest, " \t")
		}
		switch {
		case len(rest) == 0:
			return i, false
		case string(rest) == "--":
			return i, true
		case at < 0 && len(rest) > 2 && rest[0] == '-' && rest[1] == '-' && rest[2] != '-':
			at = i
		}
	}
	return at, at >= 0
}

// boundaryText returns what of a boundary line is compared with boundaries.
func boundaryText(line []byte) []byte { return bytes.TrimRight(line[2:], " \t\r\n") }

// delimiter ends the parts inside stack[at] before the boundary line and begins
// the next part or the epilogue after it. It reports false if a limit forbids
// the next part: the line is then text.
func (s *Scanner) delimiter(at int, closing bool, line []byte) bool {
	for s.inHeader {
		s.endHeader(s.line)
	}
	// The place of a first child was taken when the multipart was opened.
	first := len(s.stack[at].part.Children) == 0
	if fits := first || s.parts < MaxParts && s.meta < MaxMetadata; !closing && !fits {
		s.sealed = true
		return false
	}
	s.pop(at + 1)
	s.mid = true
	s.advance(line)
	if closing {
		s.stack[at].boundary = ""
		s.active--
		return true
	}
	if first {
		s.parts--
	}
	typ, subtype := "text", "plain"
	if p := s.stack[at].part; p.Subtype == "digest" {
		typ, subtype = "message", "rfc822" // RFC 2046 section 5.1.5
	}
	s.push(typ, subtype, false)
	return true
}

// push opens a part at the current offset, as the last child of the innermost
// one. root says that it is the root of a message, whose header block is kept.
func (s *Scanner) push(typ, subtype string, root bool) {
	p := &Part{Type: typ, Subtype: subtype, Encoding: "7bit", HeaderOffset: s.off}
	limit := MaxPartHeader
	if n := len(s.stack); n > 0 {
		parent := s.stack[n-1].part
		parent.Children = append(parent.Children, p)
		if root {
			limit = MaxEnclosedHeader
		}
	} else {
		limit = MaxHeader
	}
	s.stack = append(s.stack, frame{part: p})
	s.parts++
	s.view.part = nil
	s.inHeader, s.blanks = true, false
	s.hdr.reset(root, limit)
}

// endHeader ends the header of the innermost part and begins its body. For an
// enclosed message, that is the header of the message inside.
func (s *Scanner) endHeader(at int64) {
	s.inHeader = false
	top := &s.stack[len(s.stack)-1]
	p := top.part
	p.HeaderSize = at - p.HeaderOffset
	p.BodyOffset = at
	top.lf = s.lf

	block, cut := s.hdr.finish()
	s.meta += p.readFields(ParseHeader(block))
	kept := append([]byte(nil), block...) // nil if there is no header
	switch {
	case len(s.stack) == 1:
		s.msg.Header, s.msg.HeaderCut = kept, cut
	case s.hdr.root:
		p.Header, p.HeaderCut = kept, cut
		s.meta += len(kept)
	}

	fits := len(s.stack) < MaxDepth && s.parts < MaxParts && s.meta < MaxMetadata && !s.sealed
	switch {
	case p.IsMultipart():
		boundary, padded := p.boundary()
		switch {
		case boundary == "":
			p.Type, p.Subtype, p.Params = "text", "plain", nil
		case !fits:
			p.Type, p.Subtype = "application", "octet-stream"
		default:
			top.boundary, top.padded = boundary, padded
			s.active++
			s.parts++ // the place of the first child, which it cannot do without
		}
	case p.IsMessage():
		if !fits || p.Encoding == "base64" || p.Encoding == "quoted-printable" {
			p.Type, p.Subtype = "application", "octet-stream"
			return
		}
		s.push("text", "plain", true)
		return
	}
	s.view.begin(p)
}

// pop closes stack[from] and all parts inside it, before the current line and
// the line end in front of it.
func (s *Scanner) pop(from int) {
	for i := len(s.stack) - 1; i >= from; i-- {
		f := s.stack[i]
		p := f.part
		// A header keeps its line end also when a boundary line follows at once;
		// the parts around it reach as far.
		end := max(s.line-s.eol, p.BodyOffset)
		if n := len(p.Children); n > 0 {
			end = max(end, p.Children[n-1].end())
		}
		p.BodySize = end - p.BodyOffset
		lines := s.lf - f.lf
		if end < s.line {
			lines--
		}
		if f.boundary != "" {
			s.active--
		}
		if p.IsMultipart() && len(p.Children) == 0 {
			p.Children = []*Part{{
				Type: "text", Subtype: "plain", Encoding: "7bit",
				HeaderOffset: p.BodyOffset, BodyOffset: p.BodyOffset, BodySize: p.BodySize, Lines: lines,
			}}
		}
		if p.Type == "text" || p.IsMessage() {
			p.Lines = lines
		}
		if p.IsMultipart() {
			s.view.end(p, p.Children[0])
		} else {
			s.view.end(p, p)
		}
	}
	s.stack = s.stack[:from]
}
