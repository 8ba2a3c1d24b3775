package frame

import "math"

// A scanner reads one line of a command byte by byte and knows at its end
// whether a literal follows (RFC 9051 section 4.3) and what is wrong with the
// line. It is fed every byte, also of lines that are too long to keep, so that
// a line that is dropped is framed like one that is taken.
//
// It takes as quoted string and as literal header what go-imap's decoder takes, and
// less: where that is more lenient than the grammar (a line break inside a quoted
// string, a CR or an LF alone) the scanner reports a fault. Two readers that
// disagree about where a command ends are how one command is smuggled inside
// another.
type scanner struct {
	length  int  // bytes so far, the line end not counted
	prev    byte // the last byte but the line end
	visible byte // the last byte that is no space
	cr      bool // a CR was read and may begin the line end
	bareLF  bool // the line ended without a CR
	bareCR  bool // a CR stands inside the line
	nul     bool
	quoted  bool // inside a quoted string
	escaped bool // after a backslash inside a quoted string
	stray   bool // a brace outside quoted strings that begins no header

	header  headerState
	start   int   // where the header's brace stands
	size    int64 // of the literal
	zeros   bool  // the size is written with leading zeros
	huge    bool  // the size does not fit
	nonSync bool
	lit8    bool // a tilde stands before the brace (RFC 9051 section 9, literal8)
	placed  bool // the header stands where an argument may begin
}

type headerState uint8

const (
	headerNone   headerState = iota
	headerOpen               // {
	headerDigits             // {12
	headerPlus               // {12+
	headerClosed             // {12} or {12+}
)

// feed takes the next byte and reports whether it ended the line.
func (s *scanner) feed(b byte) (end bool) {
	if b == '\n' {
		s.bareLF = !s.cr
		return true
	}
	if s.cr {
		s.cr, s.bareCR = false, true
	}
	if b == '\r' {
		s.cr = true
		return false
	}
	s.token(b)
	s.length++
	s.prev = b
	if b != ' ' {
		s.visible = b
	}
	return false
}

func (s *scanner) token(b byte) {
	switch {
	case b == 0:
		s.nul = true
	case s.escaped:
		s.escaped = false
	case s.quoted:
		s.escaped = b == '\\'
		s.quoted = b != '"'
	case s.header != headerNone:
		s.inHeader(b)
	case b == '"':
		s.quoted = true
	case b == '{' && !s.stray:
		s.openHeader()
	case b == '~':
		s.lit8 = s.length == 0 || beginsArgument(s.prev)
	}
}

// openHeader begins a header. A literal stands where an argument may begin:
// after a space or an opening parenthesis, and after the tilde of a literal8
// that does.
func (s *scanner) openHeader() {
	s.header = headerOpen
	s.start = s.length
	if s.prev == '~' {
		s.placed = s.lit8
		s.lit8 = true
		return
	}
	s.lit8 = false
	s.placed = s.length == 0 || beginsArgument(s.prev)
}

func beginsArgument(prev byte) bool { return prev == ' ' || prev == '(' }

func (s *scanner) inHeader(b byte) {
	switch {
	case '0' <= b && b <= '9' && s.header <= headerDigits:
		if s.header == headerDigits && s.size == 0 {
			s.zeros = true
		}
		s.header = headerDigits
		if s.size > (math.MaxInt64-9)/10 {
			s.huge = true
			return
		}
		s.size = s.size*10 + int64(b-'0')
	case b == '+' && s.header == headerDigits:
		s.header = headerPlus
		s.nonSync = true
	case b == '}' && (s.header == headerDigits || s.header == headerPlus):
		s.header = headerClosed
	default:
		s.header = headerNone
		s.stray = true
	}
}

// literal reports whether the line, which has ended, announces a literal.
func (s *scanner) literal() bool {
	return s.header == headerClosed && !s.quoted
}

// ambiguous reports whether the client may see the end of its line, or a
// literal behind it, where the scanner sees none: then nothing after this line
// can be trusted, and the connection has to end.
func (s *scanner) ambiguous() bool {
	brace := s.visible == '}' && (s.quoted || s.stray)
	return s.bareLF || brace || s.literal() && s.huge && s.nonSync
}

// fault says what is wrong with the line, which has ended, or returns "".
func (s *scanner) fault() string {
	switch {
	case s.bareLF:
		return "line ends without CR"
	case s.bareCR:
		return "CR inside a line"
	case s.nul:
		return "NUL inside a line"
	case s.quoted:
		return "quoted string is not closed"
	case s.stray || s.header != headerNone && s.header != headerClosed:
		return "malformed literal"
	case s.zeros:
		return "leading zero in the size of a literal"
	case s.literal() && !s.placed:
		return "literal inside an argument"
	}
	return ""
}
