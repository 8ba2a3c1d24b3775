package diskblob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/letterlock/letterlock/blob"
)

const (
	reserveFile  = "reserve" // in the folder of temporary files
	reserveShare = 20        // the reserve takes at most this part of the file system

	maxFreeing = 1 << 20 // bytes of an object that may use the reserve
)

// reserve is a file whose only purpose is to be removed when the disk is full, so
// that changes that free space can be written. All processes of a store share it.
type reserve struct {
	size int64      // bytes; 0 keeps none
	mu   sync.Mutex // held by the one who makes the file
}

// keepReserve sees to it that there is the file, and fails if it cannot be made.
func (s *Store) keepReserve() error {
	if s.reserve.size == 0 {
		return nil
	}
	path := filepath.Join(s.root, tempFolder, reserveFile)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	s.reserve.mu.Lock()
	defer s.reserve.mu.Unlock()
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	size := s.reserve.size
	if most := room(s.root); most > 0 {
		size = min(size, most/reserveShare)
	}
	t, err := s.newTemp()
	if err != nil {
		return err
	}
	defer t.remove(s.sys)
	if f, ok := t.f.(*os.File); ok {
		err = allocate(f, size)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		// Random bytes: some file systems keep nothing of those that repeat.
		if _, err = io.CopyN(t.f, rand.Reader, size); err == nil {
			err = t.f.Sync()
		}
	}
	if err == nil {
		err = os.Rename(t.path, path)
	}
	if full(err) {
		return fmt.Errorf("%d bytes are kept back for changes that free space: %w", size, cause(err))
	}
	return err
}

// releaseReserve removes the file, and reports whether it did.
func (s *Store) releaseReserve() bool {
	return os.Remove(filepath.Join(s.root, tempFolder, reserveFile)) == nil
}

// createFreeing is Create for a change that frees space. What is created is kept
// in memory so that it can be tried again: when the disk turns out to be full it
// may be half written.
func (s *Store) createFreeing(ctx context.Context, name string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(source{ctx, r}, maxFreeing+1))
	if err != nil {
		return unnamed{&fs.PathError{Op: "create", Path: name, Err: err}}
	}
	if len(data) > maxFreeing {
		return s.create(ctx, name, io.MultiReader(bytes.NewReader(data), r))
	}
	err = s.create(ctx, name, bytes.NewReader(data))
	if full(err) && errors.Is(err, blob.ErrNotCreated) && s.releaseReserve() {
		return s.create(ctx, name, bytes.NewReader(data))
	}
	return err
}

// full reports whether err says that the disk is full, or what the user may have
// of it.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
