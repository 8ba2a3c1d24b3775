package wire

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

// Parser reads one command. The zero value reads an empty one.
type Parser struct {
	// UTF8 says that the client enabled UTF8=ACCEPT or IMAP4rev2: names of
	// mailboxes are UTF-8 (RFC 6855 section 3, RFC 9051 section 5.1), not the
	// modified UTF-7 of RFC 3501.
	UTF8 bool

	b     []byte
	i     int
	depth int
	names int // of header fields
	err   *Error
}

// NewParser returns a parser of text, which is what follows a command's name, up
// to and with the final line end.
func NewParser(text []byte) *Parser { return &Parser{b: text} }

// Fail notes a mistake, unless there is one already.
func (p *Parser) Fail(text string) {
	if p.err == nil {
		p.err = &Error{Text: text}
	}
}

// Failed reports whether there was a mistake.
func (p *Parser) Failed() bool { return p.err != nil }

// Err returns the first mistake, or nil.
func (p *Parser) Err() error {
	if p.err == nil {
		return nil
	}
	return p.err
}

// End expects the end of the command, and returns the first mistake.
func (p *Parser) End() error {
	if p.err == nil && !p.AtEnd() {
		p.Fail("unexpected text after the command")
	}
	return p.Err()
}

// AtEnd reports whether nothing but the line end is left. One space before it,
// which some clients leave there, is nothing.
func (p *Parser) AtEnd() bool {
	rest := string(p.b[p.i:])
	return rest == "\r\n" || rest == " \r\n" || rest == ""
}

// Peek returns the next byte, 0 at the end of the line or after a mistake.
func (p *Parser) Peek() byte {
	if p.err != nil || p.i >= len(p.b) || p.b[p.i] == '\r' || p.b[p.i] == '\n' {
		return 0
	}
	return p.b[p.i]
}

// Try takes c if it is next.
func (p *Parser) Try(c byte) bool {
	if p.Peek() != c || c == 0 {
		return false
	}
	p.i++
	return true
}

// Expect takes c.
func (p *Parser) Expect(c byte) {
	if !p.Try(c) {
		p.Fail("expected " + describe(c))
	}
}

func describe(c byte) string {
	if c == ' ' {
		return "a space"
	}
	return string(rune(c))
}

// SP takes one space.
func (p *Parser) SP() { p.Expect(' ') }

// TrySP takes the space before a further argument, if there is one.
func (p *Parser) TrySP() bool {
	return !p.AtEnd() && p.Try(' ')
}

// run takes the bytes that are ok, at least one.
func (p *Parser) run(what string, ok func(byte) bool) string {
	return string(p.runBytes(what, ok))
}

func (p *Parser) runBytes(what string, ok func(byte) bool) []byte {
	if p.err != nil {
		return nil
	}
	begin := p.i
	for p.i < len(p.b) && ok(p.b[p.i]) {
		p.i++
	}
	if p.i == begin {
		p.Fail("expected " + what)
	}
	return p.b[begin:p.i]
}

// atomChar reports whether b is an ATOM-CHAR.
func atomChar(b byte) bool {
	return b > ' ' && b < 0x7f && strings.IndexByte(`(){%*"\]`, b) < 0
}

func astringChar(b byte) bool { return atomChar(b) || b == ']' }

// Atom takes an atom.
func (p *Parser) Atom() string { return p.run("an atom", atomChar) }

// Word takes a word of the grammar and returns it in upper case: letters, digits,
// and what stands inside of names such as BODY.PEEK, UTF-8 or STATUS=SIZE.
func (p *Parser) Word() string {
	return strings.ToUpper(p.run("a word", func(b byte) bool {
		return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b == '.' || b == '-' || b == '='
	}))
}

// Keyword takes one of some words.
func (p *Parser) Keyword(words ...string) string {
	return p.OneOf(strings.Join(words, " or "), words...)
}

// OneOf takes one of some words that together are what.
func (p *Parser) OneOf(what string, words ...string) string {
	w := p.Word()
	for _, k := range words {
		if w == k {
			return w
		}
	}
	p.Fail("expected " + what)
	return ""
}

// AString takes an astring: an atom, a quoted string or a literal.
func (p *Parser) AString() string {
	switch p.Peek() {
	case '"', '{':
		return p.String()
	}
	return p.run("a string", astringChar)
}

// String takes a quoted string or a literal.
func (p *Parser) String() string {
	switch p.Peek() {
	case '"':
		return p.quoted()
	case '{':
		return p.literal()
	}
	p.Fail("expected a string")
	return ""
}

// NString takes a string or NIL.
func (p *Parser) NString() (s string, ok bool) {
	switch p.Peek() {
	case '"', '{':
		return p.String(), p.err == nil
	}
	p.Keyword("NIL")
	return "", false
}

