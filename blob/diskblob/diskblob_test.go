package diskblob_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/diskblob"
)

// noContext is for what runs outside of a test: child processes.
var noContext = context.Background()

func TestConformance(t *testing.T) {
	for name, o := range map[string]*diskblob.Options{"Sync": nil, "NoSync": {NoSync: true}} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
				dir := t.TempDir()
				return open(t, dir, o), open(t, dir, o)
			})
		})
	}
}

func open(t testing.TB, dir string, o *diskblob.Options) *diskblob.Store {
	t.Helper()
	s, err := diskblob.Open(dir, o)
	require.NoError(t, err)
	return s
}

func create(t testing.TB, s blob.Store, name, data string) {
	t.Helper()
	require.NoError(t, s.Create(t.Context(), name, strings.NewReader(data)))
}

func readAll(t testing.TB, s blob.Store, name string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return data
}

func listed(t testing.TB, s blob.Store, prefix string) []string {
	t.Helper()
	var names []string
	for info, err := range s.List(t.Context(), prefix, "") {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	return names
}

func TestOpenMakesFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "store")
	create(t, open(t, dir, nil), "x/y", "data")
	require.Equal(t, "data", string(readAll(t, open(t, dir, nil), "x/y")))
}

// TestOpenRefusesOthers: a folder with files in it that is no store is left as it is.
func TestOpenRefusesOthers(t *testing.T) {
	touch := func(path ...string) (dir string) {
		dir = t.TempDir()
		file := filepath.Join(append([]string{dir}, path...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		return dir
	}
	for _, dir := range []string{touch("passwd"), touch("default", "grub"), touch("name", "x", "y")} {
		_, err := diskblob.Open(dir, &diskblob.Options{Reserve: 1})
		require.ErrorContains(t, err, "the folder is neither empty nor a store")
		require.NoDirExists(t, filepath.Join(dir, ".tmp"))
	}
	for _, dir := range []string{touch("store", "format"), touch(".tmp", "x"), touch(".trash"), touch("lost+found", "1"), t.TempDir()} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "acct", "empty"), 0o700))
		_, err := diskblob.Open(dir, nil)
		require.NoError(t, err)
	}
}

// TestRelativeFolder: a store stays where it is when the process goes elsewhere.
func TestRelativeFolder(t *testing.T) {
	top := t.TempDir()
	t.Chdir(top)
	s := open(t, "store", nil)
	t.Chdir(t.TempDir())
	create(t, s, "x", "data")
	require.FileExists(t, filepath.Join(top, "store", "x"))
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := diskblob.Open(file, nil)
	require.ErrorContains(t, err, "not a folder")
	require.ErrorContains(t, err, file)
	_, err = diskblob.Open(filepath.Join(file, "below"), nil)
	require.ErrorContains(t, err, "below")
}

// TestForeignFiles: what the store did not make is neither listed nor opened, and
// stays.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	create(t, s, "log/1", "data")
	for _, name := range []string{"README", ".hidden", "log/Thumbs.db", "log/~1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "lost+found", "x"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".tmp", "folder"), 0o700))
	require.NoError(t, os.Symlink("1", filepath.Join(dir, "log/link")))
	require.NoError(t, os.Symlink("log", filepath.Join(dir, "alias")))
	s = open(t, dir, nil)
	require.Equal(t, []string{"log/1"}, listed(t, s, ""))
	_, err := s.Stat(t.Context(), "log/link")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = s.Open(t.Context(), "log/link", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Delete(t.Context(), "log/1"))
	require.FileExists(t, filepath.Join(dir, "README"))
	require.FileExists(t, filepath.Join(dir, "log/Thumbs.db"))
}

// TestFolderAndObject: a name that is the folder of another is refused, and not as
// if it were taken.
func TestFolderAndObject(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	create(t, s, "a/b", "data")
	for _, name := range []string{"a", "a/b/c", "a/b/c/d"} {
		err := s.Create(t.Context(), name, strings.NewReader("x"))
		require.ErrorContains(t, err, "create "+name+": ")
		require.NotErrorIs(t, err, fs.ErrExist)
	}
	require.Equal(t, []string{"a/b"}, listed(t, s, ""))
}

