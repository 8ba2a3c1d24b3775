package diskblob

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// system is what a store asks of the operating system to change the disk. Tests
// put their own in its place, to see the order of the calls and to fail them.
type system interface {
	// create makes a temporary file for writing, with objectMode, and locks it
	// so that removeStale leaves it alone until it is closed.
	create(path string) (tempFile, error)
	// link gives the file a second name; fs.ErrExist if that is taken.
	link(from, to string) error
	// unlink removes a file, never a folder.
	unlink(path string) error
	// mkdir makes one folder with folderMode.
	mkdir(path string) error
	// syncFolder makes the names in a folder durable.
	syncFolder(path string) error
	// identify returns which folder a path leads to.
	identify(path string) (fileID, error)
}

// tempFile is an *os.File.
type tempFile interface {
	io.Writer
	Sync() error
	Close() error
}

// errSwept says that another process took a new temporary file for one left
// behind, in the moment before it was locked.
var errSwept = errors.New("removed by another process")

// osCalls is the system that programs use.
type osCalls struct {
	give *ownership // nil: new files and folders stay as they are
}

func (c osCalls) create(path string) (tempFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, objectMode)
	if err != nil {
		return nil, err
	}
	if err = lock(f); err == nil && c.give != nil {
		err = errors.Join(f.Chown(c.give.uid, c.give.gid), f.Chmod(c.give.object))
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

func (c osCalls) mkdir(path string) error {
	err := os.Mkdir(path, folderMode)
	if c.give == nil || err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also one that is there already: its maker may have died before it came to
	// this. Chmod comes last, since a change of the owner may take bits away.
	return errors.Join(err, os.Chown(path, c.give.uid, c.give.gid), os.Chmod(path, c.give.folder))
}

func (osCalls) link(from, to string) error           { return os.Link(from, to) }
func (osCalls) unlink(path string) error             { return unlink(path) }
func (osCalls) syncFolder(path string) error         { return syncFolder(path) }
func (osCalls) identify(path string) (fileID, error) { return identify(path) }
