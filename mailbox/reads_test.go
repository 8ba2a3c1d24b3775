package mailbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// A question about a large folder costs a few reads, because pages and metadata lie
// in packs and are read many at a time.
func TestFewReadsOfALargeFolder(t *testing.T) {
	ctx := t.Context()
	const messages = 100 * state.PageRows
	count := blobtest.NewCounting(memblob.New(), kindOf)
	open := func() *Store {
		s, err := Open(ctx, count, Options{Password: cheap, PollInterval: -1})
		require.NoError(t, err)
		return s
	}
	s := open()
	a := newUser(t, s, "ann")
	fill(t, a, messages)
	require.NoError(t, a.Close())
	require.NoError(t, s.Close()) // with a snapshot

	for _, c := range []struct {
		what string
		do   func(v *View)
		most int
	}{
		{"flags of all", func(v *View) {
			n := 0
			for m, err := range v.Messages(ctx, All()) {
				require.NoError(t, err)
				_ = m.Flags()
				n++
			}
			require.Equal(t, messages, n)
		}, 3},
		{"SEARCH UNFLAGGED", func(v *View) {
			require.Len(t, found(t, v, &Query{Op: OpNot, Args: []*Query{{Op: OpFlag, Text: FlagFlagged}}}), messages)
		}, 3},
		{"SEARCH SUBJECT", func(v *View) {
			require.Empty(t, found(t, v, &Query{Op: OpHeader, Field: "Subject", Text: "no such subject"}))
		}, 10},
	} {
		s := open()
		a := login(t, s, "ann")
		v := selectInbox(t, a)
		count.Reset()
		c.do(v)
		reads := count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "pack"}].Calls
		t.Logf("%s: %d reads of packs for %d messages", c.what, reads, messages)
		require.LessOrEqual(t, reads, c.most, c.what)
		require.Positive(t, reads, c.what)
		require.NoError(t, a.Close())
		require.NoError(t, s.Close())
	}
}
