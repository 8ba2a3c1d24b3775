//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package diskblob

import (
	"errors"
	"os"
	"syscall"
)

// openFlags open an object for reading. What else may stand in the folder must
// not lead elsewhere, as a symbolic link, or block, as a named pipe.
const openFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// lock takes f, a new file, for this process. The lock goes with the descriptor,
// so it ends with the process however that dies.
func lock(f *os.File) error {
	switch err := flock(f); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return errSwept // removeStale of another process has it
	case err != nil:
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	// removeStale may have come and gone before the lock was taken. From here on
	// it cannot.
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return errSwept
	}
	return nil
}

// removeStale removes a temporary file that no living process has locked.
func removeStale(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if flock(f) == nil {
		os.Remove(path)
	}
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			return err
		}
	}
}

// unlink is not os.Remove, which removes empty folders too.
func unlink(path string) error {
	for {
		err := syscall.Unlink(path)
		switch err {
		case nil:
			return nil
		case syscall.EINTR:
		default:
			return &os.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
}

// identify follows symbolic links: the path of a store may be one.
func identify(path string) (fileID, error) {
	var st syscall.Stat_t
	for {
		switch err := syscall.Stat(path, &st); err {
		case nil:
			return fileID{device: uint64(st.Dev), inode: uint64(st.Ino)}, nil
		case syscall.EINTR:
		default:
			return fileID{}, &os.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}

// ownershipOf decides how this process makes files in a folder.
func ownershipOf(root string) (*ownership, error) {
	fi, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, nil
	}
	return owns(os.Geteuid(), int(st.Uid), int(st.Gid), fi.Mode())
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// reserved reports why the file system cannot hold a valid name; it can.
func reserved(string) error { return nil }
