package diskblob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

// TestOrder holds the calls of each operation, and their order, to the letter.
func TestOrder(t *testing.T) {
	ctx := t.Context()
	d, root := newDisk(t)
	s := d.open(root)
	require.Equal(t, []string{"sync ..", "mkdir store", "sync ."}, d.took())

	require.NoError(t, s.Create(ctx, "a/b/one", strings.NewReader("x")))
	require.Equal(t, []string{
		"create temp", "mkdir store/.tmp", "create temp", "write temp", "fsync temp",
		"sync .", "mkdir store/a", "sync store", "mkdir store/a/b", "sync store/a",
		"link store/a/b/one", "unlink temp", "sync store/a/b",
	}, d.took(), "the first object in new folders")

	require.NoError(t, s.Create(ctx, "a/b/two", strings.NewReader("x")))
	require.Equal(t, []string{
		"create temp", "write temp", "fsync temp", "link store/a/b/two", "unlink temp", "sync store/a/b",
	}, d.took(), "the steady state")

	require.NoError(t, s.Create(ctx, "a/top", strings.NewReader("x")))
	require.Equal(t, []string{
		"create temp", "write temp", "fsync temp", "link store/a/top", "unlink temp", "sync store/a",
	}, d.took(), "a folder known as the parent of another")

	require.ErrorIs(t, s.Create(ctx, "a/b/two", strings.NewReader("y")), fs.ErrExist)
	require.Equal(t, []string{"sync store/a/b"}, d.took(), "a taken name")

	other := d.open(root)
	require.ErrorIs(t, other.Create(ctx, "a/b/two", strings.NewReader("y")), fs.ErrExist)
	require.Equal(t, []string{
		"sync .", "mkdir store/a", "sync store", "mkdir store/a/b", "sync store/a", "sync store/a/b",
	}, d.took(), "a name taken by another process")

	require.NoError(t, s.Delete(ctx, "a/b/two", "a/top", "a/b/one", "a/b/none", "q/none"))
	require.Equal(t, []string{
		"unlink store/a/b/two", "unlink store/a/top", "unlink store/a/b/one", "unlink store/a/b/none", "unlink store/q/none",
		"sync store/a/b", "sync store/a", "sync store/q",
	}, d.took(), "one sync for each folder, after all the names")

	require.Error(t, s.Create(ctx, "a/failing", io.MultiReader(strings.NewReader("x"), failing{})))
	require.Equal(t, []string{"create temp", "write temp", "unlink temp"}, d.took())
}

