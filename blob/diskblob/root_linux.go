package diskblob

import (
	"errors"
	"os"
	"syscall"
)

// Kinds of file systems whose numbers are not what they are elsewhere.
const (
	kindOverlay = 0x794c7630
	kindFUSE    = 0x65735546
	kindBtrfs   = 0x9123683e
	kindZFS     = 0x2fc12fc1
)

// volume is the file system that a folder is on.
type volume struct {
	kind int64
	id   syscall.Fsid
}

func volumeOf(path string) volume {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return volume{}
	}
	return volume{kind: int64(uint32(st.Type)), id: st.Fsid}
}

// same reports whether two IDs that differ are of one folder nevertheless. The
// inodes of overlay and FUSE are made up and may change; the devices of btrfs and
// ZFS are made up at each mount.
func (v volume) same(path string, was, is fileID) bool {
	switch v.kind {
	case kindOverlay, kindFUSE:
		return was.device == is.device
	case kindBtrfs, kindZFS:
		return was.inode == is.inode && volumeOf(path) == v
	}
	return false
}

// room returns how many bytes the file system has, or 0 if that is not known.
func room(path string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0
	}
	return int64(st.Blocks) * int64(st.Bsize)
}

// allocate gives a file n bytes of the disk, and fails with
// errors.ErrUnsupported where the file system cannot.
func allocate(f *os.File, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, n)
		switch err {
		case syscall.EINTR:
		case syscall.EOPNOTSUPP, syscall.ENOSYS:
			return errors.ErrUnsupported
		default:
			return err
		}
	}
}
