package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/wake"
)

// process is a Store as of a process of its own.
type process struct {
	*Store
}

// begin opens blobs as another process would.
func begin(t *testing.T, blobs blob.Store, o Options) *process {
	t.Helper()
	o.Password, o.Pool = cheap, crypto.NewPool(crypto.PoolOptions{})
	s, err := Open(t.Context(), blobs, o)
	require.NoError(t, err)
	return &process{Store: s}
}

// waits returns an account of which a session waits, and its watch.
func (p *process) waits(t *testing.T, name, token string) (*Account, *View, *Watch) {
	t.Helper()
	a, err := p.Login(t.Context(), name, []byte(token))
	require.NoError(t, err)
	return a, selectInbox(t, a), a.Watch()
}

// untilTold returns how long it takes until a session is told of a message that is
// there n-th.
func untilTold(t *testing.T, v *View, w *Watch, n int) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		select {
		case <-w.C:
		case <-time.After(time.Hour):
			require.Fail(t, "the session is not told")
		}
		c, err := v.Sync(t.Context(), false)
		require.NoError(t, err)
		if c.Exists == n {
			return time.Since(began)
		}
	}
}

// twoProcesses runs fn with two processes on one store, of which the second has a
// session that waits in the account that a belongs to.
func twoProcesses(t *testing.T, first, second func(*memblob.Store) blob.Store, o Options, fn func(t *testing.T, a *Account, v *View, w *Watch, one, two *process)) {
	synctest.Test(t, func(t *testing.T) {
		mem := memblob.New()
		one, two := begin(t, first(mem), o), begin(t, second(mem), o)
		token := newTokenUser(t, one.Store, "ann").Export()
		a, err := one.Login(t.Context(), "ann", []byte(token))
		require.NoError(t, err)
		b, v, w := two.waits(t, "ann", token)
		time.Sleep(time.Minute)
		fn(t, a, v, w, one, two)
		w.Close()
		v.Close()
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
		require.NoError(t, one.Close())
		require.NoError(t, two.Close())
	})
}

func itself(mem *memblob.Store) blob.Store { return mem }

func addMail(t *testing.T, a *Account, n int) {
	t.Helper()
	_, err := a.Append(t.Context(), Inbox, strings.NewReader(mail(n)), AppendOptions{})
	require.NoError(t, err)
}

// A session that waits in one process is told of what another one writes within
// an interval.
func TestWakeWithinAnInterval(t *testing.T) {
	twoProcesses(t, itself, itself, Options{}, func(t *testing.T, a *Account, v *View, w *Watch, one, _ *process) {
		for n := 1; n <= 20; n += 2 {
			time.Sleep(time.Duration(n) * 137 * time.Millisecond)
			addMail(t, a, n)
			assert.LessOrEqual(t, untilTold(t, v, w, n), defaultPoll)
			time.Sleep(wake.Pause)
			require.NoError(t, one.Deliver(t.Context(), []Recipient{{Account: "ann"}}, strings.NewReader(mail(n+1)))[0])
			assert.LessOrEqual(t, untilTold(t, v, w, n+1), defaultPoll)
		}
	})
}

// lossy is a bus that loses every message while it is told to.
type lossy struct {
	LocalBus
	lose atomic.Bool
	sent atomic.Int32
}

func (b *lossy) Publish(ctx context.Context, message []byte) error {
	b.sent.Add(1)
	if b.lose.Load() {
		return errors.New("lost")
	}
	return b.LocalBus.Publish(ctx, message)
}

// By a bus it is told at once, and what the bus loses by the next poll.
func TestWakeByBus(t *testing.T) {
	bus := &lossy{}
	twoProcesses(t, itself, itself, Options{Bus: bus, PollInterval: 40 * time.Second}, func(t *testing.T, a *Account, v *View, w *Watch, one, _ *process) {
		for n := 1; n <= 10; n++ {
			time.Sleep(3 * time.Second)
			addMail(t, a, n)
			assert.Zero(t, untilTold(t, v, w, n))
		}
		assert.EqualValues(t, 10, bus.sent.Load())
		bus.lose.Store(true)
		addMail(t, a, 11)
		assert.LessOrEqual(t, untilTold(t, v, w, 11), 40*time.Second)
		assert.EqualValues(t, 11, bus.sent.Load())
	})
}

