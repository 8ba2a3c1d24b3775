package imapadapter

import (
	"net"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/deflate"
	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// A deflateConn is a connection whose writes are compressed; what is read comes
// through a [deflate.Reader] above. The caller of Write and Flush holds the guard's
// writeMu.
type deflateConn struct {
	net.Conn
	*deflate.Writer
}

func (d *deflateConn) Write(p []byte) (int, error) { return d.Writer.Write(p) }

// compress begins compression in both directions, behind what was written.
func (c *guardConn) compress() {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deflate = &deflateConn{c.conn, deflate.NewWriter(c.conn)}
	c.conn = c.deflate
	c.frames.Reset(deflate.NewReader(transportReader{c}))
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
	if !c.deflate.Pending() {
		return nil
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
		return err
	}
	if err := c.deflate.Flush(); err != nil {
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
	case len(guard.frames.Buffered()) > 0:
		// It was sent before the answer, so by somebody who does not know whether
		// it should be compressed.
		guard.verdict = &frame.Refusal{Tag: "*", Text: "BYE Closing the connection", Fatal: true}
		return bad("Nothing may follow COMPRESS")
	}
	r.text, r.after = "DEFLATE active", guard.compress
	return nil
}
