package eventlog_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/eventlog"
)

func TestObjects(t *testing.T) {
	w := newWorld(t)
	l := w.handle(nil)
	ctx := t.Context()
	id, err := l.PutObject(ctx, "page", []byte("columns"))
	require.NoError(t, err)
	name := l.ObjectName("page", id)
	assert.Equal(t, prefix+"page/"+id.String(), name)
	require.True(t, w.exists(name))
	parsed, err := eventlog.ParseObjectID(id.String())
	require.NoError(t, err)
	assert.Equal(t, id, parsed)
	for _, bad := range []string{"", "00", strings.Repeat("0", 33), strings.Repeat("A", 32), strings.Repeat("g", 32)} {
		_, err := eventlog.ParseObjectID(bad)
		assert.Error(t, err, bad)
	}

	got, err := w.handle(nil).GetObject(ctx, "page", id)
	require.NoError(t, err)
	assert.Equal(t, "columns", string(got))
	_, err = l.GetObject(ctx, "meta", id)
	assert.ErrorIs(t, err, fs.ErrNotExist)

	other, err := l.PutObject(ctx, "meta", []byte("another kind has another key"))
	require.NoError(t, err)
	got, err = l.GetObject(ctx, "meta", other)
	require.NoError(t, err)
	assert.Equal(t, "another kind has another key", string(got))

	// Under any other name, kind, log or form it does not open.
	good := w.bytes(name)
	refused := func(what, kind string, id eventlog.ObjectID, l *eventlog.Log, want error) {
		t.Helper()
		_, err := l.GetObject(ctx, kind, id)
		assert.ErrorIs(t, err, want, what)
		assert.ErrorContains(t, err, l.ObjectName(kind, id), what)
	}
	require.NoError(t, create(ctx, w.mem, l.ObjectName("meta", id), good))
	refused("another kind", "meta", id, l, eventlog.ErrCorrupt)
	require.NoError(t, create(ctx, w.mem, l.ObjectName("page", eventlog.ObjectID{1}), good))
	refused("another id", "page", eventlog.ObjectID{1}, l, eventlog.ErrCorrupt)
	refused("another log", "page", id, w.handle(nil, func(c *eventlog.Config) { c.ID = eventlog.ID{5} }), eventlog.ErrCorrupt)
	for i, bad := range [][]byte{nil, good[:3], good[:len(good)-1], append(good[:len(good):len(good)], 0), append([]byte("LLE\x02"), good[4:]...)} {
		w.replace(name, bad)
		refused(fmt.Sprint("form ", i), "page", id, l, eventlog.ErrCorrupt)
	}
	good[3] = 3
	w.replace(name, good)
	refused("newer", "page", id, l, eventlog.ErrNewerVersion)

	for _, kind := range []string{"", "log", "snap", "Page", "a/b", "a-b", strings.Repeat("a", eventlog.MaxKind+1)} {
		_, err := l.PutObject(ctx, kind, nil)
		assert.Error(t, err, kind)
		_, err = l.GetObject(ctx, kind, id)
		assert.Error(t, err, kind)
	}
}
