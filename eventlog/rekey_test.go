package eventlog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// after makes a handle with a newer identity.
func (w *world) after(next *crypto.Identity) func(*eventlog.Config) {
	return func(c *eventlog.Config) {
		c.Keys = &eventlog.Keys{Identity: next, Retired: []*crypto.Identity{w.id}}
	}
}

func fine(list) error { return nil }

// rekeyed is a log whose identity was changed, as a program does it.
type rekeyed struct {
	*world
	next *crypto.Identity
	turn eventlog.Position
	old  *eventlog.Committer[list] // a session of the identity before
}

func newRekeyed(t *testing.T, begin func(w *world) *eventlog.Log) rekeyed {
	w := newWorld(t)
	begin(w)
	l := w.handle(nil)
	c := eventlog.NewCommitter(l, eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
	require.NoError(t, c.Open(t.Context()))
	r := rekeyed{world: w, next: newIdentity(t), old: w.committer(nil, eventlog.CommitterOptions[list]{})}
	s, head := c.State()
	require.NoError(t, l.WriteSnapshotFor(t.Context(), head, r.next, s.encode()))
	_, err := r.old.Commit(t.Context(), write("meanwhile"))
	require.NoError(t, err)
	e, terms := l.Epoch()
	turn, err := c.Rekey(t.Context(), eventlog.Rekeying{Epoch: e + 1, Next: r.next, Terms: terms}, fine)
	require.NoError(t, err)
	r.turn = turn.Pos
	_, err = c.Commit(t.Context(), write("late"))
	require.ErrorIs(t, err, eventlog.ErrRekeyed)
	return r
}

func (r rekeyed) open() (*eventlog.Committer[list], error) {
	c := eventlog.NewCommitter(r.handle(nil, r.after(r.next)), eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
	return c, c.Open(r.t.Context())
}

func begins() map[string]func(w *world) *eventlog.Log {
	return map[string]func(w *world) *eventlog.Log{
		"open":   func(w *world) *eventlog.Log { return w.begin(2) },
		"closed": func(w *world) *eventlog.Log { return w.beginClosed(2) },
	}
}

// TestRekey: the next identity goes on where the one before ended, and who has only
// the one before stops there.
func TestRekey(t *testing.T) {
	for name, begin := range begins() {
		t.Run(name, func(t *testing.T) {
			r := newRekeyed(t, begin)
			_, err := r.old.Commit(t.Context(), write("late"))
			assert.ErrorIs(t, err, eventlog.ErrRekeyed)
			assert.NotErrorIs(t, err, eventlog.ErrCorrupt)
			_, err = r.old.CatchUp(t.Context())
			assert.ErrorIs(t, err, eventlog.ErrRekeyed)
			_, err = readAll(t.Context(), r.handle(nil))
			assert.ErrorIs(t, err, eventlog.ErrRekeyed)

			c, err := r.open()
			require.NoError(t, err)
			_, err = c.Commit(t.Context(), write("after"))
			require.NoError(t, err)
			s, _ := c.State()
			want := []string{"begin", "record 2", "record 3", "meanwhile", "after"}
			assert.Equal(t, want, s.records)
			require.NoError(t, r.mem.Delete(t.Context(), snapName(3)))
			c, err = r.open()
			require.NoError(t, err, "from the first entry, which the identity before wrote")
			s, _ = c.State()
			assert.Equal(t, want, s.records)
			require.NoError(t, r.handle(nil, r.after(r.next)).Check(t.Context(), func(p eventlog.Problem) { t.Errorf("%v", p) }))
			var found []error
			require.NoError(t, r.handle(nil).Check(t.Context(), func(p eventlog.Problem) { found = append(found, p.Err) }))
			require.Len(t, found, 1)
			assert.ErrorIs(t, found[0], eventlog.ErrRekeyed)
		})
	}
}

// TestRekeyNotMade: until the change is in the log, the next identity opens nothing,
// and what was prepared for it counts for nobody.
func TestRekeyNotMade(t *testing.T) {
	w := newWorld(t)
	l := w.begin(2)
	next := newIdentity(t)
	require.NoError(t, l.WriteSnapshotFor(t.Context(), l.Head(), next, []byte("3 \"forged\"\n")))
	w.grow(l, 2)
	_, err := readAll(t.Context(), w.handle(nil, w.after(next)))
	assert.ErrorIs(t, err, eventlog.ErrNotInEffect)
	c := eventlog.NewCommitter(w.handle(nil, w.after(next)), eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
	assert.ErrorIs(t, c.Open(t.Context()), eventlog.ErrNotInEffect)
	snap, err := w.handle(nil).LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Nil(t, snap)
	_, err = w.handle(nil).ReadSnapshot(t.Context(), 3)
	assert.ErrorIs(t, err, eventlog.ErrOtherIdentity)
	w.clean()
	assert.Equal(t, []string{"begin", "record 2", "record 3", "record 4", "record 5"}, w.records())
}

// TestThiefOfRetiredIdentity: who has the identity before, and the store, and copies
// of all that was ever in it, makes nothing that counts.
func TestThiefOfRetiredIdentity(t *testing.T) {
	for name, begin := range begins() {
		r := newRekeyed(t, begin)
		turn := r.bytes(entryName(r.turn))
		thief := func(w *world) *eventlog.Log { // stands before the change, in a log that was cut there
			require.NoError(w.t, w.mem.Delete(w.t.Context(), entryName(r.turn)))
			l := w.handle(nil)
			_, err := readAll(w.t.Context(), l)
			require.NoError(w.t, err)
			return l
		}
		attack := map[string]struct {
			do   func(w *world)
			want error
		}{
			"cut the log before the change": {func(w *world) { thief(w) }, eventlog.ErrNotInEffect},
			"write on as the owner":         {func(w *world) { w.grow(thief(w), 3) }, eventlog.ErrNotInEffect},
			"put the change behind more": {func(w *world) {
				w.grow(thief(w), 1)
				require.NoError(w.t, create(w.t.Context(), w.mem, entryName(r.turn+1), turn))
			}, eventlog.ErrCorrupt},
			"write another entry before the change": {func(w *world) {
				thief(w)
				require.NoError(w.t, w.mem.Delete(w.t.Context(), entryName(r.turn-1)))
				w.grow(w.handleAtEnd(), 1)
				require.NoError(w.t, create(w.t.Context(), w.mem, entryName(r.turn), turn))
			}, eventlog.ErrCorrupt},
			"change to an identity of one's own": {func(w *world) {
				_, err := thief(w).Rekey(w.t.Context(), newIdentity(w.t), eventlog.TermsOpen)
				require.NoError(w.t, err)
			}, eventlog.ErrRekeyed},
			"change back": {func(w *world) {
				l := w.handle(nil, w.after(r.next))
				_, err := readAll(w.t.Context(), l)
				require.NoError(w.t, err)
				data := garbage(0x83, l.Head(), 3, make([]byte, 200))
				mac := eventlog.DeliveryKey(w.id, 3).MAC([]byte("entry"), w.logID[:], data)
				require.NoError(w.t, create(w.t.Context(), w.mem, entryName(r.turn+1), append(data, mac[:]...)))
			}, eventlog.ErrCorrupt},
		}
		for what, a := range attack {
			t.Run(name+", "+what, func(t *testing.T) {
				w := *r.world
				w.t, w.mem = t, r.mem.Clone()
				a.do(&w)
				for _, withSnapshot := range []bool{true, false} {
					c := rekeyed{world: &w, next: r.next}
					_, err := c.open()
					assert.ErrorIs(t, err, a.want)
					if withSnapshot {
						require.NoError(t, w.mem.Delete(t.Context(), snapName(3)))
					}
				}
			})
		}
	}
}

// TestThiefsSnapshot: a snapshot that the identity before sealed is passed over,
// wherever it stands.
func TestThiefsSnapshot(t *testing.T) {
	r := newRekeyed(t, func(w *world) *eventlog.Log { return w.begin(2) })
	c, err := r.open()
	require.NoError(t, err)
	for range 3 {
		_, err = c.Commit(t.Context(), write("after"))
		require.NoError(t, err)
	}
	_, head := c.State()
	// The thief has the identity only: it takes a log of its own for this one.
	forge := *r.world
	forge.mem = r.mem.Clone()
	for p := r.turn; p <= head.Pos; p++ {
		require.NoError(t, forge.mem.Delete(t.Context(), entryName(p)))
	}
	l := forge.handleAtEnd()
	forge.grow(l, int(head.Pos-l.Head().Pos))
	require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), list{records: []string{"forged"}, at: []eventlog.Position{1}}.encode()))
	planted := forge.bytes(snapName(head.Pos))
	copy(planted[12:44], head.Hash[:])
	require.NoError(t, create(t.Context(), r.mem, snapName(head.Pos), planted))
	require.NoError(t, create(t.Context(), r.mem, snapName(4), func() []byte {
		require.NoError(t, l.WriteSnapshot(t.Context(), firstHeads(t, &forge, 4)[3], []byte("forged")))
		return forge.bytes(snapName(4))
	}()))
	c, err = r.open()
	require.NoError(t, err)
	s, _ := c.State()
	assert.Equal(t, []string{"begin", "record 2", "record 3", "meanwhile", "after", "after", "after"}, s.records)
}

