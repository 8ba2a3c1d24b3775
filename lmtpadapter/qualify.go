package lmtpadapter

import (
	"bytes"
	"regexp"
	"slices"
)

// unqualified matches RCPT with a recipient that has no domain, as a dot-string of
// RFC 5321 section 4.1.2 or with the characters of RFC 6531.
var unqualified = regexp.MustCompile("(?i)^RCPT TO:[ \t]*<[a-z0-9!#$%&'*+/=?^_`{|}~.\\x{80}-\\x{10ffff}-]+>")

// qualify gives a recipient without a domain the one given. The engine takes no
// such address, but every server must take <postmaster> (RFC 5321 section 4.5.1),
// and a deliverer on the same machine may know its users by their bare names.
func qualify(line []byte, domain string) []byte {
	m := unqualified.FindIndex(line)
	if m == nil || domain == "" {
		return line
	}
	end := m[1] - 1 // the bracket
	return slices.Concat(line[:end], []byte("@"+domain), bytes.Clone(line[end:]))
}
