package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

// slow is a store whose creates of entries take a while.
func slow(w *world, d time.Duration) *blobtest.Faulty {
	return blobtest.NewFaulty(w.mem, func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if op == blobtest.OpCreate && strings.Contains(name, "/log/") {
			time.Sleep(d)
		}
		return blobtest.Fault{}
	})
}

// TestGroupCommit lets a hundred callers commit at once on a slow store.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		var advances []eventlog.Head
		c := w.committer(slow(w, 50*time.Millisecond), eventlog.CommitterOptions[list]{
			OnChange: func(s list, h eventlog.Head) { advances = append(advances, h) },
		})
		start := time.Now()
		var wg sync.WaitGroup
		heads := make([]eventlog.Head, 100)
		for i := range heads {
			wg.Go(func() {
				var err error
				heads[i], err = c.Commit(t.Context(), func(_ context.Context, s list, at eventlog.Position) ([]byte, error) {
					return fmt.Appendf(nil, "%d after %d at %d", i, len(s.records), at), nil
				})
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		s, head := c.State()
		require.Len(t, s.records, 101)
		assert.LessOrEqual(t, int(head.Pos), 3, "far fewer entries than callers")
		assert.LessOrEqual(t, time.Since(start), 100*time.Millisecond)
		for n, r := range s.records[1:] {
			var i, after int
			var at eventlog.Position
			_, err := fmt.Sscanf(r, "%d after %d at %d", &i, &after, &at)
			require.NoError(t, err)
			assert.Equal(t, n+1, after, "it was decided on the very state it was committed on")
			assert.Equal(t, s.at[n+1], at)
			assert.Equal(t, at, heads[i].Pos)
		}
		require.Len(t, advances, int(head.Pos)-1)
		for i, h := range advances {
			assert.EqualValues(t, i+2, h.Pos)
		}
		assert.Equal(t, s.records, w.records())
		w.clean()
	})
}

func TestDecide(t *testing.T) {
	w := newWorld(t)
	w.begin(0)
	c := w.committer(nil, eventlog.CommitterOptions[list]{})
	refused := errors.New("refused")
	_, err := c.Commit(t.Context(), func(context.Context, list, eventlog.Position) ([]byte, error) { return nil, refused })
	assert.Equal(t, refused, err)
	_, before := c.State()
	head, err := c.Commit(t.Context(), func(context.Context, list, eventlog.Position) ([]byte, error) { return nil, nil })
	require.NoError(t, err)
	assert.Equal(t, before, head, "nothing to write")
	_, err = c.Commit(t.Context(), func(context.Context, list, eventlog.Position) ([]byte, error) {
		return make([]byte, eventlog.MaxRecord+1), nil
	})
	assert.ErrorIs(t, err, eventlog.ErrTooLarge)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Commit(ctx, write("x"))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"begin"}, w.records())

	closed := eventlog.NewCommitter(w.handle(nil), eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
	_, err = closed.Commit(t.Context(), write("x"))
	assert.Error(t, err, "not open")
	_, err = closed.CatchUp(t.Context())
	assert.Error(t, err, "not open")
	assert.Error(t, closed.Rebase(t.Context(), head, list{}), "not open")
	s, h := closed.State()
	assert.Zero(t, s)
	assert.Zero(t, h)
	empty := newWorld(t)
	absent := eventlog.NewCommitter(empty.handle(nil), eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
	assert.ErrorIs(t, absent.Open(t.Context()), fs.ErrNotExist)
}

// gated runs fn while a commit's append is held back, so that what fn commits
// shares the next entry, and returns when all of it is done.
func gated(t *testing.T, w *world, o eventlog.CommitterOptions[list], fn func(c *eventlog.Committer[list], wg *sync.WaitGroup)) *eventlog.Committer[list] {
	gate := make(chan struct{})
	store := blobtest.NewFaulty(w.mem, nil)
	c := w.committer(store, o)
	store.SetPlan(blobtest.Nth(blobtest.OpCreate, 1, blobtest.Fault{Hold: gate}))
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Commit(t.Context(), write("gate"))
		assert.NoError(t, err)
	})
	synctest.Wait()
	fn(c, &wg)
	synctest.Wait()
	close(gate)
	wg.Wait()
	return c
}

