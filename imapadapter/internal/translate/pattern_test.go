package translate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/mailbox"
)

// slowMatch is matchName as RFC 9051 section 6.3.9 says it, in exponential time.
func slowMatch(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch pattern[0] {
	case '*', '%':
		if slowMatch(pattern[1:], name) {
			return true
		}
		return name != "" && (pattern[0] == '*' || name[0] != mailbox.Separator) && slowMatch(pattern, name[1:])
	}
	return name != "" && pattern[0] == name[0] && slowMatch(pattern[1:], name[1:])
}

func TestMatchName(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"*", "a/b", true},
		{"%", "a/b", false},
		{"%/%", "a/b", true},
		{"a%", "a/b", false},
		{"a*b", "a/x/b", true},
		{"a%b", "a/b", false},
		{"%b", "ab", true},
		{"*%", "a/b/c", true},
		{"*/%", "a/b/c", true},
		{"inbox", "INBOX", true},
		{"iNbOx/*", "INBOX/a", true},
		{"inbox/A", "INBOX/a", false},
		{"%box", "INBOX", true},
		{"inbox", "inboxes", false},
		{"Inbox", "Inbo", false},
		{"a/inbox", "a/INBOX", false},
	} {
		assert.Equal(t, c.want, matchName(c.pattern, c.name), "%q %q", c.pattern, c.name)
	}
	// Hostile patterns end soon.
	assert.False(t, matchName(strings.Repeat("%*a", 2000), strings.Repeat("a", mailbox.MaxMailboxName)))
	assert.False(t, matchName(strings.Repeat("*a%", 300)+"b", strings.Repeat("a", mailbox.MaxMailboxName)))
}

func FuzzMatchName(f *testing.F) {
	for _, seed := range [][2]string{{"*a%b", "a/xa/yb"}, {"%a%b", "aab"}, {"%/%a", "x/a/a"}, {"*%*", "a"}, {"a%/b*", "ax/b/c"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 8 || len(name) > 10 || strings.HasPrefix(name, mailbox.Inbox) {
			return // the naive matcher would take too long, or knows no INBOX
		}
		assert.Equal(t, slowMatch(pattern, name), matchName(pattern, name), "%q %q", pattern, name)
	})
}
