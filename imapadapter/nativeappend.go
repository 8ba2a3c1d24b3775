package imapadapter

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// append handles APPEND, of several messages too (RFC 3502): they are one entry of
// the log. When it returns nil they are durable.
func (r *request) append() error {
	args := r.p.Append()
	if err := r.p.End(); err != nil {
		return err
	}
	if r.cmd.Message < 0 {
		return bad("A message is missing")
	}
	p, err := r.s.account.NewAppender(r.ctx, args.Mailbox)
	if err != nil {
		return r.failDest(err)
	}
	l := &laterAppend{request: r, appender: p, size: r.cmd.Message}
	if err := r.addMessages(args.Message, l.add); err != nil {
		_ = l.wait()
		p.Abort(r.ctx)
		return err
	}
	r.s.appends = append(r.s.appends, l)
	if l.mayWait() {
		return errLater
	}
	if err := r.s.settleAppends(); err != nil {
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

// replace handles REPLACE and UID REPLACE (RFC 8508): the new message and the end
// of the old one are one entry of the log.
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
	for f, err := range r.s.view.Search(r.ctx, &mailbox.Query{Op: mailbox.OpSet, Set: set}) {
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
		done, err = r.s.view.Replace(ctx, uid, args.Mailbox, m, o)
		return err
	})
	if err != nil {
		return err
	}
	r.ok(appendUID([]mailbox.Appended{done}), "Replacement message ready")
	r.tellHighest(true)
	return nil
}

// addMessages hands each message of a command to add.
func (r *request) addMessages(first wire.AppendMessage, add func(context.Context, io.Reader, mailbox.AppendOptions) error) error {
	for m := first; ; {
		if m.UTF8 && !r.s.enabled.utf8 {
			return bad("UTF8=ACCEPT was not enabled") // RFC 6855 section 4
		}
		o := mailbox.AppendOptions{Flags: withoutRecent(m.Flags), Date: m.Date}
		message := r.s.guard.openMessage(r.cmd)
		up := &upload{op: r.operation, r: message, left: r.cmd.Message}
		if err := add(r.ctx, up, o); err != nil {
			return r.failMessage(up, err)
		}
		r.progress()
		if message.next == nil {
			return nil
		}
		p := wire.NewParser(message.next)
		p.SP()
		m = p.AppendMessage()
		if err := p.End(); err != nil {
			return err
		}
	}
}

// failMessage returns what a client is told of a message that was not taken.
func (r *request) failMessage(up *upload, err error) error {
	var refused *frame.Refusal
	switch {
	case errors.As(up.err, &refused):
		status, text, _ := strings.Cut(refused.Text, " ")
		return &imap.Error{Type: imap.StatusResponseType(status), Text: text}
	case up.err != nil: // the client's doing, and it hardly hears this
		return no("", "The message did not come in whole")
	}
	return r.failDest(err)
}

// messageReader reads the message of an APPEND, and asks for it when it is first
// read. The last byte is not handed out before the line behind it is known to be
// what it should be: of a message that something else follows nothing must be
// stored. What is left of the message stands in the command.
type messageReader struct {
	c     *guardConn
	cmd   *frame.Command
	until time.Time // when all of it must have come
	err   error
	next  []byte // announces another message behind this one
}

// openMessage returns a reader of the message that follows a command. What of it
// is not read is dropped.
func (c *guardConn) openMessage(cmd *frame.Command) *messageReader {
	slow := time.Duration(cmd.Message/minRate) * time.Second
	return &messageReader{c: c, cmd: cmd, until: time.Now().Add(messageTimeout + slow)}
}

func (m *messageReader) Read(p []byte) (int, error) {
	if m.err != nil || len(p) == 0 {
		return 0, m.err
	}
	if !m.cmd.NonSync {
		m.cmd.NonSync = true // from now on the client sends it
		if m.err = m.c.pass([]byte("+ Ready for literal data\r\n")); m.err != nil {
			return 0, m.err
		}
	}
	m.c.setPhase(min(commandTimeout, time.Until(m.until)))
	if m.cmd.Message > 1 {
		n, err := m.c.frames.Read(p[:min(int64(len(p)), m.cmd.Message-1)])
		m.cmd.Message -= int64(n)
		m.err = m.fault(err)
		return n, m.err
	}
	return m.last(p)
}

// last reads the last byte and what follows it.
func (m *messageReader) last(p []byte) (int, error) {
	_, err := io.ReadFull(&m.c.frames, p[:1])
	if err == nil {
		m.next, err = m.c.frames.Tail(m.cmd, m.cmd.Name == "APPEND")
	}
	var refused *frame.Refusal
	switch {
	case errors.As(err, &refused):
		if refused.Fatal {
			m.c.verdict = &frame.Refusal{Tag: "*", Text: "BYE Closing the connection", Fatal: true}
		}
		m.err = refused
		return 0, m.err
	case err != nil:
		m.err = m.fault(err)
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
func (c *guardConn) dropMessage(cmd *frame.Command) {
	if cmd.Message > 0 && cmd.NonSync && c.err == nil {
		c.frames.Abandon(cmd.Message)
	}
}
