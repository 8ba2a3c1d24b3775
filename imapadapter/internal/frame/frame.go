// Package frame cuts what an IMAP client sends into commands (RFC 9051 sections 2.2
// and 4.3). It does no I/O of its own beyond one reader; what it wants to say to the
// client it says through the caller's [Policy].
//
//	bytes -- Reader.Next --> Command{Tag, Name, Text} -- message of an APPEND -- Reader.Tail
//
// # What is promised
//
// A command is returned when all of it has come and its framing is known to be sound:
// every line, and every literal among its arguments. Only the message of an APPEND or
// REPLACE is not in it: the caller reads it with [Reader.Read], then calls
// [Reader.Tail]. Of a command that was refused, the Reader skips the literals that the
// client sends without waiting (RFC 7888), so the text of a mail is never read as
// commands. Where client and server could disagree about what belongs to a command,
// the refusal is fatal and the connection must end.
//
// Framing is the strict subset of the grammar: a line ends with CRLF, and a literal
// stands outside quoted strings, at the end of a line, where an argument may begin.
//
// # What is not
//
// The arguments are not parsed: imapadapter/internal/wire does that.
package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	maxRunaway = 1 << 20 // bytes of a line that is dropped, before the connection is
	maxBlank   = 100     // empty lines in a row
	dropStep   = 1 << 19 // bytes of a dropped literal between two calls of Pace
)

// Limits bounds one command, in bytes.
type Limits struct {
	Line     int   // its lines together, literals not counted
	Literal  int64 // one argument literal
	Literals int64 // all argument literals together
	Message  int64 // one message of an APPEND
	Drop     int64 // what is skipped of a refused command; beyond it the connection ends
}

// Policy is what a Reader asks of its caller. The Reader calls it in the goroutine
// that calls the Reader.
type Policy interface {
	// Limits returns the bounds of a command, or, with an empty name, those of a
	// command whose name is not known yet.
	Limits(name string) Limits
	// Admit refuses a command as soon as its name is known, before the client is
	// asked for a literal. Nil admits it.
	Admit(tag, name string) *Refusal
	// Proceed asks the client for a synchronizing literal.
	Proceed() error
	// Pace notes that the client is in the middle of something and must go on soon.
	Pace()
}

// A Refusal is an error of the client's. The caller sends it, and goes on with the
// next command unless it is fatal.
type Refusal struct {
	Tag      string // "*" if the line has none
	Text     string // what follows the tag: BAD or NO, code and reason
	Nameless bool   // the line is no command at all
	Fatal    bool   // the connection must end after the answer
}

func (r *Refusal) Error() string { return "imap command refused: " + r.Text }

// A Reader reads commands. It is used by one goroutine at a time. Its zero value is
// not ready: see [Reader.Init].
type Reader struct {
	in     input
	policy Policy

	bound Limits  // of the line that is read
	text  []byte  // of the current command; from textPool
	box   *[]byte // where text came from
	lines int     // bytes of the current command in lines

	literals int64 // bytes of the current command in argument literals

	// What is left of a command that was refused: owed bytes of a literal, and
	// then the rest of the command.
	broken bool
	owed   int64
}

// Init makes the Reader read from src, with nothing read yet.
func (f *Reader) Init(src io.Reader, p Policy) {
	*f = Reader{in: input{src: src}, policy: p}
}

// Reset makes the Reader go on with another source, behind TLS or decompression. The
// caller has seen that nothing is [Reader.Buffered].
func (f *Reader) Reset(src io.Reader) {
	f.in.rest()
	f.in = input{src: src}
}

// Buffered returns the bytes that have come and were not used yet. They are valid
// until the next call of any method.
func (f *Reader) Buffered() []byte { return f.in.pending }

// Read reads bytes of a message. It does not know where the message ends.
func (f *Reader) Read(p []byte) (int, error) { return f.in.Read(p) }

// Next returns the next command. It reads and drops what is left of the one
// before if that was refused. A *[Refusal] is the client's error, and Next may be
// called again unless it is fatal; other errors are the connection's. The
// command's bytes are valid until the next call of any method.
func (f *Reader) Next() (*Command, error) {
	if err := f.drop(); err != nil {
		return nil, err
	}
	for range maxBlank {
		f.Release()
		if _, err := f.in.peek(); err != nil {
			return nil, err
		}
		f.policy.Pace()
		var s scanner
		long, err := f.line(&s)
		if err != nil {
			return nil, err
		}
		if s.length > 0 || s.fault() != "" {
			return f.command(&s, long)
		}
	}
	return nil, &Refusal{Tag: "*", Text: "BAD Too many empty lines", Fatal: true}
}

