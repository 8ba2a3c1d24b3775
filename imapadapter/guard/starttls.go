package guard

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// startTLS answers STARTTLS (RFC 9051 section 6.2.1). Bytes that came with the
// command were sent in plain text, by whoever, and would be read as if they had
// come through TLS: the connection ends. Bytes that come later are read as a
// handshake, and fail as one.
func (c *conn) startTLS(cmd *frame.Command) {
	c.mu.Lock()
	secure, authed := c.secure, c.authed
	c.mu.Unlock()
	r := &frame.Refusal{Tag: cmd.Tag}
	switch {
	case len(cmd.Text) != len(cmd.Tag)+len(" STARTTLS\r\n"):
		r.Text = "BAD [CLIENTBUG] Syntax error: STARTTLS has no arguments"
	case secure || authed || c.o.TLSConfig == nil:
		r.Text = "BAD STARTTLS is not available"
	case len(c.frames.Buffered()) > 0:
		r.Text, r.Fatal = "BAD [CLIENTBUG] Nothing may follow STARTTLS", true
	}
	if r.Text != "" {
		c.refuse(r)
		return
	}
	if err := c.say(cmd.Tag + " OK Begin TLS negotiation now\r\n"); err != nil {
		c.err = err
		return
	}
	conn := tls.Server(c.raw, c.o.TLSConfig)
	if err := c.handshake(conn); err != nil {
		c.o.Logger.Info("imap guard closed a connection", "remote", c.RemoteAddr().String(), "reason", "TLS handshake failed")
		c.err = io.EOF
		return
	}
	c.frames.Reset(transportReader{c})
	c.mu.Lock()
	c.conn, c.secure = conn, true
	c.mu.Unlock()
}

// handshake waits for the handshake that follows STARTTLS. The read deadline
// bounds it, and Close ends it.
func (c *conn) handshake(conn *tls.Conn) error {
	if err := c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := conn.HandshakeContext(context.Background()); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}
