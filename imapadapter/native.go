package imapadapter

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
)

// With the guard in front, the session answers most commands itself: those that
// the engine cannot express, and those that belong together with them. A command
// is either wholly the engine's or wholly ours, and the engine knows neither which
// mailbox is selected nor what was enabled.
//
// To add one: write its syntax in internal/wire, its execution as a method of
// request, and a line in verbs. The method reads the arguments from r.p up to
// r.p.End, writes untagged responses to r.w (a line ends with r.w.end), and
// returns nil for OK, or an error: of r.p for BAD, of no, bad or r.fail for what
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
	"APPEND":       {whenLoggedIn, (*request).append, tellAll},
	"CHECK":        {whenSelected, (*request).noop, tellAll},
	"CLOSE":        {whenSelected, (*request).close, tellNothing},
	"COMPRESS":     {whenLoggedIn, (*request).beginCompression, tellAll},
	"COPY":         {whenSelected, (*request).copy, tellAll},
	"CREATE":       {whenLoggedIn, (*request).create, tellAll},
	"DELETE":       {whenLoggedIn, (*request).delete, tellAll},
	"ENABLE":       {whenLoggedIn, (*request).enable, tellAll},
	"EXAMINE":      {whenLoggedIn, (*request).open, tellNothing},
	"EXPUNGE":      {whenSelected, (*request).expunge, tellNothing},
	"FETCH":        {whenSelected, (*request).fetch, tellHeld},
	"GETQUOTA":     {whenLoggedIn, (*request).getQuota, tellAll},
	"GETQUOTAROOT": {whenLoggedIn, (*request).getQuotaRoot, tellAll},
	"ID":           {whenever, (*request).id, tellAll},
	"IDLE":         {whenLoggedIn, (*request).idle, tellNothing},
	"LIST":         {whenLoggedIn, (*request).list, tellAll},
	"LSUB":         {whenLoggedIn, (*request).lsub, tellAll},
	"MOVE":         {whenSelected, (*request).move, tellNothing},
	"NAMESPACE":    {whenLoggedIn, (*request).namespace, tellAll},
	"NOTIFY":       {whenLoggedIn, (*request).notify, tellAll},
	"NOOP":         {whenever, (*request).noop, tellAll},
	"REPLACE":      {whenSelected, (*request).replace, tellNothing},
	"RENAME":       {whenLoggedIn, (*request).rename, tellAll},
	"SEARCH":       {whenSelected, (*request).search, tellHeld},
	"SELECT":       {whenLoggedIn, (*request).open, tellNothing},
	"SETQUOTA":     {whenLoggedIn, (*request).setQuota, tellAll},
	"SORT":         {whenSelected, (*request).sort, tellHeld},
	"STATUS":       {whenLoggedIn, (*request).status, tellAll},
	"STORE":        {whenSelected, (*request).store, tellHeld},
	"SUBSCRIBE":    {whenLoggedIn, (*request).subscribe, tellAll},
	"THREAD":       {whenSelected, (*request).thread, tellHeld},
	"UID COPY":     {whenSelected, (*request).copy, tellAll},
	"UID EXPUNGE":  {whenSelected, (*request).expunge, tellNothing},
	"UID FETCH":    {whenSelected, (*request).fetch, tellAll},
	"UID MOVE":     {whenSelected, (*request).move, tellNothing},
	"UID REPLACE":  {whenSelected, (*request).replace, tellNothing},
	"UID SEARCH":   {whenSelected, (*request).search, tellAll},
	"UID SORT":     {whenSelected, (*request).sort, tellAll},
	"UID STORE":    {whenSelected, (*request).store, tellAll},
	"UID THREAD":   {whenSelected, (*request).thread, tellAll},
	"UNSELECT":     {whenSelected, (*request).unselect, tellNothing},
	"UNSUBSCRIBE":  {whenLoggedIn, (*request).subscribe, tellAll},
}

// nativeCaps are the capabilities that these commands bring: before a login, and
// after it.
var (
	nativeCapsBefore = []string{"ID"}
	nativeCapsAfter  = []string{
		"ID",           // RFC 2971
		"CONDSTORE",    // RFC 7162
		"QRESYNC",      // RFC 7162
		"OBJECTID",     // RFC 8474
		"SAVEDATE",     // RFC 8514
		"WITHIN",       // RFC 5032
		"SEARCH=FUZZY", // RFC 6203
		"PARTIAL",      // RFC 9394
		"UIDONLY",      // RFC 9586
		"INPROGRESS",   // RFC 9585
		"SORT",         // RFC 5256
		"SORT=DISPLAY", // RFC 5957
		"ESORT",        // RFC 5267
		"THREAD=ORDEREDSUBJECT",
		"THREAD=REFERENCES", // RFC 5256
		"PREVIEW",           // RFC 8970
		"MULTIAPPEND",       // RFC 3502
		"REPLACE",           // RFC 8508
		"NOTIFY",            // RFC 5465
	}
)

// enabled is what a client enabled (RFC 5161), or by a command that says that it
// knows (RFC 7162 section 3.1). It stays until UNAUTHENTICATE.
type enabled struct {
	rev2      bool // IMAP4rev2
	utf8      bool // UTF8=ACCEPT
	condstore bool // tell MODSEQ with every FETCH
	qresync   bool // tell VANISHED in place of EXPUNGE
	uidonly   bool // no sequence numbers
}

// request is the work on one command.
type request struct {
	*operation
	tag  string
	name string // upper case; with the second word for UID commands
	uid  bool   // it is a UID command
	cmd  *frame.Command

	p *wire.Parser
	w *responder

	code string // stands in brackets in the tagged OK
	text string // stands in it, if not "... completed"

	after func() // runs when the answer is written

	echo *mailboxSet // messages of a STORE whose flags the client is to be told
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
func (s *session) leaving() bool {
	select {
	case <-s.link.draining():
		_ = s.settle() // who is gone hears no goodbye either
	default:
	}
	return s.link.leaving()
}

// capabilities returns what is offered beside what the engine offers. The guard's
// mu is held.
func (s *session) capabilities(authed bool) []string {
	if !authed {
		return nativeCapsBefore
	}
	caps := nativeCapsAfter
	if s.account != nil && s.account.Quotas() {
		caps = slices.Concat(caps, quotaCaps)
	}
	if s.guard.deflate == nil {
		caps = append(slices.Clone(caps), "COMPRESS=DEFLATE") // RFC 4978
	}
	return caps
}

// answer executes a command and writes its answer.
func (s *session) answer(cmd *frame.Command) error {
	r := s.request(cmd)
	later := false
	defer func() {
		if later { // or by now
			s.mu.Unlock()
			return
		}
		r.end()
	}()
	err := r.run()
	if later = errors.Is(err, errLater); later {
		r.w.rest()
		if err == errLater {
			err = nil
		}
		return errors.Join(err, r.w.err)
	}
	r.finish(err)
	err = r.w.close()
	if err == nil && r.after != nil {
		r.after()
	}
	return err
}

// request begins the work on a command. Its end must be deferred.
func (s *session) request(cmd *frame.Command) *request {
	r := &request{operation: s.begin(cmd.Name), tag: cmd.Tag, name: cmd.Name, cmd: cmd, w: s.guard.responder()}
	r.uid = strings.HasPrefix(cmd.Name, "UID ")
	r.p = wire.NewParser(cmd.Text[min(len(cmd.Text), len(cmd.Tag)+1+len(cmd.Name)):])
	r.p.UTF8, r.w.UTF8 = s.utf8(), s.utf8()
	return r
}

// run executes the command, and tells what happened meanwhile.
func (r *request) run() error {
	v := verbs[r.name]
	switch {
	case v.when >= whenLoggedIn && r.s.account == nil:
		return bad("This command is only valid in the authenticated state")
	case v.when == whenSelected && r.s.view == nil:
		return bad("This command is only valid in the selected state")
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
		if r.text == "" {
			r.text = r.name + " completed"
		}
		w.Text(r.text)
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
func (s *session) utf8() bool { return s.enabled.rev2 || s.enabled.utf8 }

// ok writes an untagged OK with a response code.
func (r *request) ok(code, text string) {
	r.w.Text("* OK [", code, "] ", text)
	r.w.end()
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

// enable handles ENABLE (RFC 5161): the answer echoes what is enabled now and was
// not before.
func (r *request) enable() error {
	names := r.p.Enable()
	if err := r.p.End(); err != nil {
		return err
	}
	e := &r.s.enabled
	before := e.condstore
	var done []string
	set := func(name string, flags ...*bool) {
		if !*flags[0] {
			done = append(done, name)
		}
		for _, f := range flags {
			*f = true
		}
	}
	for _, name := range names {
		switch name {
		case "IMAP4REV2":
			set("IMAP4rev2", &e.rev2)
		case "UTF8=ACCEPT":
			set(name, &e.utf8)
		case "CONDSTORE":
			set(name, &e.condstore)
		case "QRESYNC":
			set(name, &e.qresync, &e.condstore)
		case "UIDONLY":
			set(name, &e.uidonly)
		}
	}
	r.w.Text("* ENABLED")
	for _, name := range done {
		r.w.Text(" ", name)
	}
	r.w.end()
	if r.s.view != nil && e.condstore && !before {
		r.ok("HIGHESTMODSEQ "+num(r.s.view.HighestModSeq()), "Highest mod-sequence")
	}
	return nil
}

func num[T ~uint32 | ~uint64 | ~int](n T) string { return strconv.FormatUint(uint64(n), 10) }
