package eventlog_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

func TestKeyless(t *testing.T) {
	w := newWorld(t)
	owner := w.begin(5)
	d := w.handle(nil, w.keyless)
	head, err := d.FindHead(t.Context())
	require.NoError(t, err)
	assert.Equal(t, owner.Head(), head)
	e, err := d.Append(t.Context(), eventlog.Delivered, []byte("mail"))
	require.NoError(t, err)
	_, err = d.Append(t.Context(), eventlog.Owned, []byte("mail"))
	assert.Error(t, err)
	_, err = d.GetObject(t.Context(), "page", eventlog.ObjectID{})
	assert.Error(t, err)
	_, err = d.PutObject(t.Context(), "page", nil)
	assert.Error(t, err)

	got, err := readAll(t.Context(), owner)
	require.NoError(t, err)
	assert.Equal(t, []string{"mail"}, got)
	w.grow(owner, 2)
	n := 0
	for e, err := range d.Read(t.Context()) {
		require.NoError(t, err)
		assert.Nil(t, e.Records, "it reads nothing")
		assert.NoError(t, e.Junk)
		n++
	}
	assert.Equal(t, 2, n)
	assert.Equal(t, owner.Head(), d.Head())

	// From a snapshot's name it starts there.
	require.NoError(t, owner.WriteSnapshot(t.Context(), e.Head, nil))
	w.grow(owner, 3)
	require.NoError(t, w.mem.Delete(t.Context(), entryName(2)))
	head, err = w.handle(nil, w.keyless).FindHead(t.Context())
	require.NoError(t, err)
	assert.Equal(t, owner.Head(), head)
}

// TestJunk puts Delivered entries into the log that carry nothing: the chain goes
// on, readers skip them with a warning, and Check mentions them.
func TestJunk(t *testing.T) {
	const at = 4
	seal := func(t *testing.T, w *world, plaintext []byte) []byte {
		sealed, err := crypto.SealTo(w.id.Recipient(), plaintext)
		require.NoError(t, err)
		return sealed
	}
	for name, sealed := range map[string]func(t *testing.T, w *world, good []byte) []byte{
		"nothing":   func(*testing.T, *world, []byte) []byte { return nil },
		"noise":     func(*testing.T, *world, []byte) []byte { return []byte("age-encryption.org/v1\nnoise") },
		"flipped":   func(t *testing.T, w *world, good []byte) []byte { good[len(good)-1] ^= 1; return good },
		"truncated": func(t *testing.T, w *world, good []byte) []byte { return good[:len(good)-1] },
		"sealed to another": func(t *testing.T, w *world, good []byte) []byte {
			other := newWorld(t)
			return seal(t, other, []byte("hello"))
		},
		"not bound":     func(t *testing.T, w *world, good []byte) []byte { return seal(t, w, []byte("hello")) },
		"wrongly bound": func(t *testing.T, w *world, good []byte) []byte { return seal(t, w, make([]byte, 64)) },
		"from another position": func(t *testing.T, w *world, good []byte) []byte {
			return w.bytes(entryName(3))[49:]
		},
		"from another log": func(t *testing.T, w *world, good []byte) []byte {
			other := newWorld(t)
			other.id, other.logID = w.id, eventlog.ID{8}
			l := other.begin(0)
			_, err := l.Append(t.Context(), eventlog.Delivered, []byte("foreign"))
			require.NoError(t, err)
			_, err = l.Append(t.Context(), eventlog.Delivered, []byte("foreign"))
			require.NoError(t, err)
			_, err = l.Append(t.Context(), eventlog.Delivered, []byte("foreign"))
			require.NoError(t, err)
			return other.bytes(entryName(at))[49:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := w.begin(1)
			for _, mail := range []string{"first mail", "second mail"} {
				_, err := l.Append(t.Context(), eventlog.Delivered, []byte(mail))
				require.NoError(t, err)
			}
			good := w.bytes(entryName(at))
			w.replace(entryName(at), append(good[:49:49], sealed(t, w, good[49:])...))
			var log bytes.Buffer
			c := eventlog.NewCommitter(w.handle(nil), eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			require.NoError(t, c.Open(t.Context()))
			s, head := c.State()
			assert.Equal(t, []string{"begin", "record 2", "first mail"}, s.records)
			assert.EqualValues(t, at, head.Pos)
			assert.Contains(t, log.String(), entryName(at))
			_, err := c.Commit(t.Context(), write("goes on"))
			require.NoError(t, err)
			problems := w.problems()
			require.Len(t, problems, 1)
			assert.Equal(t, eventlog.Position(at), problems[0].Pos)
			if slices.Contains([]string{"nothing", "noise", "flipped", "truncated", "sealed to another"}, name) {
				assert.ErrorIs(t, problems[0].Err, eventlog.ErrCorrupt, "it may have been mail")
			} else {
				assert.NotErrorIs(t, problems[0].Err, eventlog.ErrCorrupt)
			}
			assert.Empty(t, w.problems(w.keyless))
		})
	}
}

// TestWipedIsNotJunk: without the identity good mail looks like junk, and must
// not be passed over.
func TestWipedIsNotJunk(t *testing.T) {
	w := newWorld(t)
	l := w.begin(0)
	_, err := l.Append(t.Context(), eventlog.Delivered, []byte("mail"))
	require.NoError(t, err)
	copied, err := crypto.ParseIdentity(w.id.Export())
	require.NoError(t, err)
	r := w.handle(nil, func(c *eventlog.Config) { c.Keys = &eventlog.Keys{Identity: copied} })
	copied.Wipe()
	_, err = readAll(t.Context(), r)
	assert.Error(t, err)
	assert.EqualValues(t, 1, r.Head().Pos)
}

// TestDeliver runs a Committer without keys: deliveries share entries, and it
// follows the log over a trim.
func TestDeliver(t *testing.T) {
	w := newWorld(t)
	w.begin(3)
	d := eventlog.NewCommitter(w.handle(nil, w.keyless), eventlog.Model[struct{}](headModel{}), eventlog.CommitterOptions[struct{}]{
		Kind: eventlog.Delivered,
	})
	require.NoError(t, d.Open(t.Context()))
	deliver := func(mail string) eventlog.Head {
		t.Helper()
		h, err := d.Commit(t.Context(), func(context.Context, struct{}, eventlog.Position) ([]byte, error) { return []byte(mail), nil })
		require.NoError(t, err)
		return h
	}
	assert.EqualValues(t, 5, deliver("one").Pos)
	w.worldGoesOn(20, 10, 15)
	assert.EqualValues(t, 26, deliver("two").Pos)
	c := w.committer(nil, eventlog.CommitterOptions[list]{})
	s, _ := c.State()
	assert.Equal(t, "two", s.records[len(s.records)-1])
	w.clean()
}

type headModel struct{}

func (headModel) Load(ctx context.Context, l *eventlog.Log) (struct{}, error) {
	_, err := l.FindHead(ctx)
	return struct{}{}, err
}

func (headModel) Apply(_ context.Context, s struct{}, _ eventlog.Position, _ eventlog.Kind, record []byte) (struct{}, error) {
	if len(record) == 0 {
		return s, fmt.Errorf("empty delivery")
	}
	return s, nil
}
