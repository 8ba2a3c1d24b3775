package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// look refuses a folder that is no store and must not become one, and one in which a
// store is to be made and that cannot be written. missing says that there is no store
// yet.
func (f *Flags) look(mode Mode) (missing bool, err error) {
	info, err := os.Stat(f.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, f.mayMake(mode)
	case err != nil:
		return false, fmt.Errorf("store: %w", err)
	case !info.IsDir():
		return false, fmt.Errorf("store %s is not a folder", f.dir)
	}
	_, err = os.Stat(filepath.Join(f.dir, filepath.FromSlash(FormatObject)))
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("store: %w", err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	for _, e := range entries {
		// What another process that begins at this moment has made, and what a
		// new file system comes with.
		if n := e.Name(); !strings.HasPrefix(n, ".") && n != "store" && n != "lost+found" {
			if !mode.creates() {
				return true, fmt.Errorf("there is no store in %s: the folder is not empty, but %s is missing", f.dir, FormatObject)
			}
			return true, fmt.Errorf("folder %s is neither empty nor a store: -store names an empty or new folder, or a store", f.dir)
		}
	}
	return true, f.mayMake(mode)
}

// mayMake returns nil if a store may be made in the folder, and can be.
func (f *Flags) mayMake(mode Mode) error {
	if !mode.creates() {
		return f.noStore()
	}
	if err := f.unmounted(); err != nil {
		return err
	}
	return writable(f.dir)
}

// unmounted refuses to make a store whose server key is there already: its disk is
// not mounted, or it was moved, and in an empty one nobody would have an account,
// so that all mail would be sent back.
func (f *Flags) unmounted() error {
	// Another process that makes this store has its key a moment before the rest.
	for range 20 {
		if _, err := os.Stat(f.serverKey); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if _, err := os.Stat(filepath.Join(f.dir, filepath.FromSlash(FormatObject))); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("there is no store in %s, but its server key %s is there: is a disk not mounted? For a new store remove the key", f.dir, f.serverKey)
}

// writable makes the folder, and a file in it, which goes again.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return fmt.Errorf("make store folder: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*") // objects' names never begin with a dot
	if err != nil {
		return fmt.Errorf("store folder %s is not writable: %w", dir, cause(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
