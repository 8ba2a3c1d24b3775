package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/internal/jitter"
	"github.com/letterlock/letterlock/mailbox"
)

const user = "ann"

// folders there are from the start.
var folders = []string{mailbox.Inbox, "Done", "Old"}

// actor is a client. It does one thing after the other, and believes what it is
// told.
type actor struct {
	w    *world
	name string
	proc *process
	rnd  *rand.Rand // its own, so that what it does depends on nothing else
	ctx  context.Context
	mine []*copied // its messages, which nobody else touches
	next int
	box  string // of its own; "" if there is none for sure

	inst *instance
	acct *mailbox.Account
	// secret is what acct was opened with; stale is set when it must be opened anew.
	secret *secret
	stale  bool
	view   *session
}

func newActor(w *world, name string, p *process, seed uint64) *actor {
	a := &actor{w: w, name: name, proc: p, rnd: rand.New(rand.NewPCG(w.seed, seed))}
	delays := rand.New(rand.NewPCG(w.seed, seed+1000))
	var mu sync.Mutex
	ctx := context.WithValue(context.Background(), actorKey{}, name)
	a.ctx = jitter.With(ctx, func(limit time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(delays.Int64N(int64(limit)))
	})
	return a
}

// turn waits until the actor may go on.
func (a *actor) turn(what string) {
	i := a.inst
	if i == nil || a.w.isDead(i) {
		i = &instance{}
	}
	t := &turn{key: fmt.Sprintf("client %s %s", a.name, what), inst: i, resume: make(chan struct{})}
	t.act = func() {
		a.w.tell("%s", t.key)
		close(t.resume)
	}
	a.w.submit(t)
	<-t.resume
}

// ready makes sure that the actor has a living process and its account open.
func (a *actor) ready() bool {
	for range 20 {
		if a.inst == nil || a.w.isDead(a.inst) {
			a.acct, a.view, a.inst = nil, nil, nil
			i, err := a.proc.living(a.ctx)
			if err != nil {
				a.fine(err)
				a.rest()
				continue
			}
			a.inst = i
		}
		if a.stale && a.acct != nil {
			a.logout()
		}
		if a.stale = false; a.acct != nil || a.proc.keyless {
			return true
		}
		if a.openAccount() == nil {
			return true
		}
		a.rest()
	}
	return false
}

func (a *actor) rest() { time.Sleep(time.Duration(1+a.rnd.IntN(500)) * time.Millisecond) }

// fine asserts that an error does not speak of damage: there is none.
func (a *actor) fine(err error) { a.fineSecret(a.secret, err) }

func (a *actor) undamaged(err error) {
	dead := a.inst != nil && a.w.isDead(a.inst)
	for _, bad := range []error{eventlog.ErrCorrupt, eventlog.ErrRolledBack, eventlog.ErrNewerVersion, mailbox.ErrSwappedKey, fs.ErrNotExist, mailbox.ErrNoAccount} {
		if errors.Is(err, bad) && !dead {
			a.w.t.Errorf("seed %d: %s was told: %v", a.w.seed, a.name, err)
		}
	}
}

// fineView is fine for what an open view is told: what it shows may be erased a
// grace time after it was expunged, and the view expire.
func (a *actor) fineView(err error) {
	if errors.Is(err, mailbox.ErrExpired) || errors.Is(err, fs.ErrNotExist) {
		a.w.ledger.count("views expired")
		a.view = nil // the client selects anew
		return
	}
	if a.fine(err); a.stale {
		a.view = nil // it logs in anew
	}
}

// outcome of a write.
type outcome string

const (
	done    outcome = "done"
	refused outcome = "refused" // it did not happen, and will not
	unknown outcome = "unknown"
)

// judge says what an answer means.
func (a *actor) judge(what string, err error) outcome {
	o := refused
	switch {
	case err == nil:
		o = done
	case a.w.isDead(a.inst), errors.Is(err, eventlog.ErrUnknownOutcome),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		o = unknown
	case errors.Is(err, mailbox.ErrExpired), errors.Is(err, fs.ErrNotExist):
		// The process stood still after the view was opened, and what it shows was
		// collected. What is lost for good is seen in the end.
		a.w.ledger.count("views expired")
	default:
		a.fine(err)
	}
	a.w.ledger.count(what + " " + string(o))
	a.w.mu.Lock()
	a.w.tell("client %s %s: %s", a.name, what, o)
	a.w.mu.Unlock()
	return o
}

