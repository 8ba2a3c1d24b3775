package crypto

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// BodyWriter encrypts what is written to it as an age file, one chunk of 64 KiB
// at a time, and holds no more than that. It is for one goroutine.
//
// The file is complete only once Close returned nil: without that its last chunk
// is missing, and no reader takes it for a shorter body. A writer that is no
// longer wanted may simply be dropped.
type BodyWriter struct {
	dst  io.Writer
	aead cipher.AEAD
	key  *BodyKey // a pointer, for the reason that Key has one
	size int64

	buf   *chunkBuffer // nil once closed or failed
	n     int          // plaintext bytes in buf
	chunk int64        // index of the chunk in buf
	err   error        // what failed, or errBodyClosed
}

var errBodyClosed = errors.New("crypto: write to a closed body")

// NewBodyWriter writes the header of a new body, readable by the identity of r,
// to dst and returns the writer of its plaintext. It costs one encapsulation.
func NewBodyWriter(dst io.Writer, r *Recipient) (*BodyWriter, error) {
	// age writes header and nonce, and picks the keys. Its own chunk writer
	// stays unused: ours does the same from pooled memory.
	start := bytes.NewBuffer(make([]byte, 0, 2<<10)) // 1.6 KiB come
	catcher := &keyCatcher{to: r.age}
	if _, err := age.Encrypt(start, catcher); err != nil {
		return nil, fmt.Errorf("crypto: new body: %w", err)
	}
	header := start.Len() - bodyNonce
	if header <= 0 || start.Len() > MaxBodyHeader {
		return nil, fmt.Errorf("crypto: new body: header of %d bytes", header)
	}
	key := BodyKey{File: catcher.file, Nonce: [bodyNonce]byte(start.Bytes()[header:]), Header: uint16(header)}
	if _, err := dst.Write(start.Bytes()); err != nil {
		return nil, fmt.Errorf("crypto: write body header: %w", err)
	}
	return &BodyWriter{dst: dst, aead: key.aead(), key: &key, buf: chunkBuffers.Get().(*chunkBuffer)}, nil
}

// Key returns what reads the body without its header. It is known from the
// start, but worth keeping only after Close.
func (w *BodyWriter) Key() BodyKey { return *w.key }

// Size returns the plaintext bytes written so far.
func (w *BodyWriter) Size() int64 { return w.size }

// Write encrypts p. Chunks go to dst as they fill, each in one Write. After an
// error, which wraps that of dst, the body is lost and every call returns it.
func (w *BodyWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	written := 0
	for len(p) > 0 {
		// A full chunk waits here until more comes, because the last one is
		// encrypted differently and is empty only in an empty body.
		if w.n == bodyChunk {
			if err := w.flush(false); err != nil {
				return written, err
			}
		}
		n := copy(w.buf[w.n:bodyChunk], p)
		w.n += n
		w.size += int64(n)
		written += n
		p = p[n:]
	}
	return written, nil
}

// Close encrypts the last chunk and so completes the file. It does not close
// dst. Closing again changes nothing and returns what the first Close did.
func (w *BodyWriter) Close() error {
	switch {
	case w.err == errBodyClosed:
		return nil
	case w.err != nil:
		return w.err
	}
	if err := w.flush(true); err != nil {
		return err
	}
	w.finish(errBodyClosed)
	return nil
}

func (w *BodyWriter) flush(last bool) error {
	nonce := chunkNonce(w.chunk, last)
	sealed := w.aead.Seal(w.buf[:0], nonce[:], w.buf[:w.n], nil)
	if _, err := w.dst.Write(sealed); err != nil {
		w.finish(fmt.Errorf("crypto: write body chunk %d: %w", w.chunk, err))
		return w.err
	}
	w.n = 0
	w.chunk++
	return nil
}

func (w *BodyWriter) finish(err error) {
	w.err = err
	w.buf.recycle()
	w.buf = nil
}

// keyCatcher is a recipient that remembers the file key it is told to wrap. It
// passes the labels on, so that age treats it as the recipient it stands for.
type keyCatcher struct {
	to   *age.HybridRecipient
	file FileKey
}

func (c *keyCatcher) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	stanzas, _, err := c.WrapWithLabels(fileKey)
	return stanzas, err
}

func (c *keyCatcher) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	if len(fileKey) != bodyFileKey {
		return nil, nil, fmt.Errorf("file key of %d bytes, want %d", len(fileKey), bodyFileKey)
	}
	c.file = FileKey(fileKey)
	return c.to.WrapWithLabels(fileKey)
}
