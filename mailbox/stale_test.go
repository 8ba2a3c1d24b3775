package mailbox

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// A process that stood still for a day, while others wrote snapshots and trimmed
// the log, goes on: its sessions read what they were told of, learn what is new,
// and write; and nothing that it writes names what was trimmed.
func TestProcessThatStoodStill(t *testing.T) {
	ctx := t.Context()
	for _, before := range []int{0, 3} { // snapshots that it took part in
		blobs := memblob.New()
		var clock atomic.Int64
		clock.Store(1_800_000_000)
		open := func() *Store {
			s, err := Open(ctx, blobs, Options{Password: cheap, PollInterval: -1, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
			require.NoError(t, err)
			t.Cleanup(func() { s.Close() })
			s.freshness = 0
			return s
		}
		frozen, busy := open(), open()
		a := newUser(t, frozen, "ann")
		b := login(t, busy, "ann")
		add := func(h *Account, n int) {
			for i := range n {
				_, err := h.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
				require.NoError(t, err)
			}
		}
		for range before {
			add(a, 5)
			require.NoError(t, snapshotNow(ctx, a.account))
		}
		add(a, 5)
		v := selectInbox(t, a)
		told := v.Len()

		other := selectInbox(t, b)
		for range 4 {
			clock.Add(int64(30 * time.Hour / time.Second))
			add(b, 5)
			flagAll(t, other, UIDs(2), FlagsAdd, true, FlagDeleted)
			_, err := other.Expunge(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, b.account.catchUp(ctx))
			b.account.snapshots.done.Wait()
			require.NoError(t, snapshotNow(ctx, b.account))
		}
		_, err := blobs.Stat(ctx, a.account.prefix+"log/0000000000000002")
		require.Error(t, err, "the log was not trimmed")

		readAllOf := func(v *View) (n int) {
			for m, err := range v.Messages(ctx, All()) {
				require.NoError(t, err)
				_, err = m.Meta(ctx)
				require.NoError(t, err)
				n++
			}
			return n
		}
		require.Equal(t, told, readAllOf(v))
		c := syncView(t, v, true)
		require.Equal(t, told+20, c.Exists)
		require.Equal(t, told+20, readAllOf(v))
		require.Len(t, syncView(t, v, false).Expunged, 1)
		flagAll(t, v, All(), FlagsAdd, false, FlagSeen)
		add(a, 1)
		require.NoError(t, a.account.adopt(ctx))
		require.NoError(t, snapshotNow(ctx, a.account))
		syncView(t, v, false)
		require.Equal(t, told+20, readAllOf(v))
		_, err = a.Check(ctx, func(p Problem) {
			if !p.Harmless {
				t.Errorf("check: %v", p)
			}
		})
		require.NoError(t, err)
	}
}

// Two processes that write a snapshot of one position: one wins, both go on with
// what is in the store.
func TestTwoSnapshotsOfOnePosition(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s1, s2 := openStore(t, blobs), openStore(t, blobs)
	a := newUser(t, s1, "ann")
	b := login(t, s2, "ann")
	for i := range 3 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, b.account.catchUp(ctx))
	for _, h := range []*Account{a, b} {
		require.NoError(t, snapshotNow(ctx, h.account))
	}
	require.Equal(t, a.account.state().ByName(Inbox).Pages[0].ID(), b.account.state().ByName(Inbox).Pages[0].ID())
	require.Len(t, accountObjects(t, blobs, a.account.prefix+"snap/"), 1)
}

// A snapshot that fails, wherever, harms nothing, and the next one is written.
func TestSnapshotFailsAnywhere(t *testing.T) {
	ctx := t.Context()
	trouble := errors.New("store is away")
	for _, fault := range []blobtest.Fault{{Before: trouble}, {After: trouble}} {
		failed, whole := 0, false
		for n := 1; !whole; n++ {
			faulty := blobtest.NewFaulty(memblob.New(), nil)
			s := openStore(t, faulty)
			s.opts.PollInterval = -1
			a := quickUser(t, s, "ann")
			require.NoError(t, a.Create(ctx, "x"))
			for i := range 3 {
				for _, box := range []string{Inbox, "x"} {
					_, err := a.Append(ctx, box, strings.NewReader(mail(i)), AppendOptions{})
					require.NoError(t, err)
				}
			}
			seen := 0
			once, cancel := context.WithCancel(ctx)
			faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
				if seen++; seen == n {
					cancel() // no use in trying again
					return fault
				}
				return blobtest.Fault{}
			})
			err := snapshotNow(once, a.account)
			cancel()
			faulty.SetPlan(nil)
			if whole = seen < n; whole {
				require.NoError(t, err)
			} else if err != nil {
				failed++
			}
			_, err = a.Append(ctx, Inbox, strings.NewReader(mail(9)), AppendOptions{})
			require.NoError(t, err)
			require.NoError(t, snapshotNow(ctx, a.account))
			_, err = a.Check(ctx, func(p Problem) {
				if !p.Harmless {
					t.Errorf("call %d: %v", n, p)
				}
			})
			require.NoError(t, err)
			st, err := a.Status(ctx, Inbox)
			require.NoError(t, err)
			require.Equal(t, 4, st.Messages)
		}
		require.Greater(t, failed, 2)
	}
}
