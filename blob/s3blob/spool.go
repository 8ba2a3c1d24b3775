package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// spool gathers what a Create is given, a part at a time, until its length is
// known: in memory while that is little, then in a file without a name.
type spool struct {
	src    source
	limit  int64  // bytes of a part
	tmp    string // folder of the file
	memory []byte
	file   *os.File // nil while memory suffices
	n      int64    // bytes of this part
	sum    checksum // of this part
	next   []byte   // the first byte of the next part, nil if there is none
}

// source reads r until ctx is cancelled, and remembers how that failed.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != io.EOF {
		s.err = err
	}
	return n, err
}

// fill gathers the next part. It is the last one if more returns false after it.
func (sp *spool) fill() error {
	sp.n, sp.sum = 0, 0
	if sp.file != nil {
		if _, err := sp.file.Seek(0, io.SeekStart); err != nil {
			return tempError(err)
		}
	}
	r := io.MultiReader(bytes.NewReader(sp.next), &sp.src)
	sp.next = nil
	if sp.file == nil {
		var err error
		if sp.memory, err = io.ReadAll(io.LimitReader(r, inMemory+1)); err != nil {
			return sp.sourceError(err)
		}
		sp.n = int64(len(sp.memory))
		sp.sum.Write(sp.memory)
		if sp.n <= inMemory {
			return sp.src.ctx.Err() // r may have been cancelled with its last byte
		}
		if err := sp.toFile(); err != nil {
			return err
		}
	}
	n, err := io.Copy(io.MultiWriter(sp.file, &sp.sum), io.LimitReader(r, sp.limit-sp.n))
	sp.n += n
	if err != nil {
		return sp.sourceError(err)
	}
	if sp.n == sp.limit {
		var one [1]byte
		switch _, err := io.ReadFull(r, one[:]); err {
		case nil:
			sp.next = one[:]
		case io.EOF:
		default:
			return sp.sourceError(err)
		}
	}
	return sp.src.ctx.Err()
}

// sourceError returns the error of the source if it was that which failed.
func (sp *spool) sourceError(err error) error {
	if sp.src.err != nil {
		return sp.src.err
	}
	return tempError(err)
}

// tempError hides what is wrapped: a full folder is not fs.ErrExist.
func tempError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("temporary file: %s", err)
}

func (sp *spool) toFile() error {
	f, err := os.CreateTemp(sp.tmp, "letterlock-*")
	if err != nil {
		return tempError(err)
	}
	sp.file = f
	os.Remove(f.Name()) // Windows refuses, and is asked again by close
	if _, err := f.Write(sp.memory); err != nil {
		return tempError(err)
	}
	sp.memory = nil
	return nil
}

// more reports whether there is another part.
func (sp *spool) more() bool { return sp.next != nil }

// reader returns a new reader of the part, which several may have at once.
func (sp *spool) reader() io.ReadSeeker {
	if sp.file == nil {
		return bytes.NewReader(sp.memory)
	}
	return io.NewSectionReader(sp.file, 0, sp.n)
}

func (sp *spool) close() {
	if sp.file != nil {
		sp.file.Close()
		os.Remove(sp.file.Name())
	}
}
