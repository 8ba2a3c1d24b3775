package imapadapter

import (
	"compress/flate"
	"io"
	"net"
	"sync"
	"time"
)

// A deflateConn is a connection with COMPRESS=DEFLATE (RFC 4978): what is written
// is compressed; what is read comes through an inflater above. The compressor,
// some 600 KB, is held only while there is something to say: it is taken from a
// pool, and given back when the client is waited for. Its next blocks then refer
// to nothing before them, which costs a little in size and is what the format
// allows.
type deflateConn struct {
	net.Conn
	w *flate.Writer // nil: nothing was written since the last flush
}

// Levels above the first take more memory and time for a few percent of mail.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // fails for bad levels only
	return w
}}

// Write compresses p. The caller holds the guard's writeMu.
func (d *deflateConn) Write(p []byte) (int, error) {
	if d.w == nil {
		d.w = deflaters.Get().(*flate.Writer)
		d.w.Reset(d.Conn)
	}
	return d.w.Write(p)
}

// flush sends what was written. The caller holds the guard's writeMu.
func (d *deflateConn) flush() error {
	if d.w == nil {
		return nil
	}
	err := d.w.Flush()
	d.w.Reset(io.Discard)
	deflaters.Put(d.w)
	d.w = nil
	return err
}

// compress begins compression in both directions, behind what was written.
func (c *guardConn) compress() {
	c.frames.release()
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deflate = &deflateConn{Conn: c.conn}
	c.conn = c.deflate
	c.frames.in = input{src: newInflater(transportReader{c})}
}

// compressed reports whether the connection is compressed.
func (c *guardConn) compressed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deflate != nil
}

// push sends what the compressor still holds: the client is waited for.
func (c *guardConn) push() error {
	if !c.compressed() {
		return nil
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.deflate.w == nil {
		return nil
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
		return err
	}
	if err := c.deflate.flush(); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}

// beginCompression handles COMPRESS. The answer is the last that is not compressed.
func (r *request) beginCompression() error {
	r.p.SP()
	mechanism := r.p.Word()
	if err := r.p.End(); err != nil {
		return err
	}
	guard := r.s.guard
	switch {
	case mechanism != "DEFLATE":
		return no("", "No such compression mechanism")
	case guard.compressed():
		return no("COMPRESSIONACTIVE", "DEFLATE is active")
	case len(guard.frames.in.pending) > 0:
		// It was sent before the answer, so by somebody who does not know whether
		// it should be compressed.
		guard.verdict = &refusal{tag: "*", text: "BYE Closing the connection", fatal: true}
		return bad("Nothing may follow COMPRESS")
	}
	r.text, r.after = "DEFLATE active", guard.compress
	return nil
}
