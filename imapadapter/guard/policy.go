package guard

import (
	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// maxPreAuthDrop is the longest literal that is read and dropped for a client
// that has not logged in.
const maxPreAuthDrop = 64 << 10

// A policy answers what the reader of frames asks the guard.
type policy struct{ c *conn }

// Limits are the engine's.
func (p policy) Limits(string) frame.Limits {
	o := p.c.o
	l := frame.Limits{Line: o.MaxLine, Literal: maxEngineLiteral, Literals: o.MaxLiteral, Message: o.AppendLimit, Drop: maxPreAuthDrop}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.authed {
		l.Drop = max(2*o.AppendLimit, maxPreAuthDrop)
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
