package eventlog_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

// TestCancel ends the contexts of callers who wait, lead and were taken.
func TestCancel(t *testing.T) {
	t.Run("in the queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.begin(0)
			c := gated(t, w, eventlog.CommitterOptions[list]{}, func(c *eventlog.Committer[list], wg *sync.WaitGroup) {
				ctx, cancel := context.WithCancel(t.Context())
				returned := false
				for _, cx := range []context.Context{ctx, t.Context()} {
					wg.Go(func() {
						_, err := c.Commit(cx, write("second"))
						if cx == ctx {
							assert.ErrorIs(t, err, context.Canceled)
							returned = true
						} else {
							assert.NoError(t, err)
						}
					})
					synctest.Wait()
				}
				cancel()
				synctest.Wait()
				assert.True(t, returned, "it does not wait for the append")
			})
			s, _ := c.State()
			assert.Equal(t, []string{"begin", "gate", "second"}, s.records)
		})
	})
	t.Run("the leader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.begin(0)
			store := slow(w, time.Second)
			c := w.committer(store, eventlog.CommitterOptions[list]{})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for i, cx := range []context.Context{ctx, t.Context()} {
				wg.Go(func() {
					_, err := c.Commit(cx, write(fmt.Sprint(i)))
					assert.NoError(t, err, "the leader stays until its record is done")
				})
				synctest.Wait()
			}
			cancel()
			wg.Wait()
			assert.Equal(t, []string{"begin", "0", "1"}, w.records())
		})
	})
	t.Run("taken into an entry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.begin(0)
			store := slow(w, time.Second)
			c := w.committer(store, eventlog.CommitterOptions[list]{})
			var wg sync.WaitGroup
			for i := range 2 {
				wg.Go(func() {
					_, err := c.Commit(t.Context(), write(fmt.Sprint(i)))
					assert.NoError(t, err)
				})
				synctest.Wait()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			_, err := c.Commit(ctx, write("taken"))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "may succeed")
			wg.Wait()
			assert.Equal(t, []string{"begin", "0", "1", "taken"}, w.records(), "and this time it did")
		})
	})
	t.Run("before it is decided again", func(t *testing.T) {
		w := newWorld(t)
		l := w.begin(0)
		store := &hooked{Store: w.mem}
		c := w.committer(store, eventlog.CommitterOptions[list]{})
		store.before = func(string) { // another wins the position
			store.before = nil
			w.grow(l, 1)
		}
		ctx, cancel := context.WithCancel(t.Context())
		decided := 0
		_, err := c.Commit(ctx, func(context.Context, list, eventlog.Position) ([]byte, error) {
			decided++
			cancel()
			return []byte("x"), nil
		})
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, decided)
		assert.Equal(t, []string{"begin", "record 2"}, w.records())
	})
	t.Run("at the moment of leading", func(t *testing.T) {
		for range 30 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.begin(0)
				ctx, cancel := context.WithCancel(t.Context())
				// It leaves in the very step in which it is told to lead.
				o := eventlog.CommitterOptions[list]{OnChange: func(list, eventlog.Head) { cancel() }}
				c := gated(t, w, o, func(c *eventlog.Committer[list], wg *sync.WaitGroup) {
					wg.Go(func() { c.Commit(ctx, write("maybe")) })
					synctest.Wait()
					wg.Go(func() {
						_, err := c.Commit(t.Context(), write("sure"))
						assert.NoError(t, err)
					})
				})
				_, err := c.Commit(t.Context(), write("after"))
				assert.NoError(t, err, "the queue is not wedged")
			})
		}
	})
	t.Run("the store hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.begin(0)
			store := blobtest.NewFaulty(w.mem, nil)
			c := w.committer(store, eventlog.CommitterOptions[list]{Timeout: 10 * time.Second})
			never := make(chan struct{})
			store.SetPlan(func(op blobtest.Op, _ string, _ int) blobtest.Fault { return blobtest.Fault{Hold: never} })
			start := time.Now()
			_, err := c.Commit(t.Context(), write("x"))
			assert.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 10*time.Second, time.Since(start))
			store.SetPlan(nil)
			_, err = c.Commit(t.Context(), write("y"))
			assert.NoError(t, err)
			assert.Equal(t, []string{"begin", "x", "y"}, w.records())
		})
	})
}
