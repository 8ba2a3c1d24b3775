package mailbox

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
)

// Entries that snapshots have replaced are trimmed after a while. Whoever asks for
// events from before is refused, and events after what is left come whole.
func TestEventsOfATrimmedLog(t *testing.T) {
	ctx := t.Context()
	var clock atomic.Int64
	clock.Store(1_800_000_000)
	s, err := Open(ctx, memblob.New(), Options{Password: cheap, PollInterval: -1, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	require.NoError(t, err)
	defer s.Close()
	a := newUser(t, s, "ann")
	var kept *Mailbox
	for range 4 {
		clock.Add(int64(30 * time.Hour / time.Second))
		for i := range 20 {
			_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
			require.NoError(t, err)
		}
		kept, err = a.Mailbox(ctx, Inbox)
		require.NoError(t, err)
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(0)), AppendOptions{})
		require.NoError(t, err)
		require.NoError(t, snapshotNow(ctx, a.account))
	}
	failed := 0
	for _, err := range a.Events(ctx, 0) {
		require.ErrorIs(t, err, ErrTooOld)
		failed++
	}
	require.Equal(t, 1, failed)
	for e, err := range a.Events(ctx, kept.Position()) {
		require.NoError(t, err)
		kept, err = kept.Apply(e)
		require.NoError(t, err)
	}
	live, err := a.Mailbox(ctx, Inbox)
	require.NoError(t, err)
	require.True(t, live.Equal(kept))
}
