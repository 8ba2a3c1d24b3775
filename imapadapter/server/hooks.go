package server

import (
	"context"
	"net"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Hooks are functions that the server calls at logins and around commands. Each may be
// nil. They run in the goroutine of their connection, which waits for them, and for
// different connections at the same time. The context ends with the connection.
//
// An error of a hook becomes the answer to the client: an imap.Error of go-imap as it
// stands, an error of package mailbox as it would be from the mailbox, anything else as
// NO [UNAVAILABLE], and is logged.
type Hooks struct {
	// BeforeLogin is called before a client's name and secret are checked. An error
	// refuses the login without the check.
	BeforeLogin func(ctx context.Context, l Login) error

	// AfterLogin is called when they were checked, with the outcome. An error
	// refuses a login that succeeded.
	AfterLogin func(ctx context.Context, l Login) error

	// BeforeCommand is called before a command is executed. An error refuses it.
	// LOGIN and AUTHENTICATE are commands too.
	BeforeCommand func(ctx context.Context, c Command) error

	// AfterCommand is called when a command has been executed, before its answer is
	// written. It is not called for a command whose connection broke meanwhile.
	AfterCommand func(ctx context.Context, c Command)
}

// Session is a client's connection.
type Session struct {
	ID     uint64 // the one in the log; unique within the process
	Local  net.Addr
	Remote net.Addr
	TLS    bool
	// Account is the name that the client logged in with, empty before the login.
	Account string
}

// Login is a client's attempt to log in.
type Login struct {
	Session Session
	Name    string // as the client gave it

	// Set for [Hooks.AfterLogin]:
	Err      error         // why it failed, or nil
	Duration time.Duration // of the check, without the delay after a failure
}

// Command is a command of a client.
type Command struct {
	Session Session
	Name    string // in upper case; with the second word for UID commands

	// Set for [Hooks.AfterCommand]:
	Status   imap.StatusResponseType // OK, NO or BAD
	Duration time.Duration           // with the time that IDLE waited, or that a client took for its message
}

// about describes the connection to a hook.
func (c *conn) about() Session {
	return Session{ID: c.id, Local: c.raw.LocalAddr(), Remote: c.raw.RemoteAddr(), TLS: c.secure, Account: c.user}
}

// beforeCommand calls the hook, and notes when the command began if the other hook
// wants to know.
func (r *request) beforeCommand() error {
	h := &r.o.Hooks
	if h.AfterCommand != nil {
		r.began = time.Now()
	}
	if h.BeforeCommand == nil {
		return nil
	}
	return r.fail(h.BeforeCommand(r.ctx, Command{Session: r.about(), Name: r.name}))
}

func (r *request) afterCommand(status imap.StatusResponseType) {
	if hook := r.o.Hooks.AfterCommand; hook != nil {
		hook(r.life, Command{Session: r.about(), Name: r.name, Status: status, Duration: time.Since(r.began)})
	}
}
