package imapadapter

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/letterlock/letterlock/mailbox"
)

// A client that sends the next APPEND without waiting for the answer to the one
// before need not wait for each: while its message is being stored, the next one is
// read, and what was stored meanwhile is committed together, in the order of the
// commands. Answers are given in that order too, and before any other command is
// begun or the client is waited for.
const (
	maxLater     = 8       // commands whose answer is put off
	maxLaterSize = 1 << 20 // bytes of a message with which that is done
)

// errLater says that a command will be answered later.
var errLater = errors.New("answered later")

// laterAppend is an APPEND that is not answered yet.
type laterAppend struct {
	*request
	appender *mailbox.Appender
	size     int64 // of the first message
	messages int
	stored   chan struct{} // closed when the last message is stored, or err says why not
	err      error
}

// add stores a message in the background, and returns when it was read from the
// client, or was not taken. The message before has been stored by then.
func (l *laterAppend) add(ctx context.Context, r io.Reader, o mailbox.AppendOptions) error {
	if err := l.wait(); err != nil {
		return err
	}
	read, stored := make(chan struct{}), make(chan struct{})
	l.messages++
	l.stored = stored
	src := &untilEnd{src: r, end: read}
	go func() {
		defer close(stored)
		l.err = l.appender.Add(ctx, src, o)
	}()
	select {
	case <-read:
		return nil
	case <-stored: // without having read it whole
		return l.err
	}
}

// wait waits until what was added is stored.
func (l *laterAppend) wait() error {
	if l.stored != nil {
		<-l.stored
	}
	return l.err
}

// untilEnd closes end when a reader is at its end, and is not used any more.
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

// mayWait reports whether the answer can be put off: the next command is there, and
// is an APPEND too.
func (l *laterAppend) mayWait() bool {
	return l.messages == 1 && l.size <= maxLaterSize && len(l.s.appends) < maxLater && l.s.guard.appendFollows()
}

// settle answers what was put off.
func (s *session) settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settleAppends()
}

// settleAppends commits what was stored and answers. The caller holds mu.
func (s *session) settleAppends() error {
	if len(s.appends) == 0 {
		return nil
	}
	all := s.appends
	s.appends = nil
	commit := s.operation("APPEND")
	defer commit.close()
	var stored []*mailbox.Appender
	for _, l := range all {
		if l.wait() == nil {
			stored = append(stored, l.appender)
		}
	}
	done := mailbox.CommitAll(commit.ctx, stored)
	told := false
	for _, l := range all {
		if l.err == nil {
			l.err = done[0].Err
			if l.err == nil {
				l.code = appendUID(done[0].Appended)
			}
			done = done[1:]
		}
		var err error
		if l.err != nil {
			err = l.failDest(l.err)
		}
		if err == nil && s.view != nil && !told {
			told = true
			l.operation.ctx = commit.ctx // its own time may be over
			l.news(false)
		}
		l.finish(err)
		err = l.w.close()
		l.operation.close()
		if err != nil {
			s.dropAppends(all)
			return err
		}
	}
	return nil
}

// dropAppends gives up what was not committed: nobody was told that it was.
func (s *session) dropAppends(all []*laterAppend) {
	for _, l := range all {
		l.operation.close()
		_ = l.wait()
		l.appender.Abort(context.WithoutCancel(l.ctx))
	}
}

// appendFollows reports whether the client has sent the first line of an APPEND
// beyond the current command.
func (c *guardConn) appendFollows() bool {
	line, _, whole := bytes.Cut(c.frames.Buffered(), []byte("\n"))
	_, rest, _ := bytes.Cut(line, []byte(" "))
	name, _, spaced := bytes.Cut(rest, []byte(" "))
	return whole && spaced && bytes.EqualFold(name, []byte("APPEND"))
}
