package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/letterlock/letterlock/blob"
)

// counter counts what is read.
type counter struct {
	r   io.Reader
	n   int64
	err error // of r, but the end
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// put makes an object of the target that the source does not have.
func (c *copier) put(ctx context.Context, name string, b []byte) error {
	err := c.to.Create(ctx, name, bytes.NewReader(b))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// delete deletes objects of the target.
func (c *copier) delete(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	if err := c.to.Delete(ctx, names...); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Deleted += len(names)
	return nil
}

// same reports whether source and target have the same bytes under a name.
func (c *copier) same(ctx context.Context, name string) (bool, error) {
	return equal(ctx, c.from, c.to, name)
}

// equal compares an object of two stores. One that the first does not have is
// errVanished.
func equal(ctx context.Context, a, b blob.Store, name string) (bool, error) {
	x, err := a.Open(ctx, name, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%w: %s", errVanished, name)
	}
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return false, err
	}
	defer y.Close()
	p, q := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(x, p)
		m, other := io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		switch {
		case ended(err) && ended(other):
			return true, nil
		case err != nil && !ended(err):
			return false, err
		case other != nil && !ended(other):
			return false, other
		case ended(err) != ended(other):
			return false, nil
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

// merge calls visit for each name of either store, in order.
func merge(ctx context.Context, a, b blob.Store, prefix string, visit func(name string, inA, inB bool) error) error {
	nextA, stopA := iter.Pull2(a.List(ctx, prefix, ""))
	defer stopA()
	nextB, stopB := iter.Pull2(b.List(ctx, prefix, ""))
	defer stopB()
	x, errX, moreX := nextA()
	y, errY, moreY := nextB()
	for moreX || moreY {
		if err := errors.Join(errX, errY); err != nil {
			return err
		}
		inA := moreX && (!moreY || x.Name <= y.Name)
		inB := moreY && (!moreX || y.Name <= x.Name)
		name := y.Name
		if inA {
			name = x.Name
		}
		if err := visit(name, inA, inB); err != nil {
			return err
		}
		if inA {
			x, errX, moreX = nextA()
		}
		if inB {
			y, errY, moreY = nextB()
		}
	}
	return nil
}