// command reads the rest of a command whose first line is in f.text.
func (f *Reader) command(s *scanner, long bool) (*Command, error) {
	c := &Command{Tag: "*", Message: -1}
	if r := c.parseName(f.text); r != nil {
		return nil, f.refuse(s, r)
	}
	if r := f.policy.Admit(c.Tag, c.Name); r != nil {
		return nil, f.refuse(s, r)
	}
	f.bound = f.policy.Limits(c.Name)
	for begin := 0; ; {
		if r := f.check(c, s, long, begin); r != nil {
			return nil, f.refuse(s, r)
		}
		if !s.literal() {
			f.text = append(f.text, '\r', '\n')
			c.Cuts = append(c.Cuts, len(f.text))
			break
		}
		if c.takesMessage(f.text, begin+s.start) {
			c.announce(s, f.text[:begin+s.start])
			f.text = append(f.text, '\r', '\n')
			c.Cuts = append(c.Cuts, len(f.text))
			break
		}
		if err := f.literal(c, s); err != nil {
			return nil, err
		}
		begin = len(f.text)
		*s = scanner{}
		var err error
		if long, err = f.line(s); err != nil {
			return nil, err
		}
	}
	c.Text = f.text
	return c, nil
}

// check returns what is wrong with a line of a command, the one that begins at
// begin of f.text, and with the literal that it announces.
func (f *Reader) check(c *Command, s *scanner, long bool, begin int) *Refusal {
	bad := func(status, text string) *Refusal {
		return &Refusal{Tag: c.Tag, Text: status + " " + text}
	}
	if long || f.lines > f.bound.Line {
		return bad("BAD [TOOBIG]", fmt.Sprintf("Commands are limited to %d bytes", f.bound.Line))
	}
	if fault := s.fault(); fault != "" {
		return bad("BAD [CLIENTBUG]", "Syntax error: "+fault)
	}
	if !s.literal() {
		return nil
	}
	if c.takesMessage(f.text, begin+s.start) {
		return f.checkMessage(c.Tag, s)
	}
	if s.lit8 {
		return bad("BAD [CLIENTBUG]", "Syntax error: literal8 outside APPEND")
	}
	if s.huge || s.size > f.bound.Literal {
		return bad("NO [TOOBIG]", fmt.Sprintf("Literals are limited to %d bytes for this command", f.bound.Literal))
	}
	if f.literals+s.size > f.bound.Literals {
		return bad("NO [TOOBIG]", fmt.Sprintf("Literals are limited to %d bytes in one command", f.bound.Literals))
	}
	return nil
}

// checkMessage returns what is wrong with the announcement of a message.
func (f *Reader) checkMessage(tag string, s *scanner) *Refusal {
	switch limit := f.bound.Message; {
	case s.huge || s.size > limit:
		return &Refusal{Tag: tag, Text: fmt.Sprintf("NO [TOOBIG] Messages are limited to %d bytes", limit)}
	case s.size == 0:
		return &Refusal{Tag: tag, Text: "NO A message cannot be empty"}
	}
	return nil
}

// literal reads the argument literal that the last line of f.text announces.
func (f *Reader) literal(c *Command, s *scanner) error {
	if !s.nonSync {
		f.text = append(f.text[:len(f.text)-1], '+', '}')
		if err := f.policy.Proceed(); err != nil {
			return err
		}
	}
	f.text = append(f.text, '\r', '\n')
	c.Cuts = append(c.Cuts, len(f.text))
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
		c.Cuts = append(c.Cuts, len(f.text))
	}
	return nil
}

// line reads to the end of a line and appends it to f.text without the line
// end. Of a line that makes the command too long only a part is kept.
func (f *Reader) line(s *scanner) (long bool, err error) {
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
		keep := min(n, max(f.bound.Line-f.lines, 0))
		f.text = append(f.text, b[:keep]...)
		f.lines += n
		dropped += n - keep
		long = long || keep < n
		f.in.skip(n)
		if dropped > maxRunaway {
			return long, &Refusal{Tag: "*", Text: "BAD [TOOBIG] Line without end", Fatal: true}
		}
		if end {
			f.text = bytes.TrimSuffix(bytes.TrimSuffix(f.text, []byte("\n")), []byte("\r"))
			return long, nil
		}
	}
}