// context returns one that ends soon, some times.
func (a *actor) context() (context.Context, context.CancelFunc) {
	if a.rnd.IntN(12) == 0 {
		return context.WithTimeout(a.ctx, time.Duration(a.rnd.IntN(200))*time.Millisecond)
	}
	return a.ctx, func() {}
}

func (a *actor) newID() string {
	a.next++
	return fmt.Sprintf("%s-%d", a.name, a.next)
}

func letter(id string) string {
	return "From: <ann@example.org>\r\nSubject: " + id + "\r\n\r\nthis is " + id + "\r\n"
}

// deliverer delivers mails.
func (a *actor) deliverer(steps int) {
	for range steps {
		a.turn("goes on")
		if !a.ready() {
			continue
		}
		a.deliver()
		if a.rnd.IntN(4) == 0 {
			a.rest()
		}
	}
}

func (a *actor) deliver() {
	id := a.newID()
	folder := folders[a.rnd.IntN(len(folders))]
	if a.rnd.IntN(2) == 0 {
		folder = mailbox.Inbox
	}
	ctx, cancel := a.context()
	defer cancel()
	e := a.w.ledger.begin(input{op: opAdd, folder: folder})
	err := a.inst.store.Deliver(ctx, []mailbox.Recipient{{Account: user, Folder: folder}}, strings.NewReader(letter(id)))[0]
	o := a.judge("deliver", err)
	a.w.ledger.end(e, output{outcome: o})
	a.note(id, folder, 0, o)
}

// note notes where a new message is, or may be.
func (a *actor) note(id, folder string, uid mailbox.UID, o outcome) *copied {
	there, absent := standing{folder, uid, ""}, standing{}
	switch o {
	case done:
		return a.w.ledger.add(id, there)
	case unknown:
		return a.w.ledger.add(id, standing{folder, 0, ""}, absent)
	}
	return a.w.ledger.add(id, absent)
}

// reader is a client that has a mailbox open, and changes what it likes.
func (a *actor) reader(steps int) {
	for range steps {
		a.turn("goes on")
		if a.ready() {
			a.step()
		}
	}
}

func (a *actor) step() {
	if a.rnd.IntN(100) < a.w.profile.eras {
		a.era()
		return
	}
	if r := a.w.profile.rotate; r > 0 {
		switch k := a.rnd.IntN(100); {
		case k < r:
			a.rotate()
			return
		case k < 2*r:
			a.token()
			return
		}
	}
	switch k := a.rnd.IntN(100); {
	case k < 22:
		a.append()
	case k < 36:
		a.flag()
	case k < 44:
		a.transfer(true)
	case k < 49:
		a.transfer(false)
	case k < 56:
		a.expunge()
	case k < 64:
		a.register()
	case k < 69:
		a.count()
	case k < 75:
		a.ownBox()
	case k < 86:
		a.look()
	case k < 89:
		a.readMine()
	case k < 91:
		a.collect()
	case k < 94:
		a.burst()
	case k < 97:
		a.logout()
	default:
		a.rest()
	}
}

// readMine reads one of its messages to the end.
func (a *actor) readMine() {
	c, s, ok := a.pick()
	if !ok {
		return
	}
	v, ok := a.open(a.ctx, s.folder)
	if !ok {
		return
	}
	defer v.Close()
	for m, err := range v.Messages(a.ctx, mailbox.UIDs(s.uid)) {
		var data []byte
		if err == nil {
			var r io.ReadCloser
			if r, err = m.Open(a.ctx, 0, -1); err == nil {
				data, err = io.ReadAll(r)
				r.Close()
			}
		}
		if err != nil {
			a.fine(err)
			return
		}
		if string(data) != letter(c.id) {
			a.w.t.Errorf("seed %d: %s has other bytes than were written", a.w.seed, c.id)
		}
		a.w.ledger.count("read")
		return
	}
	a.w.t.Errorf("seed %d: %s at %v is not there to be read", a.w.seed, c.id, s)
}

