package eventlog_test

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

const day = 24 * time.Hour

// worldGoesOn is a day in which others write n entries, take snapshots at the
// positions given and trim.
func (w *world) worldGoesOn(n int, snaps ...eventlog.Position) {
	w.t.Helper()
	l := w.handle(nil)
	for e, err := range l.Read(w.t.Context()) {
		require.NoError(w.t, err)
		w.snapshotIf(l, e.Head, snaps)
	}
	for range n {
		e, err := l.Append(w.t.Context(), eventlog.Owned, fmt.Appendf(nil, "record %d", l.Head().Pos+1))
		require.NoError(w.t, err)
		w.snapshotIf(l, e.Head, snaps)
	}
	w.clock.advance(day + time.Minute)
	_, err := l.Trim(w.t.Context())
	require.NoError(w.t, err)
}

func (w *world) snapshotIf(l *eventlog.Log, h eventlog.Head, snaps []eventlog.Position) {
	w.t.Helper()
	for _, p := range snaps {
		if p == h.Pos {
			s := list{}
			for i := eventlog.Position(1); i <= p; i++ {
				s.records, s.at = append(s.records, fmt.Sprintf("record %d", i)), append(s.at, i)
			}
			require.NoError(w.t, l.WriteSnapshot(w.t.Context(), h, s.encode()))
		}
	}
}

// TestFrozenWriter freezes a writer for a day just before its create reaches the
// store. The others go on, and trim away the position that it is about to take.
func TestFrozenWriter(t *testing.T) {
	w := newWorld(t)
	w.begin(2)
	store := &hooked{Store: w.mem}
	c := w.committer(store, eventlog.CommitterOptions[list]{})
	_, before := c.State()
	require.EqualValues(t, 3, before.Pos)

	froze := false
	store.before = func(name string) {
		if froze {
			return
		}
		froze = true
		require.Equal(t, entryName(4), name)
		w.worldGoesOn(20, 10, 15)
		require.False(t, w.exists(entryName(4)))
		require.True(t, w.exists(entryName(10)))
	}
	decided := 0
	head, err := c.Commit(t.Context(), func(_ context.Context, s list, at eventlog.Position) ([]byte, error) {
		decided++
		return fmt.Appendf(nil, "decided on %d records", len(s.records)), nil
	})
	require.NoError(t, err)
	require.True(t, froze)
	assert.EqualValues(t, 24, head.Pos, "done again at the real head")
	assert.Equal(t, 2, decided)
	assert.False(t, w.exists(entryName(4)), "the stray is gone")
	s, _ := c.State()
	assert.Equal(t, "decided on 23 records", s.records[len(s.records)-1])
	w.clean()
}

