package imapadapter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	// maxEngineLine is what the engine reads of one command, literals not
	// counted. Beyond it the engine answers and parses the rest of the line as
	// the next command.
	maxEngineLine = 50 << 10

	// maxEngineLiteral is the longest literal the engine buffers. A longer one
	// it refuses in the middle of its parser, which then reads on.
	maxEngineLiteral = 4096

	maxTag     = 64      // bytes
	maxName    = 32      // bytes of a command's name
	maxRunaway = 1 << 20 // bytes of a line that is dropped, before the connection is
	maxBlank   = 100     // empty lines in a row
	dropStep   = 1 << 19 // bytes of a dropped literal between two calls of pace
)

// A command is one command as the engine is to read it. Its argument literals
// are in it; the message of an APPEND is not.
type command struct {
	tag  string
	name string // upper case; with the second word for UID commands

	// text is the command's bytes, with every argument literal in its
	// non-synchronizing form, because the client was already asked for it. cuts
	// are the ends of the pieces that the engine may read at once: a line, a
	// literal, a line.
	text []byte
	cuts []int

	// message is the length of the message that follows text, or -1.
	message int64
	nonSync bool // the client does not wait before it sends the message
	closing bool // a parenthesis follows the message (RFC 6855 section 4)
}

// frameLimits are the bounds of one command, in bytes.
type frameLimits struct {
	line     int   // without literals
	literal  int64 // one argument literal
	literals int64 // all of them together
}

// A refusal is an error that is the client's: it is answered, and unless it is
// fatal the connection goes on with the next command.
type refusal struct {
	tag      string // "*" if the line has none
	text     string // what follows the tag: BAD or NO, code and reason
	nameless bool   // the line is no command at all
	fatal    bool   // after the answer the connection is closed
}

func (r *refusal) Error() string { return "imap guard refused a command: " + r.text }

// A frameReader cuts what a client sends into commands. It asks the client for
// synchronizing argument literals itself, so that a command is whole, and known
// to be well framed, before any of it is acted on.
//
// Its zero value is not ready: all fields of the first group are needed.
type frameReader struct {
	in input
	// limits returns the bounds of a command, or with an empty name those of
	// any.
	limits func(name string) frameLimits
	// admit is asked as soon as the name is known, before literals are.
	admit func(tag, name string) *refusal
	// maxMessage returns the longest message to take, and maxDrop the longest
	// literal to read and drop rather than closing the connection.
	maxMessage, maxDrop func() int64
	// proceed asks the client for a literal.
	proceed func() error
	// pace is told that the client is in the middle of something, and has to go
	// on soon.
	pace func()

	bound frameLimits // of the line that is read
	text  []byte      // of the current command; from textPool
	box   *[]byte     // where text came from
	lines int         // bytes of the current command in lines

	literals int64 // bytes of the current command in argument literals

	// What is left of a command that was refused: owed bytes of a literal, and
	// then the rest of the command.
	broken bool
	owed   int64
}

// Next returns the next command. It reads and drops what is left of the one
// before if that was refused. A *[refusal] is the client's error and Next may
// be called again unless it is fatal; other errors are the connection's. The
// command's bytes are valid until the next call of any method.
func (f *frameReader) Next() (*command, error) {
	if err := f.drop(); err != nil {
		return nil, err
	}
	for range maxBlank {
		f.release()
		if _, err := f.in.peek(); err != nil {
			return nil, err
		}
		f.pace()
		var s lineScanner
		long, err := f.line(&s)
		if err != nil {
			return nil, err
		}
		if s.length > 0 || s.fault() != "" {
			return f.command(&s, long)
		}
	}
	return nil, &refusal{tag: "*", text: "BAD Too many empty lines", fatal: true}
}

// command reads the rest of a command whose first line is in f.text.
func (f *frameReader) command(s *lineScanner, long bool) (*command, error) {
	c := &command{tag: "*", message: -1}
	if r := c.parseName(f.text); r != nil {
		return nil, f.refuse(s, r)
	}
	if r := f.admit(c.tag, c.name); r != nil {
		return nil, f.refuse(s, r)
	}
	f.bound = f.limits(c.name)
	for begin := 0; ; {
		if r := f.check(c, s, long, begin); r != nil {
			return nil, f.refuse(s, r)
		}
		if !s.literal() {
			f.text = append(f.text, '\r', '\n')
			c.cuts = append(c.cuts, len(f.text))
			break
		}
		if c.takesMessage(f.text, begin+s.start) {
			c.message, c.nonSync = s.size, s.nonSync
			c.closing = bytes.HasSuffix(f.text[:begin+s.start], []byte("(~"))
			f.text = append(f.text, '\r', '\n')
			c.cuts = append(c.cuts, len(f.text))
			break
		}
		if err := f.literal(c, s); err != nil {
			return nil, err
		}
		begin = len(f.text)
		*s = lineScanner{}
		var err error
		if long, err = f.line(s); err != nil {
			return nil, err
		}
	}
	c.text = f.text
	return c, nil
}

