package crypto_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"

	"github.com/letterlock/letterlock/crypto"
)

func TestPoolKeyIsArgon2id(t *testing.T) {
	salt := []byte("0123456789abcdef")
	got, err := crypto.DefaultPool().Key(t.Context(), []byte("pw"), salt, cheap)
	require.NoError(t, err)
	assert.Equal(t, argon2.IDKey([]byte("pw"), salt, 5, 7168, 1, 32), got.Bytes())
	assert.Same(t, crypto.DefaultPool(), crypto.DefaultPool())
	used, waiting := crypto.PoolUsed(crypto.DefaultPool())
	assert.Zero(t, used)
	assert.Zero(t, waiting)
}

// poolCase runs waiters on a pool of 10 bytes, under a fake clock, and notes the
// order in which they got their turn.
type poolCase struct {
	t     *testing.T
	pool  *crypto.Pool
	wg    sync.WaitGroup
	mu    sync.Mutex
	order []string
	errs  map[string]error
}

func newPoolCase(t *testing.T) *poolCase {
	return &poolCase{
		t:    t,
		pool: crypto.NewPool(crypto.PoolOptions{Memory: 10, MaxWait: time.Minute}),
		errs: map[string]error{},
	}
}

// start queues a derivation and returns once it has started or waits.
func (c *poolCase) start(ctx context.Context, name string, need int64, work time.Duration) {
	c.wg.Go(func() {
		err := crypto.PoolAcquire(c.pool, ctx, need)
		c.mu.Lock()
		c.errs[name] = err
		if err == nil {
			c.order = append(c.order, name)
		}
		c.mu.Unlock()
		if err == nil {
			time.Sleep(work)
			crypto.PoolRelease(c.pool, need)
		}
	})
	synctest.Wait()
}

// started returns who got a turn, in order.
func (c *poolCase) started() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.order)
}

// outcome returns what a derivation's wait ended with, and whether it ended.
func (c *poolCase) outcome(name string) (ended bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err, ended = c.errs[name]
	return ended, err
}

func (c *poolCase) failed(name string, want error) {
	c.t.Helper()
	_, err := c.outcome(name)
	assert.ErrorIs(c.t, err, want, name)
}

func (c *poolCase) finish() {
	c.wg.Wait()
	used, waiting := crypto.PoolUsed(c.pool)
	assert.Zero(c.t, used)
	assert.Zero(c.t, waiting)
}

func TestPoolFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t)
		c.start(t.Context(), "a", 6, time.Second)
		c.start(t.Context(), "large", 10, time.Second)
		c.start(t.Context(), "b", 1, time.Second) // would fit, but came later
		c.start(t.Context(), "c", 1, time.Second)
		assert.Equal(t, []string{"a"}, c.started())
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"a", "large"}, c.started())
		c.finish()
		assert.Len(t, c.started(), 4)
		assert.ElementsMatch(t, []string{"b", "c"}, c.started()[2:], "both at once, after it")
	})
}

func TestPoolDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t)
		start := time.Now()
		c.start(t.Context(), "slow", 10, time.Hour)
		c.start(t.Context(), "waits", 1, 0)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		ended, _ := c.outcome("waits")
		assert.False(t, ended)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		c.failed("waits", crypto.ErrBusy)
		assert.Equal(t, time.Minute, time.Since(start))
		c.finish()
	})
}

// Whoever gives up at the head lets those behind it go.
func TestPoolGivingUpAtTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t)
		ctx, cancel := context.WithCancel(t.Context())
		c.start(t.Context(), "a", 6, time.Hour)
		c.start(ctx, "large", 10, time.Hour)
		c.start(t.Context(), "b", 4, time.Second)
		assert.Equal(t, []string{"a"}, c.started())
		cancel()
		synctest.Wait()
		c.failed("large", context.Canceled)
		assert.Equal(t, []string{"a", "b"}, c.started())
		c.start(ctx, "late", 1, 0)
		c.failed("late", context.Canceled) // also where there is room
		c.finish()
	})
}

// A grant and a giving up at the same instant leave nothing behind.
func TestPoolGrantMeetsDeadline(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			c := newPoolCase(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c.start(t.Context(), "a", 10, time.Minute) // ends when the next gives up
			c.start(ctx, "b", 5, time.Second)
			c.start(t.Context(), "c", 5, time.Second)
			c.finish()
			for _, name := range []string{"b", "c"} {
				if _, err := c.outcome(name); err != nil {
					assert.ErrorIs(t, err, crypto.ErrBusy)
				}
			}
		})
	}
}

func TestPoolWithoutWaiting(t *testing.T) {
	p := crypto.NewPool(crypto.PoolOptions{Memory: 10, MaxWait: -1})
	require.NoError(t, crypto.PoolAcquire(p, t.Context(), 10))
	require.ErrorIs(t, crypto.PoolAcquire(p, t.Context(), 1), crypto.ErrBusy)
	_, err := p.Key(t.Context(), []byte("pw"), make([]byte, 16), cheap)
	require.ErrorIs(t, err, crypto.ErrBusy)
	err = crypto.DummyPassword(t.Context(), []byte("pw"), cheap, p)
	require.ErrorIs(t, err, crypto.ErrBusy, "an unknown user meets a busy pool as others do")
	crypto.PoolRelease(p, 10)
	require.NoError(t, crypto.PoolAcquire(p, t.Context(), 1))
}

// A derivation larger than the budget runs, and alone.
func TestPoolLargerThanBudget(t *testing.T) {
	p := crypto.NewPool(crypto.PoolOptions{Memory: 1 << 20, MaxWait: -1})
	_, err := p.Key(t.Context(), []byte("pw"), make([]byte, 16), cheap)
	require.NoError(t, err)
	require.NoError(t, crypto.PoolAcquire(p, t.Context(), 1))
	_, err = p.Key(t.Context(), []byte("pw"), make([]byte, 16), cheap)
	require.ErrorIs(t, err, crypto.ErrBusy)
}

func TestPoolNeverExceedsBudget(t *testing.T) {
	p := crypto.NewPool(crypto.PoolOptions{Memory: 100})
	var inUse, granted, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%5 == 0 {
					go cancel() // gives up at any moment
				}
				need := int64((i*7+j*13)%100 + 1)
				if crypto.PoolAcquire(p, ctx, need) == nil {
					now := inUse.Add(need)
					for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
					}
					granted.Add(1)
					inUse.Add(-need)
					crypto.PoolRelease(p, need)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, most.Load(), int64(100))
	assert.Greater(t, granted.Load(), int64(1000))
	used, waiting := crypto.PoolUsed(p)
	assert.Zero(t, used)
	assert.Zero(t, waiting)
}

func TestPoolStats(t *testing.T) {
	params := crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}
	need := int64(7168 << 10)
	p := crypto.NewPool(crypto.PoolOptions{Memory: need, MaxWait: -1})
	require.Equal(t, crypto.PoolStats{Budget: need}, p.Stats())
	_, err := p.Key(t.Context(), []byte("x"), make([]byte, 16), params)
	require.NoError(t, err)
	require.Equal(t, crypto.PoolStats{Budget: need, Started: 1}, p.Stats())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Key(ctx, []byte("x"), make([]byte, 16), params)
	require.Error(t, err)
	require.Equal(t, uint64(1), p.Stats().Started)
}
