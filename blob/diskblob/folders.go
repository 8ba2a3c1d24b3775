package diskblob

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"
)

// maxKnown bounds the folders that a store remembers, at about 100 bytes each.
// A folder that was forgotten costs one fsync more when it is next used.
const maxKnown = 16384

// folders is the set of folders that this store knows to be durable: each was
// seen to exist, and after that its parent was synced, and so on up to the folder
// of the store. That another process made a folder says nothing, it may not have
// synced the parent yet; so every store syncs the parent of each folder once.
type folders struct {
	mu  sync.Mutex // guards set
	set map[string]struct{}
}

func (f *folders) has(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.set[dir]
	return ok
}

func (f *folders) add(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.set) >= maxKnown {
		for any := range f.set {
			delete(f.set, any)
			break
		}
	}
	f.set[dir] = struct{}{}
}

// forget drops dir and all it stands in.
func (f *folders) forget(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; dir != "."; dir = path.Dir(dir) {
		delete(f.set, dir)
	}
	delete(f.set, ".")
}

// makeFolder makes dir, the slash-separated path of a folder below the root or
// "." for the root, and sees to it that its name is durable. Folders are made
// from the top down, each inside one that is durable already.
func (s *Store) makeFolder(dir string) error {
	if s.known.has(dir) {
		return nil
	}
	if dir == "." {
		// The root was there when the store was opened, but perhaps it was another
		// process that made it, a moment before.
		if err := s.syncOthers(filepath.Dir(s.root)); err != nil {
			return err
		}
		s.known.add(dir)
		return nil
	}
	parent := path.Dir(dir)
	if err := s.makeFolder(parent); err != nil {
		return err
	}
	if err := s.sys.mkdir(s.path(dir)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.syncFolder(parent); err != nil {
		return err
	}
	s.known.add(dir)
	return nil
}

// makeRoot makes the folder of the store and what it stands in, if it is missing,
// and refuses one that is no store's.
func (s *Store) makeRoot() error {
	fi, err := os.Stat(s.root)
	switch {
	case err == nil && !fi.IsDir():
		return errors.New("not a folder")
	case err == nil:
		err = isStore(s.root)
	case errors.Is(err, fs.ErrNotExist):
		err = s.makeMissing()
	}
	if err != nil {
		return cause(err)
	}
	return s.remember()
}

// makeMissing makes the folder of the store, which is missing, and what it stands
// in.
func (s *Store) makeMissing() error {
	var missing []string
	p := s.root
	for ; p != filepath.Dir(p); p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil {
			break
		}
		missing = append(missing, p)
	}
	// The last that is there may have been made by a process that died before it
	// synced; those above it were synced before it was made.
	if err := s.syncOthers(filepath.Dir(p)); err != nil {
		return err
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := s.sys.mkdir(missing[i]); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.syncOthers(filepath.Dir(missing[i])); err != nil {
			return err
		}
	}
	return nil
}

// syncOthers makes the names in a folder above the store durable. Where it may
// not be read it is not ours to care for.
func (s *Store) syncOthers(p string) error {
	if err := s.syncPath(p); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// syncFolder makes the names in dir, a folder below the root or ".", durable.
func (s *Store) syncFolder(dir string) error {
	at := time.Now()
	err := s.syncPath(s.path(dir))
	if err == nil {
		s.settled.folder(dir, at)
	}
	return err
}

func (s *Store) syncPath(p string) error {
	if s.noSync {
		return nil
	}
	return s.sys.syncFolder(p)
}

// sweep removes the temporary files of processes that are no more. Those of
// living processes are locked. What cannot be removed stays: it does no harm,
// and a store that may only be read must open.
func (s *Store) sweep() {
	dir := filepath.Join(s.root, tempFolder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != reserveFile {
			removeStale(filepath.Join(dir, e.Name()))
		}
	}
}
