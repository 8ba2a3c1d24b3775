package cacheblob

import (
	"context"
	"io"
	"os"
)

// hit reads a range from a file, and from the store where the file turns out to be
// damaged.
type hit struct {
	ctx    context.Context
	s      *Store
	name   string
	file   *file
	off, n int64         // what is left of the range; a negative n means to the end
	inner  io.ReadCloser // in place of file
}

func (h *hit) Read(p []byte) (int, error) {
	if h.inner != nil {
		return h.inner.Read(p)
	}
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(h.file.chunk) == 0 && h.n != 0 {
		switch err := h.file.next(); err {
		case nil:
		case io.EOF:
			return 0, io.EOF
		default:
			return h.fallBack(p)
		}
	}
	if h.n >= 0 {
		p = p[:min(int64(len(p)), h.n)]
	}
	if len(p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.file.chunk)
	h.file.chunk = h.file.chunk[n:]
	h.off += int64(n)
	if h.n > 0 {
		h.n -= int64(n)
	}
	return n, nil
}

// fallBack goes on in the store.
func (h *hit) fallBack(p []byte) (int, error) {
	h.file.discard()
	h.file = nil
	r, err := h.s.inner.Open(h.ctx, h.name, h.off, h.n)
	if err != nil {
		r = failing{err}
	}
	h.inner = r
	return r.Read(p)
}

// Close implements io.Closer.
func (h *hit) Close() error {
	if h.file != nil {
		return h.file.Close()
	}
	return h.inner.Close()
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
func (failing) Close() error               { return nil }

// miss reads from the store and keeps what it reads.
type miss struct {
	io.ReadCloser
	w *writer // nil if it is not kept
	n int64   // that were asked for; negative: to the end
}

func (m *miss) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if m.w != nil {
		m.w.write(p[:n])
		switch {
		case err == io.EOF || m.n > 0 && m.w.n == m.n:
			// That all of n bytes came says nothing about what is behind them.
			m.w.finish(m.n < 0 || m.w.n < m.n)
			m.w = nil
		case err != nil || m.w.failed:
			m.w.abandon()
			m.w = nil
		}
	}
	return n, err
}

// Close implements io.Closer.
func (m *miss) Close() error {
	if m.w != nil {
		m.w.abandon()
	}
	return m.ReadCloser.Close()
}

// writer writes a file of the cache. Trouble with it is nobody's but the cache's.
type writer struct {
	s       *Store
	place   place
	off     int64
	deletes int64    // of the Store, when the reading began
	n       int64    // bytes given so far
	file    *os.File // nil as long as nothing was written
	chunk   []byte
	failed  bool
}

func (w *writer) write(p []byte) {
	if w.n += int64(len(p)); w.n > w.s.size/8 {
		w.failed = true
	}
	for len(p) > 0 && !w.failed {
		n := min(chunkSize-len(w.chunk), len(p))
		w.chunk = append(w.chunk, p[:n]...)
		p = p[n:]
		if len(w.chunk) == chunkSize {
			w.flush(w.n - int64(len(p)))
		}
	}
}

// flush writes the chunk that ends after so many bytes.
func (w *writer) flush(upTo int64) {
	if w.file == nil {
		f, err := os.CreateTemp(w.s.dir, tempPrefix)
		if err == nil {
			w.file = f
			_, err = f.WriteString(fileMagic)
		}
		if err != nil {
			w.failed = true
			return
		}
	}
	if len(w.chunk) == 0 {
		return
	}
	sum := chunkSum(w.place.sum, w.off+upTo-int64(len(w.chunk)), w.chunk)
	_, err := w.file.Write(append(w.chunk, sum[:]...))
	w.chunk, w.failed = w.chunk[:0], w.failed || err != nil
}

// finish gives the file its name. It is not synced: what a power failure leaves of
// it is not served.
func (w *writer) finish(end bool) {
	if !w.failed {
		w.flush(w.n)
	}
	if w.failed || w.file.Close() != nil || w.deletes != w.s.deletes.Load() {
		w.abandon()
		return
	}
	v := span{w.off, w.n, end}
	err := os.Rename(w.file.Name(), w.place.path(v))
	if os.IsNotExist(err) {
		if err = os.MkdirAll(w.place.folder, 0o700); err == nil {
			err = os.Rename(w.file.Name(), w.place.path(v))
		}
	}
	if err != nil {
		w.abandon()
		return
	}
	w.s.add(fileSize(w.n))
}

func (w *writer) abandon() {
	if w.file != nil {
		w.file.Close()
		os.Remove(w.file.Name())
	}
}