// quoted takes a quoted string. Bytes beyond ASCII are taken if they are UTF-8:
// clients send them whatever was enabled.
func (p *Parser) quoted() string { return string(p.quotedBytes()) }

// quotedBytes is quoted without a copy: it removes the backslashes where they stand.
func (p *Parser) quotedBytes() []byte {
	p.i++
	begin, escaped := p.i, false
	for ; ; p.i++ {
		if p.i >= len(p.b) || p.b[p.i] == '\r' || p.b[p.i] == '\n' {
			p.Fail("quoted string is not closed")
			return nil
		}
		switch p.b[p.i] {
		case '"':
			s := p.b[begin:p.i]
			p.i++
			if !utf8.Valid(s) || bytes.IndexByte(s, 0) >= 0 {
				p.Fail("quoted string is not UTF-8")
				return nil
			}
			if escaped {
				s = unescape(s)
			}
			return s
		case '\\':
			p.i++
			if p.i >= len(p.b) || p.b[p.i] != '"' && p.b[p.i] != '\\' {
				p.Fail("backslash before neither a quote nor a backslash")
				return nil
			}
			escaped = true
		}
	}
}

// unescape removes backslashes in place.
func unescape(s []byte) []byte {
	out := s[:0]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		out = append(out, s[i])
	}
	return out
}

// literal takes a literal, whose bytes are behind its header.
func (p *Parser) literal() string { return string(p.literalBytes()) }

func (p *Parser) literalBytes() []byte {
	p.i++
	n := p.Number()
	p.Try('+')
	p.Expect('}')
	if p.err != nil {
		return nil
	}
	rest := p.b[p.i:]
	if len(rest) < 2 || rest[0] != '\r' || rest[1] != '\n' || int64(len(rest)-2) < int64(n) {
		p.Fail("malformed literal")
		return nil
	}
	p.i += 2 + int(n)
	s := rest[2 : 2+n]
	if bytes.IndexByte(s, 0) >= 0 {
		p.Fail("NUL in a literal")
		return nil
	}
	return s
}

// Number takes a number of 32 bits.
func (p *Parser) Number() uint32 {
	n := p.number(math.MaxUint32)
	return uint32(n)
}

// NzNumber takes a number of 32 bits that is not 0.
func (p *Parser) NzNumber() uint32 {
	n := p.Number()
	if n == 0 {
		p.Fail("expected a number above 0")
	}
	return n
}

// Number64 takes a number of 63 bits (RFC 9051 section 9, number64).
func (p *Parser) Number64() uint64 { return p.number(math.MaxInt64) }

func (p *Parser) number(most uint64) uint64 {
	if p.err != nil {
		return 0
	}
	begin, n := p.i, uint64(0)
	for ; p.i < len(p.b) && '0' <= p.b[p.i] && p.b[p.i] <= '9'; p.i++ {
		d := uint64(p.b[p.i] - '0')
		if n > (most-d)/10 {
			p.Fail("number is too large")
			return 0
		}
		n = n*10 + d
	}
	if p.i == begin {
		p.Fail("expected a number")
	}
	return n
}

// List takes a list in parentheses: item takes each element. A list of none is
// taken where empty says so.
func (p *Parser) List(empty bool, item func()) {
	p.Expect('(')
	if empty && p.Try(')') {
		return
	}
	p.enter()
	for n := 0; !p.Failed(); n++ {
		if n == maxList {
			p.Fail("list is too long")
			break
		}
		item()
		if p.Try(')') {
			break
		}
		p.SP()
	}
	p.depth--
}

// enter begins something that is nested.
func (p *Parser) enter() {
	if p.depth++; p.depth > MaxDepth {
		p.Fail("nested too deep")
	}
}

// Flag takes a flag: an atom, with perhaps a backslash before it.
func (p *Parser) Flag() string {
	if p.Try('\\') {
		return `\` + p.Atom()
	}
	return p.run("a flag", atomChar)
}

// Flags takes a list of flags in parentheses. Spaces around it are taken too: what
// Dovecot copies to another server by its imapc has one before the first keyword.
func (p *Parser) Flags() []string {
	flags := []string{}
	p.Expect('(')
	for !p.Failed() {
		space := p.Try(' ')
		for p.Try(' ') {
		}
		if p.Try(')') {
			break
		}
		if len(flags) == maxFlags {
			p.Fail("too many flags")
		}
		if len(flags) > 0 && !space {
			p.Fail("expected a space between flags")
		}
		flags = append(flags, p.Flag())
	}
	return flags
}

// Secret takes an astring and returns it where it stands: the bytes are part of the
// command, and valid as long as that is. A quoted string is unescaped in place.
func (p *Parser) Secret() []byte {
	switch p.Peek() {
	case '"':
		return p.quotedBytes()
	case '{':
		return p.literalBytes()
	}
	return p.runBytes("a string", astringChar)
}
