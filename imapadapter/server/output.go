package server

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
)

// maxGathered is how many bytes of responses are written at once.
const maxGathered = 16 << 10

var outputPool = sync.Pool{New: func() any {
	b := make([]byte, 0, maxGathered)
	return &b
}}

// output gathers responses and writes them in blocks. Its first error stays, and makes
// it write nothing more.
type output struct {
	wire.Encoder
	conn *conn
	box  *[]byte // from outputPool
	err  error
}

func (c *conn) output() *output {
	w := &output{conn: c, box: outputPool.Get().(*[]byte)}
	w.B = (*w.box)[:0]
	w.UTF8 = c.utf8()
	return w
}

// end ends a line, and writes what was gathered if it is much.
func (w *output) end() {
	w.CRLF()
	if len(w.B) > maxGathered/2 {
		w.flush()
	}
}

// flush writes what was gathered.
func (w *output) flush() {
	if w.err == nil && len(w.B) > 0 {
		w.err = w.conn.send(w.B)
	}
	w.B = w.B[:0]
}

// Write writes p behind what was gathered.
func (w *output) Write(p []byte) (int, error) {
	if len(w.B)+len(p) <= maxGathered {
		w.B = append(w.B, p...)
		return len(p), w.err
	}
	w.flush()
	if w.err == nil {
		w.err = w.conn.send(p)
	}
	return len(p), w.err
}

// close writes the rest and gives the buffer back. Whoever has more to write goes on
// without it.
func (w *output) close() error {
	w.flush()
	if w.box != nil && cap(w.B) <= 2*maxGathered {
		*w.box = w.B[:0]
		outputPool.Put(w.box)
	}
	w.B, w.box = nil, nil
	return w.err
}

// send writes to the client, through the compressor if there is one.
func (c *conn) send(p []byte) error {
	if err := c.raw.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
		return err
	}
	_, err := c.writer().Write(p)
	return unwritten(err)
}

// unwritten marks an error of a write: nothing may be written after it, and so it is not
// to be taken for the time-out of a read.
func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write to the client: %v", err)
}

func (c *conn) writer() io.Writer {
	if c.deflate != nil {
		return c.deflate
	}
	return c.stream
}

// push writes what the compressor still holds: the client is waited for.
func (c *conn) push() error {
	if c.deflate == nil || !c.deflate.Pending() {
		return nil
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
		return err
	}
	return unwritten(c.deflate.Flush())
}
