package translate

import (
	"strings"

	"github.com/letterlock/letterlock/mailbox"
)

// matchName reports whether a mailbox name matches a pattern of LIST: "*" is any
// text, "%" any text without a separator (RFC 9051 section 6.3.9). In the first
// level, INBOX is written in any case. name is canonical. It takes at most
// len(name)² times len(pattern) steps.
func matchName(pattern, name string) bool {
	inbox := 0 // bytes of name that match in any case
	if name == mailbox.Inbox || strings.HasPrefix(name, mailbox.Inbox+string(mailbox.Separator)) {
		inbox = len(mailbox.Inbox)
	}
	// Where to go on after a mismatch: the last wildcard of each kind, and the
	// text that it took so far. After a later "*" an earlier wildcard need not
	// take more, and after a later "%" neither need an earlier "%": what it
	// could make room for, the later one can skip as long as it is in its level,
	// and beyond the level neither reaches.
	type mark struct{ p, n int }
	none := mark{-1, -1}
	star, percent := none, none
	for p, n := 0, 0; ; {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, percent = mark{p, n}, none
			continue
		case p < len(pattern) && pattern[p] == '%':
			p++
			percent = mark{p, n}
			continue
		case p == len(pattern) && n == len(name):
			return true
		case p < len(pattern) && n < len(name) && sameByte(pattern[p], name[n], n < inbox):
			p, n = p+1, n+1
			continue
		}
		switch {
		case percent != none && percent.n < len(name) && name[percent.n] != mailbox.Separator:
			percent.n++
			p, n = percent.p, percent.n
		case star != none && star.n < len(name):
			star.n++
			percent = none
			p, n = star.p, star.n
		default:
			return false
		}
	}
}

func sameByte(a, b byte, anyCase bool) bool {
	return a == b || anyCase && 'a' <= a && a <= 'z' && a-'a'+'A' == b
}
