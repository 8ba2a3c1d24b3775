package server

import (
	"errors"
	"strings"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// idle handles IDLE (RFC 2177). While the client is waited for, nothing is held but the
// connection: no buffer, no timer, no second goroutine. Whoever has news calls wake.
func (r *request) idle() error {
	if err := r.p.End(); err != nil {
		return err
	}
	r.w.Text("+ idling")
	r.w.end()
	if r.view != nil {
		watch := r.account.WatchFunc(r.wake)
		defer watch.Close()
		r.update(false)
	}
	if err := r.w.close(); err != nil {
		return err
	}
	r.o.Observe.Session(observe.IMAP, observe.IdleBegun)
	defer r.o.Observe.Session(observe.IMAP, observe.IdleEnded)
	line, err := r.awaitDone()
	var refused *frame.Refusal
	switch {
	case errors.As(err, &refused):
		if refused.Fatal {
			r.verdict = refused
		}
		return bad("Expected DONE to end IDLE")
	case err != nil:
		return err
	case !strings.EqualFold(line, "DONE"):
		return bad("Expected DONE to end IDLE")
	}
	return nil
}

// awaitDone waits for the line that ends IDLE. The operation is ended meanwhile.
func (r *request) awaitDone() (string, error) {
	name := r.name
	r.operation.end()
	r.operation, r.p, r.cmd.Text, r.cmd.Cuts = nil, nil, nil, nil // nothing of it stays in memory
	r.idling = true
	r.rest()
	line, err := r.frames.Reply()
	r.setPhase(working, 0)
	r.idling = false
	r.operation = r.begin(name)
	return string(line), err
}

// notifyClient notifies a client that idles, or asked for it by NOTIFY, of what happened.
// It waits for the client meanwhile, and no command is at work.
func (c *conn) notifyClient() error {
	if !c.idling && c.notified == nil {
		return nil
	}
	r := &request{conn: c, operation: c.begin("IDLE"), w: c.output()}
	defer r.operation.end()
	if c.idling && c.view != nil {
		r.update(false)
	}
	if c.notified != nil {
		r.notifyEvents()
	}
	return r.w.close()
}
