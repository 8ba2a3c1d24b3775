package server

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// To add a command: write its syntax in imapadapter/internal/wire, its execution as a
// method of request, and a line in verbs. The method reads the arguments from r.p up to
// r.p.End, writes untagged responses to r.w (a line ends with r.w.end), and returns nil
// for OK, or an error: of r.p for BAD, of no, bad or r.fail for what these say, any
// other to end the connection. The client is notified of changes in the mailbox after
// it. A capability goes into capability.go.

// when says in which states of the connection a command may be given.
type when uint8

const (
	always     when = iota // before a login and after it
	notLogged              // before a login
	logged                 // after a login, with a mailbox selected or none
	isSelected             // with a mailbox selected
)

// updates says of which changes a client may be notified when a command has succeeded
// (RFC 9051 section 7.5.1).
type updates uint8

const (
	allUpdates updates = iota
	noExpunges         // sequence numbers stay as they are
	noUpdates
)

// verb is one command.
type verb struct {
	when    when
	run     func(*request) error
	updates updates
}

var verbs = map[string]verb{
	"APPEND":         {logged, (*request).append, allUpdates},
	"AUTHENTICATE":   {notLogged, (*request).authenticate, noUpdates},
	"CAPABILITY":     {always, (*request).capability, allUpdates},
	"CHECK":          {isSelected, (*request).noop, allUpdates},
	"CLOSE":          {isSelected, (*request).close, noUpdates},
	"COMPRESS":       {logged, (*request).compress, allUpdates},
	"COPY":           {isSelected, (*request).copy, allUpdates},
	"CREATE":         {logged, (*request).create, allUpdates},
	"DELETE":         {logged, (*request).delete, allUpdates},
	"ENABLE":         {logged, (*request).enable, allUpdates},
	"EXAMINE":        {logged, (*request).open, noUpdates},
	"EXPUNGE":        {isSelected, (*request).expunge, noUpdates},
	"FETCH":          {isSelected, (*request).fetch, noExpunges},
	"GETQUOTA":       {logged, (*request).getQuota, allUpdates},
	"GETQUOTAROOT":   {logged, (*request).getQuotaRoot, allUpdates},
	"ID":             {always, (*request).identify, allUpdates},
	"IDLE":           {logged, (*request).idle, noUpdates},
	"LIST":           {logged, (*request).list, allUpdates},
	"LOGIN":          {notLogged, (*request).login, noUpdates},
	"LOGOUT":         {always, (*request).logout, noUpdates},
	"LSUB":           {logged, (*request).lsub, allUpdates},
	"MOVE":           {isSelected, (*request).move, noUpdates},
	"NAMESPACE":      {logged, (*request).namespace, allUpdates},
	"NOOP":           {always, (*request).noop, allUpdates},
	"NOTIFY":         {logged, (*request).notify, allUpdates},
	"RENAME":         {logged, (*request).rename, allUpdates},
	"REPLACE":        {isSelected, (*request).replace, noUpdates},
	"SEARCH":         {isSelected, (*request).search, noExpunges},
	"SELECT":         {logged, (*request).open, noUpdates},
	"SETQUOTA":       {logged, (*request).setQuota, allUpdates},
	"SORT":           {isSelected, (*request).sort, noExpunges},
	"STARTTLS":       {always, (*request).startTLS, noUpdates},
	"STATUS":         {logged, (*request).status, allUpdates},
	"STORE":          {isSelected, (*request).store, noExpunges},
	"SUBSCRIBE":      {logged, (*request).subscribe, allUpdates},
	"THREAD":         {isSelected, (*request).thread, noExpunges},
	"UID COPY":       {isSelected, (*request).copy, allUpdates},
	"UID EXPUNGE":    {isSelected, (*request).expunge, noUpdates},
	"UID FETCH":      {isSelected, (*request).fetch, allUpdates},
	"UID MOVE":       {isSelected, (*request).move, noUpdates},
	"UID REPLACE":    {isSelected, (*request).replace, noUpdates},
	"UID SEARCH":     {isSelected, (*request).search, allUpdates},
	"UID SORT":       {isSelected, (*request).sort, allUpdates},
	"UID STORE":      {isSelected, (*request).store, allUpdates},
	"UID THREAD":     {isSelected, (*request).thread, allUpdates},
	"UNAUTHENTICATE": {logged, (*request).unauthenticate, noUpdates},
	"UNSELECT":       {isSelected, (*request).unselect, noUpdates},
	"UNSUBSCRIBE":    {logged, (*request).subscribe, allUpdates},
}

// enabled is what a client enabled (RFC 5161), or by a command that says that it
// knows (RFC 7162 section 3.1). It stays until UNAUTHENTICATE.
type enabled struct {
	rev2      bool // IMAP4rev2
	utf8      bool // UTF8=ACCEPT
	condstore bool // send MODSEQ with every FETCH
	qresync   bool // send VANISHED in place of EXPUNGE
	uidonly   bool // no sequence numbers
}

// utf8 reports whether the client enabled names and strings in UTF-8.
func (c *conn) utf8() bool { return c.enabled.rev2 || c.enabled.utf8 }

// request is the work on one command.
type request struct {
	*conn
	*operation
	tag string
	uid bool // it is a UID command
	cmd *frame.Command

	p *wire.Parser
	w *output

	code string // stands in brackets in the tagged OK
	text string // stands in it, if not "... completed"

	after func() error // runs when the answer is written; an error ends the connection

	echo  *mailbox.Set // messages of a STORE whose flags the client is to get
	began time.Time    // for the hook
}

