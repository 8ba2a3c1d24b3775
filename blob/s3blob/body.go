package s3blob

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/letterlock/letterlock/blob"
)

// body reads a range of an object. It survives a connection that breaks, and one
// that was given to others while it rested, by asking for the rest; but only if
// that is of the same object, whose name may be another's by then.
type body struct {
	s     *Store
	ctx   context.Context // of Open, as the contract has it
	name  string
	at    int64 // the next byte
	off   int64 // where the range begins
	end   int64 // where the range ends; math.MaxInt64 until that is known
	known bool  // the object was seen: etag, size and sum are those of its first bytes
	etag  string
	size  int64
	sum   string   // that it was created with; empty if it is not known
	got   checksum // of the bytes that were read
	err   error    // of the last Read, for those after it
	fails patient

	x *exchange // nil if there is no connection. While the body rests it is guarded by places.mu
	r io.Reader // of x

	resting    *list.Element // where it is in places.resting; guarded by places.mu
	restsSince time.Time     // guarded by places.mu
}

var errReplaced = errors.New("the object was replaced while it was read")

// newBody returns a body of n bytes from off on, or to the end if n is negative.
func (s *Store) newBody(ctx context.Context, name string, off, n int64) *body {
	b := &body{s: s, ctx: ctx, name: name, at: off, off: off, end: math.MaxInt64, fails: patient{limit: s.patience}}
	if n > 0 && n <= maxObject {
		b.end = off + n
	}
	return b
}

// readAll reads the range, which has a connection, and hangs up.
func (b *body) readAll() ([]byte, error) {
	defer b.hangUp()
	data := make([]byte, b.end-b.at)
	for n := 0; n < len(data); {
		m, err := b.read(data[n:])
		if err != nil {
			return nil, err
		}
		n += m
	}
	return data, nil
}

// matches reports whether the bytes of the range, all of which were read, are as
// they were created, as far as that is known.
func (b *body) matches() bool {
	return b.off != 0 || b.end != b.size || b.sum == "" || b.sum == b.got.String()
}

// verify is called when the last byte was read. If bytes differ from those that
// were created it reads them all again: what differs each time differs in the
// bucket, and is handed out, since only who knows what the bytes mean can tell
// what is lost. What differs once was damaged on its way.
func (b *body) verify() error {
	if b.matches() {
		return nil
	}
	for range oddTries - 1 {
		again := b.s.newBody(b.ctx, b.name, 0, -1)
		switch err := again.skim(); {
		case err != nil:
			return err
		case again.got == b.got:
			return nil
		case again.matches():
			return blob.ErrDamaged
		}
	}
	return blob.ErrDamaged
}

// skim reads the range for its checksum alone.
func (b *body) skim() error {
	defer b.hangUp()
	if err := b.connect(); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for b.at < b.end {
		if _, err := b.read(buf); err != nil {
			return err
		}
	}
	return nil
}

// connect asks for the bytes from b.at on.
func (b *body) connect() error {
	r, err := b.s.get(b.ctx, b.s.key(b.name), b.at, b.end)
	if err != nil {
		return err
	}
	if !b.known {
		b.known, b.etag, b.size, b.sum = true, r.etag, r.size, r.sum
		b.end = max(b.at, min(b.end, r.size))
	} else if b.etag != r.etag || b.size != r.size {
		r.hangUp()
		return errReplaced
	}
	b.x, b.r = r.x, r.body
	return nil
}

// hangUp ends the connection, if there is one. The body must not rest.
func (b *body) hangUp() {
	if b.x != nil {
		b.x.hangUp()
		b.x, b.r = nil, nil
	}
}

// Read implements io.Reader. It waits for the network at most Options.Stall, and
// then goes on over another connection while Options.Patience lasts. With the last
// byte of an object that is read whole it fails with blob.ErrDamaged if the bytes were
// damaged on their way.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.at >= b.end:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	b.s.places.wake(b)
	n, err := b.read(p)
	if err == nil && b.at < b.end {
		b.s.places.rest(b)
		return n, nil
	}
	b.hangUp()
	if err == nil {
		err = b.verify()
	}
	if err != nil {
		b.err = failed("read", b.name, err)
		return 0, b.err
	}
	return n, nil
}

// read reads at least one byte.
func (b *body) read(p []byte) (int, error) {
	for {
		if b.x == nil {
			if err := b.connect(); err != nil {
				return 0, err
			}
		}
		n, err := b.r.Read(p[:min(int64(len(p)), b.end-b.at)])
		if n > 0 {
			b.at += int64(n)
			if b.off == 0 {
				b.got.Write(p[:n])
			}
			b.fails.tries = 0
			return n, nil // the error, if any, comes again
		}
		if err == nil {
			continue
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		err = fmt.Errorf("broken at byte %d: %w", b.at, &answer{text: innermost(b.x.cause(err)).Error(), err: err})
		b.hangUp()
		if b.ctx.Err() != nil {
			return 0, b.ctx.Err()
		}
		again, ctxErr := b.fails.pause(b.ctx)
		if ctxErr != nil {
			return 0, ctxErr
		}
		if !again {
			return 0, b.fails.gaveUp(err)
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.s.places.wake(b)
	b.hangUp()
	if b.err == nil {
		b.err = failed("read", b.name, fs.ErrClosed)
	}
	return nil
}
