package server

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/letterlock/letterlock/mailbox"
)

// A client that sends the next APPEND without waiting for the answer to the one before
// need not wait for each: while its message is being stored, the next one is read, and
// what was stored meanwhile is committed together, in the order of the commands. Answers
// are given in that order too, and before any other command is begun or the client is
// waited for.
const (
	maxLater     = 8       // commands whose answer is put off
	maxLaterSize = 1 << 20 // bytes of a message with which that is done
)

// errLater says that answerAppends answers a command, or has answered it.
var errLater = errors.New("answered later")

// laterAppend is an APPEND that is not answered yet.
type laterAppend struct {
	*request
	appender *mailbox.Appender
	size     int64 // of the first message
	messages int
	done     chan struct{} // closed when the last message is stored, or err says why not
	err      error
}

// add stores a message in the background. It returns when the message was read from the
// client, or was not taken. The message before has been stored by then.
func (l *laterAppend) add(ctx context.Context, r io.Reader, o mailbox.AppendOptions) error {
	if err := l.stored(); err != nil {
		return err
	}
	read, done := make(chan struct{}), make(chan struct{})
	l.messages++
	l.done = done
	src := &untilEnd{src: r, end: read}
	go func() {
		defer close(done)
		l.err = l.appender.Add(ctx, src, o)
	}()
	select {
	case <-read:
		return nil
	case <-done: // without having read it whole
		return l.err
	}
}

// stored waits until what was added is stored.
func (l *laterAppend) stored() error {
	if l.done != nil {
		<-l.done
	}
	return l.err
}

// untilEnd closes end when a reader is at its end, and does not use it any more.
type untilEnd struct {
	src io.Reader
	end chan struct{}
	err error
}

func (u *untilEnd) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	n, u.err = u.src.Read(p)
	if u.err == io.EOF {
		close(u.end)
	}
	return n, u.err
}

// mayWait reports whether the answer can be put off: the next command is there, and is
// an APPEND too.
func (l *laterAppend) mayWait() bool {
	return l.messages == 1 && l.size <= maxLaterSize && len(l.appends) < maxLater && l.appendFollows()
}

// appendFollows reports whether the client has sent the first line of an APPEND behind
// the command at work.
func (c *conn) appendFollows() bool {
	line, _, whole := bytes.Cut(c.frames.Buffered(), []byte("\n"))
	_, rest, _ := bytes.Cut(line, []byte(" "))
	name, _, spaced := bytes.Cut(rest, []byte(" "))
	return whole && spaced && bytes.EqualFold(name, []byte("APPEND"))
}

// answerAppends commits what was stored and answers. An error is the connection's.
func (c *conn) answerAppends() error {
	if len(c.appends) == 0 {
		return nil
	}
	all := c.appends
	c.appends = nil
	commit := c.begin("APPEND")
	defer commit.end()
	var stored []*mailbox.Appender
	for _, l := range all {
		if l.stored() == nil {
			stored = append(stored, l.appender)
		} else {
			l.appender.Abort(context.WithoutCancel(l.ctx))
		}
	}
	done := mailbox.CommitAll(commit.ctx, stored)
	updated := false
	for i, l := range all {
		if l.err == nil {
			l.err = done[0].Err
			if l.err == nil {
				l.code = appendUID(done[0].Appended)
			}
			done = done[1:]
		}
		err := l.failDest(l.err)
		if err == nil && c.view != nil && !updated {
			updated = true
			l.operation.end() // its time may be over
			l.operation = c.begin(l.name)
			l.update(false)
		}
		err = l.answer(err)
		l.operation.end()
		if err != nil {
			c.dropAppends(all[i+1:])
			return err
		}
	}
	return nil
}

// dropAppends gives up appends that were not answered.
func (c *conn) dropAppends(all []*laterAppend) {
	for _, l := range all {
		l.operation.end()
		_ = l.stored()
		l.appender.Abort(context.WithoutCancel(l.ctx))
	}
}
