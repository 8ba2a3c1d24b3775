package frame

import (
	"bytes"
	"strings"
)

const (
	// MaxTag is the longest tag that is taken, in bytes.
	MaxTag = 64

	maxName = 32 // bytes of a command's name
)

// A Command is one command with its argument literals, but without the message of an
// APPEND or REPLACE.
type Command struct {
	Tag  string
	Name string // upper case; with the second word for UID commands

	// Text is the command's bytes. Every argument literal is in its
	// non-synchronizing form, because the client was already asked for it. Cuts are
	// the ends of its pieces: a line, a literal, a line.
	Text []byte
	Cuts []int

	// Message is the length of the message that follows Text, or -1.
	Message int64
	NonSync bool // the client does not wait before it sends the message
	Binary  bool // the message comes as a literal8 (RFC 3516)
	Closing bool // a parenthesis follows the message (RFC 6855 section 4)
}

// announce notes the message whose header ends the text.
func (c *Command) announce(s *scanner, before []byte) {
	c.Message, c.NonSync, c.Binary = s.size, s.nonSync, s.lit8
	c.Closing = bytes.HasSuffix(before, []byte("(~"))
}

// parseName fills in the tag and the name, and returns a refusal if the line is
// no command.
func (c *Command) parseName(line []byte) *Refusal {
	tag, rest, _ := strings.Cut(string(line[:min(len(line), MaxTag+2*maxName)]), " ")
	if !validTag(tag) {
		return &Refusal{Tag: "*", Text: "BAD [CLIENTBUG] Syntax error: no tag", Nameless: true}
	}
	c.Tag = tag
	name, rest, _ := strings.Cut(rest, " ")
	c.Name = strings.ToUpper(name)
	if c.Name == "UID" {
		second, _, _ := strings.Cut(rest, " ")
		name, c.Name = second, "UID "+strings.ToUpper(second)
	}
	if !validName(name) {
		return &Refusal{Tag: tag, Text: "BAD [CLIENTBUG] Syntax error: no command", Nameless: true}
	}
	return nil
}

// validTag reports whether a tag can be read back by whoever sent it: RFC 9051
// section 9, tag, without the bracket that go-imap's server refuses.
func validTag(tag string) bool {
	for i := range len(tag) {
		if tag[i] <= ' ' || tag[i] >= 0x7f || strings.IndexByte(`(){%*"\]+`, tag[i]) >= 0 {
			return false
		}
	}
	return len(tag) > 0 && len(tag) <= MaxTag
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
func (c *Command) takesMessage(text []byte, start int) bool {
	args := len(c.Tag) + 1 + len(c.Name) + 1
	switch c.Name {
	case "APPEND":
		return start != args
	case "REPLACE", "UID REPLACE":
		return start > args && bytes.IndexByte(text[args:start], ' ') < start-args-1
	}
	return false
}
