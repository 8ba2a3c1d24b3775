package pages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// OpenBody returns the bytes [off, off+n) of a message of a size by one read of the
// store; n < 0 means to the end.
func (s *Store) OpenBody(ctx context.Context, b state.BodyRef, size, off, n int64) (io.ReadCloser, error) {
	return OpenBody(ctx, s.Blobs, layout.BodyName(s.Prefix, b.ID), b.Key, size, off, n)
}

// OpenBody is [Store.OpenBody] for a body that a name and a key lead to.
func OpenBody(ctx context.Context, blobs blob.Store, name string, key crypto.BodyKey, size, off, n int64) (io.ReadCloser, error) {
	if _, srcLen := key.Span(size, off, n); srcLen == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	b := &bodyReader{blobs: blobs, name: name, key: key, size: size, off: off, end: size, reread: -1}
	if n >= 0 && n < size-off {
		b.end = off + n
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	b.ctx = ctx
	return b, nil
}

// bodyReader decrypts a range of a body. What does not decrypt it reads once more
// from where it stands, since it may have been damaged on its way, and then names
// the object in the error.
type bodyReader struct {
	ctx      context.Context // of OpenBody
	blobs    blob.Store
	name     string
	key      crypto.BodyKey
	size     int64 // of the message
	off, end int64 // what is left of the range
	reread   int64 // where it was read once more; negative if nowhere

	r   io.Reader
	src io.Closer
}

// open opens what is left of the range.
func (b *bodyReader) open(ctx context.Context) error {
	srcOff, srcLen := b.key.Span(b.size, b.off, b.end-b.off)
	src, err := b.blobs.Open(ctx, b.name, srcOff, srcLen)
	if err != nil {
		return fmt.Errorf("mailbox: read body: %w", err)
	}
	if b.r, err = b.key.NewReader(src, b.size, b.off, b.end-b.off); err != nil {
		return errors.Join(fmt.Errorf("mailbox: %s: %w", b.name, err), src.Close())
	}
	b.src = src
	return nil
}

func (b *bodyReader) Read(p []byte) (int, error) {
	for {
		n, err := b.r.Read(p)
		b.off += int64(n)
		if err == nil || err == io.EOF {
			return n, err
		}
		damaged := errors.Is(err, crypto.ErrDecrypt) || errors.Is(err, io.ErrUnexpectedEOF)
		if n == 0 && b.reread != b.off && (damaged || errors.Is(err, blob.ErrDamaged)) {
			b.reread = b.off
			if again := b.again(); again == nil {
				continue
			}
		}
		if damaged {
			err = fmt.Errorf("%w: %w", eventlog.ErrCorrupt, err)
		}
		return n, fmt.Errorf("mailbox: %s: %w", b.name, err)
	}
}

// again opens what is left of the range anew.
func (b *bodyReader) again() error {
	old := *b
	if err := b.open(blob.Fresh(b.ctx)); err != nil {
		b.r, b.src = old.r, old.src
		return err
	}
	return old.Close()
}

func (b *bodyReader) Close() error {
	if c, ok := b.r.(io.Closer); ok {
		_ = c.Close() // it only gives memory back
	}
	return b.src.Close()
}
