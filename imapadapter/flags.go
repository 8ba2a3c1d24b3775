package imapadapter

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
)

// flagRecent is kept by IMAP4rev1 only: RFC 3501 section 2.3.2.
const flagRecent imap.Flag = `\Recent`

// flags returns flags as the engine writes them. One that it cannot write, which
// no IMAP client can have set, is left out: the engine would leave half a line in
// its buffer.
func flags(names []string) []imap.Flag {
	out := make([]imap.Flag, 0, len(names)+1)
	for _, n := range validFlags(names) {
		out = append(out, imap.Flag(n))
	}
	return out
}

// validFlags returns those that can be written as atoms.
func validFlags(names []string) []string {
	out := make([]string, 0, len(names)+1)
	for _, n := range names {
		if validFlag(n) {
			out = append(out, n)
		}
	}
	return out
}

// shownFlags returns a message's flags as a client sees them. \Recent is unknown
// to one that enabled IMAP4rev2.
func shownFlags(m *mailbox.Message, rev2 bool) []string {
	out := validFlags(m.Flags())
	if m.Recent && !rev2 {
		out = append(out, string(flagRecent))
	}
	return out
}

// messageFlags returns shownFlags as the engine wants them.
func messageFlags(m *mailbox.Message, rev2 bool) []imap.Flag {
	return flags(shownFlags(m, rev2))
}

// flagNames returns the flags that a client sent, without \Recent: a client that
// copies a message's flags from elsewhere may send it, and cannot set it.
func flagNames(fs []imap.Flag) []string {
	out := make([]string, 0, len(fs))
	for _, f := range fs {
		if !strings.EqualFold(string(f), string(flagRecent)) {
			out = append(out, string(f))
		}
	}
	return out
}

// validFlag reports whether a flag is one by RFC 9051 section 9: an atom, with
// perhaps a backslash before it.
func validFlag(f string) bool {
	name := strings.TrimPrefix(f, `\`)
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return name != ""
}
