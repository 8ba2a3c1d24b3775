package cacheblob_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/blob/memblob"
)

func everything(string) bool { return true }

func open(t *testing.T, inner blob.Store, dir string, o cacheblob.Options) *cacheblob.Store {
	t.Helper()
	if o.Cacheable == nil {
		o.Cacheable = everything
	}
	s, err := cacheblob.Open(inner, dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// TestStore: whatever is cached, it is a store as good as the one within. The suite
// gives names a second time, which between processes with everything cached is what
// the package does not promise: there one handle is both. Two that share a folder
// pass it where only names that are given once are cached.
func TestStore(t *testing.T) {
	for name, size := range map[string]int64{"Large": 0, "Small": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
				s := open(t, memblob.New(), t.TempDir(), cacheblob.Options{Size: size})
				return s, s
			})
		})
	}
	t.Run("TwoProcesses", func(t *testing.T) {
		blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
			mem, dir := memblob.New(), t.TempDir()
			o := cacheblob.Options{Cacheable: func(name string) bool { return !strings.HasPrefix(name, "going/") }}
			return open(t, mem, dir, o), open(t, mem, dir, o)
		})
	})
}

// counted is a store with a cache, whose requests are counted.
type counted struct {
	*cacheblob.Store
	t     *testing.T
	mem   *memblob.Store
	count *blobtest.Counting
	dir   string
}

func newCounted(t *testing.T, o cacheblob.Options) *counted {
	c := &counted{t: t, mem: memblob.New(), dir: t.TempDir()}
	c.count = blobtest.NewCounting(c.mem, nil)
	c.Store = open(t, c.count, c.dir, o)
	return c
}

func (c *counted) create(name string, n int) []byte {
	c.t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rand.Int())
	}
	require.NoError(c.t, c.Create(c.t.Context(), name, bytes.NewReader(data)))
	return data
}

// read returns a range, and how many requests it took.
func (c *counted) read(s blob.Store, name string, off, n int64) ([]byte, int) {
	c.t.Helper()
	before := c.count.Total(blobtest.OpOpen).Calls
	r, err := s.Open(c.t.Context(), name, off, n)
	require.NoError(c.t, err)
	data, err := io.ReadAll(r)
	require.NoError(c.t, err)
	require.NoError(c.t, r.Close())
	return data, c.count.Total(blobtest.OpOpen).Calls - before
}

// files returns the files of the cache.
func (c *counted) files() []string {
	c.t.Helper()
	var all []string
	require.NoError(c.t, filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return nil
	}))
	return all
}