// collect erases what nobody needs.
func (a *actor) collect() {
	ctx, cancel := a.context()
	defer cancel()
	rep, err := a.acct.Collect(ctx, mailbox.CollectOptions{})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// It stood still, and another collected what it was about to look at. That
		// this is not for ever is seen in the end.
		a.w.ledger.count("collections overtaken")
	case err != nil:
		a.fine(err)
	}
	a.w.ledger.countBy("collected objects", rep.Deleted)
	a.w.ledger.countBy("marked objects", rep.Marked)
}

// logout closes the account, which writes a snapshot if that is worth it.
func (a *actor) logout() {
	a.view = nil
	a.acct.Close()
	a.acct = nil
}

func (a *actor) append() {
	id := a.newID()
	folder := folders[a.rnd.IntN(len(folders))]
	ctx, cancel := a.context()
	defer cancel()
	e := a.w.ledger.begin(input{op: opAdd, folder: folder})
	at, err := a.acct.Append(ctx, folder, strings.NewReader(letter(id)), mailbox.AppendOptions{})
	o := a.judge("append", err)
	a.w.ledger.end(e, output{outcome: o, uid: at.UID})
	a.mine = append(a.mine, a.note(id, folder, at.UID, o))
}

// pick returns one of the actor's messages of which it is sure where it is.
func (a *actor) pick() (*copied, standing, bool) {
	for range 5 {
		if len(a.mine) == 0 {
			break
		}
		c := a.mine[a.rnd.IntN(len(a.mine))]
		if s, ok := c.sure(); ok {
			return c, s, true
		}
	}
	return nil, standing{}, false
}

// open selects a folder for one change.
func (a *actor) open(ctx context.Context, folder string) (*mailbox.View, bool) {
	v, err := a.acct.Select(ctx, folder, false)
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < 3; try++ {
		// It stood still in the middle of this, and what it was about to look at was
		// collected. That must not go on.
		a.w.ledger.count("views expired")
		v, err = a.acct.Select(ctx, folder, false)
	}
	if err != nil {
		a.fine(err)
		return nil, false
	}
	a.w.ledger.folder(v.ID(), v.UIDValidity())
	return v, true
}

// flag sets or removes a flag of one of its messages.
func (a *actor) flag() {
	c, s, ok := a.pick()
	if !ok {
		return
	}
	ctx, cancel := a.context()
	defer cancel()
	v, ok := a.open(ctx, s.folder)
	if !ok {
		return
	}
	defer v.Close()
	op, after := toggled(s)
	_, err := v.Store(ctx, mailbox.UIDs(s.uid), op, []string{"$mine"}, mailbox.StoreOptions{})
	a.settle(c, a.judge("store", err), s, after)
}

// toggled returns what sets or removes the flag, and what is so afterwards.
func toggled(s standing) (mailbox.FlagOp, standing) {
	flags := strings.Fields(s.flags)
	if i := slices.Index(flags, "$mine"); i >= 0 {
		s.flags = flagText(slices.Delete(flags, i, i+1))
		return mailbox.FlagsRemove, s
	}
	s.flags = flagText(append(flags, "$mine"))
	return mailbox.FlagsAdd, s
}

// settle notes what became of a change of one message.
func (a *actor) settle(c *copied, o outcome, before, after standing) {
	switch o {
	case done:
		c.may = []standing{after}
	case unknown:
		after.uid = ifSame(before, after)
		c.may = []standing{before, after}
	}
}

// ifSame returns the UID that is known after an unknown change.
func ifSame(before, after standing) mailbox.UID {
	if before.folder == after.folder {
		return before.uid
	}
	return 0
}

// transfer moves or copies one of its messages.
func (a *actor) transfer(move bool) {
	c, s, ok := a.pick()
	if !ok {
		return
	}
	ctx, cancel := a.context()
	defer cancel()
	v, ok := a.open(ctx, s.folder)
	if !ok {
		return
	}
	defer v.Close()
	dest := folders[a.rnd.IntN(len(folders))]
	do, what := v.Copy, "copy"
	if move {
		do, what = v.Move, "move"
	}
	e := a.w.ledger.begin(input{op: opAdd, folder: dest})
	got, err := do(ctx, mailbox.UIDs(s.uid), dest)
	o := a.judge(what, err)
	after := standing{dest, 0, s.flags}
	if o == done {
		if len(got.Dest) != 1 {
			a.w.t.Errorf("seed %d: %s of %s, which is at %v, found %d messages", a.w.seed, what, c.id, s, len(got.Dest))
			return
		}
		after.uid = got.Dest[0]
	}
	a.w.ledger.end(e, output{outcome: o, uid: after.uid})
	switch {
	case move && o == unknown:
		c.may = []standing{s, after}
	case move && o == done:
		c.may = []standing{after}
	case !move && o == unknown:
		a.w.ledger.add(c.id, after, standing{})
	case !move && o == done:
		a.mine = append(a.mine, a.w.ledger.add(c.id, after))
	}
}

