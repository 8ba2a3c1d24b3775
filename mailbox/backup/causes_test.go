package backup_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/backup"
)

// fullStore takes so many objects.
type fullStore struct {
	blob.Store
	room atomic.Int32
}

func (f *fullStore) Create(ctx context.Context, name string, r io.Reader) error {
	if f.room.Add(-1) < 0 {
		return &fs.PathError{Op: "create", Path: name, Err: fmt.Errorf("write: %w", syscall.ENOSPC)}
	}
	return f.Store.Create(ctx, name, r)
}

// TestFullTarget: a full disk is one line, however many objects do not fit.
func TestFullTarget(t *testing.T) {
	from := memblob.New()
	s := open(t, from)
	for _, name := range []string{"ann", "bob", "eve"} {
		create(t, s, name)
		for n := range 20 {
			deliver(t, s, name, n)
		}
	}
	to := &fullStore{Store: memblob.New()}
	to.room.Store(30)
	_, err := backup.Copy(t.Context(), from, to, backup.Options{})
	require.ErrorIs(t, err, syscall.ENOSPC)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 1, err.Error())
	require.Contains(t, lines[0], "create ")
	require.Contains(t, lines[0], "write: no space left on device")
	require.Contains(t, lines[0], "more of the same cause")

	to.room.Store(1 << 30)
	_, err = backup.Copy(t.Context(), from, to, backup.Options{})
	require.NoError(t, err)
	_, err = backup.Compare(t.Context(), from, to, func(object string, err error) { t.Errorf("%s: %v", object, err) })
	require.NoError(t, err)
}
