package crypto

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// NewReader returns a reader of the plaintext [off, off+n) of a body of size
// plaintext bytes; n < 0 means to the end. src must yield the bytes that
// [BodyKey.Span] names for the same arguments; it is read from as they are
// needed, to the end of the span and no further. Where the span has no bytes,
// src may be nil.
//
// Reading fails with [ErrDecrypt] at a chunk that is not the one written in this
// place of this body, and with [io.ErrUnexpectedEOF] where src ends early, both
// wrapped and with the chunk's index; an error of src is wrapped likewise. No
// byte of a chunk is handed out before the whole chunk is verified. A body of
// another length than size fails at its last chunk.
//
// The reader holds one pooled chunk from its first Read until its last byte was
// read, or an error; it implements [io.Closer] for who leaves it before that. It
// is for one goroutine. It implements [io.WriterTo], so that io.Copy hands on
// whole chunks without a buffer of its own.
func (k BodyKey) NewReader(src io.Reader, size, off, n int64) (io.Reader, error) {
	if size < 0 || size > maxBody || off < 0 {
		return nil, fmt.Errorf("crypto: read body: no range at %d in %d bytes", off, size)
	}
	first, last, ok := chunkRange(size, off, n)
	if !ok {
		return &bodyReader{err: io.EOF}, nil
	}
	return &bodyReader{
		src:   src,
		aead:  k.aead(),
		size:  size,
		next:  first,
		end:   last + 1,
		skip:  int(off - first*bodyChunk),
		limit: cutRange(size, off, n),
	}, nil
}

type bodyReader struct {
	src  io.Reader
	aead cipher.AEAD
	size int64 // plaintext bytes of the whole body

	next, end int64 // chunks still to be read from src
	skip      int   // plaintext bytes of the first chunk before the range
	limit     int64 // plaintext bytes of the range beyond buf

	buf      *chunkBuffer
	pos, len int   // buf[pos:len] is verified plaintext, not yet handed out
	err      error // what every further Read returns; set only when there is none
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.buf[r.pos:r.len])
	r.pos += n
	if r.pos == r.len && r.next == r.end {
		r.finish(io.EOF) // who knows how much there is does not read on
	}
	return n, nil
}

var errReaderClosed = errors.New("crypto: read from a closed body")

// Close gives the memory back. It does not close src, and does not fail.
func (r *bodyReader) Close() error {
	if r.err == nil {
		r.finish(errReaderClosed)
	}
	return nil
}

// WriteTo implements [io.WriterTo].
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := r.fill(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(r.buf[r.pos:r.len])
		r.pos += n
		total += int64(n)
		if err != nil {
			return total, err
		}
		if r.pos < r.len {
			return total, io.ErrShortWrite
		}
	}
}

// fill sees to it that there is plaintext to hand out, or returns why not.
func (r *bodyReader) fill() error {
	for r.pos == r.len && r.err == nil {
		if r.next == r.end {
			r.finish(io.EOF)
			break
		}
		if err := r.readChunk(); err != nil {
			r.finish(fmt.Errorf("crypto: read body chunk %d: %w", r.next, err))
		}
	}
	return r.err
}

func (r *bodyReader) readChunk() error {
	if r.buf == nil {
		r.buf = chunkBuffers.Get().(*chunkBuffer)
	}
	start := r.next * bodyChunk
	plain := min(r.size-start, bodyChunk)
	sealed := r.buf[:plain+chacha20poly1305.Overhead]
	if _, err := io.ReadFull(r.src, sealed); errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // the span has to go on here
	} else if err != nil {
		return err
	}
	nonce := chunkNonce(r.next, start+plain == r.size)
	if _, err := r.aead.Open(sealed[:0], nonce[:], sealed, nil); err != nil {
		return ErrDecrypt
	}
	wanted := min(plain-int64(r.skip), r.limit)
	r.pos, r.len = r.skip, r.skip+int(wanted)
	r.limit -= wanted
	r.skip = 0
	r.next++
	return nil
}

func (r *bodyReader) finish(err error) {
	r.err = err
	r.pos, r.len = 0, 0
	if r.buf != nil {
		r.buf.recycle()
		r.buf = nil
	}
}
