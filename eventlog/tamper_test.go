package eventlog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/eventlog"
)

// TestTamper does to an entry what the owner of a store can do, and wants it
// found by a reader with keys and by Check, both of which name the place.
func TestTamper(t *testing.T) {
	const at = 5 // the entry that is tampered with, of 8
	flip := func(i int) func(w *world, data []byte) {
		return func(w *world, data []byte) {
			if i < 0 {
				i += len(data)
			}
			data[i] ^= 1
			w.replace(entryName(at), data)
		}
	}
	for _, c := range []struct {
		name    string
		tamper  func(w *world, data []byte)
		keyless bool // a reader without keys finds it at the same place
		want    error
	}{
		{"flip magic", flip(0), true, eventlog.ErrCorrupt},
		{"flip kind", flip(4), true, eventlog.ErrCorrupt},
		{"flip position", flip(12), true, eventlog.ErrCorrupt},
		{"flip epoch", flip(16), true, eventlog.ErrCorrupt},
		{"flip hash of the one before", flip(17), true, eventlog.ErrCorrupt},
		{"flip nonce", flip(49), false, eventlog.ErrCorrupt},
		{"flip last byte", flip(-1), false, eventlog.ErrCorrupt},
		{"older version", func(w *world, d []byte) { d[3] = 1; w.replace(entryName(at), d) }, true, eventlog.ErrCorrupt},
		{"newer version", func(w *world, d []byte) { d[3] = 3; w.replace(entryName(at), d) }, true, eventlog.ErrNewerVersion},
		{"truncate by one", func(w *world, d []byte) { w.replace(entryName(at), d[:len(d)-1]) }, false, eventlog.ErrCorrupt},
		{"truncate to the header", func(w *world, d []byte) { w.replace(entryName(at), d[:49]) }, false, eventlog.ErrCorrupt},
		{"truncate in the header", func(w *world, d []byte) { w.replace(entryName(at), d[:48]) }, true, eventlog.ErrCorrupt},
		{"empty", func(w *world, d []byte) { w.replace(entryName(at), nil) }, true, eventlog.ErrCorrupt},
		{"extend", func(w *world, d []byte) { w.replace(entryName(at), append(d, 0)) }, false, eventlog.ErrCorrupt},
		{"extend beyond the limit", func(w *world, d []byte) {
			w.replace(entryName(at), append(d, make([]byte, eventlog.MaxEntry)...))
		}, true, eventlog.ErrCorrupt},
		{"replay the one before", func(w *world, d []byte) { w.replace(entryName(at), w.bytes(entryName(at-1))) }, true, eventlog.ErrCorrupt},
		{"swap with the next", func(w *world, d []byte) {
			next := w.bytes(entryName(at + 1))
			w.replace(entryName(at+1), d)
			w.replace(entryName(at), next)
		}, true, eventlog.ErrCorrupt},
		{"remove", func(w *world, d []byte) { require.NoError(w.t, w.mem.Delete(w.t.Context(), entryName(at))) }, true, eventlog.ErrCorrupt},
		{"same position of a log with other history", func(w *world, d []byte) {
			other := newWorld(w.t)
			other.id, other.logID = w.id, w.logID
			other.begin(7)
			w.replace(entryName(at), other.bytes(entryName(at)))
		}, true, eventlog.ErrCorrupt},
		{"sealed part of another log", func(w *world, d []byte) {
			other := newWorld(w.t)
			other.id = w.id
			other.logID = eventlog.ID{7}
			other.begin(7)
			w.replace(entryName(at), append(d[:49:49], other.bytes(entryName(at))[49:]...))
		}, false, eventlog.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.begin(7)
			w.clean()
			c.tamper(w, w.bytes(entryName(at)))
			names := func(err error, keys string) {
				t.Helper()
				require.Error(t, err, keys)
				assert.ErrorIs(t, err, c.want, keys)
				assert.Equal(t, c.want == eventlog.ErrCorrupt, errors.Is(err, eventlog.ErrCorrupt), keys)
				assert.Contains(t, err.Error(), entryName(at), keys)
				var damage *eventlog.CorruptError
				require.ErrorAs(t, err, &damage)
				assert.EqualValues(t, at, damage.Pos, keys)
			}
			l := w.handle(nil)
			got, err := readAll(t.Context(), l)
			names(err, "with keys")
			assert.Len(t, got, at-1)
			assert.EqualValues(t, at-1, l.Head().Pos, "the head stays at the last good entry")
			_, err = readAll(t.Context(), l)
			names(err, "again")

			_, err = readAll(t.Context(), w.handle(nil, w.keyless))
			if c.keyless {
				names(err, "keyless")
			} else if assert.Error(t, err, "the next entry does not follow") {
				assert.Contains(t, err.Error(), entryName(at+1))
			}
			problems := w.problems()
			require.NotEmpty(t, problems)
			names(problems[0].Err, "check")
			assert.True(t, strings.Contains(problems[0].String(), entryName(at)))
			assert.NotEmpty(t, w.problems(w.keyless))
		})
	}
}

