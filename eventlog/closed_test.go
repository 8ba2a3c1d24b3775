package eventlog_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// closed makes Begin close the log.
func closed(c *eventlog.Config) { c.Terms = eventlog.TermsClosed }

// beginClosed makes a closed log, with the record "begin" and n more.
func (w *world) beginClosed(n int) *eventlog.Log {
	w.t.Helper()
	l := w.handle(nil, closed)
	require.NoError(w.t, l.Begin(w.t.Context(), []byte("begin")))
	w.grow(l, n)
	return l
}

// deliverer makes a handle that was given the key of every epoch.
func (w *world) deliverer(cfg *eventlog.Config) {
	cfg.Keys = nil
	cfg.Delivery = func(_ context.Context, e eventlog.Epoch) (eventlog.Delivery, error) {
		return eventlog.Delivery{Recipient: w.id.Recipient(), Key: eventlog.DeliveryKey(w.id, e)}, nil
	}
}

// delivery opens a committer that delivers.
func (w *world) delivery(edit func(*eventlog.Config)) (*eventlog.Committer[struct{}], error) {
	c := eventlog.NewCommitter(w.handle(nil, edit), eventlog.Model[struct{}](headModel{}), eventlog.CommitterOptions[struct{}]{Kind: eventlog.Delivered})
	return c, c.Open(w.t.Context())
}

func deliver(ctx context.Context, c *eventlog.Committer[struct{}], mail string) error {
	_, err := c.Commit(ctx, func(context.Context, struct{}, eventlog.Position) ([]byte, error) { return []byte(mail), nil })
	return err
}

// TestClosedLog: who has the delivery key delivers, and all entries have a MAC.
func TestClosedLog(t *testing.T) {
	w := newWorld(t)
	l := w.beginClosed(2)
	c, err := w.delivery(w.deliverer)
	require.NoError(t, err)
	require.NoError(t, deliver(t.Context(), c, "one"))
	w.grow(w.handleAtEnd(), 1) // the deliverer loses the next position
	require.NoError(t, deliver(t.Context(), c, "two"))
	assert.Equal(t, []string{"begin", "record 2", "record 3", "one", "record 5", "two"}, w.records())
	_, err = readAll(t.Context(), l)
	require.NoError(t, err)
	for p := eventlog.Position(1); p <= 6; p++ {
		data := w.bytes(entryName(p))
		assert.NotZero(t, data[4]&0x80, "%d", p)
		at := len(data) - 32
		assert.True(t, eventlog.DeliveryKey(w.id, 1).CheckMAC(data[at:], []byte("entry"), w.logID[:], data[:at]), "%d", p)
	}
	w.clean()
}

func (w *world) handleAtEnd() *eventlog.Log {
	w.t.Helper()
	l := w.handle(nil)
	_, err := readAll(w.t.Context(), l)
	require.NoError(w.t, err)
	return l
}

// TestForgedDelivery: who can only create objects adds nothing that counts, and no
// deliverer builds on it.
func TestForgedDelivery(t *testing.T) {
	w := newWorld(t)
	w.beginClosed(1)
	forger, err := w.delivery(w.keyless) // it knows the recipient, as everybody may
	require.NoError(t, err)
	require.NoError(t, deliver(t.Context(), forger, "forged"))
	require.True(t, w.exists(entryName(3)))

	var got []eventlog.Entry
	for e, err := range w.handle(nil).Read(t.Context()) {
		require.NoError(t, err)
		got = append(got, e)
	}
	require.Len(t, got, 3)
	assert.ErrorIs(t, got[2].Junk, eventlog.ErrForged)
	assert.Nil(t, got[2].Records)
	assert.Equal(t, []string{"begin", "record 2"}, w.records())
	problems := w.problems()
	require.Len(t, problems, 1)
	assert.ErrorIs(t, problems[0].Err, eventlog.ErrForged)

	c, err := w.delivery(w.deliverer)
	assert.ErrorIs(t, err, eventlog.ErrUnsigned)
	// The next entry of the owner vouches for what is before it.
	w.grow(w.handleAtEnd(), 1)
	require.NoError(t, c.Open(t.Context()))
	require.NoError(t, deliver(t.Context(), c, "mail"))
	assert.Equal(t, []string{"begin", "record 2", "record 4", "mail"}, w.records())
}

// garbage returns an entry that fits after a head, as anyone can make it.
func garbage(kind byte, head eventlog.Head, epoch uint32, body []byte) []byte {
	b := append([]byte("LLE\x02"), kind)
	b = binary.BigEndian.AppendUint64(b, uint64(head.Pos+1))
	b = binary.BigEndian.AppendUint32(b, epoch)
	b = append(b, head.Hash[:]...)
	return append(b, body...)
}

