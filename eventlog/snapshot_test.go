package eventlog_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	l := w.begin(3)
	snap, err := l.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Nil(t, snap)

	require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("state")))
	assert.ErrorIs(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("other")), fs.ErrExist)
	assert.Error(t, l.WriteSnapshot(t.Context(), eventlog.Head{}, nil))
	w.grow(l, 2)

	r := w.handle(nil)
	snap, err = r.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "state", string(snap.Payload))
	assert.EqualValues(t, 4, snap.Pos)
	assert.True(t, snap.Time.Equal(w.clock.now()))
	r.Seek(snap.Head)
	got, err := readAll(t.Context(), r)
	require.NoError(t, err)
	assert.Equal(t, []string{"record 5", "record 6"}, got)
	w.clean()

	keyless := w.handle(nil, w.keyless)
	_, err = keyless.LatestSnapshot(t.Context())
	assert.Error(t, err)
	assert.Error(t, keyless.WriteSnapshot(t.Context(), l.Head(), nil))
}

func TestSnapshotRace(t *testing.T) {
	w := newWorld(t)
	l := w.begin(3)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = l.WriteSnapshot(t.Context(), l.Head(), []byte("state")) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			assert.ErrorIs(t, err, fs.ErrExist)
		}
	}
	assert.Equal(t, 1, won)
}

// TestSnapshotDamaged falls back to the one before, and says so.
func TestSnapshotDamaged(t *testing.T) {
	w := newWorld(t)
	l := w.begin(3)
	require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("older")))
	w.grow(l, 1)
	require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("newer")))
	data := w.bytes(snapName(5))
	data[len(data)-1] ^= 1
	w.replace(snapName(5), data)

	var log bytes.Buffer
	r := w.handle(nil, func(c *eventlog.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	snap, err := r.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "older", string(snap.Payload))
	assert.Contains(t, log.String(), snapName(5))
	problems := w.problems()
	require.Len(t, problems, 1)
	assert.Equal(t, snapName(5), problems[0].Name)
	assert.ErrorIs(t, problems[0].Err, eventlog.ErrCorrupt)

	// With both damaged, the log itself is still whole.
	w.replace(snapName(4), data)
	snap, err = r.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Nil(t, snap)

	// But not when its beginning is gone.
	require.NoError(t, w.mem.Delete(t.Context(), entryName(1)))
	_, err = r.LatestSnapshot(t.Context())
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
	assert.ErrorContains(t, err, snapName(5))
}

// TestSnapshotMoved is refused in another place and in another log.
func TestSnapshotMoved(t *testing.T) {
	w := newWorld(t)
	l := w.begin(3)
	require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("state")))
	require.NoError(t, create(t.Context(), w.mem, snapName(5), w.bytes(snapName(4))))
	problems := w.problems()
	require.Len(t, problems, 1)
	assert.Equal(t, snapName(5), problems[0].Name)
	var log bytes.Buffer
	r := w.handle(nil, func(c *eventlog.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	_, err := r.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Contains(t, log.String(), snapName(5))

	other := w.handle(nil, func(c *eventlog.Config) { c.ID = eventlog.ID{9} })
	snap, err := other.LatestSnapshot(t.Context())
	require.NoError(t, err, "the entries are there")
	assert.Nil(t, snap)
}

func TestTrim(t *testing.T) {
	w := newWorld(t)
	l := w.begin(9)
	trim := func(edit ...func(*eventlog.Config)) eventlog.TrimReport {
		t.Helper()
		report, err := w.handle(nil, edit...).Trim(t.Context())
		require.NoError(t, err)
		return report
	}
	snapshot := func() {
		t.Helper()
		require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("state")))
	}
	assert.Zero(t, trim(), "no snapshot")
	snapshot() // 10
	w.clock.advance(2 * day)
	assert.Zero(t, trim(), "one snapshot")
	w.grow(l, 10)
	snapshot() // 20
	w.grow(l, 2)
	assert.Equal(t, eventlog.TrimReport{Keep: 10, Entries: 9}, trim(w.keyless))
	assert.False(t, w.exists(entryName(9)))
	assert.True(t, w.exists(entryName(10)), "the entry of a kept snapshot stays")
	w.clean()

	w.grow(l, 8)
	snapshot() // 30: 20 is the second newest now, but young
	assert.Equal(t, eventlog.TrimReport{Keep: 10}, trim())
	w.clock.advance(day - time.Second)
	assert.Equal(t, eventlog.TrimReport{Keep: 10}, trim())
	w.clock.advance(time.Second)
	assert.Equal(t, eventlog.TrimReport{Keep: 20, Entries: 10, Snapshots: 1}, trim())
	assert.Equal(t, eventlog.TrimReport{Keep: 20}, trim(), "twice is once")
	w.clean()

	// A log that takes snapshots more often than every Grace is trimmed too.
	for range 5 {
		w.clock.advance(day / 4)
		w.grow(l, 10)
		snapshot() // 40 ... 80
	}
	assert.Equal(t, eventlog.TrimReport{Keep: 40, Entries: 20, Snapshots: 2}, trim())
	w.clean()
	assert.EqualValues(t, 80, l.Head().Pos)
}

// TestTrimRefuses does not trim by a snapshot that cannot be relied on.
func TestTrimRefuses(t *testing.T) {
	setup := func(t *testing.T) *world {
		w := newWorld(t)
		l := w.begin(4)
		require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("a")))
		w.grow(l, 5)
		require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), []byte("b")))
		w.clock.advance(2 * day)
		return w
	}
	flip := func(w *world, name string) {
		data := w.bytes(name)
		data[len(data)-1] ^= 1
		w.replace(name, data)
	}
	for name, damage := range map[string]func(w *world){
		"newest damaged":        func(w *world) { flip(w, snapName(10)) },
		"second newest damaged": func(w *world) { flip(w, snapName(5)) },
		"entry of newest gone":  func(w *world) { require.NoError(w.t, w.mem.Delete(w.t.Context(), entryName(10))) },
		"entry of second gone":  func(w *world) { require.NoError(w.t, w.mem.Delete(w.t.Context(), entryName(5))) },
		"second from the future": func(w *world) {
			w.clock.advance(-100 * day)
		},
		"second is nothing": func(w *world) { w.replace(snapName(5), []byte("LLS\x02")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			damage(w)
			report, err := w.handle(nil).Trim(t.Context())
			require.NoError(t, err)
			assert.Zero(t, report)
			assert.True(t, w.exists(entryName(1)))
		})
	}
	w := setup(t)
	report, err := w.handle(nil).Trim(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 4, report.Entries, "it does trim by sound ones")
}

// TestTrimInOrder stops at the first entry that cannot be deleted.
func TestTrimInOrder(t *testing.T) {
	w := newWorld(t)
	w.begin(0)
	var deleted []string
	store := blobtest.NewFaulty(w.mem, func(op blobtest.Op, name string, n int) blobtest.Fault {
		if op == blobtest.OpDelete {
			deleted = append(deleted, name)
			if n == 4 {
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
		}
		return blobtest.Fault{}
	})
	l := w.handle(nil)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	for range 2 {
		w.grow(l, 10)
		require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), nil))
	}
	w.clock.advance(2 * day)
	report, err := w.handle(store).Trim(t.Context())
	assert.ErrorIs(t, err, blobtest.ErrInjected)
	assert.Equal(t, 3, report.Entries)
	assert.Equal(t, []string{entryName(1), entryName(2), entryName(3), entryName(4)}, deleted)
	w.clean()
	report, err = w.handle(store).Trim(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 7, report.Entries)
	w.clean()
}
