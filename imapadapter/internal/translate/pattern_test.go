package translate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// matchName matches one pattern.
func matchName(t testing.TB, pattern, name string) bool {
	t.Helper()
	m, err := compile("", []string{pattern})
	require.NoError(t, err)
	matches, _ := m.match(name)
	return matches
}

// slowMatch matches a pattern as RFC 9051 section 6.3.9 says it, in exponential time.
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
		{"**%", "a/b", true},
		{"%%%", "a/b", false},
		{strings.Repeat("a", 63) + "%", strings.Repeat("a", 64), true}, // states beyond a word
		{strings.Repeat("a", 200) + "*/%", strings.Repeat("a", 200) + "/b/c", true},
		{strings.Repeat("a", 200), strings.Repeat("a", 199), false},
	} {
		assert.Equal(t, c.want, matchName(t, c.pattern, c.name), "%q %q", c.pattern, c.name)
	}
}

// TestManyPatterns tries patterns that cannot match with as many names as there may be.
// Backtracking would take days.
func TestManyPatterns(t *testing.T) {
	var list []string
	for len(list) < maxPatterns-1 {
		list = append(list, strings.Repeat("*a%", (maxPatternBytes-100)/maxPatterns/3)+"b")
	}
	list = append(list, "%/no*", "x/%")
	list = list[1:]
	infos := make([]mailbox.MailboxInfo, mailbox.MaxMailboxes)
	for i := range infos {
		infos[i] = mailbox.MailboxInfo{Name: fmt.Sprint(strings.Repeat("a", 200), i), Exists: true}
	}
	infos[7].Name = "x/y"
	l, err := NewListing(t.Context(), ListBasic, infos, "", list, &imap.ListOptions{})
	require.NoError(t, err)
	var got []string
	for data := range l.All() {
		got = append(got, data.Mailbox)
	}
	assert.Equal(t, []string{"x/y"}, got)
}

// countdown is a context that ends when it was asked a number of times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestListingEnds checks that a listing ends with its context, at mailboxes and at levels
// above them.
func TestListingEnds(t *testing.T) {
	infos := make([]mailbox.MailboxInfo, 10)
	for i := range infos {
		infos[i] = mailbox.MailboxInfo{Name: fmt.Sprintf("%d/x", i), Exists: true}
	}
	for _, left := range []int{0, 5, 15} {
		_, err := NewListing(&countdown{t.Context(), left}, ListBasic, infos, "", []string{"*"}, &imap.ListOptions{})
		assert.ErrorIs(t, err, context.Canceled, "%d", left)
	}
	_, err := NewListing(&countdown{t.Context(), 20}, ListBasic, infos, "", []string{"*"}, &imap.ListOptions{})
	assert.NoError(t, err)
}

// TestPatternLimits checks the bounds on number and length.
func TestPatternLimits(t *testing.T) {
	for _, c := range []struct {
		ref  string
		list []string
		ok   bool
	}{
		{"", slices.Repeat([]string{"%"}, maxPatterns), true},
		{"", slices.Repeat([]string{"%"}, maxPatterns+1), false},
		{"", []string{strings.Repeat("a", maxPatternBytes)}, true},
		{"", []string{strings.Repeat("a", maxPatternBytes+1)}, false},
		{strings.Repeat("a", maxPatternBytes/2), []string{"b", "c"}, false},
		{"", nil, true},
	} {
		_, err := compile(c.ref, c.list)
		if c.ok {
			assert.NoError(t, err)
			continue
		}
		answer, logged := Error(err)
		assert.Equal(t, imap.ResponseCodeLimit, answer.Code)
		assert.False(t, logged)
	}
}

func FuzzMatchName(f *testing.F) {
	for _, seed := range [][2]string{{"*a%b", "a/xa/yb"}, {"%a%b", "aab"}, {"%/%a", "x/a/a"}, {"*%*", "a"}, {"a%/b*", "ax/b/c"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 8 || len(name) > 10 || strings.HasPrefix(name, mailbox.Inbox) {
			return // the naive matcher would take too long, or knows no INBOX
		}
		want := slowMatch(pattern, name)
		assert.Equal(t, want, matchName(t, pattern, name), "%q %q", pattern, name)
		m, err := compile("", []string{strings.Repeat("x", 60), pattern, strings.Repeat("x", 60)}) // no pattern disturbs another
		require.NoError(t, err)
		matches, open := m.match(name)
		assert.Equal(t, want, matches, "%q %q", pattern, name)
		assert.Equal(t, want && strings.HasSuffix(joinWildcards(pattern), "%"), open, "%q %q", pattern, name)
	})
}