// TestDeleteSparesFolders: not even an empty folder is removed, which others may
// know to be durable.
func TestDeleteSparesFolders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	create(t, s, "a/b/1", "data")
	require.NoError(t, s.Delete(t.Context(), "a/b/1", "a/b", "a"))
	require.DirExists(t, filepath.Join(dir, "a", "b"))
}

// TestEmptyFoldersGo: a folder that somebody removes, though the store has seen
// it, is made again.
func TestEmptyFoldersGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	create(t, s, "a/b/c/1", "data")
	require.NoError(t, s.Delete(t.Context(), "a/b/c/1"))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "a")))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".tmp")))
	require.NoError(t, s.Delete(t.Context(), "a/b/c/1"))
	create(t, s, "a/b/c/2", "data")
	require.Equal(t, []string{"a/b/c/2"}, listed(t, s, ""))
}

// TestStoreGone: a folder that is gone, say a disk that is not mounted, is an
// error and not an empty store.
func TestStoreGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir, nil)
	create(t, s, "a/b", "data")
	require.NoError(t, os.RemoveAll(dir))
	gone := func(err error) {
		t.Helper()
		require.ErrorContains(t, err, "the folder of the store is gone")
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
	_, err := s.Open(t.Context(), "a/b", 0, -1)
	gone(err)
	_, err = s.Stat(t.Context(), "a/b")
	gone(err)
	gone(s.Delete(t.Context(), "a/b"))
	gone(s.Create(t.Context(), "a/b", strings.NewReader("x")))
	for _, prefix := range []string{"", "a/", "a/b/c/"} {
		n := 0
		for _, err := range s.List(t.Context(), prefix, "") {
			gone(err)
			n++
		}
		require.Equal(t, 1, n)
	}
	require.NoDirExists(t, dir)
}

func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{200, 1 << 20} {
		for name, o := range map[string]*diskblob.Options{"Sync": nil, "NoSync": {NoSync: true}} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				s := open(b, b.TempDir(), o)
				data := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					require.NoError(b, s.Create(b.Context(), fmt.Sprintf("log/%012d", i), bytes.NewReader(data)))
				}
			})
		}
	}
}

// BenchmarkCreateParallel shows that the file system's journal gathers the syncs
// of many.
func BenchmarkCreateParallel(b *testing.B) {
	s := open(b, b.TempDir(), nil)
	data := make([]byte, 200)
	b.SetParallelism(16)
	names := make(chan int)
	go func() {
		for i := 0; ; i++ {
			select {
			case names <- i:
			case <-b.Context().Done():
				return
			}
		}
	}()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Create(b.Context(), fmt.Sprintf("log/%012d", <-names), bytes.NewReader(data)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkOpenRange(b *testing.B) {
	s := open(b, b.TempDir(), nil)
	require.NoError(b, s.Create(b.Context(), "body/1", bytes.NewReader(make([]byte, 30<<20))))
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Open(b.Context(), "body/1", 10<<20, 64<<10)
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(b, err)
		require.Equal(b, int64(64<<10), n)
		require.NoError(b, r.Close())
	}
}

func BenchmarkList10k(b *testing.B) {
	s := open(b, b.TempDir(), &diskblob.Options{NoSync: true})
	for i := range 10_000 {
		create(b, s, fmt.Sprintf("log/%012d", i), "x")
	}
	for _, bench := range []struct {
		name, after string
		stop, want  int
	}{{"All", "", -1, 10_000}, {"Tail10", "log/000000009989", -1, 10}, {"First", "", 1, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for _, err := range s.List(b.Context(), "log/", bench.after) {
					require.NoError(b, err)
					if n++; n == bench.stop {
						break
					}
				}
				require.Equal(b, bench.want, n)
			}
		})
	}
}
