package diskblob

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/letterlock/letterlock/blob"
)

// Create implements blob.Store. In the steady state it costs two fsyncs, one of
// the file and one of its folder. Where a step fails before the object has its
// name nothing is left behind but, at most, new empty folders.
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	if err := check(ctx, "create", name); err != nil {
		return err
	}
	if err := s.mayWrite(); err != nil {
		return unnamed{&fs.PathError{Op: "create", Path: name, Err: err}}
	}
	if blob.IsFreeing(ctx) {
		return s.createFreeing(ctx, name, r)
	}
	if err := s.keepReserve(); err != nil {
		return unnamed{failed("create", name, "reserve", err)}
	}
	return s.create(ctx, name, r)
}

func (s *Store) create(ctx context.Context, name string, r io.Reader) error {
	// The loser of a race is spared the writing where that is possible. What
	// decides is the link, below.
	if _, err := os.Lstat(s.path(name)); err == nil {
		if err := s.acquire(ctx); err != nil {
			return unnamed{&fs.PathError{Op: "create", Path: name, Err: err}}
		}
		defer s.release()
		return s.taken(name)
	}
	t, err := s.newTemp()
	if err != nil {
		if lost := s.attached(); lost != nil {
			err = lost
		}
		return unnamed{failed("create", name, "temporary file", err)}
	}
	defer t.remove(s.sys)
	if err := s.fill(ctx, name, t, r); err != nil {
		return unnamed{err}
	}
	if err := s.acquire(ctx); err != nil {
		return unnamed{&fs.PathError{Op: "create", Path: name, Err: err}}
	}
	defer s.release()
	return s.commit(name, t)
}

// fill writes all of r to t.
func (s *Store) fill(ctx context.Context, name string, t *temp, r io.Reader) error {
	dst := &sink{ctx: ctx, f: t.f}
	var err error
	if w, ok := r.(io.WriterTo); ok {
		_, err = w.WriteTo(dst)
	} else {
		buf := s.buffers.Get().(*[bufferSize]byte)
		defer s.buffers.Put(buf)
		_, err = io.CopyBuffer(dst, source{ctx, r}, buf[:])
	}
	if dst.err != nil {
		return failed("create", name, "write", dst.err)
	}
	if err == nil {
		err = ctx.Err() // r may have been cancelled with its last byte
	}
	if err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return nil
}

// sink writes to a file until ctx is cancelled, and remembers how the file failed.
// It is no more than an io.Writer: os.File would choose a buffer of its own.
type sink struct {
	ctx context.Context
	f   io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	for {
		if err := s.ctx.Err(); err != nil {
			return n, err
		}
		some, err := s.f.Write(p[n:min(len(p), n+maxWrite)])
		if n += some; err != nil {
			s.err = err
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// commit makes the bytes of t durable, then their name. The order is what the
// store stands on: the name appears only over bytes that are on the disk, inside
// folders whose names are on the disk, and is acknowledged only when it is there
// itself.
func (s *Store) commit(name string, t *temp) error {
	if !s.noSync {
		if err := t.f.Sync(); err != nil {
			return unnamed{failed("create", name, "fsync", err)}
		}
	}
	// Writing may have taken long. The folder cannot be unmounted while the
	// temporary file is open, but it can be moved away, and another be mounted
	// over it.
	if err := s.attached(); err != nil {
		return unnamed{&fs.PathError{Op: "create", Path: name, Err: err}}
	}
	switch err := s.link(name, t); {
	case errors.Is(err, fs.ErrExist):
		return s.taken(name)
	case err != nil:
		return err
	}
	// The other name goes before the folder is synced, so that one commit of the
	// file system's journal carries both.
	t.remove(s.sys)
	if err := s.syncFolder(path.Dir(name)); err != nil {
		return failed("create", name, "fsync of the folder", err)
	}
	s.settled.name(name)
	return nil
}

// link gives t the name, and makes the folders it stands in. An error matches
// fs.ErrExist only if the name is taken.
func (s *Store) link(name string, t *temp) error {
	dir := path.Dir(name)
	for attempt := 1; ; attempt++ {
		step := "folder"
		err := s.makeFolder(dir)
		if err == nil {
			step = "link"
			err = s.sys.link(t.path, s.path(name))
		}
		if err == nil || step == "link" && errors.Is(err, fs.ErrExist) {
			return err
		}
		// Somebody removed a folder that this store had seen: an administrator
		// who tidies up. Not for ever: perhaps the whole store is gone.
		lost := s.attached()
		if attempt < 3 && lost == nil && errors.Is(err, fs.ErrNotExist) {
			s.known.forget(dir)
			continue
		}
		// A full disk gives no name. What other trouble left of one is not known.
		sure := step == "folder" || full(err)
		if lost != nil {
			err = lost
		}
		if err = failed("create", name, step, err); sure {
			return unnamed{err}
		}
		return err
	}
}

// unnamed is the error of a Create that ended before the object had its name.
type unnamed struct{ error }

// Unwrap returns the error itself.
func (e unnamed) Unwrap() error { return e.error }

// Is reports that nothing was created.
func (e unnamed) Is(target error) bool { return target == blob.ErrNotCreated }

// taken returns the answer to a Create whose name is in use. It is a durable
// answer: whoever created the name may not have synced its folder yet, and may
// be killed before it does.
func (s *Store) taken(name string) error {
	if fi, err := os.Lstat(s.path(name)); err == nil && !fi.Mode().IsRegular() {
		return &fs.PathError{Op: "create", Path: name, Err: errors.New("the name is a folder of other objects")}
	}
	err := s.makeFolder(path.Dir(name))
	if err == nil {
		err = s.syncFolder(path.Dir(name))
	}
	if err != nil {
		return failed("create", name, "fsync of the folder of a taken name", err)
	}
	s.settled.name(name)
	return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
}

// source reads r until ctx is cancelled.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// temp is a file that is no object yet. It is locked while it is open, which
// tells others that its process lives.
type temp struct {
	f    tempFile // nil once removed
	path string
}

// newTemp makes a temporary file.
func (s *Store) newTemp() (*temp, error) {
	dir := filepath.Join(s.root, tempFolder)
	for attempt := 1; ; attempt++ {
		p := filepath.Join(dir, rand.Text())
		f, err := s.sys.create(p)
		if err == nil {
			return &temp{f: f, path: p}, nil
		}
		switch {
		case attempt == 8:
			return nil, err
		case errors.Is(err, errSwept):
		case errors.Is(err, fs.ErrNotExist):
			if err := s.sys.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// remove closes t and removes its temporary name; the second call does nothing.
// A failure is not reported: the object, if there is one, does not suffer, and
// the next Open of the store tries again.
func (t *temp) remove(sys system) {
	if t.f == nil {
		return
	}
	t.f.Close() // first: Windows does not remove files that are open
	t.f = nil
	sys.unlink(t.path)
}
