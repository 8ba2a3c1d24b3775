package wire

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/letterlock/letterlock/mailbox/message"
)

// Encoder appends responses to B.
type Encoder struct {
	B []byte
	// UTF8 says that quoted strings and names of mailboxes may be UTF-8: the
	// client enabled UTF8=ACCEPT or IMAP4rev2.
	UTF8 bool

	fields message.Header // the header that text is of
}

// Text appends what needs no quoting.
func (e *Encoder) Text(s ...string) {
	for _, t := range s {
		e.B = append(e.B, t...)
	}
}

// Num appends a number.
func (e *Encoder) Num(n uint64) { e.B = strconv.AppendUint(e.B, n, 10) }

// CRLF ends a line.
func (e *Encoder) CRLF() { e.B = append(e.B, '\r', '\n') }

// maxQuoted is the longest quoted string that is written: longer ones are literals,
// for clients with short lines.
const maxQuoted = 4096

// String appends a string: quoted if it can be, else a literal.
func (e *Encoder) String(s string) {
	if !e.quotable(s) {
		s = strings.ReplaceAll(s, "\x00", "") // no string can hold it
		e.Literal(int64(len(s)))
		e.Text(s)
		return
	}
	e.B = append(e.B, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			e.B = append(e.B, '\\')
		}
		e.B = append(e.B, s[i])
	}
	e.B = append(e.B, '"')
}

func (e *Encoder) quotable(s string) bool {
	wide := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0 || c == '\r' || c == '\n':
			return false
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	return len(s) <= maxQuoted && (!wide || e.UTF8 && utf8.ValidString(s))
}

// NString appends a string, or NIL if it is empty.
func (e *Encoder) NString(s string) {
	if s == "" {
		e.Text("NIL")
		return
	}
	e.String(s)
}

// Literal appends the header of a literal of n bytes, which follow.
func (e *Encoder) Literal(n int64) {
	e.B = append(e.B, '{')
	e.B = strconv.AppendInt(e.B, n, 10)
	e.Text("}\r\n")
}

// Mailbox appends the name of a mailbox.
func (e *Encoder) Mailbox(name string) {
	if strings.EqualFold(name, "INBOX") {
		e.Text("INBOX")
		return
	}
	if !e.UTF8 {
		name = encodeUTF7(name)
	}
	e.String(name)
}

// List appends words in parentheses.
func (e *Encoder) List(words []string) {
	e.B = append(e.B, '(')
	for i, w := range words {
		if i > 0 {
			e.B = append(e.B, ' ')
		}
		e.Text(w)
	}
	e.B = append(e.B, ')')
}

// Set appends numbers that must not be none.
func (e *Encoder) Set(ranges []Range) { e.B = appendRanges(e.B, ranges) }

// DateTime appends a date-time.
func (e *Encoder) DateTime(t time.Time) {
	e.B = t.AppendFormat(e.B, `"_2-Jan-2006 15:04:05 -0700"`)
}
