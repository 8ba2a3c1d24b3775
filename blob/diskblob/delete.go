package diskblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// Delete implements blob.Store. It costs one fsync for each folder that any of
// the names is in, also for names that were missing: whoever removed them may
// not have synced. The folders stay.
func (s *Store) Delete(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	if err := s.mayWrite(); err != nil {
		return &fs.PathError{Op: "delete", Path: names[0], Err: err}
	}
	errs := s.unlinkAll(ctx, names)
	// What was missing may have been so because the folder is another one by now.
	if err := s.attached(); err != nil {
		errs = append(errs, &fs.PathError{Op: "delete", Path: names[0], Err: err})
	}
	return errors.Join(errs...)
}

func (s *Store) unlinkAll(ctx context.Context, names []string) (errs []error) {
	var dirs []string
	first := map[string]string{} // folder: a name in it, for the error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return append(errs, &fs.PathError{Op: "delete", Path: name, Err: err})
		}
		if err := checkName(name); err != nil {
			errs = append(errs, fmt.Errorf("delete: %w", err))
			continue
		}
		if err := s.unlink(name); err != nil {
			errs = append(errs, err)
			continue
		}
		dir := path.Dir(name)
		if _, ok := first[dir]; !ok {
			first[dir] = name
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := s.syncDeleted(ctx, dir, first[dir]); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// unlink removes the file of an object, if there is one.
func (s *Store) unlink(name string) error {
	p := s.path(name)
	err := s.sys.unlink(p)
	if full(err) && s.releaseReserve() {
		err = s.sys.unlink(p) // some file systems need room for that
	}
	if err == nil || absent(err) {
		s.settled.forget(name)
		return nil
	}
	if fi, statErr := os.Lstat(p); statErr == nil && fi.IsDir() {
		return nil // a folder of objects is no object
	}
	return &fs.PathError{Op: "delete", Path: name, Err: cause(err)}
}

// syncDeleted makes it durable that name and others are gone from dir.
func (s *Store) syncDeleted(ctx context.Context, dir, name string) error {
	if err := s.acquire(ctx); err != nil {
		return &fs.PathError{Op: "delete", Path: name, Err: err}
	}
	defer s.release()
	err := s.syncFolder(dir)
	if absent(err) {
		return nil // no folder, no names
	}
	if err != nil {
		return failed("delete", name, "fsync of the folder", err)
	}
	return nil
}