// TestFrozenAppend is the same on a Log, for all ways a frozen append can go.
func TestFrozenAppend(t *testing.T) {
	type frozen struct {
		w     *world
		store *hooked
		l     *eventlog.Log
	}
	setup := func(t *testing.T) frozen {
		w := newWorld(t)
		w.begin(2)
		store := &hooked{Store: w.mem}
		l := w.handle(store)
		_, err := readAll(t.Context(), l)
		require.NoError(t, err)
		return frozen{w, store, l}
	}
	appendNow := func(f frozen) error {
		_, err := f.l.Append(f.w.t.Context(), eventlog.Owned, []byte("late"))
		f.store.before, f.store.after = nil, nil
		return err
	}
	t.Run("before the create, into the trimmed past", func(t *testing.T) {
		f := setup(t)
		f.store.before = func(string) { f.w.worldGoesOn(20, 10, 15) }
		assert.ErrorIs(t, appendNow(f), eventlog.ErrTrimmed)
		assert.False(t, f.w.exists(entryName(4)))
		f.w.clean()
	})
	t.Run("before the create, nothing happened", func(t *testing.T) {
		f := setup(t)
		f.store.before = func(string) { f.w.worldGoesOn(0) }
		assert.NoError(t, appendNow(f))
		assert.Equal(t, []string{"begin", "record 2", "record 3", "late"}, f.w.records())
	})
	t.Run("before the create, position taken", func(t *testing.T) {
		f := setup(t)
		f.store.before = func(string) { f.w.worldGoesOn(2) }
		assert.ErrorIs(t, appendNow(f), eventlog.ErrConflict)
	})
	t.Run("before the create, trimmed up to the position", func(t *testing.T) {
		// The kept snapshot is at the very position: its entry is there.
		f := setup(t)
		f.store.before = func(string) { f.w.worldGoesOn(20, 4, 15) }
		assert.ErrorIs(t, appendNow(f), eventlog.ErrTrimmed)
		assert.True(t, f.w.exists(entryName(4)), "and is not ours to delete")
		f.w.clean()
	})
	t.Run("after the create, built upon and trimmed up to it", func(t *testing.T) {
		f := setup(t)
		f.store.after = func(string) { f.w.worldGoesOn(20, 4, 15) }
		assert.NoError(t, appendNow(f), "it was committed, and others built on it")
		assert.True(t, f.w.exists(entryName(4)))
		got, err := readAll(t.Context(), f.l)
		require.NoError(t, err)
		assert.Len(t, got, 20)
		f.w.clean()
	})
	t.Run("after the create, built upon and trimmed away", func(t *testing.T) {
		f := setup(t)
		f.store.after = func(string) { f.w.worldGoesOn(20, 10, 15) }
		assert.ErrorIs(t, appendNow(f), eventlog.ErrUnknownOutcome, "nothing is left to tell")
		_, err := readAll(t.Context(), f.l)
		assert.ErrorIs(t, err, eventlog.ErrTrimmed)
		f.w.clean()
	})
	t.Run("between two tries, the first committed and trimmed", func(t *testing.T) {
		f := setup(t)
		faulty := blobtest.NewFaulty(f.store.Store, func(op blobtest.Op, _ string, n int) blobtest.Fault {
			if op == blobtest.OpCreate && n == 1 {
				return blobtest.Fault{After: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
		f.store.Store = faulty
		first := true
		f.store.after = func(string) {
			if first {
				first = false
				f.w.worldGoesOn(20, 10, 15)
			}
		}
		assert.ErrorIs(t, appendNow(f), eventlog.ErrUnknownOutcome, "it must not be done twice")
		assert.Equal(t, 1, faulty.Calls(blobtest.OpCreate), "it does not put the same bytes again")
		assert.False(t, f.w.exists(entryName(4)))
		f.w.clean()
	})
	t.Run("after a second try, the first committed and trimmed", func(t *testing.T) {
		f := setup(t)
		faulty := blobtest.NewFaulty(f.store.Store, func(op blobtest.Op, _ string, n int) blobtest.Fault {
			if op == blobtest.OpCreate && n == 1 {
				return blobtest.Fault{After: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
		f.store.Store = faulty
		tries := 0
		f.store.after = func(string) {
			if tries++; tries == 1 {
				faulty.SetPlan(blobtest.Nth(blobtest.OpOpen, 1, blobtest.Fault{Before: blobtest.ErrInjected}))
			}
		}
		f.store.before = func(string) {
			if tries == 1 {
				f.w.worldGoesOn(20, 10, 15)
			}
		}
		assert.ErrorIs(t, appendNow(f), eventlog.ErrUnknownOutcome, "it must not be done twice")
		assert.Equal(t, 2, tries)
		assert.False(t, f.w.exists(entryName(4)), "the second try left a stray, which is gone")
		f.w.clean()
	})
	t.Run("and the stray cannot be removed at first", func(t *testing.T) {
		f := setup(t)
		faulty := blobtest.NewFaulty(f.w.mem, blobtest.Every(blobtest.OpDelete, blobtest.Fault{Before: blobtest.ErrInjected}))
		f.store.Store = faulty
		f.store.before = func(string) { f.w.worldGoesOn(20, 10, 15) }
		assert.ErrorIs(t, appendNow(f), eventlog.ErrUnknownOutcome)
		assert.True(t, f.w.exists(entryName(4)))
		faulty.SetPlan(nil)
		_, err := readAll(t.Context(), f.l)
		assert.ErrorIs(t, err, eventlog.ErrTrimmed)
		assert.False(t, f.w.exists(entryName(4)), "it is removed when the log finds out")
		f.w.clean()
	})
	t.Run("two frozen writers in a row", func(t *testing.T) {
		// The second finds the first one's stray under its predecessor's name.
		f := setup(t)
		other := &hooked{Store: f.w.mem}
		l := f.w.handleAt(other, f.l.Head())
		f.w.grow(f.l, 1)
		f.store.before = func(string) {
			f.w.worldGoesOn(20, 10, 15)
			// The stray at 4 of a writer who stops for good after its create.
			faulty := blobtest.NewFaulty(f.w.mem, func(op blobtest.Op, _ string, _ int) blobtest.Fault {
				if op != blobtest.OpCreate {
					return blobtest.Fault{Before: blobtest.ErrInjected}
				}
				return blobtest.Fault{}
			})
			other.Store = faulty
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := l.Append(ctx, eventlog.Owned, []byte("stray"))
			require.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
			require.True(t, f.w.exists(entryName(4)))
		}
		assert.ErrorIs(t, appendNow(f), eventlog.ErrTrimmed)
		assert.False(t, f.w.exists(entryName(5)))
		assert.True(t, f.w.exists(entryName(4)))
		require.Len(t, f.w.problems(), 1, "the stray is reported")
		report, err := f.w.handle(nil).Trim(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, report.Entries, "Trim removes it")
		f.w.clean()
	})
	t.Run("the clock went backwards", func(t *testing.T) {
		f := setup(t)
		f.store.before = func(string) {
			f.w.worldGoesOn(20, 10, 15)
			f.w.clock.advance(-3 * day)
		}
		assert.ErrorIs(t, appendNow(f), eventlog.ErrTrimmed)
	})
}

// firstHeads returns the heads of the first n entries, at index position-1.
func firstHeads(t *testing.T, w *world, n int) []eventlog.Head {
	var heads []eventlog.Head
	for e, err := range w.handle(nil).Read(t.Context()) {
		require.NoError(t, err)
		if heads = append(heads, e.Head); len(heads) == n {
			break
		}
	}
	require.Len(t, heads, n)
	return heads
}

// TestFrozenBegin creates entry 1 of a log that began, and was trimmed, meanwhile.
func TestFrozenBegin(t *testing.T) {
	w := newWorld(t)
	store := &hooked{Store: w.mem}
	l := w.handle(store)
	store.before = func(string) {
		w.begin(2)
		w.worldGoesOn(20, 10, 15)
	}
	assert.ErrorIs(t, l.Begin(t.Context(), []byte("late")), fs.ErrExist)
	assert.False(t, w.exists(entryName(1)))
	w.clean()

	w = newWorld(t)
	store = &hooked{Store: w.mem}
	l = w.handle(store)
	store.after = func(string) {
		w.worldGoesOn(3)
		store.after = nil
	}
	require.NoError(t, l.Begin(t.Context(), []byte("begin")), "others built on it already")
	got, err := readAll(t.Context(), l)
	require.NoError(t, err)
	assert.Len(t, got, 3)
}

// TestFrozenReader reads on after a day in which what it was to read was trimmed.
func TestFrozenReader(t *testing.T) {
	w := newWorld(t)
	w.begin(2)
	l := w.handle(nil)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	c := w.committer(nil, eventlog.CommitterOptions[list]{})
	w.worldGoesOn(20, 10, 15)

	got, err := readAll(t.Context(), l)
	assert.ErrorIs(t, err, eventlog.ErrTrimmed, "a free position is not the end of the log")
	assert.Empty(t, got)
	moved, err := l.Moved(t.Context())
	require.NoError(t, err)
	assert.True(t, moved, "else a reader who only polls would never know")

	moved, err = c.CatchUp(t.Context())
	require.NoError(t, err)
	assert.True(t, moved)
	s, head := c.State()
	assert.EqualValues(t, 23, head.Pos)
	assert.Len(t, s.records, 23)
}

// TestReaderMeetsStray reads on after a day, and finds an entry that a frozen
// writer left in the trimmed past: a good link of the chain, and not in the log.
func TestReaderMeetsStray(t *testing.T) {
	w := newWorld(t)
	w.begin(2)
	l := w.handle(nil)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	data := w.strayAfter(l.Head())
	w.worldGoesOn(20, 10, 15)
	require.NoError(t, create(t.Context(), w.mem, entryName(4), data))
	head := l.Head()
	got, err := readAll(t.Context(), l)
	assert.ErrorIs(t, err, eventlog.ErrTrimmed)
	assert.Empty(t, got)
	// Also one that starts there: it is told so at the end.
	_, err = readAll(t.Context(), l.Fork(head))
	assert.ErrorIs(t, err, eventlog.ErrTrimmed)
}

// strayAfter returns an entry that fits after head and is not in the log.
func (w *world) strayAfter(head eventlog.Head) []byte {
	w.t.Helper()
	other := *w
	other.mem = w.mem.Clone()
	_, err := other.handleAt(nil, head).Append(w.t.Context(), eventlog.Owned, []byte("stray"))
	require.NoError(w.t, err)
	return other.bytes(entryName(head.Pos + 1))
}

// TestStrayAfterFailedReload: a Committer that found itself left behind, and could
// not load anew, goes back to its old head and must not believe what follows it.
func TestStrayAfterFailedReload(t *testing.T) {
	w := newWorld(t)
	w.begin(2)
	store := blobtest.NewFaulty(w.mem, nil)
	c := w.committer(store, eventlog.CommitterOptions[list]{
		OnChange: func(s list, _ eventlog.Head) { assert.NotContains(t, s.records, "stray") },
	})
	_, head := c.State()
	data := w.strayAfter(head)
	w.worldGoesOn(20, 10, 15)
	require.NoError(t, create(t.Context(), w.mem, entryName(4), data))

	for _, broken := range []string{snapName(15), entryName(20)} {
		store.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
			if op == blobtest.OpOpen && name == broken {
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
			return blobtest.Fault{}
		})
		for range 2 {
			_, err := c.CatchUp(t.Context())
			require.ErrorIs(t, err, blobtest.ErrInjected)
			_, same := c.State()
			assert.Equal(t, head, same)
			_, err = c.Commit(t.Context(), write("x"))
			require.Error(t, err)
			assert.False(t, w.exists(entryName(5)))
		}
	}
	store.SetPlan(nil)
	_, err := c.Commit(t.Context(), write("x"))
	require.NoError(t, err)
	s, _ := c.State()
	assert.Len(t, s.records, 24)
}

// TestQuietReader polls for days: while it sees the end of the log often enough
// it pays one request for each look, and it stays right when nothing happens.
func TestQuietReader(t *testing.T) {
	w := newWorld(t)
	w.begin(2)
	count := blobtest.NewCounting(w.mem, func(string) string { return "" })
	l := w.handle(count)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	count.Reset()
	for range 100 {
		w.clock.advance(time.Hour)
		moved, err := l.Moved(t.Context())
		require.NoError(t, err)
		require.False(t, moved)
	}
	assert.Zero(t, count.Total(blobtest.OpOpen).Calls)
	w.clock.advance(day)
	moved, err := l.Moved(t.Context())
	require.NoError(t, err)
	assert.False(t, moved)
	assert.Equal(t, 1, count.Total(blobtest.OpOpen).Calls, "after a long silence it looks whether it was left behind")
	w.grow(l, 1)
	assert.Equal(t, 1, count.Total(blobtest.OpOpen).Calls)
}

// TestTrimWhileLoading trims between the moment a reader took a snapshot and the
// moment it read on.
func TestTrimWhileLoading(t *testing.T) {
	w := newWorld(t)
	w.begin(2)
	w.worldGoesOn(3, 4) // one snapshot: nothing is trimmed yet
	l := w.handle(nil)
	snap, err := l.LatestSnapshot(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, snap.Pos)
	l.Seek(snap.Head)
	w.worldGoesOn(20, 10, 20)
	_, err = readAll(t.Context(), l)
	assert.ErrorIs(t, err, eventlog.ErrTrimmed)
	snap, err = l.LatestSnapshot(t.Context())
	require.NoError(t, err)
	l.Seek(snap.Head)
	_, err = readAll(t.Context(), l)
	assert.NoError(t, err)
	assert.EqualValues(t, 26, l.Head().Pos)
}
