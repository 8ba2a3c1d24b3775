package mailbox

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
)

// A few entries that change many pages are worth a snapshot: without one the next
// login would make the pages anew.
func TestFewEntriesThatChangeMuchOutweighASnapshot(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	fill(t, a, 5000)
	require.NoError(t, a.Create(ctx, "Sent"))
	require.False(t, a.account.outweighs(closingEntries))
	_, err := selectInbox(t, a).Copy(ctx, All(), "Sent")
	require.NoError(t, err)
	require.True(t, a.account.outweighs(closingEntries))
	require.NoError(t, a.account.snapshotIfDue(ctx))
	require.False(t, a.account.outweighs(closingEntries))
	for _, m := range a.account.state().Mailboxes {
		for _, r := range m.Pages {
			require.Nil(t, r.Page, "in the store, and not in memory")
		}
	}
}

// Counts are looked for in the log once for many mailboxes, but never miss what
// was delivered by this process.
func TestCountsKnowWhatWasDelivered(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	s.freshness = time.Hour
	a := newUser(t, s, "ann")
	for n := 1; n <= 20; n++ {
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(n)))[0])
		st, err := a.Status(ctx, Inbox)
		require.NoError(t, err)
		require.Equal(t, n, st.Messages)
	}
}
