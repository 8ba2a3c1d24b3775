package crypto_test

import (
	"context"
	"fmt"
	"net/netip"
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
	got, err := crypto.DefaultPool().Key(t.Context(), stranger, []byte("pw"), salt, cheap)
	require.NoError(t, err)
	assert.Equal(t, argon2.IDKey([]byte("pw"), salt, 5, 7168, 1, 32), got.Bytes())
	assert.Same(t, crypto.DefaultPool(), crypto.DefaultPool())
	used, _, waiting := crypto.PoolUsed(crypto.DefaultPool())
	assert.Zero(t, used)
	assert.Zero(t, waiting)
}

// poolCase runs derivations that only sleep, on a pool of 10 bytes under a fake
// clock, and records the order in which they got their turn.
type poolCase struct {
	t     *testing.T
	pool  *crypto.Pool
	wg    sync.WaitGroup
	mu    sync.Mutex
	order []string
	errs  map[string]error
}

func newPoolCase(t *testing.T, o crypto.PoolOptions) *poolCase {
	o.Memory = 10
	if o.Parallel == 0 {
		o.Parallel = 10
	}
	c := &poolCase{t: t, pool: crypto.NewPool(o), errs: map[string]error{}}
	crypto.PoolOnCollect(c.pool, func(bool) {})
	return c
}

// start queues a derivation and returns once it has started, waits or was refused.
func (c *poolCase) start(ctx context.Context, name string, who crypto.Requester, need int64, work time.Duration) {
	c.wg.Go(func() {
		err := crypto.PoolAcquire(c.pool, ctx, who, need)
		c.mu.Lock()
		c.errs[name] = err
		if err == nil {
			c.order = append(c.order, name)
		}
		c.mu.Unlock()
		if err == nil {
			time.Sleep(work)
			crypto.PoolRelease(c.pool, need, work)
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
	used, _, waiting := crypto.PoolUsed(c.pool)
	assert.Zero(c.t, used)
	assert.Zero(c.t, waiting)
}

// Requesters of tests.
var (
	stranger crypto.Requester
	recently = func(n byte) crypto.Requester { return crypto.Requester{Recent: [16]byte{n}} }
	at       = func(address string) crypto.Requester {
		return crypto.Requester{Address: netip.MustParseAddr(address)}
	}
)

func TestPoolFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{})
		c.start(t.Context(), "a", stranger, 6, time.Second)
		c.start(t.Context(), "large", stranger, 10, time.Second)
		c.start(t.Context(), "b", stranger, 1, time.Second) // would fit, but came later
		c.start(t.Context(), "c", stranger, 1, time.Second)
		assert.Equal(t, []string{"a"}, c.started())
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"a", "large"}, c.started())
		c.finish()
		assert.Len(t, c.started(), 4)
		assert.ElementsMatch(t, []string{"b", "c"}, c.started()[2:], "both at once, after it")
	})
}

func TestPoolParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{Parallel: 2})
		for _, name := range []string{"a", "b", "c", "d"} {
			c.start(t.Context(), name, stranger, 1, time.Second)
		}
		assert.Equal(t, []string{"a", "b"}, c.started(), "there is memory for all, and two CPUs")
		c.finish()
	})
}

// Accounts that were logged in to lately and all others are served in turn; of the
// first each account, of the others each address.
func TestPoolTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{Parallel: 1, MaxWait: time.Hour})
		c.start(t.Context(), "first", stranger, 1, time.Second)
		for i, r := range []crypto.Requester{at("192.0.2.1"), at("192.0.2.1"), at("192.0.2.1"), at("192.0.2.2"), at("::ffff:192.0.2.2")} {
			c.start(t.Context(), fmt.Sprint("ip4-", i), r, 1, time.Second)
		}
		for i, r := range []crypto.Requester{at("2001:db8::1"), at("2001:db8::2%eth0"), at("2001:db8:0:1::1")} {
			c.start(t.Context(), fmt.Sprint("ip6-", i), r, 1, time.Second)
		}
		for i, n := range []byte{1, 1, 1, 2} {
			c.start(t.Context(), fmt.Sprint("recent-", i), recently(n), 1, time.Second)
		}
		c.finish()
		assert.Equal(t, []string{
			"first",
			"recent-0", "ip4-0", "recent-3", "ip4-3", "recent-1", "ip6-0", "recent-2", "ip6-2",
			"ip4-1", "ip4-4", "ip6-1", "ip4-2",
		}, c.started())
	})
}

