// Package diskblob is a blob.Store in a local folder that many processes may
// share.
//
// An object is a file: log/0001 of a store opened at /srv/mail is the file
// /srv/mail/log/0001, read-only and for its owner's eyes alone. Any tool that
// copies files backs a store up. Files whose names are no object names are
// ignored, and so is the folder .tmp, where objects grow before they get their
// names.
//
// # What is promised
//
// Everything in package blob, on a local file system of Linux that has hard
// links, flock and a folder fsync: ext4, xfs, btrfs, tmpfs. Exactly one Create
// of a name wins because link(2) gives a name once. What a method acknowledged
// outlives a power failure because it was forced to the disk before: first the
// bytes, then the name, then the names of folders that are new. A process that
// dies leaves at most a temporary file, and the next [Open] removes it.
//
// macOS is built for and works the same way. On Windows names of objects are as
// durable as NTFS makes them, which has no fsync of folders.
//
// A store whose folder is gone, or has another one in its place because its disk
// was unmounted, fails in every method until the same folder is back. A process of
// another user than the folder's owner may read and is refused what it would
// write; root gives what it makes to the owner. [Options.Reserve] keeps room for
// changes that free space.
//
// # What is not promised
//
// Network file systems: one machine's processes may share a folder, two machines
// may not. Interrupting system calls: a cancelled context is seen between them.
// Descriptors: each reader that [Store.Open] returned holds one until it is
// closed, and no limit is put on them here. A limit would have to make one caller
// wait for another, and a caller that holds one body open while it opens the
// next would wait for itself.
//
// Folders are never removed, not even empty ones: another process may know that
// its folder is durable and rely on it without asking again. Empty folders can be
// removed while no process uses the store.
//
// The file docs/stores.md tells the order of writes and why it is this one.
package diskblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Store)(nil)

const (
	tempFolder = ".tmp" // no object can have this name: segments do not begin with a dot
	folderMode = 0o700
	objectMode = 0o400 // set when the file is made, so it costs no call of its own

	bufferSize = 64 << 10 // bytes that one Create copies at a time
	maxWrite   = 1 << 20  // bytes between two looks at the context, if the reader has so many at once

	// maxCommits is how many calls of one Store may wait for the disk at once.
	// Each occupies a thread of the operating system, and Go gives up at 10,000
	// of them; no disk is faster with more than these. Only system calls run
	// while a place is held, nothing of the caller's, so places always come free.
	maxCommits = 64
)

// Options adjusts a Store. The zero value is right for mail.
type Options struct {
	// NoSync leaves out every fsync. Names still appear whole and once, and a
	// killed process loses nothing, but a power failure or a crash of the system
	// may lose any object created since the system last wrote its caches, may
	// leave it empty, and may bring back any that was deleted. It is for tests,
	// and for bulk loads that end with sync(1) before anything relies on them;
	// no process that syncs may use the store until then.
	NoSync bool

	// Reserve is how many bytes of the disk are kept back, in a file of the folder
	// .tmp, at most a twentieth of the file system. When the disk is full a Create
	// under [blob.Freeing], and a Delete, removes the file and goes on. Every other
	// Create fails like on a full disk until there is room for the file again. 0
	// keeps nothing back. All processes of a store should have the same.
	Reserve int64
}

// Store is a blob.Store in a folder. It is safe for concurrent use, by any
// number of stores and processes on the same folder. It holds no descriptor
// between calls, so there is nothing to close.
type Store struct {
	root    string // absolute
	id      rootID // of root
	noSync  bool
	sys     system
	foreign error // why this process must not write; nil if it may
	reserve *reserve
	known   folders
	settled *settled
	commits chan struct{} // a place is taken by sending
	buffers sync.Pool     // of *[bufferSize]byte
}

// Open returns the store in the folder dir, which is made if it is missing, for
// the owner alone. It refuses a folder that has other files in it and is no store.
// It removes what processes that died in the middle of a Create have left there,
// and nothing of those that live. A nil o means all defaults.
//
// A folder on a read-only file system can be opened and read, and so can one of
// another user whose files may be read: [Store.Writable] tells.
func Open(dir string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("diskblob: open %q: %w", dir, err)
	}
	s := newStore(root, *o, osCalls{})
	if err := s.makeRoot(); err != nil {
		return nil, fmt.Errorf("diskblob: open %q: %w", dir, err)
	}
	give, err := ownershipOf(root)
	s.sys, s.foreign = osCalls{give}, err
	s.sweep()
	if s.foreign == nil {
		s.keepReserve() // an error is one of each Create as well
	}
	return s, nil
}

func newStore(root string, o Options, sys system) *Store {
	return &Store{
		root:    root,
		noSync:  o.NoSync,
		reserve: &reserve{size: o.Reserve},
		sys:     sys,
		known:   folders{set: map[string]struct{}{}},
		settled: newSettled(),
		commits: make(chan struct{}, maxCommits),
		buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }},
	}
}

// Open implements blob.Store. The reader holds a file descriptor until it is
// closed. An object deleted while it is read yields all its bytes. An object of
// the last two minutes, whose durability this store has not seen to, costs an
// fsync of its folder.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, "open", name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("negative offset")}
	}
	f, err := os.OpenFile(s.path(name), openFlags, 0)
	if err != nil {
		return nil, s.lookupError("open", name, err)
	}
	if err := s.attached(); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		f.Close()
		if err == nil {
			err = fs.ErrNotExist // a folder of objects is no object
		}
		return nil, s.lookupError("open", name, err)
	}
	if err := s.settle(ctx, name, fi); err != nil {
		f.Close()
		return nil, err
	}
	if n < 0 {
		n = math.MaxInt64
	}
	return &body{f: f, r: io.NewSectionReader(f, off, n), name: name}, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := check(ctx, "stat", name); err != nil {
		return blob.Info{}, err
	}
	fi, err := os.Lstat(s.path(name))
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = s.attached()
	}
	if err != nil {
		return blob.Info{}, s.lookupError("stat", name, err)
	}
	return blob.Info{Name: name, Size: fi.Size()}, nil
}

// body reads a range of an object.
type body struct {
	f    *os.File
	r    *io.SectionReader
	name string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = &fs.PathError{Op: "read", Path: b.name, Err: cause(err)}
	}
	return n, err
}

func (b *body) Close() error {
	if err := b.f.Close(); err != nil {
		return &fs.PathError{Op: "close", Path: b.name, Err: cause(err)}
	}
	return nil
}

// path returns the file of a name that check has passed.
func (s *Store) path(name string) string {
	return filepath.Join(s.root, filepath.FromSlash(name))
}

// lookupError says why name was not found. A missing object is fs.ErrNotExist;
// a missing store, say a disk that is not mounted, must not look like one that
// is empty.
func (s *Store) lookupError(op, name string, err error) error {
	err = cause(err)
	if absent(err) {
		err = fs.ErrNotExist
		if lost := s.attached(); lost != nil {
			err = lost
		}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// absent reports whether err says that there is no such file, also because what
// would be its folder is an object, or because it is a symbolic link, which no
// store makes.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// check is what every method that takes a name begins with.
func check(ctx context.Context, op, name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func checkName(name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	return reserved(name)
}

// cause strips the path of a file from err: callers know objects.
func cause(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &le):
		return le.Err
	}
	return err
}

// failed returns the error of an op on an object that failed at one step.
func failed(op, name, step string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%s: %w", step, cause(err))}
}

// acquire takes a place among those that wait for the disk.
func (s *Store) acquire(ctx context.Context) error {
	select {
	case s.commits <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) release() {
	<-s.commits
}
