//go:build !windows

package diskblob

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// drive is a system that carries out all calls and keeps a journal of them, from
// which it makes what a power failure at any moment may leave: of each file the
// bytes that were synced and any part of the others; of each folder the names
// that were there when it was last synced, and any of the changes since.
type drive struct {
	top     string
	skip    string // the method whose fsyncs do nothing
	skipped int
	journal []written
	claims  []claim
	inodes  int
	at      map[string]int // path: inode, of what is there now
	died    bool           // no more call works
	steps   int            // calls until that, if not 0
}

// written is one change of the disk, or an fsync.
type written struct {
	op    string // mkdir, link, unlink, write, sync (of a file), folder (its sync)
	path  string // below top; of write and sync only for the reader
	inode int
	data  []byte
}

// claim is what a caller was told, after so many changes of the disk.
type claim struct {
	after int
	name  string
	data  string // "" if it was told that there is no such object
}

var errPowerless = errors.New("the process is dead")

// syncSites are the methods of Store that sync, each for a reason of its own.
var syncSites = []string{"commit: file", "commit", "makeFolder", "makeFolder: root", "makeMissing", "taken", "syncDeleted", "settle"}

// site names the method that syncs, by the stack.
func site(file bool, path, top string) string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		_, method, ok := strings.Cut(f.Function, "diskblob.(*Store).")
		if ok && method != "syncFolder" && method != "syncPath" && method != "syncOthers" {
			switch {
			case file:
				return method + ": file"
			case method == "makeFolder" && !strings.HasPrefix(path, "a/b/store"):
				return method + ": root"
			}
			return method
		}
		if !more {
			return "?"
		}
	}
}

// change carries out a call and writes it down.
func (d *drive) change(w written, do func() error) error {
	if d.steps > 0 {
		if d.steps--; d.steps == 0 {
			d.died = true
		}
	}
	if d.died {
		return errPowerless
	}
	if err := do(); err != nil {
		return err
	}
	d.journal = append(d.journal, w)
	return nil
}

func (d *drive) rel(path string) string {
	rel, err := filepath.Rel(d.top, path)
	if err != nil {
		panic(err)
	}
	return filepath.ToSlash(rel)
}

