package diskblob

import (
	"errors"
	"io"
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
type osCalls struct{}

func (osCalls) create(path string) (tempFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, objectMode)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

func (osCalls) link(from, to string) error   { return os.Link(from, to) }
func (osCalls) unlink(path string) error     { return unlink(path) }
func (osCalls) mkdir(path string) error      { return os.Mkdir(path, folderMode) }
func (osCalls) syncFolder(path string) error { return syncFolder(path) }