// A wake that the store did not take is written later, and none of many is lost.
func TestWakeIsWrittenLater(t *testing.T) {
	var trouble atomic.Int32
	faulty := func(mem *memblob.Store) blob.Store {
		return blobtest.NewFaulty(mem, func(op blobtest.Op, name string, _ int) blobtest.Fault {
			if op == blobtest.OpCreate && strings.HasPrefix(name, layout.WakeFolder) && trouble.Add(-1) >= 0 {
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
	}
	twoProcesses(t, faulty, itself, Options{}, func(t *testing.T, a *Account, v *View, w *Watch, _, _ *process) {
		trouble.Store(5)
		addMail(t, a, 1)
		assert.LessOrEqual(t, untilTold(t, v, w, 1), 30*time.Second)
		assert.Negative(t, trouble.Load())
	})
}

// A process that is killed between a commit and its wake leaves sessions of others
// that know nothing of the commit. They are told when it is missed, and what that
// costs is one look at each account in which somebody waits, once.
func TestWakeLostWithItsProcess(t *testing.T) {
	var dead atomic.Bool
	dies := func(mem *memblob.Store) blob.Store {
		return blobtest.NewFaulty(mem, func(op blobtest.Op, name string, _ int) blobtest.Fault {
			if op == blobtest.OpCreate && strings.HasPrefix(name, layout.WakeFolder) && dead.Load() {
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
	}
	var count *blobtest.Counting
	counted := func(mem *memblob.Store) blob.Store {
		count = blobtest.NewCounting(mem, nil)
		return count
	}
	twoProcesses(t, dies, counted, Options{}, func(t *testing.T, a *Account, v *View, w *Watch, _, two *process) {
		var tokens []string
		for i := range 3 {
			tokens = append(tokens, newTokenUser(t, two.Store, fmt.Sprint("user", i)).Export())
			other, view, watch := two.waits(t, fmt.Sprint("user", i), tokens[i])
			defer other.Close()
			defer view.Close()
			defer watch.Close()
		}
		dead.Store(true)
		addMail(t, a, 1)
		count.Reset()
		assert.LessOrEqual(t, untilTold(t, v, w, 1), wake.Silence+wake.Heartbeat)
		time.Sleep(time.Second)
		looks := count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "acct"}].Calls
		assert.LessOrEqual(t, looks, 3+5, "one look for each account that waits, and to read what is new")
		count.Reset()
		time.Sleep(time.Hour)
		assert.Zero(t, count.Total(blobtest.OpOpen).Calls, "and none after")
		dead.Store(false) // it closes
	})
}

// A process that ends takes leave, and nobody looks for what it may have lost.
func TestWakeLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memblob.New()
		count := blobtest.NewCounting(mem, nil)
		one, two := begin(t, mem, Options{}), begin(t, count, Options{})
		token := newTokenUser(t, one.Store, "ann").Export()
		a, err := one.Login(t.Context(), "ann", []byte(token))
		require.NoError(t, err)
		b, v, w := two.waits(t, "ann", token)
		time.Sleep(time.Minute)
		addMail(t, a, 1)
		require.NoError(t, a.Close())
		require.NoError(t, one.Close())
		assert.LessOrEqual(t, untilTold(t, v, w, 1), defaultPoll, "the last wake was written")
		synctest.Wait()
		count.Reset()
		time.Sleep(time.Hour)
		assert.Zero(t, count.Total(blobtest.OpOpen).Calls)
		assert.LessOrEqual(t, mem.Len(), 40, "old wakes are deleted")
		w.Close()
		v.Close()
		require.NoError(t, b.Close())
		require.NoError(t, two.Close())
	})
}

// A process that ends while the store does not answer ends soon, and what it did
// not say is missed by others.
func TestWakeEnd(t *testing.T) {
	var hangs atomic.Bool
	faulty := func(mem *memblob.Store) blob.Store { return hanging{mem, &hangs} }
	twoProcesses(t, faulty, itself, Options{}, func(t *testing.T, a *Account, v *View, w *Watch, one, _ *process) {
		for n := range 2 * closingEntries { // so that it would write a snapshot too
			addMail(t, a, n)
		}
		hangs.Store(true)
		began := time.Now()
		require.NoError(t, one.Close())
		assert.LessOrEqual(t, time.Since(began), closingTime+wake.CloseTimeout)
		assert.LessOrEqual(t, untilTold(t, v, w, 2*closingEntries), wake.Silence+wake.Heartbeat)
	})
}

// hanging is a store that can be made to answer no Create.
type hanging struct {
	blob.Store
	hangs *atomic.Bool
}

func (h hanging) Create(ctx context.Context, name string, r io.Reader) error {
	if !h.hangs.Load() {
		return h.Store.Create(ctx, name, r)
	}
	<-ctx.Done()
	return ctx.Err()
}

// A process that could not list for longer than wakes are kept looks for itself.
func TestWakeAfterSilence(t *testing.T) {
	var deaf atomic.Bool
	partitioned := func(mem *memblob.Store) blob.Store {
		return blobtest.NewFaulty(mem, func(op blobtest.Op, _ string, _ int) blobtest.Fault {
			if op == blobtest.OpList && deaf.Load() {
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
	}
	twoProcesses(t, itself, partitioned, Options{}, func(t *testing.T, a *Account, v *View, w *Watch, _, _ *process) {
		deaf.Store(true)
		addMail(t, a, 1)
		time.Sleep(2 * wake.Kept)
		deaf.Store(false)
		assert.LessOrEqual(t, untilTold(t, v, w, 1), defaultPoll)
	})
}
