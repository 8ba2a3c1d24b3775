//go:build linux

package diskblob

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// mountSmall returns a folder with a file system of 1 MiB of its own, for which
// it takes a root that may mount. TestFaults covers the same errors for others.
func mountSmall(t *testing.T) string {
	dir := t.TempDir()
	needRoot(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

// TestFullDisk fills a real one.
func TestFullDisk(t *testing.T) {
	dir := mountSmall(t)
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), "body/small", strings.NewReader("x")))
	err = s.Create(t.Context(), "body/big", io.LimitReader(endless{}, 2<<20))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.EqualError(t, err, "create body/big: write: no space left on device")
	left, err := os.ReadDir(filepath.Join(dir, tempFolder))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, s.Create(t.Context(), "body/big", io.LimitReader(endless{}, 500<<10)), "there is room again")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestReadOnly: a store on a read-only file system opens and reads; what would
// change it says why not.
func TestReadOnly(t *testing.T) {
	dir := mountSmall(t)
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), "a/b", strings.NewReader("data")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, tempFolder, "left"), nil, 0o600))
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for _, open := range []func() (*Store, error){
		func() (*Store, error) { return s, nil },
		func() (*Store, error) { return Open(dir, nil) },
	} {
		s, err := open()
		require.NoError(t, err)
		r, err := s.Open(t.Context(), "a/b", 1, 2)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, "at", string(data))
		err = s.Create(t.Context(), "a/c", strings.NewReader("x"))
		require.EqualError(t, err, "create a/c: temporary file: read-only file system")
		err = s.Delete(t.Context(), "a/b")
		require.EqualError(t, err, "delete a/b: read-only file system")
		require.EqualError(t, s.Writable(), "diskblob: "+dir+" cannot be written: read-only file system")
	}
}

// TestDescriptors: no outcome of any method keeps a file open.
func TestDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	dir := t.TempDir()
	before := count()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	broken := errors.New("broken")
	for i := range 20 {
		name := fmt.Sprintf("a/%d", i)
		require.NoError(t, s.Create(t.Context(), name, strings.NewReader("x")))
		require.Error(t, s.Create(t.Context(), name, strings.NewReader("x")))
		require.Error(t, s.Create(t.Context(), "a", strings.NewReader("x")))
		require.Error(t, s.Create(t.Context(), name+"/below", strings.NewReader("x")))
		require.ErrorIs(t, s.Create(t.Context(), "b", io.MultiReader(strings.NewReader("x"), brokenReader{broken})), broken)
		_, err := s.Open(t.Context(), "a", 0, -1)
		require.Error(t, err)
		r, err := s.Open(t.Context(), name, 0, -1)
		require.NoError(t, err)
		require.Equal(t, before+1, count(), "an open reader holds one")
		require.NoError(t, r.Close())
		require.Error(t, r.Close())
		_, err = r.Read(make([]byte, 1))
		require.ErrorContains(t, err, "read "+name+": ")
		for range s.List(t.Context(), "", "") {
			require.Equal(t, before, count(), "a loop body runs with no folder open")
			break
		}
		_, err = Open(dir, nil)
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), name))
	}
	require.Equal(t, before, count())
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }
