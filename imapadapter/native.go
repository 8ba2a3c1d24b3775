package imapadapter

import (
	"errors"
	"net"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// With the guard in front, the session answers most commands itself: those that
// the engine cannot express, and those that belong together with them. A command
// is either wholly the engine's or wholly ours.
//
// To add one: write its syntax in internal/wire, its execution as a method of
// request, and a line in verbs. The method reads the arguments from r.p up to
// r.p.End, writes untagged responses to r.w (a line ends with r.w.end), and
// returns nil for OK, or an error: of r.p for BAD, of no, bad or r.op.fail for what
// these say. What happened in the mailbox meanwhile is told after it. A capability
// goes into nativeCaps.

// when says in which states of the connection a command may be given.
type when uint8

const (
	whenever     when = iota // also before a login
	whenLoggedIn             // with a mailbox selected, or none
	whenSelected
)

// telling says what a client may be told when a command has succeeded (RFC 9051
// section 7.5.1).
type telling uint8

const (
	tellAll  telling = iota
	tellHeld         // all but what was expunged, so that numbers stay
	tellNothing
)

// verb is one command.
type verb struct {
	when when
	run  func(*request) error
	tell telling
}

// verbs are the commands that the session answers without the engine.
var verbs = map[string]verb{
	"CHECK":  {whenLoggedIn, (*request).noop, tellAll},
	"ID":     {whenever, (*request).id, tellAll},
	"NOOP":   {whenever, (*request).noop, tellAll},
	"STATUS": {whenLoggedIn, (*request).status, tellAll},
}

// nativeCaps are the capabilities that these commands bring: before a login, and
// after it.
var (
	nativeCapsBefore = []string{"ID"}
	nativeCapsAfter  = []string{"ID"}
)

// enabled is what a client enabled (RFC 5161). It stays until UNAUTHENTICATE.
type enabled struct {
	rev2 bool // IMAP4rev2
	utf8 bool // UTF8=ACCEPT
}

// request is the work on one command.
type request struct {
	*operation
	tag  string
	name string // upper case; with the second word for UID commands
	uid  bool   // it is a UID command

	p *wire.Parser
	w *responder

	code string // stands in brackets in the tagged OK
}

// guardOf returns the guard of a connection, or nil.
func guardOf(c net.Conn) *guardConn {
	switch c := c.(type) {
	case *link:
		return c.guard
	case *guardConn:
		return c
	}
	return nil
}

// takes reports whether a command is ours.
func (s *session) takes(name string) bool {
	_, ok := verbs[name]
	return ok
}

// leaving says goodbye if the server shuts down.
func (s *session) leaving() bool { return s.link.leaving() }

// capabilities returns what is offered beside what the engine offers.
func (s *session) capabilities(authed bool) []string {
	if authed {
		return nativeCapsAfter
	}
	return nativeCapsBefore
}

// answer executes a command and writes its answer.
func (s *session) answer(cmd *command) error {
	op := s.begin(cmd.name)
	defer op.end()
	r := &request{operation: op, tag: cmd.tag, name: cmd.name, w: s.guard.responder()}
	_, r.uid = strings.CutPrefix(cmd.name, "UID ")
	r.p = wire.NewParser(cmd.text[len(cmd.tag)+1+len(cmd.name):])
	r.p.UTF8 = s.utf8()
	r.w.UTF8 = s.utf8()
	r.finish(r.run())
	return r.w.close()
}

// run executes the command, and tells what happened meanwhile.
func (r *request) run() error {
	v := verbs[r.name]
	switch {
	case v.when >= whenLoggedIn && r.s.account == nil:
		return bad("This command is only valid after a login")
	case v.when == whenSelected && r.s.view == nil:
		return bad("This command is only valid with a mailbox selected")
	}
	if err := v.run(r); err != nil {
		return err
	}
	if r.s.view != nil && v.tell != tellNothing {
		r.news(v.tell == tellHeld)
	}
	return nil
}

// finish writes the tagged response.
func (r *request) finish(err error) {
	var syntax *wire.Error
	var answer *imap.Error
	w := r.w
	w.Text(r.tag)
	switch {
	case err == nil:
		w.Text(" OK ")
		if r.code != "" {
			w.Text("[", r.code, "] ")
		}
		w.Text(r.name, " completed")
	case errors.As(err, &syntax):
		w.Text(" BAD [CLIENTBUG] Syntax error: ", syntax.Text)
	case errors.As(err, &answer):
		w.Text(" ", string(answer.Type), " ")
		if answer.Code != "" {
			w.Text("[", string(answer.Code), "] ")
		}
		w.Text(answer.Text)
	default: // of the connection: nobody hears it
		w.err = errors.Join(w.err, err)
	}
	w.CRLF()
}

// utf8 reports whether the client enabled names and strings in UTF-8.
func (s *session) utf8() bool {
	return s.rev2() || s.enabled.utf8 || s.conn.EnabledCaps().Has(imap.CapUTF8Accept)
}

// told tells a client that is waited for what happened.
func (s *session) told() error { return nil }

// news tells what happened in the mailbox. Trouble in finding out is not the
// command's: the client is told the next time.
func (r *request) news(hold bool) {
	s := r.s
	changes, err := s.view.Sync(r.ctx, hold)
	if err != nil {
		s.warn(r.name, err)
		return
	}
	s.deleted = s.deleted || changes.MailboxDeleted
	r.write(changes)
}

// write writes changes in the order in which a client can follow (RFC 9051
// section 7.5.1).
func (r *request) write(c *mailbox.Changes) {
	w, rev2 := r.w, r.s.rev2()
	if c.Flags != nil {
		w.Text("* FLAGS ")
		w.List(validFlags(c.Flags))
		w.end()
	}
	for _, e := range c.Expunged {
		w.Text("* ")
		w.Num(uint64(e.Index) + 1)
		w.Text(" EXPUNGE")
		w.end()
	}
	for _, m := range c.Updated {
		r.writeFlags(m, rev2)
	}
	if c.ExistsChanged {
		w.Text("* ")
		w.Num(uint64(c.Exists))
		w.Text(" EXISTS")
		w.end()
	}
	if c.RecentChanged && !rev2 {
		w.Text("* ")
		w.Num(uint64(c.Recent))
		w.Text(" RECENT")
		w.end()
	}
}

// writeFlags writes the FETCH response that tells a message's flags.
func (r *request) writeFlags(m *mailbox.Message, rev2 bool) {
	w := r.w
	w.Text("* ")
	w.Num(uint64(m.Index) + 1)
	w.Text(" FETCH (UID ")
	w.Num(uint64(m.UID))
	w.Text(" FLAGS ")
	w.List(shownFlags(m, rev2))
	w.Text(")")
	w.end()
}

// noop handles NOOP and CHECK.
func (r *request) noop() error { return r.p.End() }

// id handles ID (RFC 2971), also before a login. What a client says of itself is
// not kept.
func (r *request) id() error {
	r.p.ID()
	if err := r.p.End(); err != nil {
		return err
	}
	r.w.Text(`* ID ("name" "letterlock")`)
	r.w.end()
	return nil
}