// TestBatchOutcomes shares an entry between calls that end in every way.
func TestBatchOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		bad := errors.New("bad")
		c := gated(t, w, eventlog.CommitterOptions[list]{}, func(c *eventlog.Committer[list], wg *sync.WaitGroup) {
			commit := func(check func(eventlog.Head, error), decide func(context.Context, list, eventlog.Position) ([]byte, error)) {
				wg.Go(func() { check(c.Commit(t.Context(), decide)) })
				synctest.Wait() // so that they queue in order
			}
			good := func(h eventlog.Head, err error) {
				assert.NoError(t, err)
				assert.EqualValues(t, 3, h.Pos)
			}
			commit(good, write("first"))
			commit(func(_ eventlog.Head, err error) { assert.Equal(t, bad, err) },
				func(_ context.Context, s list, _ eventlog.Position) ([]byte, error) {
					assert.Equal(t, []string{"begin", "gate", "first"}, s.records)
					return nil, bad
				})
			commit(good, func(_ context.Context, s list, _ eventlog.Position) ([]byte, error) {
				assert.Equal(t, []string{"begin", "gate", "first"}, s.records)
				return nil, nil // on a state that is not in the log yet: told when it is
			})
			commit(func(_ eventlog.Head, err error) { assert.ErrorIs(t, err, eventlog.ErrTooLarge) },
				func(context.Context, list, eventlog.Position) ([]byte, error) {
					return make([]byte, eventlog.MaxRecord+1), nil
				})
			wg.Go(func() {
				assert.PanicsWithValue(t, true, func() {
					defer func() {
						v := recover()
						panic(v != nil && strings.Contains(fmt.Sprint(v), "boom"))
					}()
					c.Commit(t.Context(), func(context.Context, list, eventlog.Position) ([]byte, error) { panic("boom") })
				})
			})
			synctest.Wait()
			commit(good, write("last"))
		})
		s, _ := c.State()
		assert.Equal(t, []string{"begin", "gate", "first", "last"}, s.records)
		assert.Equal(t, s.records, w.records())
		w.clean()
	})
}

// TestBatchFails: nobody is told of something that was decided on a state which
// did not get into the log.
func TestBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		store := blobtest.NewFaulty(w.mem, nil)
		c := w.committer(store, eventlog.CommitterOptions[list]{})
		gate := make(chan struct{})
		store.SetPlan(func(op blobtest.Op, _ string, n int) blobtest.Fault {
			switch {
			case op == blobtest.OpCreate && n == 1:
				return blobtest.Fault{Hold: gate}
			case op == blobtest.OpCreate || op == blobtest.OpOpen:
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Commit(t.Context(), write("gate"))
			assert.NoError(t, err)
		})
		synctest.Wait()
		for range 2 {
			wg.Go(func() {
				_, err := c.Commit(t.Context(), func(_ context.Context, s list, _ eventlog.Position) ([]byte, error) {
					if s.records[len(s.records)-1] == "new" {
						return nil, errors.New("it is there already")
					}
					return []byte("new"), nil
				})
				assert.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		store.SetPlan(nil)
		_, err := c.Commit(t.Context(), write("after"))
		require.NoError(t, err)
		assert.Equal(t, []string{"begin", "gate", "after"}, w.records())
	})
}

// TestGoexit: a decide that ends its goroutine (as t.FailNow does) takes nobody
// with it for good.
func TestGoexit(t *testing.T) {
	w := newWorld(t)
	w.begin(0)
	c := w.committer(nil, eventlog.CommitterOptions[list]{})
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Commit(t.Context(), func(context.Context, list, eventlog.Position) ([]byte, error) {
			runtime.Goexit()
			return nil, nil
		})
	})
	wg.Wait()
	_, err := c.Commit(t.Context(), write("x"))
	assert.NoError(t, err)
}

