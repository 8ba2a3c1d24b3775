package translate

import (
	"strings"

	"github.com/letterlock/letterlock/mailbox"
)

// Recent is the flag that only IMAP4rev1 has (RFC 3501 section 2.3.2).
const Recent = `\Recent`

// ValidFlags returns those flags that can be written as atoms. No IMAP client can have
// set another.
func ValidFlags(names []string) []string {
	out := make([]string, 0, len(names)+1)
	for _, n := range names {
		if validFlag(n) {
			out = append(out, n)
		}
	}
	return out
}

// MessageFlags returns a message's flags for a client, with \Recent if it knows that.
func MessageFlags(m *mailbox.Message, recent bool) []string {
	out := ValidFlags(m.Flags())
	if m.Recent && recent {
		out = append(out, Recent)
	}
	return out
}

// WithoutRecent returns the flags that a client sent, but \Recent: a client that copies
// a message's flags may send that, and cannot set it.
func WithoutRecent[F ~string](flags []F) []string {
	out := make([]string, 0, len(flags))
	for _, f := range flags {
		if !strings.EqualFold(string(f), Recent) {
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
