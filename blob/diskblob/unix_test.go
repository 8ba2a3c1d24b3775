//go:build linux || darwin

package diskblob

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPermissions: objects are for their owner to read, folders for their owner,
// whatever the umask.
func TestPermissions(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir := filepath.Join(t.TempDir(), "new", "store")
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), "a/b/c", strings.NewReader("x")))
	for path, want := range map[string]os.FileMode{
		"..": os.ModeDir | 0o700, ".": os.ModeDir | 0o700, ".tmp": os.ModeDir | 0o700,
		"a": os.ModeDir | 0o700, "a/b": os.ModeDir | 0o700, "a/b/c": 0o400,
	} {
		fi, err := os.Lstat(filepath.Join(dir, path))
		require.NoError(t, err)
		require.Equal(t, want, fi.Mode(), path)
	}
}

// TestLock: a new temporary file that another process has, or has removed, is not
// used.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "temp")
	mine, err := os.Create(path)
	require.NoError(t, err)
	defer mine.Close()
	theirs, err := os.Open(path)
	require.NoError(t, err)
	require.NoError(t, flock(theirs))
	require.ErrorIs(t, lock(mine), errSwept, "locked by the sweeper")
	require.NoError(t, theirs.Close())
	require.NoError(t, lock(mine))
	removeStale(path)
	require.FileExists(t, path, "locked by its writer")
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, lock(mine), errSwept, "removed by the sweeper")
}

// TestNamedPipe: a pipe in the store's folder does not block.
func TestNamedPipe(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	_, err = s.Open(t.Context(), "pipe", 0, -1)
	require.ErrorIs(t, err, os.ErrNotExist)
	for info := range s.List(t.Context(), "", "") {
		t.Errorf("listed %s", info.Name)
	}
	require.NoError(t, s.Create(t.Context(), "other", strings.NewReader("x")))
}
