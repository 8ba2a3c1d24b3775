//go:build linux

package diskblob

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

// needRoot skips a test that only root can run, but in CI.
func needRoot(t *testing.T, err error) {
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "CI runs as root: %v", err)
		t.Skipf("a test for root, whom CI has: %v", err)
	}
}

// bind mounts a folder at another one.
func bind(t *testing.T, from, to string) (unmount func()) {
	needRoot(t, syscall.Mount(from, to, "", syscall.MS_BIND, ""))
	mounted := true
	unmount = func() {
		if mounted {
			require.NoError(t, syscall.Unmount(to, 0))
			mounted = false
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// every calls each method of a store, on an object that is there and on one that
// is not, and returns the errors by method.
func every(t *testing.T, s *Store) map[string]error {
	errs := map[string]error{}
	for _, name := range []string{"a/there", "a/missing"} {
		r, err := s.Open(t.Context(), name, 0, -1)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			require.NoError(t, r.Close())
		}
		errs["open "+name] = err
		_, errs["stat "+name] = s.Stat(t.Context(), name)
	}
	for _, prefix := range []string{"", "a/", "none/"} {
		var last error
		for _, err := range s.List(t.Context(), prefix, "") {
			last = err
		}
		errs["list "+prefix] = last
	}
	errs["create a/there"] = s.Create(t.Context(), "a/there", strings.NewReader("x"))
	errs["create new/one"] = s.Create(t.Context(), "new/one", strings.NewReader("x"))
	errs["create freeing"] = s.Create(blob.Freeing(t.Context()), "new/two", strings.NewReader("x"))
	errs["delete a/there"] = s.Delete(t.Context(), "a/there")
	errs["delete a/missing"] = s.Delete(t.Context(), "a/missing")
	return errs
}

// TestUnmounted: a store whose disk is unmounted fails in every method, and
// writes nothing below the mount point, whatever is there. When the disk is back
// the store goes on.
func TestUnmounted(t *testing.T) {
	for _, shadow := range []bool{false, true} {
		t.Run(fmt.Sprint(shadow), func(t *testing.T) {
			disk, point := t.TempDir(), t.TempDir()
			if shadow {
				below, err := Open(point, nil)
				require.NoError(t, err)
				require.NoError(t, below.Create(t.Context(), "a/there", strings.NewReader("another history")))
			}
			before := tree(t, point)
			unmount := bind(t, disk, point)
			s, err := Open(point, &Options{Reserve: 1 << 20})
			require.NoError(t, err)
			require.NoError(t, s.Create(t.Context(), "a/there", strings.NewReader("data")))
			require.NoError(t, s.Writable())

			unmount()
			for method, err := range every(t, s) {
				require.ErrorIs(t, err, errGone, method)
				require.NotErrorIs(t, err, fs.ErrNotExist, method)
				require.NotErrorIs(t, err, fs.ErrExist, method)
				if strings.HasPrefix(method, "create") {
					require.ErrorIs(t, err, blob.ErrNotCreated)
				}
			}
			require.ErrorIs(t, s.Writable(), errGone)
			require.Equal(t, before, tree(t, point))

			bind(t, disk, point)
			r, err := s.Open(t.Context(), "a/there", 0, -1)
			require.NoError(t, err)
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.Equal(t, "data", string(data))
			require.NoError(t, s.Create(t.Context(), "a/new", strings.NewReader("x")))
			require.NoError(t, s.Delete(t.Context(), "a/there"))
			require.NoError(t, s.Writable())
		})
	}
}

// tree returns the files and folders below dir.
func tree(t *testing.T, dir string) (paths []string) {
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	return paths
}

// TestUnmountedMeanwhile: the disk goes while an object is written.
func TestUnmountedMeanwhile(t *testing.T) {
	disk, point := t.TempDir(), t.TempDir()
	bind(t, disk, point)
	s, err := Open(point, nil)
	require.NoError(t, err)
	err = s.Create(t.Context(), "a/b", readerFunc(func([]byte) (int, error) {
		bind(t, t.TempDir(), point) // another one over it
		return 0, io.EOF
	}))
	require.ErrorIs(t, err, errGone)
	require.ErrorIs(t, err, blob.ErrNotCreated)
	require.Len(t, tree(t, point), 1)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// The users of the tests below.
const (
	serverUser  = 54321
	anotherUser = 54322
)

// as runs the test that calls it in a process of another user, who finds the
// folder in the environment.
func as(t *testing.T, user uint32, dir string) (string, error) {
	exe, err := os.Executable()
	require.NoError(t, err)
	// The test binary may lie where others may not look.
	binary := filepath.Join("/proc/self/fd/3")
	f, err := os.Open(exe)
	require.NoError(t, err)
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestOtherUser$", "-test.v")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Dir = "/"
	cmd.Env = []string{"DISKBLOB_TEST_STORE=" + dir, "TMPDIR=" + os.TempDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestOtherUser is the part of TestRootBeside that runs as another user.
func TestOtherUser(t *testing.T) {
	dir := os.Getenv("DISKBLOB_TEST_STORE")
	if dir == "" {
		t.Log("TestRootBeside runs this")
		return
	}
	s, err := Open(dir, nil)
	require.NoError(t, err)
	if err := s.Writable(); err != nil {
		require.ErrorContains(t, s.Create(t.Context(), "a/other", strings.NewReader("x")), "belongs to user")
		require.ErrorContains(t, s.Delete(t.Context(), "a/by-root"), "belongs to user")
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "a/by-root", 0, -1)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, s.Create(t.Context(), "a/by-server", strings.NewReader("x")))
	require.NoError(t, s.Create(t.Context(), "b/c/by-server", strings.NewReader("x")))
	require.NoError(t, s.Delete(t.Context(), "a/by-root"))
}

// TestRootBeside: what root writes into a store of another user is that user's,
// and a third user is refused before anything is written.
func TestRootBeside(t *testing.T) {
	if os.Geteuid() != 0 {
		needRoot(t, os.ErrPermission)
	}
	for _, mode := range []fs.FileMode{0o700, 0o750, 0o755, 0o770 | fs.ModeSetgid} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.Chown(dir, serverUser, serverUser))
			require.NoError(t, os.Chmod(dir, mode))
			for d := filepath.Dir(dir); d != "/"; d = filepath.Dir(d) {
				fi, err := os.Stat(d)
				require.NoError(t, err)
				if fi.Mode().Perm()&1 == 0 {
					require.NoError(t, os.Chmod(d, fi.Mode()|1))
				}
			}
			// A folder that root made before, and died before it gave it away.
			require.NoError(t, os.Mkdir(filepath.Join(dir, "b"), 0o700))
			s, err := Open(dir, &Options{Reserve: 4096})
			require.NoError(t, err)
			require.NoError(t, s.Create(t.Context(), "a/by-root", strings.NewReader("x")))
			require.NoError(t, s.Create(t.Context(), "b/c/d", strings.NewReader("x")))
			require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				require.NoError(t, err)
				fi, err := d.Info()
				require.NoError(t, err)
				st := fi.Sys().(*syscall.Stat_t)
				require.EqualValues(t, serverUser, st.Uid, path)
				require.EqualValues(t, serverUser, st.Gid, path)
				want := 0o400 | mode&0o040
				if fi.IsDir() {
					want = fs.ModeDir | 0o700 | mode&(0o070|fs.ModeSetgid)
				}
				if path != dir {
					require.Equal(t, want, fi.Mode(), path)
				}
				return nil
			}))
			before := tree(t, dir)
			out, err := as(t, anotherUser, dir)
			require.Error(t, err, out)
			if mode&1 == 0 {
				require.Contains(t, out, "permission denied")
			} else {
				require.Contains(t, out, "the store belongs to user 54321, who could not read what user 54322 writes; run this as that user, or as root")
			}
			require.Equal(t, before, tree(t, dir))
			out, err = as(t, serverUser, dir)
			require.NoError(t, err, out)
		})
	}
}

