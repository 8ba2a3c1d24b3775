package imapadapter

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// maxPreAuthDrop is the longest literal that is read and dropped for a client
// that has not logged in.
const maxPreAuthDrop = 64 << 10

// admit refuses, before any literal is asked for, what a client may not do now.
// A password that is refused here was not sent, if the client sends it in a
// synchronizing literal.
func (c *guardConn) admit(tag, name string) *refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch name {
	case "LOGIN", "AUTHENTICATE":
		if !c.secure && !c.plainAuth {
			return &refusal{tag: tag, text: "NO [PRIVACYREQUIRED] TLS is required to log in"}
		}
	case "APPEND", "REPLACE", "UID REPLACE":
		// The engine takes the whole message before it looks at the state.
		if !c.authed {
			return &refusal{tag: tag, text: "BAD [CLIENTBUG] This command is only valid after a login"}
		}
	}
	return nil
}

func (c *guardConn) maxDrop() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.authed {
		return maxPreAuthDrop
	}
	return max(2*c.o.AppendLimit, maxPreAuthDrop)
}

// refuse gives a refusal to the client. A client that speaks another protocol
// is cut off at its first line unless it has logged in: a web page can make a
// browser send lines of the page's choice.
func (c *guardConn) refuse(r *refusal) {
	c.mu.Lock()
	authed := c.authed
	c.mu.Unlock()
	c.refusals++
	fatal := r.fatal || c.refusals >= maxRefusals || r.nameless && !authed
	text := r.tag + " " + r.text + "\r\n"
	if fatal && !strings.HasPrefix(r.text, "BYE ") {
		text += "* BYE Closing the connection\r\n"
	}
	if err := c.say(text); err != nil {
		c.err = err
		return
	}
	if fatal {
		c.o.Logger.Info("imap guard closed a connection", "remote", c.RemoteAddr().String(), "reason", r.text)
		c.err = io.EOF
	}
}

// fail ends the connection for err, or refuses a command if that is what err
// says. A client that is cut off for its slowness is told so when nothing else
// is being written.
func (c *guardConn) fail(err error) {
	var r *refusal
	switch {
	case errors.As(err, &r):
		c.verdict = r
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.verdict = &refusal{tag: "*", text: "BYE Timed out", fatal: true}
	default:
		c.err = err
	}
}

// startTLS answers STARTTLS (RFC 9051 section 6.2.1). Bytes that came with the
// command were sent in plain text, by whoever, and would be read as if they had
// come through TLS: the connection ends. Bytes that come later are read as a
// handshake, and fail as one.
func (c *guardConn) startTLS(cmd *command) {
	c.mu.Lock()
	secure, authed := c.secure, c.authed
	c.mu.Unlock()
	r := &refusal{tag: cmd.tag}
	switch {
	case len(cmd.text) != len(cmd.tag)+len(" STARTTLS\r\n"):
		r.text = "BAD [CLIENTBUG] Syntax error: STARTTLS has no arguments"
	case secure || authed || c.o.TLSConfig == nil:
		r.text = "BAD STARTTLS is not available"
	case len(c.frames.in.pending) > 0:
		r.text, r.fatal = "BAD [CLIENTBUG] Nothing may follow STARTTLS", true
	}
	if r.text != "" {
		c.refuse(r)
		return
	}
	if err := c.say(cmd.tag + " OK Begin TLS negotiation now\r\n"); err != nil {
		c.err = err
		return
	}
	c.frames.release()
	conn := tls.Server(c.raw, c.o.TLSConfig)
	if err := c.handshake(conn); err != nil {
		c.o.Logger.Info("imap guard closed a connection", "remote", c.RemoteAddr().String(), "reason", "TLS handshake failed")
		c.err = io.EOF
		return
	}
	c.frames.in = input{src: transportReader{c}}
	c.mu.Lock()
	c.conn, c.secure = conn, true
	c.mu.Unlock()
}

// handshake waits for the handshake that follows STARTTLS. The read deadline
// bounds it, and Close ends it.
func (c *guardConn) handshake(conn *tls.Conn) error {
	if err := c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := conn.HandshakeContext(context.Background()); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}

// validAuthenticate reports whether a command is a mechanism and at most one
// initial response (RFC 9051 section 6.2.2). The engine would take any text.
func validAuthenticate(cmd *command) bool {
	if len(cmd.cuts) != 1 {
		return false
	}
	args := bytes.TrimSuffix(cmd.text[len(cmd.tag)+len(" AUTHENTICATE"):], []byte("\r\n"))
	words := bytes.Split(args, []byte(" "))
	return len(words) == 2 || len(words) == 3 && len(words[2]) > 0 && validBase64(words[2])
}

// validBase64 reports whether b is a client's part of an exchange. A lone equals
// sign is the empty one.
func validBase64(b []byte) bool {
	if string(b) == "=" {
		return true
	}
	_, err := base64.StdEncoding.Decode(make([]byte, base64.StdEncoding.DecodedLen(len(b))), b)
	return err == nil
}