func TestNoSyncOrder(t *testing.T) {
	d, root := newDisk(t)
	s := newStore(root, Options{NoSync: true}, d)
	require.NoError(t, s.makeRoot())
	d.took()
	// The disk would complain about a name for bytes that were not synced, and an
	// empty object has none.
	require.NoError(t, s.Create(t.Context(), "a/one", strings.NewReader("")))
	require.ErrorIs(t, s.Create(t.Context(), "a/one", strings.NewReader("")), fs.ErrExist)
	require.NoError(t, s.Delete(t.Context(), "a/one"))
	require.Equal(t, []string{
		"create temp", "mkdir store/.tmp", "create temp", "mkdir store/a", "link store/a/one", "unlink temp", "unlink store/a/one",
	}, d.took())
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the reader broke") }

// TestPowerFailure: many handles race for names in folders that none has seen; no
// answer is given that a power failure at that moment would belie.
func TestPowerFailure(t *testing.T) {
	for round := range 3 {
		d, root := newDisk(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		wins := map[string]int{}
		for range 6 {
			s := d.open(root)
			wg.Go(func() {
				for i := range 40 {
					name := fmt.Sprintf("r%d/f%d/g%d/n%02d", round, i/20, i/5, i)
					err := s.Create(t.Context(), name, strings.NewReader(name))
					if err == nil {
						mu.Lock()
						wins[name]++
						mu.Unlock()
					} else if !assert.ErrorIs(t, err, fs.ErrExist) {
						return
					}
					assert.NoError(t, d.survives(filepath.Join(root, name)), "after %v", err)
				}
			})
		}
		wg.Wait()
		require.Len(t, wins, 40)
		for name, n := range wins {
			require.Equal(t, 1, n, name)
		}
		if t.Failed() {
			return
		}
	}
}

// TestPowerFailureBehindOthers: one process stops for ever at each of its steps;
// what another is told about the same name, and the same folders, is durable
// without it.
func TestPowerFailureBehindOthers(t *testing.T) {
	steps := 0
	for stop := 0; ; stop++ {
		d, root := newDisk(t)
		first := d.open(root)
		d.took()
		n := -1
		d.fail = func(op, path string) error {
			if n++; n >= stop {
				return syscall.EIO // and nothing after it works either
			}
			return nil
		}
		err := first.Create(t.Context(), "a/b/c/name", strings.NewReader("x"))
		d.fail = nil
		if err == nil {
			break
		}
		steps++
		second := d.open(root)
		for _, name := range []string{"a/b/c/name", "a/b/c/other", "a/b/another"} {
			err := second.Create(t.Context(), name, strings.NewReader("y"))
			if err != nil {
				require.ErrorIs(t, err, fs.ErrExist)
			}
			require.NoError(t, d.survives(filepath.Join(root, name)), "stopped at step %d, then %v", stop, err)
		}
	}
	require.Equal(t, 15, steps, "one step for each call")
}

// TestDeleteSurvives: what Delete acknowledged does not come back, also if it was
// another process that removed the name.
func TestDeleteSurvives(t *testing.T) {
	d, root := newDisk(t)
	first, second := d.open(root), d.open(root)
	require.NoError(t, first.Create(t.Context(), "a/x", strings.NewReader("x")))
	d.fail = func(op, path string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	}
	err := first.Delete(t.Context(), "a/x")
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorContains(t, err, "delete a/x: ")
	require.True(t, d.comesBack(filepath.Join(root, "a/x")))
	d.fail = nil
	require.NoError(t, second.Delete(t.Context(), "a/x"))
	require.False(t, d.comesBack(filepath.Join(root, "a/x")))
}

// TestLooksAtRoot counts the system calls that it costs to see that the folder of
// the store is still the same.
func TestLooksAtRoot(t *testing.T) {
	d, root := newDisk(t)
	s := d.open(root)
	for _, c := range []struct {
		method string
		calls  int32
		do     func() error
	}{
		{"Create", 2, func() error { return s.Create(t.Context(), "a/b", strings.NewReader("x")) }},
		{"Open", 1, func() error {
			r, err := s.Open(t.Context(), "a/b", 0, -1)
			return errors.Join(err, r.Close())
		}},
		{"Stat", 1, func() error { _, err := s.Stat(t.Context(), "a/b"); return err }},
		{"List", 2, func() error {
			for _, err := range s.List(t.Context(), "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"Delete", 2, func() error { return s.Delete(t.Context(), "a/b", "a/c", "d/e") }},
	} {
		d.identified.Store(0)
		require.NoError(t, c.do(), c.method)
		require.Equal(t, c.calls, d.identified.Load(), c.method)
	}
}

// TestFaults fails each call of a Create in turn. The error tells the object and
// the cause and no path of the machine, nothing is left in the way, and the name
// is free unless it was already given.
func TestFaults(t *testing.T) {
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT, syscall.EMFILE} {
		failed := map[string]bool{}
		for nth := 0; ; nth++ {
			d, root := newDisk(t)
			s := d.open(root)
			n, where := -1, ""
			d.fail = func(op, path string) error {
				if n++; n == nth {
					where = op + " " + filepath.ToSlash(path)
					return &os.PathError{Op: op, Path: filepath.Join(d.top, path), Err: cause}
				}
				return nil
			}
			err := s.Create(t.Context(), "a/b/name", strings.NewReader("x"))
			d.fail = nil
			if where == "" {
				require.NoError(t, err)
				break // fewer calls than that
			}
			failed[where] = true
			leftover := where == "unlink temp"
			if leftover {
				require.NoError(t, err, "the object is there, and the temporary name is swept later")
			} else {
				require.ErrorIs(t, err, cause, where)
				require.ErrorContains(t, err, "create a/b/name: ", where)
				require.NotContains(t, err.Error(), d.top, where)
				require.NotErrorIs(t, err, fs.ErrExist, where)
				unknown := where == "sync store/a/b" || where == "link store/a/b/name" && cause != syscall.ENOSPC && cause != syscall.EDQUOT
				require.Equal(t, !unknown, errors.Is(err, blob.ErrNotCreated), where)
			}
			left, _ := os.ReadDir(filepath.Join(root, tempFolder))
			require.Equal(t, leftover, len(left) > 0, where)
			s.sweep()
			left, _ = os.ReadDir(filepath.Join(root, tempFolder))
			require.Empty(t, left, where)

			err = s.Create(t.Context(), "a/b/name", strings.NewReader("y"))
			named := leftover || where == "sync store/a/b"
			require.Equal(t, named, errors.Is(err, fs.ErrExist), "%s: %v", where, err)
			if !named {
				require.NoError(t, err, where)
			}
			require.NoError(t, d.survives(filepath.Join(root, "a/b/name")), where)
		}
		require.Equal(t, map[string]bool{
			"create temp": true, "mkdir store/.tmp": true, "write temp": true, "fsync temp": true, "sync .": true,
			"mkdir store/a": true, "sync store": true, "mkdir store/a/b": true, "sync store/a": true,
			"link store/a/b/name": true, "unlink temp": true, "sync store/a/b": true,
		}, failed)
	}
}
