package diskblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// sweptCalls is a system on which every new temporary file is swept n times before
// it can be locked.
type sweptCalls struct {
	osCalls
	n int
}

func (c *sweptCalls) create(path string) (tempFile, error) {
	if c.n--; c.n >= 0 {
		return nil, errSwept
	}
	return c.osCalls.create(path)
}

func TestSweptBeforeLocked(t *testing.T) {
	s := newStore(t.TempDir(), Options{}, &sweptCalls{n: 3})
	require.NoError(t, s.makeRoot())
	require.NoError(t, s.Create(t.Context(), "a", strings.NewReader("x")))
	s = newStore(t.TempDir(), Options{}, &sweptCalls{n: 1000})
	require.NoError(t, s.makeRoot())
	err := s.Create(t.Context(), "a", strings.NewReader("x"))
	require.ErrorIs(t, err, errSwept)
	require.ErrorContains(t, err, "create a: temporary file: ")
}

// TestSweep: what decides is whether a process holds the file, not its age.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	live, err := s.newTemp()
	require.NoError(t, err)
	old := time.Now().AddDate(-1, 0, 0)
	require.NoError(t, os.Chtimes(live.path, old, old))
	dead := filepath.Join(dir, tempFolder, "dead")
	require.NoError(t, os.WriteFile(dead, []byte("half"), objectMode))

	_, err = Open(dir, nil)
	require.NoError(t, err)
	require.FileExists(t, live.path)
	require.NoFileExists(t, dead)

	live.remove(osCalls{})
	require.NoFileExists(t, live.path)
}

// TestSweepSparesObjects: a process killed between link and unlink leaves the
// temporary name of an object; the object stays when that goes.
func TestSweepSparesObjects(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), "a", strings.NewReader("data")))
	left := filepath.Join(dir, tempFolder, "left")
	require.NoError(t, os.Link(filepath.Join(dir, "a"), left))
	_, err = Open(dir, nil)
	require.NoError(t, err)
	require.NoFileExists(t, left)
	info, err := s.Stat(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, int64(4), info.Size)
}

func TestKnownFoldersAreBounded(t *testing.T) {
	f := folders{set: map[string]struct{}{}}
	for i := range 2 * maxKnown {
		f.add(fmt.Sprint(i))
		require.True(t, f.has(fmt.Sprint(i)))
	}
	require.Len(t, f.set, maxKnown)

	f.add("a")
	f.add("a/b")
	f.add("a/b/c")
	f.forget("a/b")
	require.False(t, f.has("a"))
	require.False(t, f.has("a/b"))
}

// TestPlaces: a call that waits for a place among those that wait for the disk
// obeys its context, and leaves nothing.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), "taken", strings.NewReader("x")))
	synctest.Test(t, func(t *testing.T) {
		s.commits = make(chan struct{}, maxCommits)
		for range maxCommits {
			require.NoError(t, s.acquire(t.Context()))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for _, name := range []string{"free", "taken"} {
			require.ErrorIs(t, s.Create(ctx, name, strings.NewReader("x")), context.DeadlineExceeded)
		}
		err := s.Delete(ctx, "taken")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for range maxCommits {
			s.release()
		}
	})
	left, err := os.ReadDir(filepath.Join(dir, tempFolder))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestPlacesComeFree: no outcome keeps its place, so after more calls than there
// are places another still gets one.
func TestPlacesComeFree(t *testing.T) {
	d, root := newDisk(t)
	s := d.open(root)
	d.fail = func(op, path string) error {
		if op == "link" || op == "sync" && path != "." {
			return errors.New("no")
		}
		return nil
	}
	for range maxCommits + 1 {
		require.Error(t, s.Create(t.Context(), "a/b", strings.NewReader("x")))
		require.Error(t, s.Delete(t.Context(), "c"))
	}
	require.Empty(t, s.commits)
	d.fail = nil
	require.NoError(t, s.Create(t.Context(), "a/b", strings.NewReader("x")))
}

// TestPanickingReader: a reader that panics leaves no temporary file, descriptor
// or lock.
func TestPanickingReader(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	require.Panics(t, func() { s.Create(t.Context(), "a", io.MultiReader(strings.NewReader("x"), nil)) })
	left, err := os.ReadDir(filepath.Join(dir, tempFolder))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, s.Create(t.Context(), "a", strings.NewReader("x")))
}

// TestSink: what a reader writes at once is cut, so that a cancelled Create ends
// soon, and what the file took is told.
func TestSink(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var sizes []int
	file := writerFunc(func(p []byte) (int, error) {
		if sizes = append(sizes, len(p)); len(sizes) == 2 {
			cancel()
		}
		return len(p), nil
	})
	s := &sink{ctx: ctx, f: file}
	n, err := s.Write(make([]byte, maxWrite+5))
	require.NoError(t, err)
	require.Equal(t, maxWrite+5, n)
	require.Equal(t, []int{maxWrite, 5}, sizes)
	n, err = s.Write([]byte("late"))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	require.NoError(t, s.err, "the file did not fail")

	full := errors.New("full")
	s = &sink{ctx: t.Context(), f: writerFunc(func(p []byte) (int, error) { return 3, full })}
	n, err = s.Write([]byte("bytes"))
	require.ErrorIs(t, err, full)
	require.Equal(t, 3, n)
	require.Equal(t, full, s.err)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