// Those who guess names from a few addresses delay nobody by much.
func TestPoolCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{Parallel: 2})
		for i := range 250 {
			c.start(t.Context(), fmt.Sprint("guess-", i), at("192.0.2.1"), 1, 250*time.Millisecond)
		}
		start := time.Now()
		for i := range 5 {
			c.start(t.Context(), fmt.Sprint("recent-", i), recently(byte(i+1)), 1, 250*time.Millisecond)
			c.start(t.Context(), fmt.Sprint("new-", i), at(fmt.Sprint("198.51.100.", i)), 1, 250*time.Millisecond)
		}
		for i := range 5 {
			for _, name := range []string{fmt.Sprint("recent-", i), fmt.Sprint("new-", i)} {
				for ended := false; !ended; ended, _ = c.outcome(name) {
					time.Sleep(time.Millisecond)
				}
				c.failed(name, nil)
			}
		}
		assert.Less(t, time.Since(start), 3*time.Second)
		c.finish()
	})
}

// Thirty at once on a server that never derived a key are all served, however slow
// it is.
func TestPoolColdCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{Parallel: 1})
		for i := range 30 {
			c.start(t.Context(), fmt.Sprint(i), stranger, 10, 1500*time.Millisecond)
		}
		c.finish()
		assert.Len(t, c.started(), 30)
	})
}

// One that would wait too long is refused at once, and later ones are not.
func TestPoolExpectedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{Parallel: 2, MaxWait: 10 * time.Second})
		c.start(t.Context(), "measured", stranger, 1, time.Second)
		c.finish()
		for i := range 21 { // 2 that run and 19 that wait, two at a time: 10.5 s
			c.start(t.Context(), fmt.Sprint(i), at("192.0.2.1"), 1, time.Second)
		}
		start := time.Now()
		c.start(t.Context(), "late", at("192.0.2.1"), 1, time.Second)
		c.failed("late", crypto.ErrBusy)
		assert.Zero(t, time.Since(start))
		c.start(t.Context(), "other", at("192.0.2.2"), 1, time.Second)
		c.start(t.Context(), "user", recently(1), 1, time.Second)
		c.finish()
		c.failed("other", nil)
		c.failed("user", nil)
		assert.Equal(t, uint64(1), c.pool.Stats().Refused)
	})
}

// The deadline is MaxWait more than the work ahead of it is expected to take.
func TestPoolDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{MaxWait: time.Minute})
		c.start(t.Context(), "measured", stranger, 1, 20*time.Second)
		c.finish()
		start := time.Now()
		c.start(t.Context(), "slow", stranger, 10, time.Hour)
		c.start(t.Context(), "waits", stranger, 10, 0)
		time.Sleep(80*time.Second - 1)
		synctest.Wait()
		ended, _ := c.outcome("waits")
		assert.False(t, ended)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		c.failed("waits", crypto.ErrBusy)
		assert.Equal(t, 80*time.Second, time.Since(start))
		c.finish()
	})
}

// Whoever gives up at the head lets those behind it go.
func TestPoolGivingUpAtTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		c.start(t.Context(), "a", stranger, 6, time.Hour)
		c.start(ctx, "large", stranger, 10, time.Hour)
		c.start(t.Context(), "b", stranger, 4, time.Second)
		assert.Equal(t, []string{"a"}, c.started())
		cancel()
		synctest.Wait()
		c.failed("large", context.Canceled)
		assert.Equal(t, []string{"a", "b"}, c.started())
		c.start(ctx, "late", stranger, 1, 0)
		c.failed("late", context.Canceled) // also where there is room
		c.finish()
	})
}

// A grant and a giving up at the same instant leave nothing behind.
func TestPoolGrantMeetsDeadline(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			c := newPoolCase(t, crypto.PoolOptions{MaxWait: time.Minute})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c.start(t.Context(), "a", stranger, 10, time.Minute+time.Second) // ends when the next gives up
			c.start(ctx, "b", stranger, 5, time.Second)
			c.start(t.Context(), "c", stranger, 5, time.Second)
			c.finish()
			for _, name := range []string{"b", "c"} {
				if _, err := c.outcome(name); err != nil {
					assert.ErrorIs(t, err, crypto.ErrBusy)
				}
			}
		})
	}
}