// TestTermsChange: the same identity closes a log; snapshots go on to count.
func TestTermsChange(t *testing.T) {
	w := newWorld(t)
	w.begin(1)
	l := w.handle(nil)
	c := eventlog.NewCommitter(l, eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
	require.NoError(t, c.Open(t.Context()))
	s, head := c.State()
	require.NoError(t, l.WriteSnapshot(t.Context(), head, s.encode()))
	other := w.committer(nil, eventlog.CommitterOptions[list]{})
	_, err := c.Rekey(t.Context(), eventlog.Rekeying{Epoch: 2, Terms: eventlog.TermsClosed}, fine)
	require.NoError(t, err)
	_, err = c.Commit(t.Context(), write("by the one"))
	require.NoError(t, err)
	_, err = other.Commit(t.Context(), write("by another"))
	require.NoError(t, err)
	e, terms := l.Epoch()
	assert.EqualValues(t, 2, e)
	assert.Equal(t, eventlog.TermsClosed, terms)
	s, _ = w.committer(nil, eventlog.CommitterOptions[list]{}).State()
	assert.Equal(t, []string{"begin", "record 2", "by the one", "by another"}, s.records)
	assert.NotZero(t, w.bytes(entryName(5))[4]&0x80)
	w.clean()

	_, err = other.Rekey(t.Context(), eventlog.Rekeying{Epoch: 2, Terms: eventlog.TermsClosed}, fine)
	assert.ErrorIs(t, err, eventlog.ErrConflict, "that epoch has begun")
	refused := errors.New("refused")
	_, err = other.Rekey(t.Context(), eventlog.Rekeying{Epoch: 3, Terms: eventlog.TermsOpen}, func(list) error { return refused })
	assert.ErrorIs(t, err, refused)

	// A deliverer goes on over the change.
	d, err := w.delivery(w.deliverer)
	require.NoError(t, err)
	_, err = other.Rekey(t.Context(), eventlog.Rekeying{Epoch: 3, Terms: eventlog.TermsClosed}, fine)
	require.NoError(t, err)
	require.NoError(t, deliver(t.Context(), d, "mail"))
	w.clean()
}

// TestDelivererMeetsRekey seals to the next recipient, and nothing is lost.
func TestDelivererMeetsRekey(t *testing.T) {
	r := newRekeyed(t, func(w *world) *eventlog.Log { return w.beginClosed(2) })
	cut := *r.world
	cut.mem = r.mem.Clone()
	require.NoError(t, cut.mem.Delete(t.Context(), entryName(r.turn)))
	for _, w := range []*world{r.world, &cut} {
		asked := map[eventlog.Epoch]int{}
		d, err := w.delivery(func(c *eventlog.Config) {
			c.Keys = nil
			c.Delivery = func(_ context.Context, e eventlog.Epoch) (eventlog.Delivery, error) {
				asked[e]++
				id := map[eventlog.Epoch]*crypto.Identity{1: r.id, 2: r.next}[e]
				return eventlog.Delivery{Recipient: id.Recipient(), Key: eventlog.DeliveryKey(id, e)}, nil
			}
		})
		require.NoError(t, err)
		if w == &cut { // the change comes after the deliverer looked
			require.NoError(t, create(t.Context(), w.mem, entryName(r.turn), r.bytes(entryName(r.turn))))
		}
		require.NoError(t, deliver(t.Context(), d, "mail"))
		require.NoError(t, deliver(t.Context(), d, "more"))
		assert.Equal(t, 1, asked[2])
		c, err := rekeyed{world: w, next: r.next}.open()
		require.NoError(t, err)
		s, _ := c.State()
		assert.Equal(t, []string{"begin", "record 2", "record 3", "meanwhile", "mail", "more"}, s.records)
	}
}

// TestTrimBesideChanges: snapshots of changes that were not made, and of an identity
// before, let nobody trim what the owner opens from.
func TestTrimBesideChanges(t *testing.T) {
	w := newWorld(t)
	l := w.begin(3)
	s := list{records: []string{"x"}, at: []eventlog.Position{1}}
	snapshot := func(l *eventlog.Log, next *crypto.Identity) {
		t.Helper()
		if next != nil {
			require.NoError(t, l.WriteSnapshotFor(t.Context(), l.Head(), next, s.encode()))
			return
		}
		require.NoError(t, l.WriteSnapshot(t.Context(), l.Head(), s.encode()))
	}
	trim := func(edit ...func(*eventlog.Config)) eventlog.TrimReport {
		t.Helper()
		w.clock.advance(day + time.Minute)
		rep, err := w.handle(nil, edit...).Trim(t.Context())
		require.NoError(t, err)
		return rep
	}
	snapshot(l, nil) // 4, the owner opens from it
	for range 3 {
		w.grow(l, 1)
		snapshot(l, newIdentity(t)) // 5, 6, 7: changes that were given up
	}
	assert.Zero(t, trim(w.keyless))
	assert.Zero(t, trim())
	next := newIdentity(t)
	w.grow(l, 1)
	snapshot(l, next) // 8
	w.grow(l, 1)
	snapshot(l, nil) // 9
	_, err := l.Rekey(t.Context(), next, eventlog.TermsOpen)
	require.NoError(t, err) // 10
	assert.Zero(t, trim(w.keyless), "those before the change are nobody's")
	r := rekeyed{world: w, next: next}
	n := w.handle(nil, w.after(next))
	snap, err := n.LatestSnapshot(t.Context())
	require.NoError(t, err)
	n.Seek(snap.Head)
	_, err = readAll(t.Context(), n)
	require.NoError(t, err)
	snapshot(n, nil) // 10
	assert.Zero(t, trim(w.keyless), "one is not enough")
	_, err = n.Append(t.Context(), eventlog.Owned, []byte("after"))
	require.NoError(t, err)
	snapshot(n, nil) // 11
	assert.Equal(t, eventlog.TrimReport{Keep: 10, Entries: 9, Snapshots: 6}, trim(w.keyless))
	_, err = r.open()
	require.NoError(t, err)
}

// TestTombstone: nothing follows, and everybody notices.
func TestTombstone(t *testing.T) {
	for name, begin := range begins() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			begin(w)
			c := w.committer(nil, eventlog.CommitterOptions[list]{})
			deliverer := w.deliverer
			if name == "open" {
				deliverer = w.keyless
			}
			d, err := w.delivery(deliverer)
			require.NoError(t, err)
			ender := w.handle(nil, deliverer)
			_, err = ender.FindHead(t.Context())
			require.NoError(t, err)
			_, err = c.Commit(t.Context(), write("before the end"))
			require.NoError(t, err)
			end, err := ender.End(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, 5, end.Pos)

			_, err = c.Commit(t.Context(), write("after"))
			assert.ErrorIs(t, err, eventlog.ErrEnded)
			_, err = c.CatchUp(t.Context())
			assert.ErrorIs(t, err, eventlog.ErrEnded)
			assert.ErrorIs(t, deliver(t.Context(), d, "after"), eventlog.ErrEnded)
			_, err = w.delivery(deliverer)
			assert.ErrorIs(t, err, eventlog.ErrEnded)
			_, err = ender.End(t.Context())
			assert.ErrorIs(t, err, eventlog.ErrEnded)
			_, err = readAll(t.Context(), w.handle(nil))
			assert.ErrorIs(t, err, eventlog.ErrEnded)
			w.clean()
			assert.False(t, w.exists(entryName(6)))
		})
	}
}
