package diskblob

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// disk is a system that carries out all calls, one at a time, and knows after
// each what a power failure would leave: bytes that were not synced are lost, and
// so are names whose folder was not synced since.
type disk struct {
	t    *testing.T
	top  string // durable from the start; the store's root is below it
	fail func(op, path string) error

	identified atomic.Int32 // calls of identify

	mu      sync.Mutex // guards the fields below, and makes the calls one at a time
	trace   []string
	names   map[string]*contents // all names there are; nil for a folder
	durable map[string]bool      // those that a power failure leaves
}

// contents is what is behind the names of one file.
type contents struct{ synced bool }

// newDisk returns a disk and the root of a store on it, which is not made yet.
func newDisk(t *testing.T) (d *disk, root string) {
	top := t.TempDir()
	return &disk{t: t, top: top, names: map[string]*contents{}, durable: map[string]bool{}}, filepath.Join(top, "store")
}

// open returns a handle of the store, as another process would have it.
func (d *disk) open(root string) *Store {
	d.t.Helper()
	s := newStore(root, Options{}, d)
	require.NoError(d.t, s.makeRoot())
	return s
}

// call carries out one call and notes it, and fails it where that is asked for.
func (d *disk) call(op, path string, do func() error) error {
	runtime.Gosched() // let others in between
	rel, err := filepath.Rel(d.top, path)
	if err != nil {
		return err
	}
	if strings.Contains(rel, tempFolder+"/") {
		rel = "temp"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace = append(d.trace, op+" "+filepath.ToSlash(rel))
	if d.fail != nil {
		if err := d.fail(op, rel); err != nil {
			return err
		}
	}
	return do()
}

func (d *disk) create(path string) (tempFile, error) {
	var f tempFile
	c := &contents{synced: true} // as long as it is empty
	err := d.call("create", path, func() (err error) {
		if f, err = (osCalls{}).create(path); err == nil {
			d.names[path] = c
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{tempFile: f, d: d, path: path, c: c}, nil
}

func (d *disk) identify(path string) (fileID, error) {
	d.identified.Add(1)
	return osCalls{}.identify(path)
}

func (d *disk) link(from, to string) error {
	return d.call("link", to, func() error {
		assert.True(d.t, d.names[from].synced, "a name for bytes that are not synced")
		err := osCalls{}.link(from, to)
		if err == nil {
			assert.NotContains(d.t, d.names, to)
			d.names[to] = d.names[from]
			d.durable[to] = false
		}
		return err
	})
}

func (d *disk) unlink(path string) error {
	return d.call("unlink", path, func() error {
		err := osCalls{}.unlink(path)
		if err == nil {
			delete(d.names, path) // durable still: it may come back
		}
		return err
	})
}

func (d *disk) mkdir(path string) error {
	return d.call("mkdir", path, func() error {
		err := osCalls{}.mkdir(path)
		if err == nil {
			d.names[path] = nil
		}
		return err
	})
}

func (d *disk) syncFolder(path string) error {
	return d.call("sync", path, func() error {
		if err := (osCalls{}).syncFolder(path); err != nil {
			return err
		}
		for name := range d.durable {
			if _, ok := d.names[name]; !ok && filepath.Dir(name) == path {
				delete(d.durable, name)
			}
		}
		for name := range d.names {
			if filepath.Dir(name) == path {
				d.durable[name] = true
			}
		}
		return nil
	})
}

// survives reports why a power failure at this moment would lose a name.
func (d *disk) survives(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[path] == nil || !d.names[path].synced {
		return fmt.Errorf("%s: no file with synced bytes", path)
	}
	for p := path; p != d.top; p = filepath.Dir(p) {
		if !d.durable[p] {
			return fmt.Errorf("%s: its folder was not synced", p)
		}
	}
	return nil
}

// comesBack reports whether a power failure at this moment could leave a name.
func (d *disk) comesBack(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable[path]
}

// took returns the trace since it was last called.
func (d *disk) took() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	trace := d.trace
	d.trace = nil
	return trace
}

// diskFile is a temporary file on a disk.
type diskFile struct {
	tempFile
	d    *disk
	path string
	c    *contents
}

func (f *diskFile) Write(p []byte) (n int, err error) {
	err = f.d.call("write", f.path, func() error {
		f.c.synced = false
		n, err = f.tempFile.Write(p)
		return err
	})
	return n, err
}

func (f *diskFile) Sync() error {
	return f.d.call("fsync", f.path, func() error {
		err := f.tempFile.Sync()
		f.c.synced = err == nil
		return err
	})
}
