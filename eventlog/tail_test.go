package eventlog_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

// TestLongTail opens a log that grew by ten thousand entries while nobody looked,
// over a store of which each request takes 30 ms.
func TestLongTail(t *testing.T) {
	const n, latency = 10_000, 30 * time.Millisecond
	w := newWorld(t)
	w.begin(n)
	synctest.Test(t, func(t *testing.T) {
		slow := blobtest.NewSlow(w.mem, latency)
		began := time.Now()
		entries := 0
		c := eventlog.NewCommitter(w.handle(slow), eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{
			OnEntry: func(eventlog.Entry) { entries++ },
		})
		require.NoError(t, c.Open(t.Context()))
		took := time.Since(began)
		t.Logf("%d entries: %d round trips in sequence, at most %d requests at once", n, took/latency, slow.Most())
		require.Equal(t, n+1, entries)
		require.LessOrEqual(t, took, 5*time.Second)
		require.LessOrEqual(t, slow.Most(), 64, "reading ahead is bounded")
		require.GreaterOrEqual(t, slow.Most(), 32, "and is done at all")
		require.NoError(t, readsNothingMore(t.Context(), c))
	})
}

// readsNothingMore fails if there is more to read.
func readsNothingMore(ctx context.Context, c *eventlog.Committer[list]) error {
	moved, err := c.CatchUp(ctx)
	if moved {
		return fmt.Errorf("there was more to read")
	}
	return err
}