// execute executes a command and writes its answer. An error ends the connection.
func (c *conn) execute(cmd *frame.Command) error {
	r := &request{conn: c, operation: c.begin(cmd.Name), tag: cmd.Tag, cmd: cmd, w: c.output()}
	r.uid = strings.HasPrefix(cmd.Name, "UID ")
	r.p = wire.NewParser(cmd.Text[min(len(cmd.Text), len(cmd.Tag)+1+len(cmd.Name)):])
	r.p.UTF8 = c.utf8()
	err := r.beforeCommand()
	if err == nil {
		err = r.run()
	}
	if errors.Is(err, errLater) {
		if err == errLater {
			err = nil
		}
		return errors.Join(err, r.w.close())
	}
	defer r.operation.end()
	return r.answer(err)
}

// run executes the command, and notifies the client of what happened meanwhile.
func (r *request) run() error {
	v, known := verbs[r.name]
	switch {
	case !known:
		return r.unknown()
	case v.when >= logged && r.account == nil:
		return bad("This command is only valid in the authenticated state")
	case v.when == notLogged && r.account != nil:
		return bad("This command is only valid in the not authenticated state")
	case v.when == isSelected && r.view == nil:
		return bad("This command is only valid in the selected state")
	}
	if err := v.run(r); err != nil {
		return err
	}
	if r.view != nil && v.updates != noUpdates {
		r.update(v.updates == noExpunges)
	}
	return nil
}

// maxUnknown is how many commands that do not exist a client may send before its login.
const maxUnknown = 5

// unknown refuses a command that does not exist. Before a login too many of them end the
// connection: a web page can make a browser send lines of the page's choice.
func (r *request) unknown() error {
	if r.account == nil {
		r.unknowns++
	}
	if r.unknowns > maxUnknown {
		r.verdict = &frame.Refusal{Tag: "*", Text: "BYE Unknown command", Fatal: true}
	}
	return &imap.Error{Type: imap.StatusResponseTypeBad, Text: "Unknown command"}
}

// answer writes the tagged response. err says what it is; one that is the
// connection's is returned, and nothing is written.
func (r *request) answer(err error) error {
	var syntax *wire.Error
	var refused *imap.Error
	status := imap.StatusResponseTypeOK
	switch {
	case err == nil:
		if r.text == "" {
			r.text = r.name + " completed"
		}
	case errors.As(err, &syntax):
		status, r.code, r.text = imap.StatusResponseTypeBad, "CLIENTBUG", "Syntax error: "+syntax.Text
	case errors.As(err, &refused):
		status, r.code, r.text = refused.Type, string(refused.Code), refused.Text
	default:
		return errors.Join(err, r.w.close())
	}
	r.afterCommand(status)
	r.w.Text(r.tag, " ", string(status), " ")
	if r.code != "" {
		r.w.Text("[", r.code, "] ")
	}
	r.w.Text(r.text)
	r.w.CRLF()
	if failed := r.w.close(); failed != nil || err != nil || r.after == nil {
		return failed
	}
	return r.after()
}

// ok writes an untagged OK with a response code.
func (r *request) ok(code, text string) {
	r.w.Text("* OK [", code, "] ", text)
	r.w.end()
}

// operation is the work on one command.
type operation struct {
	conn *conn
	name string          // upper case; with the second word for UID commands
	ctx  context.Context // ends with the connection, or when the time is up
	stop context.CancelFunc

	timer *time.Timer  // runs tick
	steps atomic.Int64 // of progress
	seen  int64        // steps at the last tick
	since time.Time    // when seen was first equal to steps

	span   func(failed bool)
	failed bool
}

// tickEvery is how often a command at work is looked after: whether it makes progress,
// and whether its client is there.
const tickEvery = 250 * time.Millisecond

// begin begins the work on a command. Its end must be called.
func (c *conn) begin(name string) *operation {
	op := &operation{conn: c, name: name, since: time.Now()}
	op.ctx, op.stop = context.WithCancel(c.life)
	if c.o.Observe.Traced() {
		op.ctx, op.span = c.o.Observe.Start(op.ctx, "imap "+name)
	}
	op.timer = time.AfterFunc(time.Hour, op.tick)
	op.timer.Reset(op.every()) // now tick sees all that was set here
	return op
}

func (op *operation) every() time.Duration { return min(tickEvery, op.conn.o.Timeout/2) }

// tick cancels a command that made no progress for too long, and begins to watch for
// the end of its connection.
func (op *operation) tick() {
	if op.ctx.Err() != nil {
		return
	}
	now := time.Now()
	if n := op.steps.Load(); n != op.seen {
		op.seen, op.since = n, now
	} else if now.Sub(op.since) >= op.conn.o.Timeout {
		op.stop()
		return
	}
	op.timer.Reset(op.every())
	op.conn.watch()
}

// end ends the work. It may be called again.
func (op *operation) end() {
	op.timer.Stop()
	op.stop()
	if op.span != nil {
		op.span(op.failed)
		op.span = nil
	}
}

// progress gives the command its time anew.
func (op *operation) progress() { op.steps.Add(1) }

func num[T ~uint32 | ~uint64 | ~int](n T) string { return strconv.FormatUint(uint64(n), 10) }
