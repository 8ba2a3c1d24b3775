package imapadapter

import (
	"errors"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
)

// append handles APPEND. When it returns nil the message is durable.
func (r *request) append() error {
	args := r.p.Append()
	if err := r.p.End(); err != nil {
		return err
	}
	if r.cmd.message < 0 {
		return bad("A message is missing")
	}
	if args.Message.UTF8 && !r.s.enabled.utf8 {
		return bad("UTF8=ACCEPT was not enabled") // RFC 6855 section 4
	}
	o := mailbox.AppendOptions{Flags: withoutRecent(args.Message.Flags), Date: args.Message.Date}
	message := r.s.guard.openMessage(r.cmd)
	up := &upload{op: r.operation, r: message, left: r.cmd.message}
	appended, err := r.s.account.Append(r.ctx, args.Mailbox, up, o)
	if err == nil {
		r.code = "APPENDUID " + num(appended.UIDValidity) + " " + num(appended.UID)
		return nil
	}
	var refused *refusal
	switch {
	case errors.As(up.err, &refused):
		return &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeClientBug, Text: refused.text}
	case up.err != nil: // the client's doing, and it hardly hears this
		return no("", "The message did not come in whole")
	}
	return r.failDest(err)
}

// messageReader reads the message of an APPEND, and asks for it when it is first
// read. The last byte is not handed out before the line behind it is known to be
// what it should be: of a message that something else follows nothing must be
// stored.
type messageReader struct {
	c     *guardConn
	cmd   *command
	left  int64
	asked bool
	err   error
}

// openMessage returns a reader of the message that follows a command. What of it
// is not read is dropped.
func (c *guardConn) openMessage(cmd *command) io.Reader {
	m := &messageReader{c: c, cmd: cmd, left: cmd.message, asked: cmd.nonSync}
	c.message = m
	c.mu.Lock()
	c.grace = time.Duration(cmd.message/minRate) * time.Second
	c.mu.Unlock()
	return m
}

func (m *messageReader) Read(p []byte) (int, error) {
	if m.err != nil || len(p) == 0 {
		return 0, m.err
	}
	if !m.asked {
		m.asked = true
		if m.err = m.c.pass([]byte("+ Ready for literal data\r\n")); m.err != nil {
			return 0, m.err
		}
	}
	m.c.setPhase(commandTimeout)
	if m.left > 1 {
		n, err := m.c.frames.in.Read(p[:min(int64(len(p)), m.left-1)])
		m.left -= int64(n)
		m.err = m.fault(err)
		return n, m.err
	}
	return m.last(p)
}

// last reads the last byte and what follows it.
func (m *messageReader) last(p []byte) (int, error) {
	if _, err := io.ReadFull(&m.c.frames.in, p[:1]); err != nil {
		m.err = m.fault(err)
		return 0, m.err
	}
	m.left = 0
	line, r, err := m.c.frames.reply()
	want := ""
	if m.cmd.closing {
		want = ")"
	}
	switch tail := string(line); {
	case err != nil:
		m.err = m.fault(err)
		return 0, m.err
	case r != nil || tail != want && tail != want+" ":
		// What follows cannot be trusted.
		m.c.verdict = &refusal{tag: "*", text: "BYE Closing the connection", fatal: true}
		m.err = &refusal{text: "Syntax error after the message", fatal: true}
		return 0, m.err
	}
	m.err = io.EOF
	return 1, nil
}

// fault makes an end of the connection an error.
func (m *messageReader) fault(err error) error {
	if err == nil {
		return nil
	}
	m.c.err = unexpected(err)
	return m.c.err
}

// dropMessage has what was not read of the last command's message dropped, if the
// client sends it.
func (c *guardConn) dropMessage(cmd *command) {
	left, asked := cmd.message, cmd.nonSync
	if m := c.message; m != nil {
		left, asked = m.left, m.asked
		c.message = nil
	}
	c.mu.Lock()
	c.grace = 0
	c.mu.Unlock()
	if left > 0 && asked && c.err == nil {
		c.frames.abandon(left)
	}
}