func TestOwns(t *testing.T) {
	for _, c := range []struct {
		user, owner, group int
		mode               fs.FileMode
		want               *ownership
		refused            bool
	}{
		{user: 5, owner: 5, group: 6, mode: 0o755},
		{user: 0, owner: 0, group: 6, mode: 0o750},
		{user: 0, owner: 5, group: 6, mode: 0o700, want: &ownership{5, 6, 0o700, 0o400}},
		{user: 0, owner: 5, group: 6, mode: 0o757, want: &ownership{5, 6, 0o750, 0o440}},
		{user: 7, owner: 5, group: 6, mode: 0o757, refused: true},
		{user: 7, owner: 0, group: 6, mode: 0o775 | fs.ModeSetgid, want: &ownership{-1, 6, 0o770 | fs.ModeSetgid, 0o440}},
		{user: 5, owner: 5, group: 6, mode: 0o770, want: &ownership{-1, 6, 0o770, 0o440}},
	} {
		got, err := owns(c.user, c.owner, c.group, c.mode)
		require.Equal(t, c.refused, err != nil, "%+v", c)
		require.Equal(t, c.want, got, "%+v", c)
	}
}

// TestReserve: on a disk without a free byte what frees space is written, and
// nothing else, until there is room again.
func TestReserve(t *testing.T) {
	dir := mountSmall(t)
	s, err := Open(dir, &Options{Reserve: 64 << 10})
	require.NoError(t, err)
	second, err := Open(dir, &Options{Reserve: 64 << 10})
	require.NoError(t, err)
	reserve := filepath.Join(dir, tempFolder, reserveFile)
	require.FileExists(t, reserve)
	require.NoError(t, s.Create(t.Context(), "body/big", io.LimitReader(endless{}, 300<<10)))
	fill(t, filepath.Join(dir, ".filler"))

	create := func(s *Store, name string) error {
		return s.Create(t.Context(), name, strings.NewReader("x"))
	}
	require.ErrorIs(t, create(s, "log/1"), syscall.ENOSPC)
	require.ErrorIs(t, s.Writable(), syscall.ENOSPC)
	freeing := blob.Freeing(t.Context())
	require.NoError(t, s.Create(freeing, "log/1", strings.NewReader("x")))
	require.NoFileExists(t, reserve)
	require.NoError(t, second.Create(freeing, "log/2", strings.NewReader("x")))
	for _, s := range []*Store{s, second} {
		err = create(s, "log/3")
		require.ErrorIs(t, err, syscall.ENOSPC, "the room is not for everybody")
		require.ErrorIs(t, err, blob.ErrNotCreated)
		require.ErrorContains(t, err, "kept back for changes that free space")
		require.ErrorIs(t, s.Writable(), syscall.ENOSPC)
	}
	entries, err := os.ReadDir(filepath.Join(dir, tempFolder))
	require.NoError(t, err)
	require.Empty(t, entries)

	require.NoError(t, s.Delete(t.Context(), "body/big"))
	require.NoError(t, create(second, "log/3"))
	require.FileExists(t, reserve)
	require.NoError(t, s.Writable())
	_, err = Open(dir, nil)
	require.NoError(t, err)
	require.FileExists(t, reserve, "it is not swept")
	for info := range s.List(t.Context(), "", "") {
		require.NotContains(t, info.Name, "reserve")
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())
}

// TestReserveReader: under Freeing a Create behaves as always.
func TestReserveReader(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	require.NoError(t, err)
	ctx := blob.Freeing(t.Context())
	require.ErrorIs(t, s.Create(ctx, "a", brokenReader{io.ErrNoProgress}), io.ErrNoProgress)
	require.NoError(t, s.Create(ctx, "a", io.LimitReader(endless{}, 3*maxFreeing)))
	info, err := s.Stat(ctx, "a")
	require.NoError(t, err)
	require.EqualValues(t, 3*maxFreeing, info.Size)
	require.ErrorIs(t, s.Create(ctx, "a", strings.NewReader("x")), fs.ErrExist)
}
