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

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// maxPreAuthDrop is the longest literal that is read and dropped for a client
// that has not logged in.
const maxPreAuthDrop = 64 << 10

// A policy answers what the reader of frames asks the guard.
type policy struct{ c *guardConn }

// Limits are the engine's for its own commands, and wider for native's once the
// client has logged in.
func (p policy) Limits(name string) frame.Limits {
	c := p.c
	l := frame.Limits{Line: c.o.MaxLine, Literal: maxEngineLiteral, Literals: c.o.MaxLiteral, Message: c.o.AppendLimit, Drop: maxPreAuthDrop}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.authed {
		return l
	}
	l.Drop = max(2*c.o.AppendLimit, maxPreAuthDrop)
	if c.native != nil && (name == "" || c.native.takes(name)) {
		l.Line, l.Literal, l.Literals = c.o.MaxCommand, int64(c.o.MaxCommand), int64(c.o.MaxCommand)
	}
	return l
}

// Proceed asks the client for a literal.
func (p policy) Proceed() error { return p.c.say("+ Ready for literal data\r\n") }

// Pace gives the client [commandTimeout] to go on.
func (p policy) Pace() { p.c.setPhase(commandTimeout) }

// Admit refuses, before any literal is asked for, what a client may not do now.
// A password that is refused here was not sent, if the client sends it in a
// synchronizing literal.
func (p policy) Admit(tag, name string) *frame.Refusal {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch name {
	case "LOGIN", "AUTHENTICATE":
		if !c.secure && !c.plainAuth {
			return &frame.Refusal{Tag: tag, Text: "NO [PRIVACYREQUIRED] TLS is required to log in"}
		}
	case "APPEND", "REPLACE", "UID REPLACE":
		// The engine takes the whole message before it looks at the state.
		if !c.authed {
			return &frame.Refusal{Tag: tag, Text: "BAD [CLIENTBUG] This command is only valid after a login"}
		}
	}
	return nil
}

// refuse gives a refusal to the client. A client that speaks another protocol
// is cut off at its first line unless it has logged in: a web page can make a
// browser send lines of the page's choice.
func (c *guardConn) refuse(r *frame.Refusal) {
	c.mu.Lock()
	authed := c.authed
	c.mu.Unlock()
	c.refusals++
	fatal := r.Fatal || c.refusals >= maxRefusals || r.Nameless && !authed
	text := r.Tag + " " + r.Text + "\r\n"
	if fatal && !strings.HasPrefix(r.Text, "BYE ") {
		text += "* BYE Closing the connection\r\n"
	}
	if err := c.say(text); err != nil {
		c.err = err
		return
	}
	if fatal {
		c.o.Logger.Info("imap guard closed a connection", "remote", c.RemoteAddr().String(), "reason", r.Text)
		c.err = io.EOF
	}
}

// fail ends the connection for err, or refuses a command if that is what err
// says. A client that is cut off for its slowness is told so when nothing else
// is being written.
func (c *guardConn) fail(err error) {
	var r *frame.Refusal
	switch {
	case errors.As(err, &r):
		c.verdict = r
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.verdict = &frame.Refusal{Tag: "*", Text: "BYE Timed out", Fatal: true}
	default:
		c.err = err
	}
}

// startTLS answers STARTTLS (RFC 9051 section 6.2.1). Bytes that came with the
// command were sent in plain text, by whoever, and would be read as if they had
// come through TLS: the connection ends. Bytes that come later are read as a
// handshake, and fail as one.
func (c *guardConn) startTLS(cmd *frame.Command) {
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
func validAuthenticate(cmd *frame.Command) bool {
	if len(cmd.Cuts) != 1 {
		return false
	}
	args := bytes.TrimSuffix(cmd.Text[len(cmd.Tag)+len(" AUTHENTICATE"):], []byte("\r\n"))
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