func (d *drive) create(path string) (tempFile, error) {
	var f tempFile
	d.inodes++
	inode := d.inodes
	err := d.change(written{op: "link", path: d.rel(path), inode: inode}, func() (err error) {
		f, err = osCalls{}.create(path)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.at[path] = inode
	return &driveFile{f, d, inode}, nil
}

func (d *drive) identify(path string) (fileID, error) {
	if d.died {
		return fileID{}, errPowerless
	}
	return osCalls{}.identify(path)
}

func (d *drive) link(from, to string) error {
	err := d.change(written{op: "link", path: d.rel(to), inode: d.at[from]}, func() error { return osCalls{}.link(from, to) })
	if err == nil {
		d.at[to] = d.at[from]
	}
	return err
}

func (d *drive) unlink(path string) error {
	err := d.change(written{op: "unlink", path: d.rel(path)}, func() error { return osCalls{}.unlink(path) })
	if err == nil {
		delete(d.at, path)
	}
	return err
}

func (d *drive) mkdir(path string) error {
	return d.change(written{op: "mkdir", path: d.rel(path)}, func() error { return osCalls{}.mkdir(path) })
}

func (d *drive) syncFolder(path string) error {
	if d.skip == site(false, d.rel(path), d.top) {
		d.skipped++
		return nil
	}
	return d.change(written{op: "folder", path: d.rel(path)}, func() error {
		_, err := os.Stat(path) // the real disk need not be waited for
		return err
	})
}

type driveFile struct {
	tempFile
	d     *drive
	inode int
}

func (f *driveFile) Write(p []byte) (n int, err error) {
	err = f.d.change(written{op: "write", inode: f.inode, data: bytes.Clone(p)}, func() error {
		n, err = f.tempFile.Write(p)
		return err
	})
	return n, err
}

func (f *driveFile) Sync() error {
	if f.d.skip == site(true, "", f.d.top) {
		f.d.skipped++
		return nil
	}
	return f.d.change(written{op: "sync", inode: f.inode}, func() error { return nil })
}

// image is what is on the disk after a failure.
type image struct {
	folders map[string]bool
	files   map[string][]byte
}

// left returns what a failure after so many changes may leave. keep decides for
// each change that was not synced whether it is on the disk.
func (d *drive) left(after int, keep func() bool) image {
	bytesOf := map[int][]byte{}   // inode: bytes on the disk
	cached := map[int][]byte{}    // and those that are not
	entries := map[string]int{}   // name on the disk: inode, or -1 for a folder
	pending := map[string][]int{} // folder: changes since it was synced, as places in the journal
	apply := func(w written) {
		switch w.op {
		case "unlink":
			delete(entries, w.path)
		case "mkdir":
			entries[w.path] = -1
		case "link":
			entries[w.path] = w.inode
		}
	}
	for i, w := range d.journal[:after] {
		switch w.op {
		case "write":
			cached[w.inode] = append(cached[w.inode], w.data...)
		case "sync":
			bytesOf[w.inode] = append(bytesOf[w.inode], cached[w.inode]...)
			delete(cached, w.inode)
		case "folder":
			for _, j := range pending[w.path] {
				apply(d.journal[j])
			}
			delete(pending, w.path)
		default:
			dir := filepath.ToSlash(filepath.Dir(w.path))
			pending[dir] = append(pending[dir], i)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(pending)) {
		for _, j := range pending[dir] {
			if keep() {
				apply(d.journal[j])
			}
		}
	}
	for _, inode := range slices.Sorted(maps.Keys(cached)) {
		if keep() {
			more := cached[inode]
			bytesOf[inode] = append(bytesOf[inode], more[:(len(more)+1)/2]...)
		}
	}
	img := image{map[string]bool{".": true}, map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(entries)) { // folders before what is in them
		if dir := filepath.ToSlash(filepath.Dir(name)); !img.folders[dir] {
			continue // what it stands in is lost, and it with that
		}
		if inode := entries[name]; inode < 0 {
			img.folders[name] = true
		} else {
			img.files[name] = bytesOf[inode]
		}
	}
	return img
}

// belied returns the first claim that an image makes a lie.
func (d *drive) belied(after int, img image, wrote map[string][]string) error {
	const root = "a/b/store/"
	told := map[string]string{} // by name, the last claim
	for _, c := range d.claims {
		if c.after <= after {
			told[c.name] = c.data
		}
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		got, there := img.files[root+name]
		switch want := told[name]; {
		case want != "" && want != "?" && (!there || string(got) != want):
			return fmt.Errorf("%s was acknowledged and is lost", name)
		case want == "" && there:
			return fmt.Errorf("%s was deleted and is back", name)
		}
	}
	for file, data := range img.files {
		name := strings.TrimPrefix(file, root)
		if !strings.HasPrefix(name, tempFolder+"/") && !slices.Contains(wrote[name], string(data)) {
			return fmt.Errorf("%s holds %d bytes that nobody wrote", name, len(data))
		}
	}
	return nil
}

// handle is one process's store, which notes what it is told.
type handle struct {
	t     *testing.T
	d     *drive
	s     *Store
	wrote map[string][]string
}

func (h *handle) claim(name, data string) {
	h.d.claims = append(h.d.claims, claim{len(h.d.journal), name, data})
}

func (h *handle) create(name, data string) {
	h.wrote[name] = append(h.wrote[name], data)
	switch err := h.s.Create(h.t.Context(), name, strings.NewReader(data)); {
	case err == nil:
		h.claim(name, data)
	case errors.Is(err, fs.ErrExist):
		b, err := os.ReadFile(h.s.path(name))
		require.NoError(h.t, err)
		h.claim(name, string(b))
	default:
		require.True(h.t, h.d.died, "%v", err)
	}
}

func (h *handle) remove(name string) {
	h.claim(name, "?") // on its way: it may be there or not
	if h.s.Delete(h.t.Context(), name) == nil {
		h.claim(name, "")
	}
}

func (h *handle) read(name string) {
	r, err := h.s.Open(h.t.Context(), name, 0, -1)
	if err != nil {
		return
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(h.t, err)
	h.claim(name, string(data))
}

// live lets processes use a store, one of which dies after so many calls.
func live(t *testing.T, skip string, dies int) (d *drive, wrote map[string][]string, died bool) {
	d = &drive{top: t.TempDir(), skip: skip, at: map[string]int{}}
	wrote = map[string][]string{}
	root := filepath.Join(d.top, "a", "b", "store")
	open := func(s system) *handle {
		store := newStore(root, Options{}, s)
		if err := store.makeRoot(); err != nil {
			require.ErrorIs(t, err, errPowerless)
		}
		return &handle{t, d, store, wrote}
	}
	// The first process makes the store and dies in the middle of its work.
	d.steps = dies
	first := open(d)
	first.create("name/x", "the first's")
	first.create("log/1", "first")
	first.create("log/2", "second")
	first.remove("log/1")
	died = d.died
	d.steps, d.died = 0, false
	// Others go on from what they find.
	second, third := open(d), open(d)
	second.create("name/x", "the second's")
	third.read("log/2")
	second.remove("log/1")
	second.create("log/2", "another")
	second.create("log/3", "third")
	third.create("log/3", "third, too late")
	third.create("acct/7/body/x", strings.Repeat("long ", 30_000))
	third.read("acct/7/body/x")
	second.remove("acct/7/body/x")
	third.create("log/4", "fourth")
	return d, wrote, died
}

// losses counts the images of failures that belie what was told, over all moments
// and, for each, the image with nothing, with everything, and with some of what
// was not synced.
func losses(t *testing.T, skip string) (images, skipped int, first error) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for dies := 1; ; dies++ {
		d, wrote, died := live(t, skip, dies)
		skipped += d.skipped
		for after := 0; after <= len(d.journal); after++ {
			keeps := []func() bool{func() bool { return false }, func() bool { return true }}
			for range 4 {
				keeps = append(keeps, func() bool { return rnd.IntN(2) == 0 })
			}
			for _, keep := range keeps {
				images++
				if err := d.belied(after, d.left(after, keep), wrote); err != nil {
					return images, skipped, fmt.Errorf("the first process dies at its call %d, the power goes after change %d: %w", dies, after, err)
				}
			}
		}
		if !died { // it has no more calls to die at
			return images, skipped, nil
		}
	}
}

// TestPowerLoss: no power failure, at any moment, belies what anybody was told;
// and each fsync is needed: without it one does.
func TestPowerLoss(t *testing.T) {
	images, _, err := losses(t, "none")
	require.NoError(t, err)
	t.Logf("%d images of failures, none of which belies what was told", images)
	for _, skip := range syncSites {
		images, skipped, err := losses(t, skip)
		require.Positive(t, skipped, "%s does not sync", skip)
		require.Error(t, err, "without the fsync of %s nothing is lost in %d images: is it needed?", skip, images)
		t.Logf("without the fsync of %s: %v", skip, err)
	}
}

// TestPowerLossOpens materialises what failures leave, and opens it: the next
// process finds what was told by the ways of the store, and goes on.
func TestPowerLossOpens(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, dies := range []int{0, 7, 12, 16, 19} {
		d, wrote, _ := live(t, "none", dies)
		for after := 8; after <= len(d.journal); after += 5 {
			img := d.left(after, func() bool { return rnd.IntN(2) == 0 })
			dir := t.TempDir()
			for _, name := range slices.Sorted(maps.Keys(img.folders)) {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
			}
			for name, data := range img.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, objectMode))
			}
			s, err := Open(filepath.Join(dir, "a", "b", "store"), &Options{NoSync: true})
			require.NoError(t, err)
			found := image{files: map[string][]byte{}}
			for info, err := range s.List(t.Context(), "", "") {
				require.NoError(t, err)
				r, err := s.Open(t.Context(), info.Name, 0, -1)
				require.NoError(t, err)
				data, err := io.ReadAll(r)
				require.NoError(t, err)
				require.NoError(t, r.Close())
				found.files["a/b/store/"+info.Name] = data
			}
			require.NoError(t, d.belied(after, found, wrote))
			left, err := os.ReadDir(filepath.Join(dir, "a/b/store", tempFolder))
			if !errors.Is(err, syscall.ENOENT) {
				require.NoError(t, err)
				require.Empty(t, left, "what the dead left is swept")
			}
			err = s.Create(t.Context(), "log/5", strings.NewReader("goes on"))
			require.NoError(t, err)
		}
	}
}