// TestRanges reads ranges at random: what was read before is asked for once, and
// all is right.
func TestRanges(t *testing.T) {
	c := newCounted(t, cacheblob.Options{})
	for _, size := range []int{0, 1, 65535, 65536, 65537, 200_000} {
		name := fmt.Sprintf("body/%d", size)
		data := c.create(name, size)
		cut := func(off, n int64) []byte {
			from := min(off, int64(size))
			if n < 0 {
				return data[from:]
			}
			return data[from:min(from+n, int64(size))]
		}
		for range 60 {
			off, n := rand.Int64N(int64(size)+10), rand.Int64N(int64(size)+20)-1
			if n == 0 {
				continue
			}
			got, _ := c.read(c, name, off, n)
			require.True(t, bytes.Equal(cut(off, n), got), "%d bytes, %d from %d", size, n, off)
			got, asked := c.read(c, name, off, n)
			require.True(t, bytes.Equal(cut(off, n), got), "%d bytes, %d from %d", size, n, off)
			require.Zero(t, asked, "%d bytes, %d from %d", size, n, off)
		}
		c.read(c, name, 0, -1)
		again := open(t, c.count, c.dir, cacheblob.Options{})
		for range 60 { // another process
			off, n := rand.Int64N(int64(size)+10), rand.Int64N(int64(size)+20)-1
			got, asked := c.read(again, name, off, n)
			require.True(t, bytes.Equal(cut(off, n), got), "%d bytes, %d from %d", size, n, off)
			require.True(t, asked == 0 || n == 0, "a part of what is there whole")
		}
	}
	_, err := c.Open(t.Context(), "body/none", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, asked := c.read(c, "body/1", 0, 1)
	require.Zero(t, asked)
	_, _ = c.read(c, "body/1", 0, 1)
}

// TestWhatIsCached: nothing but what Options says, nothing that was not read to its
// end, and not what is too large.
func TestWhatIsCached(t *testing.T) {
	c := newCounted(t, cacheblob.Options{
		Size: 1 << 20, Cacheable: func(name string) bool { return strings.HasPrefix(name, "body/") },
	})
	c.create("log/1", 100)
	c.create("body/1", 100_000)
	c.create("body/2", 1<<20/8+1)
	for _, name := range []string{"log/1", "body/2"} {
		c.read(c, name, 0, -1)
		_, asked := c.read(c, name, 0, -1)
		require.Equal(t, 1, asked, name)
	}
	r, err := c.Open(t.Context(), "body/1", 0, -1)
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, r, 99_999)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Empty(t, c.files())
	c.read(c, "body/1", 0, -1)
	require.Len(t, c.files(), 1)
	require.NoError(t, c.Delete(t.Context(), "body/1", "log/1"))
	require.Empty(t, c.files())
	_, err = c.Open(t.Context(), "body/1", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestDamage changes each file in every way: the bytes are right all the same, and
// the file is replaced.
func TestDamage(t *testing.T) {
	for what, damage := range map[string]func(t *testing.T, path string, data []byte){
		"first byte":  func(t *testing.T, path string, data []byte) { data[0] ^= 1; write(t, path, data) },
		"first chunk": func(t *testing.T, path string, data []byte) { data[100] ^= 1; write(t, path, data) },
		"last chunk":  func(t *testing.T, path string, data []byte) { data[len(data)-40] ^= 1; write(t, path, data) },
		"last sum":    func(t *testing.T, path string, data []byte) { data[len(data)-1] ^= 1; write(t, path, data) },
		"cut":         func(t *testing.T, path string, data []byte) { write(t, path, data[:len(data)-1]) },
		"empty":       func(t *testing.T, path string, _ []byte) { write(t, path, nil) },
		"zeros":       func(t *testing.T, path string, data []byte) { write(t, path, make([]byte, len(data))) },
		"longer":      func(t *testing.T, path string, data []byte) { write(t, path, append(data, 0)) },
		"moved": func(t *testing.T, path string, _ []byte) {
			moved := strings.Replace(path, "-0-", "-65536-", 1)
			require.NotEqual(t, path, moved)
			require.NoError(t, os.Rename(path, moved))
		},
		"chunks swapped": func(t *testing.T, path string, data []byte) {
			const head, chunk = 19, 64<<10 + 32
			first := bytes.Clone(data[head : head+chunk])
			copy(data[head:], data[head+chunk:head+2*chunk])
			copy(data[head+chunk:], first)
			write(t, path, data)
		},
		"removed": func(t *testing.T, path string, _ []byte) { require.NoError(t, os.Remove(path)) },
	} {
		t.Run(what, func(t *testing.T) {
			c := newCounted(t, cacheblob.Options{})
			data := c.create("body/1", 200_000)
			c.read(c, "body/1", 0, -1)
			files := c.files()
			require.Len(t, files, 1)
			file, err := os.ReadFile(files[0])
			require.NoError(t, err)
			damage(t, files[0], file)
			for _, off := range []int64{70_000, 0} {
				got, asked := c.read(c, "body/1", off, -1)
				require.True(t, bytes.Equal(data[off:], got))
				require.LessOrEqual(t, asked, 1)
			}
			c.read(c, "body/1", 0, -1)
			got, asked := c.read(c, "body/1", 0, -1)
			require.True(t, bytes.Equal(data, got))
			require.Zero(t, asked)
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// TestFresh: a fresh reading comes from the store within and replaces what was
// kept, damaged on its way, of any range.
func TestFresh(t *testing.T) {
	mem := memblob.New()
	require.NoError(t, mem.Create(t.Context(), "a", strings.NewReader("0123456789")))
	wire := blobtest.NewFlipping(mem)
	s := open(t, wire, t.TempDir(), cacheblob.Options{})
	read := func(ctx context.Context, off, n int64) string {
		r, err := s.Open(ctx, "a", off, n)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return string(data)
	}
	wire.Flip(0, nil)
	require.Equal(t, "1123456789", read(t.Context(), 0, -1))
	require.Equal(t, "112", read(t.Context(), 0, 3), "it was kept so")
	require.Equal(t, "0123", read(blob.Fresh(t.Context()), 0, 4))
	require.Equal(t, "012", read(t.Context(), 0, 3))
	require.Equal(t, "0123456789", read(t.Context(), 0, -1))
}

// TestAnotherObjectsFile does not take the file of one object for that of another.
func TestAnotherObjectsFile(t *testing.T) {
	c := newCounted(t, cacheblob.Options{})
	c.create("body/1", 1000)
	two := c.create("body/2", 1000)
	c.read(c, "body/1", 0, -1)
	one := c.files()[0]
	c.read(c, "body/2", 0, -1)
	for _, path := range c.files() {
		if path != one {
			require.NoError(t, os.Rename(one, path))
		}
	}
	got, asked := c.read(c, "body/2", 0, -1)
	require.True(t, bytes.Equal(two, got))
	require.Equal(t, 1, asked)
}

// TestSize: what was not read for longest goes, and what is not the cache's stays.
func TestSize(t *testing.T) {
	const size = 1 << 20
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "abc"), 0o700))
	foreign := filepath.Join(dir, "abc", "somebody-1-2")
	write(t, foreign, make([]byte, size))
	left := filepath.Join(dir, ".new-123")
	write(t, left, []byte("of a dead process"))
	long := time.Now().Add(-2 * time.Hour)
	require.NoError(t, os.Chtimes(left, long, long))
	c := &counted{t: t, mem: memblob.New(), dir: dir}
	c.count = blobtest.NewCounting(c.mem, nil)
	c.Store = open(t, c.count, dir, cacheblob.Options{Size: size})
	for i := range 60 {
		name := fmt.Sprintf("body/%02d", i)
		c.create(name, 50_000)
		c.read(c, name, 0, -1)
		c.read(c, "body/00", 0, -1) // used all the time
		for _, path := range c.files() {
			// Time passes.
			info, err := os.Stat(path)
			if err == nil && path != left {
				then := info.ModTime().Add(-2 * time.Minute)
				os.Chtimes(path, then, then)
			}
		}
	}
	require.NoError(t, c.Close())
	total := int64(0)
	for _, path := range c.files() {
		info, err := os.Stat(path)
		require.NoError(t, err)
		if path != foreign {
			total += info.Size()
		}
	}
	require.LessOrEqual(t, total, int64(size+size/16+60_000))
	require.Greater(t, total, int64(size/2))
	_, asked := c.read(c, "body/00", 0, -1)
	require.Zero(t, asked, "it was used lately")
	_, asked = c.read(c, "body/01", 0, -1)
	require.Equal(t, 1, asked)
	require.FileExists(t, foreign)
	require.NoFileExists(t, left)
}

// TestFolderIsLost: the folder may go at any time, and come back.
func TestFolderIsLost(t *testing.T) {
	c := newCounted(t, cacheblob.Options{})
	data := c.create("body/1", 100_000)
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				os.RemoveAll(c.dir)
				os.MkdirAll(c.dir, 0o700)
			}
		}
	})
	for range 300 {
		got, _ := c.read(c, "body/1", 0, -1)
		require.True(t, bytes.Equal(data, got))
	}
	close(stop)
	work.Wait()
	c.read(c, "body/1", 0, -1)
	_, asked := c.read(c, "body/1", 0, -1)
	require.Zero(t, asked)
}

func TestOpenRefuses(t *testing.T) {
	mem, dir := memblob.New(), t.TempDir()
	for _, o := range []cacheblob.Options{{}, {Cacheable: everything, Size: -1}} {
		_, err := cacheblob.Open(mem, dir, o)
		assert.Error(t, err)
	}
	_, err := cacheblob.Open(nil, dir, cacheblob.Options{Cacheable: everything})
	assert.Error(t, err)
	file := filepath.Join(dir, "file")
	write(t, file, nil)
	_, err = cacheblob.Open(mem, file, cacheblob.Options{Cacheable: everything})
	assert.Error(t, err, "it is a file")
}
