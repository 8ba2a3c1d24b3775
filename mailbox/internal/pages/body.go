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
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// OpenBody returns the bytes [off, off+n) of a message of a size by one read of the
// store; n < 0 means to the end.
func (s *Store) OpenBody(ctx context.Context, b state.BodyRef, size, off, n int64) (io.ReadCloser, error) {
	return OpenBody(ctx, s.Blobs, BodyName(s.Prefix, b.ID), b.Key, size, off, n)
}

// OpenBody is [Store.OpenBody] for a body that a name and a key lead to.
func OpenBody(ctx context.Context, blobs blob.Store, name string, key crypto.BodyKey, size, off, n int64) (io.ReadCloser, error) {
	srcOff, srcLen := key.Span(size, off, n)
	if srcLen == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	src, err := blobs.Open(ctx, name, srcOff, srcLen)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read body: %w", err)
	}
	r, err := key.NewReader(src, size, off, n)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mailbox: %s: %w", name, err), src.Close())
	}
	return &bodyReader{r: r, src: src, name: name}, nil
}

// bodyReader names the object in the errors of a body.
type bodyReader struct {
	r    io.Reader
	src  io.Closer
	name string
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, crypto.ErrDecrypt) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("mailbox: %s: %w: %w", b.name, eventlog.ErrCorrupt, err)
	}
	return n, fmt.Errorf("mailbox: %s: %w", b.name, err)
}

func (b *bodyReader) Close() error {
	if c, ok := b.r.(io.Closer); ok {
		_ = c.Close() // it only gives memory back
	}
	return b.src.Close()
}

// BodyName returns the name of a body of the account whose objects have a prefix.
func BodyName(prefix string, id eventlog.ObjectID) string {
	return fmt.Sprintf("%sbody/%x", prefix, id[:])
}
