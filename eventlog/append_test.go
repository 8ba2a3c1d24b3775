package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

func create(ctx context.Context, s blob.Store, name string, data []byte) error {
	return s.Create(ctx, name, bytes.NewReader(data))
}

func TestAppendAndRead(t *testing.T) {
	w := newWorld(t)
	l := w.begin(0)
	assert.EqualValues(t, 1, l.Head().Pos)
	a, err := l.Append(t.Context(), eventlog.Owned, []byte("a"), []byte{}, []byte("b"))
	require.NoError(t, err)
	assert.Equal(t, l.Head(), a.Head)
	d, err := l.Append(t.Context(), eventlog.Delivered, []byte("mail"))
	require.NoError(t, err)
	assert.Equal(t, a.Hash, d.Prev)

	r := w.handle(nil)
	var got []eventlog.Entry
	for e, err := range r.Read(t.Context()) {
		require.NoError(t, err)
		assert.Equal(t, r.Head(), e.Head)
		got = append(got, e)
	}
	require.Len(t, got, 3)
	assert.Equal(t, [][]byte{[]byte("a"), {}, []byte("b")}, got[1].Records)
	assert.Equal(t, eventlog.Delivered, got[2].Kind)
	assert.Equal(t, d.Head, got[2].Head)
	assert.Equal(t, len(w.bytes(entryName(3))), got[2].Size)
	assert.Equal(t, l.Head(), r.Head())
	w.clean()
}

func TestNothingReadable(t *testing.T) {
	w := newWorld(t)
	secret := []byte("Meeting at the old mill, Thursday noon")
	canary := blobtest.NewCanary(t, w.mem, secret)
	l := w.handle(canary)
	require.NoError(t, l.Begin(t.Context(), secret))
	_, err := l.Append(t.Context(), eventlog.Owned, secret)
	require.NoError(t, err)
	_, err = l.Append(t.Context(), eventlog.Delivered, secret)
	require.NoError(t, err)
	require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), secret))
	_, err = l.PutObject(t.Context(), "page", secret)
	require.NoError(t, err)
}

func TestBegin(t *testing.T) {
	w := newWorld(t)
	l := w.handle(nil)
	_, err := l.Append(t.Context(), eventlog.Owned, []byte("x"))
	assert.ErrorIs(t, err, fs.ErrNotExist, "append before begin")
	_, err = l.FindHead(t.Context())
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, l.Check(t.Context(), nil), fs.ErrNotExist)
	records, err := readAll(t.Context(), l)
	assert.NoError(t, err)
	assert.Empty(t, records)

	keyless := w.handle(nil, w.keyless)
	assert.Error(t, keyless.Begin(t.Context(), []byte("x")))

	require.NoError(t, l.Begin(t.Context(), []byte("x")))
	assert.ErrorIs(t, l.Begin(t.Context(), []byte("x")), fs.ErrExist)
	assert.ErrorIs(t, w.handle(nil).Begin(t.Context(), []byte("y")), fs.ErrExist)
	assert.Equal(t, []string{"x"}, w.records())
}

func TestBeginRace(t *testing.T) {
	w := newWorld(t)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		l := w.handle(nil)
		wg.Go(func() { errs[i] = l.Begin(t.Context(), fmt.Append(nil, i)) })
	}
	wg.Wait()
	winner := slices.Index(errs, nil)
	require.GreaterOrEqual(t, winner, 0)
	for i, err := range errs {
		if i != winner {
			assert.ErrorIs(t, err, fs.ErrExist)
		}
	}
	assert.Equal(t, []string{fmt.Sprint(winner)}, w.records())
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	l := w.begin(0)
	ctx := t.Context()
	big := make([]byte, eventlog.MaxRecord)
	for _, kind := range []eventlog.Kind{eventlog.Owned, eventlog.Delivered} {
		_, err := l.Append(ctx, kind, append(big, 0))
		assert.ErrorIs(t, err, eventlog.ErrTooLarge, kind)
		_, err = l.Append(ctx, kind, big, []byte{})
		assert.ErrorIs(t, err, eventlog.ErrTooLarge, kind)
		e, err := l.Append(ctx, kind, big)
		require.NoError(t, err, kind)
		assert.LessOrEqual(t, e.Size, eventlog.MaxEntry)
	}
	_, err := l.Append(ctx, eventlog.Owned)
	assert.Error(t, err, "no record")
	_, err = l.Append(ctx, eventlog.Kind(3), []byte("x"))
	assert.Error(t, err, "unknown kind")
	r := w.handle(nil)
	n := 0
	for e, err := range r.Read(ctx) {
		require.NoError(t, err)
		if e.Pos > 1 {
			assert.Len(t, e.Records[0], eventlog.MaxRecord)
		}
		n++
	}
	assert.Equal(t, 3, n)
	assert.ErrorIs(t, l.WriteSnapshot(ctx, l.Head(), make([]byte, eventlog.MaxPayload+1)), eventlog.ErrTooLarge)
	_, err = l.PutObject(ctx, "page", make([]byte, eventlog.MaxPayload+1))
	assert.ErrorIs(t, err, eventlog.ErrTooLarge)
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	good := eventlog.Config{Store: w.mem, ID: w.logID}
	for name, edit := range map[string]func(*eventlog.Config){
		"store":    func(c *eventlog.Config) { c.Store = nil },
		"id":       func(c *eventlog.Config) { c.ID = eventlog.ID{} },
		"no slash": func(c *eventlog.Config) { c.Prefix = "acct" },
		"case":     func(c *eventlog.Config) { c.Prefix = "Acct/" },
		"identity": func(c *eventlog.Config) { c.Keys = &eventlog.Keys{} },
		"grace":    func(c *eventlog.Config) { c.Grace = time.Second },
	} {
		cfg := good
		edit(&cfg)
		_, err := eventlog.New(cfg)
		assert.Error(t, err, name)
	}
	_, err := eventlog.New(good)
	assert.NoError(t, err)
	keys := eventlog.Keys{Identity: w.id}
	for _, s := range []string{fmt.Sprintf("%v", keys), fmt.Sprintf("%+v", &keys), fmt.Sprintf("%#v", keys)} {
		assert.Equal(t, "(keys of a log)", s)
	}
}