// Reply returns a line that is no command: one that the client sends inside IDLE or
// AUTHENTICATE. A *[Refusal], without a tag, says that the line cannot be one of
// those; Next skips what belongs to such a line as if it had been a command, because
// it was meant as one. The line is valid until the next call of any method.
func (f *Reader) Reply() ([]byte, error) {
	s, err := f.more()
	if err != nil {
		return nil, err
	}
	if s.literal() {
		return nil, f.refuse(s, unexpectedLine())
	}
	return f.text, nil
}

func unexpectedLine() *Refusal {
	return &Refusal{Tag: "*", Text: "BAD [CLIENTBUG] Syntax error: unexpected line"}
}

// Tail reads the line behind the message of c, all bytes of which but the last were
// handed out: nothing may be stored of a message that something else follows. It
// returns nil if the command is over. If multi is set and another message follows (RFC
// 3502), it returns the text that announces that, which is valid until the next call
// of any method, and c describes that message from then on. A *[Refusal] says what is
// wrong.
func (f *Reader) Tail(c *Command, multi bool) (next []byte, err error) {
	closing := c.Closing
	c.Message, c.NonSync, c.Binary, c.Closing = -1, false, false, false
	s, err := f.more()
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		return nil, err
	}
	tail, closed := f.text, true
	if closing {
		tail, closed = bytes.CutPrefix(tail, []byte(")"))
	}
	switch {
	case refusal != nil || !closed:
	case !s.literal() && (len(tail) == 0 || string(tail) == " "):
		return nil, nil
	case s.literal() && multi && tail[0] == ' ':
		if r := f.checkMessage(c.Tag, s); r != nil {
			return nil, f.refuse(s, r)
		}
		c.announce(s, f.text[:s.start])
		f.text = append(f.text, '\r', '\n')
		return f.text[len(f.text)-len(tail)-2:], nil
	}
	// What the client sends behind this cannot be told from commands.
	return nil, &Refusal{Tag: c.Tag, Text: "BAD [CLIENTBUG] Syntax error after the message", Fatal: true}
}

// more reads a line that is no command into f.text.
func (f *Reader) more() (*scanner, error) {
	f.Release()
	if _, err := f.in.peek(); err != nil {
		return nil, err
	}
	f.policy.Pace()
	var s scanner
	long, err := f.line(&s)
	if err != nil {
		return nil, err
	}
	if long || s.fault() != "" {
		return nil, f.refuse(&s, unexpectedLine())
	}
	return &s, nil
}

// refuse notes what the client still sends of the refused command: a literal
// for which it does not wait, and what follows it.
func (f *Reader) refuse(s *scanner, r *Refusal) *Refusal {
	if s.ambiguous() {
		r.Fatal = true
	} else if s.literal() && s.nonSync {
		f.Abandon(s.size)
		r.Fatal = r.Fatal || s.size > f.policy.Limits("").Drop
	}
	return r
}

// Abandon makes Next drop n bytes of a literal and the rest of its command.
func (f *Reader) Abandon(n int64) {
	f.broken, f.owed = true, n
}

// drop reads what is left of a refused command. It needs no more memory than
// the input's buffer.
func (f *Reader) drop() error {
	for dropped := int64(0); f.broken; {
		if dropped += f.owed; dropped > f.policy.Limits("").Drop {
			return &Refusal{Tag: "*", Text: "BAD [TOOBIG] Too much to skip", Fatal: true}
		}
		for f.owed > 0 {
			f.policy.Pace()
			n := min(f.owed, dropStep)
			if err := f.in.discard(n); err != nil {
				return err
			}
			f.owed -= n
		}
		f.policy.Pace()
		f.Release()
		f.lines = f.bound.Line // keep nothing of the line
		var s scanner
		if _, err := f.line(&s); err != nil {
			return err
		}
		if s.ambiguous() {
			return &Refusal{Tag: "*", Text: "BAD [CLIENTBUG] Syntax error: " + s.fault(), Fatal: true}
		}
		f.owed = s.size
		f.broken = s.literal() && s.nonSync
	}
	return nil
}

// Release gives buffers back, between commands and while a client idles.
func (f *Reader) Release() {
	f.in.rest()
	if f.box != nil {
		if cap(f.text) <= maxPooledText {
			*f.box = f.text
			textPool.Put(f.box)
		}
		f.text, f.box = nil, nil
	}
	f.lines, f.literals = 0, 0
	f.bound = f.policy.Limits("")
}

// Held returns how many bytes of memory the current command takes.
func (f *Reader) Held() int { return cap(f.text) }

// Wipe overwrites what is kept of the current command and of what came with it: it held
// a password. The command is not used any more.
func (f *Reader) Wipe() {
	clear(f.text[:cap(f.text)])
	f.in.wipe()
}
