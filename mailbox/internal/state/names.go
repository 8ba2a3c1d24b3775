package state

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Separator stands between the levels of a mailbox's name.
const Separator = '/'

// Inbox is the mailbox that always exists. Its name, alone or as a first level,
// is written in any case (RFC 9051 section 5.1).
const Inbox = "INBOX"

// Limits of mailbox names.
const (
	MaxMailboxName  = 1000 // bytes
	MaxMailboxLevel = 255  // bytes of one level: what clients that keep folders can hold
	MaxMailboxDepth = 32   // levels
)

// CanonicalName returns a mailbox name as it is stored, or what is wrong with
// it: [ErrBadName]. A name is UTF-8 of up to [MaxMailboxName] bytes in levels
// separated by [Separator], each of 1 to [MaxMailboxLevel] bytes, without control
// characters and without the wildcards "*" and "%" of LIST, in Unicode's form NFC: what looks
// alike is one name (RFC 9051 section 5.1). A first level that is "inbox" in any case becomes
// [Inbox]. A separator at the end, with which clients say that
// they will make children, is dropped (RFC 9051 section 6.3.4).
func CanonicalName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: it is not UTF-8", ErrBadName)
	}
	name = norm.NFC.String(strings.TrimSuffix(name, string(Separator)))
	switch {
	case name == "":
		return "", fmt.Errorf("%w: it is empty", ErrBadName)
	case len(name) > MaxMailboxName:
		return "", fmt.Errorf("%w: it has %d bytes, more than %d", ErrBadName, len(name), MaxMailboxName)
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == '*' || r == '%' || r == '\u2028' || r == '\u2029' {
			return "", fmt.Errorf("%w: it has the character %U", ErrBadName, r)
		}
	}
	levels := strings.Split(name, string(Separator))
	if len(levels) > MaxMailboxDepth {
		return "", fmt.Errorf("%w: it has %d levels, more than %d", ErrBadName, len(levels), MaxMailboxDepth)
	}
	for _, l := range levels {
		if l == "" || len(l) > MaxMailboxLevel {
			return "", fmt.Errorf("%w: a level has %d bytes, want 1 to %d", ErrBadName, len(l), MaxMailboxLevel)
		}
	}
	if strings.EqualFold(levels[0], Inbox) {
		levels[0] = Inbox
	}
	return strings.Join(levels, string(Separator)), nil
}

// specialUses are the attributes that CREATE may give (RFC 6154 section 2).
var specialUses = []string{`\All`, `\Archive`, `\Drafts`, `\Flagged`, `\Junk`, `\Sent`, `\Trash`}

// CanonicalSpecialUses returns the attributes in their usual capitals, sorted.
func CanonicalSpecialUses(uses []string) ([]string, error) {
	var out []string
	for _, u := range uses {
		i := slices.IndexFunc(specialUses, func(s string) bool { return strings.EqualFold(s, u) })
		if i < 0 {
			return nil, ErrBadSpecialUse
		}
		if !slices.Contains(out, specialUses[i]) {
			out = append(out, specialUses[i])
		}
	}
	slices.Sort(out)
	return out, nil
}

// equalFoldASCII compares without regard to the case of ASCII letters.
func equalFoldASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// parents returns the names above a mailbox, outermost first.
func parents(name string) []string {
	var out []string
	for i, r := range name {
		if r == Separator {
			out = append(out, name[:i])
		}
	}
	return out
}