// TestRace appends from separate handles at once: every acknowledged record is in
// the log exactly once, and the positions are dense.
func TestRace(t *testing.T) {
	const writers, each = 8, 25
	w := newWorld(t)
	w.begin(0)
	var wg sync.WaitGroup
	for i := range writers {
		l := w.handle(nil)
		wg.Go(func() {
			for j := range each {
				for {
					if _, err := readAll(t.Context(), l); err != nil {
						t.Error(err)
						return
					}
					_, err := l.Append(t.Context(), eventlog.Owned, fmt.Appendf(nil, "%d/%d", i, j))
					if err == nil {
						break
					}
					if !errors.Is(err, eventlog.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	got := w.records()
	assert.Len(t, got, 1+writers*each)
	want := []string{"begin"}
	for i := range writers {
		for j := range each {
			want = append(want, fmt.Sprintf("%d/%d", i, j))
		}
	}
	assert.ElementsMatch(t, want, got)
	w.clean()
}

// TestLostAnswers appends through stores that lose answers or fail.
func TestLostAnswers(t *testing.T) {
	lost := blobtest.Fault{After: blobtest.ErrInjected}
	failed := blobtest.Fault{Before: blobtest.ErrInjected}
	for name, plan := range map[string]blobtest.Plan{
		// Never two in a row: bytes that are visible count once a Create says that
		// the name is taken, because only then are they known to be durable.
		"every other create answers nothing": func(op blobtest.Op, _ string, n int) blobtest.Fault {
			if op == blobtest.OpCreate && n%2 == 1 {
				return lost
			}
			return blobtest.Fault{}
		},
		"third create answers nothing": blobtest.Nth(blobtest.OpCreate, 3, lost),
		"every third fails before": func(op blobtest.Op, _ string, n int) blobtest.Fault {
			if op == blobtest.OpCreate && n%3 != 0 {
				return failed
			}
			return blobtest.Fault{}
		},
		"every other read back fails": func(op blobtest.Op, _ string, n int) blobtest.Fault {
			if op == blobtest.OpCreate && n%3 == 1 || op == blobtest.OpOpen && n%2 == 0 || op == blobtest.OpRead && n%3 == 0 {
				return lost
			}
			return blobtest.Fault{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.begin(0)
				store := blobtest.NewFaulty(w.mem, nil)
				l := w.handle(store)
				_, err := readAll(t.Context(), l)
				require.NoError(t, err)
				store.SetPlan(plan)
				w.grow(l, 10)
				assert.GreaterOrEqual(t, store.Calls(blobtest.OpCreate), 10)
				store.SetPlan(nil)
				require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("s")))
				assert.Len(t, w.records(), 11)
				w.clean()
			})
		})
	}
}

// TestVisibleIsNotDurable: a store that never answers a create leaves open
// whether the bytes that can be read survive a power failure, so the append is not
// acknowledged; what is there is settled by the next one.
func TestVisibleIsNotDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		store := blobtest.NewFaulty(w.mem, blobtest.Every(blobtest.OpCreate, blobtest.Fault{After: blobtest.ErrInjected}))
		l := w.handle(store)
		_, err := readAll(t.Context(), l)
		require.NoError(t, err)
		_, err = l.Append(t.Context(), eventlog.Owned, []byte("in doubt"))
		require.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
		assert.Greater(t, store.Calls(blobtest.OpCreate), 1)
		store.SetPlan(nil)
		_, err = readAll(t.Context(), l)
		require.NoError(t, err)
		w.grow(l, 1)
		assert.Len(t, w.records(), 3)
		w.clean()
	})
}

