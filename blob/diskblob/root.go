package diskblob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fileID tells one file of a machine from another.
type fileID struct{ device, inode uint64 }

// rootID is what a store remembers of its folder, to know it again.
type rootID struct {
	fileID
	kind volume
}

// errGone says that the path of the store leads nowhere, or to another folder than
// when the store was opened. A disk that is not mounted leaves the folder below it
// to be seen, which may even have objects in it, of an earlier mistake.
var errGone = errors.New("the folder of the store is gone or another one is in its place (is its disk mounted?)")

// attached returns an error if the folder of the store is not where it was when
// the store was opened. Every method asks this: a path is looked up anew by each
// system call. To hold a descriptor of the folder instead would mean to go on
// writing into a disk that was detached.
func (s *Store) attached() error {
	id, err := s.sys.identify(s.root)
	switch {
	case absent(err):
		return errGone
	case err != nil:
		return cause(err)
	case id != s.id.fileID && !s.id.kind.same(s.root, s.id.fileID, id):
		return errGone
	}
	return nil
}

// remember notes which folder is the store's, and who may write to it.
func (s *Store) remember() error {
	id, err := s.sys.identify(s.root)
	if err != nil {
		return cause(err)
	}
	s.id = rootID{fileID: id, kind: volumeOf(s.root)}
	return nil
}

// formatObject is in every store of letterlock.
const formatObject = "store/format"

// isStore refuses a folder that has files in it and is no store, say /etc. A store
// has a folder of temporary files, or, if it is a copy that was made without it,
// the object that every store of letterlock has. What begins with a dot does not
// count, nor what a new file system comes with, nor an empty folder: a power
// failure may leave those of a new store alone.
func isStore(root string) error {
	for _, name := range []string{tempFolder, filepath.FromSlash(formatObject)} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			return nil
		} else if !absent(err) {
			return cause(err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return cause(err)
	}
	for _, e := range entries {
		n := e.Name()
		if strings.HasPrefix(n, ".") || n == "lost+found" || e.IsDir() && isEmpty(filepath.Join(root, n)) {
			continue
		}
		return fmt.Errorf("the folder is neither empty nor a store: it has %q, and neither %s nor %s", n, tempFolder, formatObject)
	}
	return nil
}

// isEmpty reports whether there are only folders below a folder, if any.
func isEmpty(dir string) bool {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !e.IsDir() || !isEmpty(filepath.Join(dir, e.Name())) {
			return false
		}
	}
	return err == nil
}

// ownership is what new files and folders are given where that is not what the
// system gives them. A nil one is for the usual case: the process is the owner of
// the store's folder, and nobody else writes to it.
type ownership struct {
	uid, gid int // -1: as it is
	folder   fs.FileMode
	object   fs.FileMode
}

// owns decides how a process of a user makes files in a folder of an owner, so
// that whoever else uses the store can read them. It fails for one that cannot.
func owns(user, owner, group int, mode fs.FileMode) (*ownership, error) {
	shared := mode.Perm()&0o020 != 0 // its group writes to the store
	o := &ownership{
		uid: -1, gid: group,
		folder: folderMode | mode&(fs.ModeSetgid|0o070),
		object: objectMode | mode&0o040,
	}
	switch {
	case user == owner && !shared:
		return nil, nil
	case user == 0:
		o.uid = owner
	case user != owner && !shared:
		return nil, fmt.Errorf("the store belongs to user %d, who could not read what user %d writes; run this as that user, or as root", owner, user)
	}
	return o, nil
}

// Writable returns nil if objects can be created now, and otherwise why not: the
// file system is read-only or full, the folder belongs to another user, its disk
// is not mounted. It makes a temporary file and removes it, and syncs nothing.
func (s *Store) Writable() error {
	err := s.mayWrite()
	if err == nil {
		err = s.keepReserve()
	}
	if err == nil {
		err = s.tryWrite()
	}
	if err != nil {
		return fmt.Errorf("diskblob: %s cannot be written: %w", s.root, cause(err))
	}
	return nil
}

func (s *Store) tryWrite() error {
	t, err := s.newTemp()
	if err != nil {
		return err
	}
	defer t.remove(s.sys)
	_, err = t.f.Write([]byte{0}) // a full disk still has names
	return err
}

// mayWrite is what every method that changes the store begins with.
func (s *Store) mayWrite() error {
	if err := s.attached(); err != nil {
		return err
	}
	return s.foreign
}