// TestGarbageAtTheEnd: a deliverer adds nothing to an entry that is not
// authenticated, whatever it says of itself, also when it meets it after its own.
func TestGarbageAtTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		kind  byte
		epoch uint32
		want  error
	}{
		"owned":                {1, 1, eventlog.ErrUnsigned},
		"owned with a MAC":     {0x81, 1, eventlog.ErrUnsigned},
		"delivered":            {0x82, 1, eventlog.ErrUnsigned},
		"rekey":                {0x83, 2, eventlog.ErrUnsigned},
		"rekey without a MAC":  {3, 2, eventlog.ErrCorrupt},
		"rekey of the epoch":   {0x83, 1, eventlog.ErrCorrupt},
		"rekey that skips one": {0x83, 3, eventlog.ErrCorrupt},
		"owned of the next":    {0x81, 2, eventlog.ErrCorrupt},
		"tombstone":            {0x84, 1, eventlog.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := w.beginClosed(1)
			d, err := w.delivery(w.deliverer)
			require.NoError(t, err)
			require.NoError(t, deliver(t.Context(), d, "mail"))
			_, err = readAll(t.Context(), l)
			require.NoError(t, err)
			require.NoError(t, create(t.Context(), w.mem, entryName(4), garbage(c.kind, l.Head(), c.epoch, make([]byte, 2000))))
			for range 2 {
				err = deliver(t.Context(), d, "on top")
				assert.ErrorIs(t, err, c.want)
			}
			_, err = w.delivery(w.deliverer)
			assert.Error(t, err)
			assert.False(t, w.exists(entryName(5)))
			if c.kind&0x7f != 2 {
				_, err = readAll(t.Context(), w.handle(nil))
				assert.ErrorIs(t, err, eventlog.ErrCorrupt)
			}
		})
	}
}

// TestNoDeliveryKey: the errors of who gives the keys pass through.
func TestNoDeliveryKey(t *testing.T) {
	w := newWorld(t)
	w.beginClosed(1)
	refused := errors.New("no such key")
	_, err := w.delivery(func(c *eventlog.Config) {
		c.Keys = nil
		c.Delivery = func(context.Context, eventlog.Epoch) (eventlog.Delivery, error) { return eventlog.Delivery{}, refused }
	})
	assert.ErrorIs(t, err, refused)
}

// TestMACInOpenEpoch has one encoding: where none is due there is none.
func TestMACInOpenEpoch(t *testing.T) {
	w := newWorld(t)
	w.begin(1)
	_, err := w.delivery(w.deliverer) // it thinks that the epoch is closed
	require.ErrorIs(t, err, eventlog.ErrUnsigned)
	l := w.handleAtEnd()
	require.NoError(t, create(t.Context(), w.mem, entryName(3), garbage(0x82, l.Head(), 1, make([]byte, 2000))))
	for e, err := range w.handleAt(nil, l.Head()).Read(t.Context()) {
		require.NoError(t, err)
		assert.Error(t, e.Junk)
	}
}

// TestSwappedEntry: an entry that was read is not another one later, whoever made
// that.
func TestSwappedEntry(t *testing.T) {
	w := newWorld(t)
	l := w.begin(2)
	e, err := l.Append(t.Context(), eventlog.Delivered, []byte("true header"))
	require.NoError(t, err)
	w.grow(l, 1)
	again, err := l.ReadEntry(t.Context(), e.Pos)
	require.NoError(t, err)
	assert.Equal(t, "true header", string(again.Records[0]))

	// Whoever knows the recipient seals another for the same place.
	good := w.bytes(entryName(e.Pos))
	other := *w
	other.mem = w.mem.Clone()
	for p := e.Pos; p <= e.Pos+1; p++ {
		require.NoError(t, other.mem.Delete(t.Context(), entryName(p)))
	}
	forger, err := other.delivery(w.keyless)
	require.NoError(t, err)
	require.NoError(t, deliver(t.Context(), forger, "forged header"))
	w.replace(entryName(e.Pos), other.bytes(entryName(e.Pos)))

	_, err = l.ReadEntry(t.Context(), e.Pos)
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
	assert.ErrorContains(t, err, entryName(e.Pos))
	fresh := w.handle(nil)
	_, err = fresh.ReadEntry(t.Context(), e.Pos)
	assert.Error(t, err, "a handle that did not read it knows nothing of it")
	w.replace(entryName(e.Pos), good)
	_, err = l.ReadEntry(t.Context(), e.Pos)
	assert.NoError(t, err)
}

// TestObjectHash: with the keys of the log nobody puts another object in the place
// of one that is named.
func TestObjectHash(t *testing.T) {
	w := newWorld(t)
	l := w.begin(0)
	id, err := l.PutObject(t.Context(), "page", []byte("true"))
	require.NoError(t, err)
	other, err := l.PutObject(t.Context(), "page", []byte("forged"))
	require.NoError(t, err)
	sum := sha256.Sum256(w.bytes(l.ObjectName("page", id)))
	assert.Equal(t, sum[:16], id[:])
	w.replace(l.ObjectName("page", id), w.bytes(l.ObjectName("page", other)))
	_, err = l.GetObject(t.Context(), "page", id)
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)

	// An object of an identity before is read by name, and not taken for one's own.
	next := newIdentity(t)
	after := w.handle(nil, func(c *eventlog.Config) {
		c.Keys = &eventlog.Keys{Identity: next, Retired: []*crypto.Identity{w.id}}
	})
	got, err := after.GetObject(t.Context(), "page", other)
	require.NoError(t, err)
	assert.Equal(t, "forged", string(got))
	_, err = after.GetOwnObject(t.Context(), "page", other)
	assert.ErrorIs(t, err, eventlog.ErrCorrupt)
}