// TestTooMuchForOneEntry spreads records over as many entries as they need.
func TestTooMuchForOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		big := strings.Repeat("x", eventlog.MaxRecord/2+1)
		var calls atomic.Int64
		c := gated(t, w, eventlog.CommitterOptions[list]{}, func(c *eventlog.Committer[list], wg *sync.WaitGroup) {
			for i := range 3 {
				wg.Go(func() {
					_, err := c.Commit(t.Context(), func(context.Context, list, eventlog.Position) ([]byte, error) {
						calls.Add(1)
						return fmt.Appendf(nil, "%d%s", i, big), nil
					})
					assert.NoError(t, err)
				})
			}
		})
		_, head := c.State()
		assert.EqualValues(t, 5, head.Pos)
		got := w.records()
		require.Len(t, got, 5)
		seen := map[byte]bool{}
		for _, r := range got[2:] {
			seen[r[0]] = true
		}
		assert.Len(t, seen, 3)
	})
}

// TestConflicts commits from several processes: every record once, each decided
// on the state that it follows.
func TestConflicts(t *testing.T) {
	const processes, callers, each = 4, 3, 10
	w := newWorld(t)
	w.begin(0)
	var wg sync.WaitGroup
	for p := range processes {
		c := w.committer(nil, eventlog.CommitterOptions[list]{})
		for i := range callers {
			wg.Go(func() {
				for j := range each {
					_, err := c.Commit(t.Context(), func(_ context.Context, s list, _ eventlog.Position) ([]byte, error) {
						return fmt.Appendf(nil, "%d %d/%d/%d", len(s.records), p, i, j), nil
					})
					assert.NoError(t, err)
				}
			})
		}
	}
	wg.Wait()
	got := w.records()
	require.Len(t, got, 1+processes*callers*each)
	for n, r := range got[1:] {
		assert.True(t, strings.HasPrefix(r, fmt.Sprintf("%d ", n+1)), "%d: %s", n+1, r)
	}
	w.clean()
}

func TestCatchUp(t *testing.T) {
	w := newWorld(t)
	l := w.begin(0)
	var changes []int
	count := blobtest.NewCounting(w.mem, func(string) string { return "" })
	c := w.committer(count, eventlog.CommitterOptions[list]{
		OnChange: func(s list, h eventlog.Head) { changes = append(changes, len(s.records)) },
	})
	moved, err := c.CatchUp(t.Context())
	require.NoError(t, err)
	assert.False(t, moved)
	w.grow(l, 3)
	moved, err = c.CatchUp(t.Context())
	require.NoError(t, err)
	assert.True(t, moved)
	assert.Equal(t, []int{2, 3, 4}, changes, "told of every advance")

	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		gate := make(chan struct{})
		store := blobtest.NewFaulty(w.mem, nil)
		c := w.committer(store, eventlog.CommitterOptions[list]{})
		store.SetPlan(blobtest.Nth(blobtest.OpOpen, 1, blobtest.Fault{Hold: gate}))
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.CatchUp(first)
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				_, err := c.CatchUp(t.Context())
				assert.NoError(t, err, "the others do not suffer")
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		assert.Equal(t, 2, store.Calls(blobtest.OpOpen), "fifty callers share one reading")
	})
}

// TestCatchUpHandedOn: the context of the caller who reads for all ends; the
// others read on their own account.
func TestCatchUpHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		store := blobtest.NewFaulty(w.mem, nil)
		c := w.committer(store, eventlog.CommitterOptions[list]{})
		commit, read := make(chan struct{}), make(chan struct{})
		store.SetPlan(func(op blobtest.Op, _ string, n int) blobtest.Fault {
			switch {
			case op == blobtest.OpCreate:
				return blobtest.Fault{Hold: commit}
			case op == blobtest.OpOpen && n == 1:
				return blobtest.Fault{Hold: read}
			}
			return blobtest.Fault{}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Commit(t.Context(), write("x"))
			assert.NoError(t, err)
		})
		synctest.Wait()
		for _, cx := range []context.Context{ctx, t.Context(), t.Context()} {
			wg.Go(func() {
				_, err := c.CatchUp(cx)
				if cx == ctx {
					assert.ErrorIs(t, err, context.Canceled)
				} else {
					assert.NoError(t, err)
				}
			})
			synctest.Wait()
		}
		close(commit)
		synctest.Wait()
		require.Equal(t, 1, store.Calls(blobtest.OpOpen), "the first reads")
		cancel()
		wg.Wait()
		assert.Greater(t, store.Calls(blobtest.OpOpen), 1, "then the others do")
	})
}

