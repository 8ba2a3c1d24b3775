package pack

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
)

// Creator stores an object under a name that nothing has. It is durable when
// Create returns nil.
type Creator func(ctx context.Context, id ID, data []byte) error

// Writer gathers blocks into packs and stores each pack as it is full. It is for
// one goroutine.
type Writer struct {
	create Creator
	target int
	buf    []byte
	id     ID

	Packs, Bytes int // stored so far
}

// NewWriter returns a writer of packs of about target bytes, at most [MaxPack].
func NewWriter(target int, create Creator) *Writer {
	return &Writer{create: create, target: min(target, MaxPack-MaxBlock-align)}
}

// Add puts a block into the pack under way and completes its Ref in place. The Ref
// counts once [Writer.Flush] has returned nil.
func (w *Writer) Add(ctx context.Context, sealed []byte, r *Ref) error {
	if len(w.buf) > len(magic) && len(w.buf)+len(sealed) > w.target {
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	if len(w.buf) == 0 {
		rand.Read(w.id[:])
		w.buf = append(w.buf, magic...)
	}
	r.Pack, r.Off = w.id, uint32(len(w.buf))
	w.buf = append(w.buf, sealed...)
	return nil
}

// Current returns the ID of the pack under way, and whether it has a block.
func (w *Writer) Current() (ID, bool) { return w.id, len(w.buf) > 0 }

// Flush stores the pack under way, if it has a block.
func (w *Writer) Flush(ctx context.Context) error {
	if len(w.buf) == 0 {
		return nil
	}
	if rest := len(w.buf) % align; rest != 0 {
		w.buf = append(w.buf, bytes.Repeat([]byte{0}, align-rest)...)
	}
	if err := w.create(ctx, w.id, w.buf); err != nil {
		return fmt.Errorf("store pack %s: %w", w.id, err)
	}
	w.Packs++
	w.Bytes += len(w.buf)
	w.buf = w.buf[:0]
	return nil
}
