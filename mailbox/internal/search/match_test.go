package search

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox/message"
)

// headerSource is a message of which only the header is asked for.
type headerSource struct {
	Source
	header message.Header
}

func (s headerSource) Header(context.Context) (message.Header, bool, error) {
	return s.header, false, nil
}

func headerOf(text string) Message {
	return Message{Source: headerSource{header: message.ParseHeader([]byte(text))}}
}

func headerKey(field, text string) *Query { return &Query{Op: OpHeader, Field: field, Text: text} }

// TestHeaderKeys tries keys of one search together: each is answered as if it were alone.
func TestHeaderKeys(t *testing.T) {
	m := headerOf("Subject: Good =?utf-8?q?M=C3=96RNING?=\r\nX-List: one\r\nx-list: two\r\nEmpty:\r\n\r\n")
	var keys []*Query
	var want []bool
	add := func(field, text string, found bool) {
		keys, want = append(keys, headerKey(field, text)), append(want, found)
	}
	add("subject", "m\u00f6rning", true)
	add("SUBJECT", "GOOD", true)
	add("Subject", "good m", true)
	add("Subject", "one", false)
	add("X-List", "two", true)
	add("X-LIST", "one", true)
	add("X-List", "one two", false) // not across fields
	add("X-List", "TWO", true)
	add("Empty", "", true)
	add("Empty", "x", false)
	add("Missing", "", false)
	plan := NewPlan(time.Now(), &Query{Op: OpAll}, keys...)
	c := plan.Candidate(m)
	for i, key := range keys {
		got, err := c.matches(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, want[i], got, "%s %q", key.Field, key.Text)
	}
}

// TestManyHeaderKeys checks that the texts of a field are decoded and folded once for all
// keys of a search, and that the search ends with its context.
func TestManyHeaderKeys(t *testing.T) {
	const fields = 2000
	m := headerOf(strings.Repeat("Received: FROM =?utf-8?q?=C3=84?= by another\r\n", fields) + "\r\n")
	allocs := func(keys int) float64 {
		q := &Query{Op: OpOr}
		for i := range keys {
			q.Args = append(q.Args, headerKey("Received", fmt.Sprintf("none %d", i)))
		}
		plan := NewPlan(time.Now(), q)
		return testing.AllocsPerRun(2, func() {
			ok, err := plan.Candidate(m).Matches(t.Context())
			require.NoError(t, err)
			require.False(t, ok)
		})
	}
	require.Less(t, allocs(490), 2*allocs(1))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewPlan(time.Now(), headerKey("Received", "none")).Candidate(m).Matches(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// BenchmarkHeaderKeys is one search with 490 keys over a header of 1 MiB.
func BenchmarkHeaderKeys(b *testing.B) {
	m := headerOf(strings.Repeat("Subject: "+strings.Repeat("word ", 200)+"\r\n", 1040) + "\r\n")
	q := &Query{Op: OpOr}
	for i := range 490 {
		q.Args = append(q.Args, headerKey("Subject", fmt.Sprintf("word wor%d", i)))
	}
	plan := NewPlan(time.Now(), q)
	for b.Loop() {
		if ok, err := plan.Candidate(m).Matches(b.Context()); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
