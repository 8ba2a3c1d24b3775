package eventlog_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

// errFull is what a store says that knows what became of a create: nothing.
var errFull = fmt.Errorf("no space left: %w", blob.ErrNotCreated)

// TestFullStoreIsNotDoubted: where the store is certain that nothing was created
// the caller is told so, after one try, and the log stays where it was.
func TestFullStoreIsNotDoubted(t *testing.T) {
	w := newWorld(t)
	w.begin(0)
	store := blobtest.NewFaulty(w.mem, nil)
	l := w.handle(store)
	_, err := readAll(t.Context(), l)
	require.NoError(t, err)
	head := l.Head()
	store.SetPlan(blobtest.Every(blobtest.OpCreate, blobtest.Fault{Before: errFull}))
	_, err = l.Append(t.Context(), eventlog.Owned, []byte("no room"))
	require.ErrorIs(t, err, errFull)
	require.NotErrorIs(t, err, eventlog.ErrUnknownOutcome)
	require.ErrorIs(t, l.WriteSnapshot(t.Context(), head, []byte("s")), errFull)
	_, err = l.PutObject(t.Context(), "page", []byte("p"))
	require.ErrorIs(t, err, errFull)
	assert.Equal(t, 3, store.Calls(blobtest.OpCreate), "it did not try again")
	assert.Equal(t, head, l.Head())
	store.SetPlan(nil)
	w.grow(l, 1)
	assert.Equal(t, []string{"begin", "record 2"}, w.records())
	w.clean()
}

// TestFullStoreAfterALostAnswer: what a store is certain of is its last call. The
// one before, whose answer was lost, may have done it.
func TestFullStoreAfterALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin(0)
		store := blobtest.NewFaulty(w.mem, nil)
		l := w.handle(store)
		_, err := readAll(t.Context(), l)
		require.NoError(t, err)
		store.SetPlan(func(op blobtest.Op, _ string, n int) blobtest.Fault {
			switch {
			case op == blobtest.OpCreate && n == 1:
				return blobtest.Fault{After: blobtest.ErrInjected}
			case op == blobtest.OpCreate:
				return blobtest.Fault{Before: errFull}
			}
			return blobtest.Fault{}
		})
		_, err = l.Append(t.Context(), eventlog.Owned, []byte("in doubt"))
		require.ErrorIs(t, err, eventlog.ErrUnknownOutcome)
		store.SetPlan(nil)
		got, err := readAll(t.Context(), l)
		require.NoError(t, err)
		assert.Equal(t, []string{"in doubt"}, got)
		w.clean()
	})
}
