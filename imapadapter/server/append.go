package server

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// append handles APPEND, of several messages too (RFC 3502): they are one entry of the
// log. It is answered by answerAppends.
func (r *request) append() error {
	args := r.p.Append()
	if err := r.p.End(); err != nil {
		return err
	}
	if r.cmd.Message < 0 {
		return bad("A message is missing")
	}
	p, err := r.account.NewAppender(r.ctx, args.Mailbox)
	if err != nil {
		return r.failDest(err)
	}
	l := &laterAppend{request: r, appender: p, size: r.cmd.Message}
	if err := r.addMessages(args.Message, l.add); err != nil {
		_ = l.stored()
		p.Abort(r.ctx)
		return err
	}
	r.appends = append(r.appends, l)
	if l.mayWait() {
		return errLater
	}
	if err := r.answerAppends(); err != nil {
		return errors.Join(errLater, err)
	}
	return errLater
}

// appendUID returns APPENDUID (RFC 4315 section 3).
func appendUID(done []mailbox.Appended) string {
	var uids []wire.Range
	for _, a := range done {
		uids = wire.Add(uids, uint32(a.UID))
	}
	var e wire.Encoder
	e.Text("APPENDUID ", num(done[0].UIDValidity), " ")
	e.Set(uids)
	return string(e.B)
}

// replace handles REPLACE and UID REPLACE (RFC 8508): the new message and the end of the
// old one are one entry of the log.
func (r *request) replace() error {
	args := r.p.Replace()
	if err := r.p.End(); err != nil {
		return err
	}
	if r.cmd.Message < 0 {
		return bad("A message is missing")
	}
	set, err := r.selected(wire.Set{Ranges: []wire.Range{{First: args.Number, Last: args.Number}}})
	if err != nil {
		return err
	}
	var uid mailbox.UID
	for f, err := range r.view.Search(r.ctx, &mailbox.Query{Op: mailbox.OpSet, Set: set}) {
		if err != nil {
			return r.fail(err)
		}
		uid = f.UID
	}
	if uid == 0 {
		return r.fail(mailbox.ErrNoMessage)
	}
	var done mailbox.Appended
	err = r.addMessages(args.Message, func(ctx context.Context, m io.Reader, o mailbox.AppendOptions) (err error) {
		done, err = r.view.Replace(ctx, uid, args.Mailbox, m, o)
		return err
	})
	if err != nil {
		return err
	}
	r.ok(appendUID([]mailbox.Appended{done}), "Replacement message ready")
	r.updateExpunged(true)
	return nil
}

// addMessages passes each message of a command to add.
func (r *request) addMessages(first wire.AppendMessage, add func(context.Context, io.Reader, mailbox.AppendOptions) error) error {
	for m := first; ; {
		if m.UTF8 && !r.enabled.utf8 {
			return bad("UTF8=ACCEPT was not enabled") // RFC 6855 section 4
		}
		o := mailbox.AppendOptions{Flags: translate.WithoutRecent(m.Flags), Date: m.Date, Size: r.cmd.Message}
		body := r.openMessage(r.cmd, r.operation)
		src := io.Reader(body)
		if r.cmd.Binary {
			src = newTranscoder(body)
		}
		if err := add(r.ctx, src, o); err != nil {
			return r.failMessage(body, err)
		}
		r.progress()
		if body.next == nil {
			return nil
		}
		p := wire.NewParser(body.next)
		p.SP()
		m = p.AppendMessage()
		if err := p.End(); err != nil {
			return err
		}
	}
}

// failMessage returns the answer for a message that was not taken.
func (r *request) failMessage(m *messageReader, err error) error {
	var refused *frame.Refusal
	switch {
	case errors.As(m.err, &refused):
		status, text, _ := strings.Cut(refused.Text, " ")
		return &imap.Error{Type: imap.StatusResponseType(status), Text: text}
	case m.err != nil && m.err != io.EOF: // the connection's end: the client hardly gets this
		return no("", "The message did not come in whole")
	}
	return r.failDest(err)
}

// messageReader reads the message of an APPEND or REPLACE, and asks for it when it is
// first read. The last byte is not handed out before the line behind the message is
// known to be sound: nothing must be stored of a message that something else follows.
type messageReader struct {
	conn  *conn
	op    *operation
	cmd   *frame.Command
	left  int64     // bytes that were not read
	until time.Time // when all of it must have come
	asked bool
	err   error // io.EOF at the end
	over  bool  // the line behind the message was read too; cmd says what follows
	next  []byte
}

// openMessage returns a reader of the next message of a command. What is not read of it
// is dropped.
func (c *conn) openMessage(cmd *frame.Command, op *operation) *messageReader {
	slow := time.Duration(cmd.Message/minRate) * time.Second
	c.message = &messageReader{conn: c, op: op, cmd: cmd, left: cmd.Message, asked: cmd.NonSync, until: time.Now().Add(messageTimeout + slow)}
	return c.message
}

func (m *messageReader) Read(p []byte) (int, error) {
	if m.err != nil || len(p) == 0 {
		return 0, m.err
	}
	if !m.asked {
		m.asked = true
		if m.err = m.conn.send([]byte(continuation)); m.err != nil {
			return 0, m.err
		}
	}
	m.conn.receive(min(commandTimeout, time.Until(m.until)))
	m.op.progress()
	if m.left > 1 {
		n, err := m.conn.frames.Read(p[:min(int64(len(p)), m.left-1)])
		m.left -= int64(n)
		m.err = m.fault(err)
		return n, m.err
	}
	return m.last(p)
}

// last reads the last byte and the line behind it.
func (m *messageReader) last(p []byte) (int, error) {
	if _, err := io.ReadFull(&m.conn.frames, p[:1]); err != nil {
		m.err = m.fault(err)
		return 0, m.err
	}
	m.over = true
	next, err := m.conn.frames.Tail(m.cmd, m.cmd.Name == "APPEND")
	var refused *frame.Refusal
	switch {
	case errors.As(err, &refused):
		if refused.Fatal {
			m.conn.hangUp()
		}
		m.err = refused
		return 0, m.err
	case err != nil:
		m.err = m.fault(err)
		return 0, m.err
	case next != nil:
		m.next = []byte(string(next))
	}
	m.err = io.EOF
	return 1, nil
}

// fault makes an end of the connection an error.
func (m *messageReader) fault(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		m.conn.err = err
	}
	return err
}

// dropMessage makes the next command begin behind the messages of the last one, if the
// client sends what was not read of them.
func (c *conn) dropMessage(cmd *frame.Command) {
	left, asked := cmd.Message, cmd.NonSync
	if m := c.message; m != nil {
		if !m.over {
			left, asked = m.left, m.asked
		}
		c.message = nil
	}
	if left > 0 && asked && c.err == nil {
		c.frames.Abandon(left)
	}
}
