package s3blob

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPlacesInOrder: who waits is served in the order of arrival, and one who goes
// away takes no place with it.
func TestPlacesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		require.NoError(t, p.acquire(t.Context()))
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		gone, leave := context.WithCancel(t.Context())
		for i := range 10 {
			ctx := t.Context()
			if i%3 == 1 {
				ctx = gone
			}
			wg.Go(func() {
				if err := p.acquire(ctx); err != nil {
					assert.ErrorIs(t, err, context.Canceled)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
				p.release()
			})
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		p.release()
		wg.Wait()
		require.Equal(t, []int{0, 2, 3, 5, 6, 8, 9}, order)
		require.Equal(t, 1, p.free)
		require.Zero(t, p.waiting.Len())
	})
}

// TestPlaceOfOneWhoLeft: a place given in the moment of the cancellation is not
// lost.
func TestPlaceOfOneWhoLeft(t *testing.T) {
	for range 200 {
		p := newPlaces(1)
		require.NoError(t, p.acquire(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.acquire(ctx) }()
		go cancel()
		p.release()
		if <-done == nil {
			p.release()
		}
		require.Equal(t, 1, p.free)
	}
}