func TestRebase(t *testing.T) {
	w := newWorld(t)
	l := w.begin(3)
	c := w.committer(nil, eventlog.CommitterOptions[list]{
		OnChange: func(list, eventlog.Head) { t.Error("a rebase is no change") },
	})
	s, head := c.State()
	heads := firstHeads(t, w, 4)
	compact := list{records: append([]string(nil), s.records[:2]...), at: append([]eventlog.Position(nil), s.at[:2]...)}
	require.NoError(t, c.Rebase(t.Context(), heads[1], compact))
	after, same := c.State()
	assert.Equal(t, head, same)
	assert.Equal(t, s, after)
	require.NoError(t, c.Rebase(t.Context(), head, s))

	wrong := heads[1]
	wrong.Hash[0] ^= 1
	assert.Error(t, c.Rebase(t.Context(), wrong, compact))
	w.grow(l, 1)
	assert.Error(t, c.Rebase(t.Context(), l.Head(), compact), "beyond the state")
	after, same = c.State()
	assert.Equal(t, head, same)
	assert.Equal(t, s, after)

	// While others commit, nothing is lost.
	var wg sync.WaitGroup
	c = w.committer(nil, eventlog.CommitterOptions[list]{})
	wg.Go(func() {
		for i := range 50 {
			_, err := c.Commit(t.Context(), write(fmt.Sprint("while rebasing ", i)))
			assert.NoError(t, err)
		}
	})
	for range 20 {
		assert.NoError(t, c.Rebase(t.Context(), heads[1], compact))
	}
	wg.Wait()
	s, _ = c.State()
	assert.Equal(t, w.records(), s.records)
}

// TestApplyErrors stops at an Owned record that does not apply, skips a Delivered
// one, and never writes one of its own.
func TestApplyErrors(t *testing.T) {
	w := newWorld(t)
	l := w.begin(0)
	boom := errors.New("boom")
	m := listModel{refuse: func(_ eventlog.Position, kind eventlog.Kind, record string) error {
		switch record {
		case "skip":
			return fmt.Errorf("no sense: %w", eventlog.ErrSkip)
		case "boom":
			return boom
		}
		return nil
	}}
	c := eventlog.NewCommitter(w.handle(nil), eventlog.Model[list](m), eventlog.CommitterOptions[list]{})
	require.NoError(t, c.Open(t.Context()))
	_, err := c.Commit(t.Context(), write("boom"))
	assert.ErrorIs(t, err, boom)
	assert.Equal(t, []string{"begin"}, w.records(), "it is not in the log")

	_, err = l.Append(t.Context(), eventlog.Delivered, []byte("skip"), []byte("mail"))
	require.NoError(t, err)
	_, err = c.CatchUp(t.Context())
	require.NoError(t, err)
	s, _ := c.State()
	assert.Equal(t, []string{"begin", "mail"}, s.records)

	for _, poison := range []string{"skip", "boom"} {
		clone := *w
		clone.mem = w.mem.Clone()
		pl := clone.handle(nil)
		_, err := readAll(t.Context(), pl)
		require.NoError(t, err)
		c := eventlog.NewCommitter(clone.handle(nil), eventlog.Model[list](m), eventlog.CommitterOptions[list]{})
		require.NoError(t, c.Open(t.Context()))
		_, err = pl.Append(t.Context(), eventlog.Owned, []byte("good"), []byte(poison))
		require.NoError(t, err)
		for range 2 {
			_, err = c.CatchUp(t.Context())
			require.Error(t, err)
			assert.ErrorContains(t, err, entryName(3))
			_, err = c.Commit(t.Context(), write("x"))
			require.Error(t, err, "it does not write behind what it cannot read")
			_, head := c.State()
			assert.EqualValues(t, 2, head.Pos)
		}
	}
}