// The budget holds for garbage too: it is collected when it is in the way, and
// once when the pool has been idle for a second.
func TestPoolCollectsGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPoolCase(t, crypto.PoolOptions{Parallel: 2})
		var mu sync.Mutex // protects collected
		var collected []string
		seen := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(collected)
		}
		crypto.PoolOnCollect(c.pool, func(idle bool) {
			used, garbage, _ := crypto.PoolUsed(c.pool)
			mu.Lock()
			defer mu.Unlock()
			collected = append(collected, fmt.Sprintf("idle %v, used %d, garbage %d", idle, used, garbage))
		})
		for i := range 5 {
			c.start(t.Context(), fmt.Sprint(i), stranger, 4, time.Duration(i+10)*time.Second)
			assert.LessOrEqual(t, c.pool.Stats().Memory, int64(10))
		}
		c.finish()
		require.Equal(t, []string{
			"idle false, used 4, garbage 4", "idle false, used 4, garbage 4", "idle false, used 4, garbage 4",
		}, seen())
		time.Sleep(time.Second - 1)
		synctest.Wait()
		require.Len(t, seen(), 3)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, "idle true, used 0, garbage 8", seen()[3])
		for range 3 { // each too early for the one before
			c.start(t.Context(), "more", stranger, 1, time.Millisecond)
			time.Sleep(time.Second / 2)
		}
		time.Sleep(time.Minute)
		require.Equal(t, []string{"idle true, used 0, garbage 3"}, seen()[4:])
		assert.Zero(t, c.pool.Stats().Memory)
	})
}

func TestPoolWithoutWaiting(t *testing.T) {
	p := crypto.NewPool(crypto.PoolOptions{Memory: 10, MaxWait: -1})
	require.NoError(t, crypto.PoolAcquire(p, t.Context(), stranger, 10))
	require.ErrorIs(t, crypto.PoolAcquire(p, t.Context(), stranger, 1), crypto.ErrBusy)
	_, err := p.Key(t.Context(), stranger, []byte("pw"), make([]byte, 16), cheap)
	require.ErrorIs(t, err, crypto.ErrBusy)
	err = crypto.NewCosts(cheap).Dummy(t.Context(), stranger, account, []byte("pw"), p)
	require.ErrorIs(t, err, crypto.ErrBusy, "an unknown user meets a busy pool as others do")
	crypto.PoolRelease(p, 10, 0)
	require.NoError(t, crypto.PoolAcquire(p, t.Context(), stranger, 1))
}

// A derivation larger than the budget runs, and alone.
func TestPoolLargerThanBudget(t *testing.T) {
	p := crypto.NewPool(crypto.PoolOptions{Memory: 1 << 20, MaxWait: -1})
	_, err := p.Key(t.Context(), stranger, []byte("pw"), make([]byte, 16), cheap)
	require.NoError(t, err)
	require.NoError(t, crypto.PoolAcquire(p, t.Context(), stranger, 1))
	_, err = p.Key(t.Context(), stranger, []byte("pw"), make([]byte, 16), cheap)
	require.ErrorIs(t, err, crypto.ErrBusy)
}

func TestPoolNeverExceedsBudget(t *testing.T) {
	p := crypto.NewPool(crypto.PoolOptions{Memory: 100, Parallel: 32, MaxWait: time.Hour})
	crypto.PoolOnCollect(p, func(bool) {})
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
				if crypto.PoolAcquire(p, ctx, stranger, need) == nil {
					now := inUse.Add(need)
					for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
					}
					granted.Add(1)
					inUse.Add(-need)
					crypto.PoolRelease(p, need, 0)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, most.Load(), int64(100))
	assert.Greater(t, granted.Load(), int64(1000))
	used, _, waiting := crypto.PoolUsed(p)
	assert.Zero(t, used)
	assert.Zero(t, waiting)
}

func TestPoolStats(t *testing.T) {
	params := crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}
	need := int64(7168 << 10)
	p := crypto.NewPool(crypto.PoolOptions{Memory: need, MaxWait: -1})
	require.Equal(t, crypto.PoolStats{Budget: need}, p.Stats())
	_, err := p.Key(t.Context(), stranger, []byte("x"), make([]byte, 16), params)
	require.NoError(t, err)
	require.Equal(t, crypto.PoolStats{Budget: need, Started: 1, Memory: need}, p.Stats())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Key(ctx, stranger, []byte("x"), make([]byte, 16), params)
	require.Error(t, err)
	require.Equal(t, uint64(1), p.Stats().Started)
}