// check returns what is wrong with a line of a command, the one that begins at
// begin of f.text, and with the literal that it announces.
func (f *frameReader) check(c *command, s *lineScanner, long bool, begin int) *refusal {
	bad := func(status, text string) *refusal {
		return &refusal{tag: c.tag, text: status + " " + text}
	}
	if long || f.lines > f.bound.line {
		return bad("BAD [TOOBIG]", fmt.Sprintf("Commands are limited to %d bytes", f.bound.line))
	}
	if fault := s.fault(); fault != "" {
		return bad("BAD [CLIENTBUG]", "Syntax error: "+fault)
	}
	if !s.literal() {
		return nil
	}
	if c.takesMessage(f.text, begin+s.start) {
		switch limit := f.maxMessage(); {
		case s.huge || s.size > limit:
			return bad("NO [TOOBIG]", fmt.Sprintf("Messages are limited to %d bytes", limit))
		case s.size == 0:
			return bad("NO", "A message cannot be empty")
		}
		return nil
	}
	if s.lit8 {
		return bad("BAD [CLIENTBUG]", "Syntax error: literal8 outside APPEND")
	}
	if s.huge || s.size > f.bound.literal {
		return bad("NO [TOOBIG]", fmt.Sprintf("Literals are limited to %d bytes for this command", f.bound.literal))
	}
	if f.literals+s.size > f.bound.literals {
		return bad("NO [TOOBIG]", fmt.Sprintf("Literals are limited to %d bytes in one command", f.bound.literals))
	}
	return nil
}

// literal reads the argument literal that the last line of f.text announces.
func (f *frameReader) literal(c *command, s *lineScanner) error {
	if !s.nonSync {
		f.text = append(f.text[:len(f.text)-1], '+', '}')
		if err := f.proceed(); err != nil {
			return err
		}
	}
	f.text = append(f.text, '\r', '\n')
	c.cuts = append(c.cuts, len(f.text))
	f.literals += s.size
	for left := int(s.size); left > 0; {
		b, err := f.in.peek()
		if err != nil {
			return err
		}
		n := min(left, len(b))
		f.text = append(f.text, b[:n]...)
		f.in.skip(n)
		left -= n
	}
	if s.size > 0 {
		c.cuts = append(c.cuts, len(f.text))
	}
	return nil
}

// line reads to the end of a line and appends it to f.text without the line
// end. Of a line that makes the command too long only a part is kept.
func (f *frameReader) line(s *lineScanner) (long bool, err error) {
	if f.box == nil {
		f.box = textPool.Get().(*[]byte)
		f.text = (*f.box)[:0]
	}
	for dropped := 0; ; {
		b, err := f.in.peek()
		if err != nil {
			return long, err
		}
		n, end := 0, false
		for n < len(b) && !end {
			end = s.feed(b[n])
			n++
		}
		keep := min(n, max(f.bound.line-f.lines, 0))
		f.text = append(f.text, b[:keep]...)
		f.lines += n
		dropped += n - keep
		long = long || keep < n
		f.in.skip(n)
		if dropped > maxRunaway {
			return long, &refusal{tag: "*", text: "BAD [TOOBIG] Line without end", fatal: true}
		}
		if end {
			f.text = bytes.TrimSuffix(bytes.TrimSuffix(f.text, []byte("\n")), []byte("\r"))
			return long, nil
		}
	}
}

// reply returns a line that is no command: one that the client sends inside
// IDLE or AUTHENTICATE, or after a message. It returns a refusal, without a
// tag, if the line cannot be one of those; what belongs to such a line is
// dropped by Next as if it had been a command, because it was meant as one.
func (f *frameReader) reply() ([]byte, *refusal, error) {
	line, s, r, err := f.more()
	if r == nil && err == nil && s.literal() {
		return nil, f.refuse(s, unexpectedLine()), nil
	}
	return line, r, err
}

func unexpectedLine() *refusal {
	return &refusal{tag: "*", text: "BAD [CLIENTBUG] Syntax error: unexpected line"}
}

