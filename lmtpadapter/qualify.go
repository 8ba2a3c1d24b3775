package lmtpadapter

import (
	"bytes"
	"fmt"
	"math"
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

// declared matches MAIL with a size that the engine cannot read: RFC 1870 section
// 5 allows 20 digits, and 32 bits have no more than 10.
var declared = regexp.MustCompile("(?i)^(MAIL FROM:.*> (?:.* )?SIZE=)([0-9]{10,20})([ \r\n])")

// clampSize makes a declared size one that the engine can read, and refuse for
// good as too large: one that it cannot read it calls a mistake of the client's.
func clampSize(line []byte) []byte {
	m := declared.FindSubmatch(line)
	if m == nil || bytes.Compare(bytes.TrimLeft(m[2], "0"), []byte("4294967295")) <= 0 && len(bytes.TrimLeft(m[2], "0")) <= 10 {
		return line
	}
	return fmt.Appendf(nil, "%s%d%s", m[1], math.MaxUint32, line[len(m[0])-1:])
}