// TestUnknownOutcome loses the answer and the read back: the caller is told so,
// and the log is neither forked nor wedged, whichever way it went.
func TestUnknownOutcome(t *testing.T) {
	down := func(op blobtest.Op, _ string, n int) blobtest.Fault {
		switch op {
		case blobtest.OpCreate:
			return blobtest.Fault{After: blobtest.ErrInjected}
		case blobtest.OpOpen:
			return blobtest.Fault{Before: blobtest.ErrInjected}
		}
		return blobtest.Fault{}
	}
	unreachable := func(op blobtest.Op, _ string, n int) blobtest.Fault {
		return blobtest.Fault{Before: blobtest.ErrInjected}
	}
	setup := func(t *testing.T, plan blobtest.Plan) (*world, *blobtest.Faulty, *eventlog.Log) {
		w := newWorld(t)
		w.begin(1)
		store := blobtest.NewFaulty(w.mem, nil)
		l := w.handle(store)
		_, err := readAll(t.Context(), l)
		require.NoError(t, err)
		store.SetPlan(plan)
		head := l.Head()
		_, err = l.Append(t.Context(), eventlog.Owned, []byte("unknown"))
		require.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
		require.ErrorIs(t, err, blobtest.ErrInjected)
		assert.Greater(t, store.Calls(blobtest.OpCreate), 3, "it tried again")
		assert.Equal(t, head, l.Head())
		store.SetPlan(nil)
		return w, store, l
	}
	t.Run("it was committed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _, l := setup(t, down)
			_, err := l.Append(t.Context(), eventlog.Owned, []byte("next"))
			assert.ErrorIs(t, err, eventlog.ErrConflict)
			got, err := readAll(t.Context(), l)
			require.NoError(t, err)
			assert.Equal(t, []string{"unknown"}, got)
			w.grow(l, 1)
			w.clean()
		})
	})
	t.Run("it was not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _, l := setup(t, unreachable)
			got, err := readAll(t.Context(), l)
			require.NoError(t, err)
			assert.Empty(t, got)
			_, err = l.Append(t.Context(), eventlog.Owned, []byte("next"))
			require.NoError(t, err)
			assert.Equal(t, []string{"begin", "record 2", "next"}, w.records())
			w.clean()
		})
	})
	t.Run("another took its place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _, l := setup(t, unreachable)
			other := w.handle(nil)
			_, err := readAll(t.Context(), other)
			require.NoError(t, err)
			w.grow(other, 1)
			_, err = l.Append(t.Context(), eventlog.Owned, []byte("next"))
			assert.ErrorIs(t, err, eventlog.ErrConflict)
			got, err := readAll(t.Context(), l)
			require.NoError(t, err)
			assert.Equal(t, []string{"record 3"}, got)
			w.grow(l, 1)
			w.clean()
		})
	})
	t.Run("the context ended", func(t *testing.T) {
		w := newWorld(t)
		l := w.begin(0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.Append(ctx, eventlog.Owned, []byte("x"))
		assert.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
		assert.ErrorIs(t, err, context.Canceled)
		w.grow(l, 1)
		w.clean()
	})
}

func TestConflict(t *testing.T) {
	w := newWorld(t)
	a := w.begin(0)
	b := w.handle(nil)
	_, err := readAll(t.Context(), b)
	require.NoError(t, err)
	w.grow(a, 2)
	head := b.Head()
	_, err = b.Append(t.Context(), eventlog.Owned, []byte("b"))
	assert.ErrorIs(t, err, eventlog.ErrConflict)
	assert.Equal(t, head, b.Head())
	moved, err := b.Moved(t.Context())
	require.NoError(t, err)
	assert.True(t, moved)
	_, err = readAll(t.Context(), b)
	require.NoError(t, err)
	moved, err = b.Moved(t.Context())
	require.NoError(t, err)
	assert.False(t, moved)
	_, err = b.Append(t.Context(), eventlog.Owned, []byte("b"))
	assert.NoError(t, err)
}

// TestRequests holds the log to its budget of requests.
func TestRequests(t *testing.T) {
	w := newWorld(t)
	w.begin(20)
	count := blobtest.NewCounting(w.mem, func(string) string { return "" })
	calls := func(op blobtest.Op) int { return count.Total(op).Calls }
	l := w.handle(count)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	assert.Equal(t, 1, calls(blobtest.OpList), "one list after open")

	count.Reset()
	w.grow(l, 1)
	assert.Equal(t, 1, calls(blobtest.OpCreate))
	assert.Zero(t, calls(blobtest.OpOpen)+calls(blobtest.OpStat)+calls(blobtest.OpList), count.String())

	count.Reset()
	_, err = l.Moved(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, calls(blobtest.OpStat))
	assert.Zero(t, calls(blobtest.OpOpen)+calls(blobtest.OpList), count.String())

	count.Reset()
	_, err = readAll(t.Context(), l)
	require.NoError(t, err)
	assert.Equal(t, 1, calls(blobtest.OpOpen))
	assert.Zero(t, calls(blobtest.OpStat)+calls(blobtest.OpList), count.String())
}