// TestOtherLog does not read one log's objects as another's.
func TestOtherLog(t *testing.T) {
	w := newWorld(t)
	w.begin(3)
	_, err := readAll(t.Context(), w.handle(nil, func(c *eventlog.Config) { c.ID = eventlog.ID{9} }))
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
	other := newWorld(t)
	_, err = readAll(t.Context(), w.handle(nil, func(c *eventlog.Config) { c.Keys.Identity = other.id }))
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
}

// TestFirstEntry must be one that a holder of the keys wrote.
func TestFirstEntry(t *testing.T) {
	w := newWorld(t)
	w.begin(0)
	data := w.bytes(entryName(1))
	data[4] = byte(eventlog.Delivered)
	w.replace(entryName(1), data)
	_, err := readAll(t.Context(), w.handle(nil, w.keyless))
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
}

// TestGap finds an entry missing at any place, also when the reader has been at
// the end before, and a missing snapshot's entry.
func TestGap(t *testing.T) {
	for at := eventlog.Position(1); at < 40; at++ {
		w := newWorld(t)
		w.begin(39)
		require.NoError(t, w.mem.Delete(t.Context(), entryName(at)))
		_, err := readAll(t.Context(), w.handle(nil))
		if at == 1 {
			// It cannot be told from a beginning that was trimmed.
			assert.ErrorIs(t, err, eventlog.ErrTrimmed)
		} else {
			assert.ErrorIs(t, err, eventlog.ErrCorrupt)
			assert.ErrorContains(t, err, entryName(at))
		}
		_, err = w.handle(nil, w.keyless).FindHead(t.Context())
		assert.ErrorIs(t, err, eventlog.ErrCorrupt)
		assert.ErrorContains(t, err, entryName(at))
		problems := w.problems()
		require.Len(t, problems, 1)
		assert.Equal(t, at, problems[0].Pos)
	}
	w := newWorld(t)
	w.begin(3)
	l := w.handle(nil)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	other := w.handle(nil)
	_, err = readAll(t.Context(), other)
	require.NoError(t, err)
	w.grow(other, 5)
	require.NoError(t, w.mem.Delete(t.Context(), entryName(6)))
	_, err = readAll(t.Context(), l)
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
	assert.ErrorContains(t, err, entryName(6))
}

func TestRolledBack(t *testing.T) {
	w := newWorld(t)
	l := w.begin(4)
	seen := l.Head()
	old := w.mem.Clone()
	w.grow(l, 3)
	withSeen := func(h eventlog.Head) func(*eventlog.Config) {
		return func(c *eventlog.Config) { c.Seen = h }
	}
	both := func(edit func(*eventlog.Config)) (read, find error) {
		_, read = readAll(t.Context(), w.handle(nil, edit))
		_, find = w.handle(nil, edit, w.keyless).FindHead(t.Context())
		return read, find
	}
	read, find := both(withSeen(seen))
	assert.NoError(t, read)
	assert.NoError(t, find)
	assert.Empty(t, w.problems(withSeen(seen)))

	other := seen
	other.Hash[0] ^= 1
	read, find = both(withSeen(other))
	assert.ErrorIs(t, read, eventlog.ErrRolledBack)
	assert.ErrorIs(t, find, eventlog.ErrRolledBack)
	problems := w.problems(withSeen(other))
	require.Len(t, problems, 1)
	assert.ErrorIs(t, problems[0].Err, eventlog.ErrRolledBack)

	// The store is set back to an older copy: a handle that saw more notices, and
	// so does one that is told.
	c := w.committer(nil, eventlog.CommitterOptions[list]{})
	require.Equal(t, 5, old.Len())
	for p := seen.Pos + 1; p <= l.Head().Pos; p++ {
		require.NoError(t, w.mem.Delete(t.Context(), entryName(p)))
	}
	w.clock.advance(day)
	_, err := readAll(t.Context(), l)
	assert.ErrorIs(t, err, eventlog.ErrTrimmed, "its head is gone, it must load anew")
	_, err = c.CatchUp(t.Context())
	assert.ErrorIs(t, err, eventlog.ErrRolledBack, "and then it notices")
	l.Seek(seen)
	_, err = readAll(t.Context(), l)
	assert.ErrorIs(t, err, eventlog.ErrRolledBack)
	_, err = l.Append(t.Context(), eventlog.Owned, []byte("fork"))
	assert.Error(t, err, "it must not fork the log")
	head := eventlog.Head{Pos: seen.Pos + 3, Hash: eventlog.Hash{1}}
	read, find = both(withSeen(head))
	assert.ErrorIs(t, read, eventlog.ErrRolledBack)
	assert.ErrorIs(t, find, eventlog.ErrRolledBack)
	assert.Len(t, w.problems(withSeen(head)), 1)

	empty := newWorld(t)
	_, err = empty.handle(nil, withSeen(head)).FindHead(t.Context())
	assert.ErrorIs(t, err, eventlog.ErrRolledBack)
	_, err = readAll(t.Context(), empty.handle(nil, withSeen(head)))
	assert.ErrorIs(t, err, eventlog.ErrRolledBack)
}
