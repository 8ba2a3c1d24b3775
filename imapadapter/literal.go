package imapadapter

import (
	"io"
	"sync"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
)

// blocks are the buffers through which bodies pass.
var blocks = sync.Pool{New: func() any { return new([transferBlock]byte) }}

// literal writes a section of the message at work as a literal. Bytes that cannot be had are noted, and the
// item left out, as long as nothing was announced: the first block is read
// before that. An error is the connection's.
func (f *fetch) literal(c content, sec *wire.Section) error {
	if c.none {
		return f.sink.literal(sec, -1).Close()
	}
	if c.held || c.size() == 0 {
		return f.send(c.data, sec)
	}
	if err := f.src.seek(c.span.off, c.span.n); err != nil {
		f.note(err)
		return nil
	}
	return f.stream(&f.src, c.span.n, sec)
}

// send writes a literal of bytes at hand.
func (f *fetch) send(b []byte, sec *wire.Section) error {
	w := f.sink.literal(sec, int64(len(b)))
	if _, err := w.Write(b); err != nil {
		return f.abandon(w, err)
	}
	return w.Close()
}

// stream writes a literal of the next n bytes of r.
func (f *fetch) stream(r io.Reader, n int64, sec *wire.Section) error {
	block := blocks.Get().(*[transferBlock]byte)
	defer blocks.Put(block)
	chunk := block[:min(n, transferBlock)]
	if _, err := io.ReadFull(r, chunk); err != nil {
		f.note(unexpected(err))
		return nil
	}
	w := f.sink.literal(sec, n)
	for {
		if err := f.pace(); err != nil {
			return f.abandon(w, err)
		}
		if _, err := w.Write(chunk); err != nil {
			return f.abandon(w, err)
		}
		if n -= int64(len(chunk)); n == 0 {
			return w.Close()
		}
		chunk = block[:min(n, transferBlock)]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return f.abandon(w, f.cut(unexpected(err)))
		}
	}
}

// pace gives the client, and the command, their time anew.
func (f *fetch) pace() error {
	f.op.progress()
	return f.op.s.conn.NetConn().SetWriteDeadline(time.Now().Add(transferTimeout))
}

// abandon releases the writer of a literal that was not written to its
// end. The connection is useless then, and is closed before anything else can be
// sent on it.
func (f *fetch) abandon(w io.Closer, err error) error {
	_ = f.op.s.conn.NetConn().Close()
	_ = w.Close()
	return err
}
