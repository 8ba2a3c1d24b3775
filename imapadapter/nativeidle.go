package imapadapter

import (
	"errors"
	"strings"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/observe"
)

// idle handles IDLE (RFC 2177). While the client is waited for, nothing is held
// but the connection: no buffer, no timer, no second goroutine. Whoever has news
// pokes the guard, which calls told.
func (r *request) idle() error {
	if err := r.p.End(); err != nil {
		return err
	}
	s, guard := r.s, r.s.guard
	r.w.Text("+ idling")
	r.w.end()
	if s.view != nil {
		watch := s.account.WatchFunc(guard.poke)
		defer watch.Close()
		r.news(false)
	}
	if r.w.rest(); r.w.err != nil {
		return r.w.err
	}
	s.o.Observe.Session(observe.IMAP, observe.IdleBegun)
	defer s.o.Observe.Session(observe.IMAP, observe.IdleEnded)
	s.idling = true
	r.pause()
	line, refused, err := guard.awaitLine()
	r.resume()
	s.idling = false
	switch {
	case err != nil:
		return err
	case refused != nil || !strings.EqualFold(string(line), "DONE"):
		if refused != nil && refused.Fatal {
			guard.verdict = refused
		}
		return bad("Expected DONE to end IDLE")
	}
	return nil
}

// pause gives up the session and the time of a command that waits for its client,
// and resume takes them back.
func (r *request) pause() {
	r.operation.close()
	*r.operation = operation{s: r.s} // nothing of it stays in memory
	r.p, r.cmd.Text, r.cmd.Cuts = nil, nil, nil
	r.s.guard.setWorking(false)
	r.s.mu.Unlock()
}

func (r *request) resume() {
	r.s.guard.setWorking(true)
	*r.operation = *r.s.begin(r.name)
}

// told tells a client that idles, or asked for it by NOTIFY, what happened.
func (s *session) told() error {
	if !s.idling && s.notified == nil {
		return nil
	}
	r := &request{operation: s.begin("IDLE"), name: "IDLE", w: s.guard.responder()}
	defer r.end()
	r.w.UTF8 = s.utf8()
	if s.idling && s.view != nil {
		r.news(false)
	}
	if s.notified != nil {
		r.tellNotified()
	}
	return r.w.close()
}

// awaitLine waits for the end of IDLE.
func (c *guardConn) awaitLine() ([]byte, *frame.Refusal, error) {
	c.await()
	line, refused, err := c.reply()
	if err != nil {
		c.fail(err)
		if c.verdict == nil {
			return nil, nil, errors.Join(errIdleOver, err)
		}
		c.refuse(c.verdict)
		c.verdict = nil
		return nil, nil, errIdleOver
	}
	return line, refused, nil
}

var errIdleOver = errors.New("connection ended in IDLE")
