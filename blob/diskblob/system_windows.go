package diskblob

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// openFlags open an object for reading.
const openFlags = os.O_RDONLY

// lock has nothing to do: Windows removes no file that a process has open.
func lock(*os.File) error { return nil }

// removeStale removes a temporary file that no living process has open.
func removeStale(path string) { os.Remove(path) }

// unlink removes a file. os.Remove takes empty folders too, so those are told
// apart first.
func unlink(path string) error {
	fi, err := os.Lstat(path)
	if err == nil && fi.IsDir() {
		err = &os.PathError{Op: "unlink", Path: path, Err: os.ErrInvalid}
	}
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// identify sees no more than that there is a folder: Windows has no mount points
// that leave another folder in their place.
func identify(path string) (fileID, error) {
	_, err := os.Stat(path)
	return fileID{}, err
}

// ownershipOf has nothing to decide: a folder hands its access list down.
func ownershipOf(string) (*ownership, error) { return nil, nil }

// syncFolder has nothing to do: NTFS journals names, and folders cannot be
// synced.
func syncFolder(string) error { return nil }

// changedAt knows nothing: without an fsync of folders there is nothing to do
// about a young name.
func changedAt(fs.FileInfo) (time.Time, bool) { return time.Time{}, false }

// reserved reports a valid name that is none on Windows.
func reserved(name string) error {
	if _, err := filepath.Localize(name); err != nil {
		return fmt.Errorf("blob: name %q is reserved on Windows", name)
	}
	for seg := range strings.SplitSeq(name, "/") {
		if strings.HasSuffix(seg, ".") {
			return fmt.Errorf("blob: name %q: Windows drops the dot at the end of %q", name, seg)
		}
	}
	return nil
}