// more is reply for a line that may announce a literal: after a message of an
// APPEND, another message (RFC 3502).
func (f *frameReader) more() ([]byte, *lineScanner, *refusal, error) {
	f.release()
	if _, err := f.in.peek(); err != nil {
		return nil, nil, nil, err
	}
	f.pace()
	var s lineScanner
	long, err := f.line(&s)
	var runaway *refusal
	if errors.As(err, &runaway) {
		return nil, nil, runaway, nil
	} else if err != nil {
		return nil, nil, nil, err
	}
	if long || s.fault() != "" {
		return nil, nil, f.refuse(&s, unexpectedLine()), nil
	}
	return f.text, &s, nil, nil
}

// refuse notes what the client still sends of the refused command: a literal
// for which it does not wait, and what follows it.
func (f *frameReader) refuse(s *lineScanner, r *refusal) *refusal {
	if s.ambiguous() {
		r.fatal = true
	} else if s.literal() && s.nonSync {
		f.abandon(s.size)
		r.fatal = r.fatal || s.size > f.maxDrop()
	}
	return r
}

// abandon makes Next drop n bytes of a literal and the rest of its command.
func (f *frameReader) abandon(n int64) {
	f.broken, f.owed = true, n
}

// drop reads what is left of a refused command. It needs no more memory than
// the input's buffer.
func (f *frameReader) drop() error {
	for dropped := int64(0); f.broken; {
		if dropped += f.owed; dropped > f.maxDrop() {
			return &refusal{tag: "*", text: "BAD [TOOBIG] Too much to skip", fatal: true}
		}
		for f.owed > 0 {
			f.pace()
			n := min(f.owed, dropStep)
			if err := f.in.discard(n); err != nil {
				return err
			}
			f.owed -= n
		}
		f.pace()
		f.release()
		f.lines = f.bound.line // keep nothing of the line
		var s lineScanner
		if _, err := f.line(&s); err != nil {
			return err
		}
		if s.ambiguous() {
			return &refusal{tag: "*", text: "BAD [CLIENTBUG] Syntax error: " + s.fault(), fatal: true}
		}
		f.owed = s.size
		f.broken = s.literal() && s.nonSync
	}
	return nil
}

// release gives buffers back, between commands and while a client idles.
func (f *frameReader) release() {
	f.in.rest()
	if f.box != nil {
		if cap(f.text) <= maxPooledText {
			*f.box = f.text
			textPool.Put(f.box)
		}
		f.text, f.box = nil, nil
	}
	f.lines, f.literals = 0, 0
	f.bound = f.limits("")
}

// parseName fills in the tag and the name, and returns a refusal if the line is
// no command. The engine would close the connection without an answer.
func (c *command) parseName(line []byte) *refusal {
	tag, rest, _ := strings.Cut(string(line[:min(len(line), maxTag+2*maxName)]), " ")
	if !validTag(tag) {
		return &refusal{tag: "*", text: "BAD [CLIENTBUG] Syntax error: no tag", nameless: true}
	}
	c.tag = tag
	name, rest, _ := strings.Cut(rest, " ")
	c.name = strings.ToUpper(name)
	if c.name == "UID" {
		second, _, _ := strings.Cut(rest, " ")
		name, c.name = second, "UID "+strings.ToUpper(second)
	}
	if !validName(name) {
		return &refusal{tag: tag, text: "BAD [CLIENTBUG] Syntax error: no command", nameless: true}
	}
	return nil
}

// validTag reports whether the engine can read a tag, and a client its answer:
// RFC 9051 section 9, tag, without the bracket that the engine refuses.
func validTag(tag string) bool {
	for i := range len(tag) {
		if tag[i] <= ' ' || tag[i] >= 0x7f || strings.IndexByte(`(){%*"\]+`, tag[i]) >= 0 {
			return false
		}
	}
	return len(tag) > 0 && len(tag) <= maxTag
}

// validName reports whether name can be the name of a command, known or not.
func validName(name string) bool {
	for i := range len(name) {
		b := name[i] | 0x20
		if (b < 'a' || b > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxName
}

// takesMessage reports whether a literal whose header begins at start of text
// is the message of an APPEND or REPLACE: every literal but the mailbox, which is
// the first argument, of REPLACE (RFC 8508) the one after the number.
func (c *command) takesMessage(text []byte, start int) bool {
	args := len(c.tag) + 1 + len(c.name) + 1
	switch c.name {
	case "APPEND":
		return start != args
	case "REPLACE", "UID REPLACE":
		return start > args && bytes.IndexByte(text[args:start], ' ') < start-args-1
	}
	return false
}