// expunge removes one of its messages.
func (a *actor) expunge() {
	c, s, ok := a.pick()
	if !ok {
		return
	}
	ctx, cancel := a.context()
	defer cancel()
	v, ok := a.open(ctx, s.folder)
	if !ok {
		return
	}
	defer v.Close()
	set := mailbox.UIDs(s.uid)
	deleted := s
	if !strings.Contains(s.flags, mailbox.FlagDeleted) { // it is left from one that was refused
		deleted.flags = flagText(append(strings.Fields(s.flags), mailbox.FlagDeleted))
	}
	_, err := v.Store(ctx, set, mailbox.FlagsAdd, []string{mailbox.FlagDeleted}, mailbox.StoreOptions{})
	o := a.judge("store", err)
	a.settle(c, o, s, deleted)
	if o != done {
		return
	}
	gone, err := v.Expunge(ctx, &set)
	o = a.judge("expunge", err)
	if o == done && !slices.Equal(gone, []mailbox.UID{s.uid}) {
		a.w.t.Errorf("seed %d: expunge of %s removed %v, not %d", a.w.seed, c.id, gone, s.uid)
	}
	a.settle(c, o, deleted, standing{})
}

// ownBox makes a mailbox of its own, or deletes it.
func (a *actor) ownBox() {
	ctx, cancel := a.context()
	defer cancel()
	if a.box == "" {
		name := "box-" + a.newID()
		if a.judge("create", a.acct.Create(ctx, name)) != done {
			return // it may be there, and stays
		}
		a.box = name
		if st, err := a.acct.Status(ctx, name); err != nil {
			if errors.Is(err, mailbox.ErrNoMailbox) {
				a.w.t.Errorf("seed %d: %s made %s, which is not there", a.w.seed, a.name, name)
			}
			a.fine(err)
		} else if st.Messages != 0 || st.UIDNext != 1 {
			a.w.t.Errorf("seed %d: a new mailbox has %d messages, UIDNEXT %d", a.w.seed, st.Messages, st.UIDNext)
		}
		return
	}
	err := a.acct.Delete(ctx, a.box)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		a.w.t.Errorf("seed %d: %s has a mailbox %s, which is not there", a.w.seed, a.name, a.box)
	}
	if a.judge("delete", err) != refused {
		a.box = ""
	}
}

// burst changes a flag often: many entries, so that a snapshot is worth it.
func (a *actor) burst() {
	if a.toggle(15+a.rnd.IntN(30)) && a.rnd.IntN(2) == 0 {
		a.logout()
	}
}

// toggle changes a flag so many times, and reports whether all went well.
func (a *actor) toggle(times int) bool {
	c, s, ok := a.pick()
	if !ok || !a.ready() {
		return false
	}
	v, ok := a.open(a.ctx, s.folder)
	if !ok {
		return false
	}
	defer v.Close()
	for range times {
		op, after := toggled(s)
		_, err := v.Store(a.ctx, mailbox.UIDs(s.uid), op, []string{"$mine"}, mailbox.StoreOptions{})
		o := a.judge("store", err)
		a.settle(c, o, s, after)
		if o != done {
			return false
		}
		s = after
	}
	return true
}

// era is a day in which the others stand still: many entries, two snapshots, and
// what the older one covers is trimmed.
func (a *actor) era() {
	if !a.w.day(a.proc, true) {
		return
	}
	defer a.w.day(a.proc, false)
	for i := range 3 {
		if !a.toggle(34) || a.acct == nil {
			return
		}
		a.collect()
		a.logout()
		time.Sleep(time.Minute) // the snapshot is written after the logout
		if i < 2 {
			a.w.hours(20 + a.rnd.IntN(20))
		}
	}
	a.w.ledger.count("days")
}
