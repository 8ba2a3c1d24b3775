package sim

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox"
)

// session is an open mailbox and the picture that its client has of it, made from
// nothing but what it was told.
type session struct {
	view    *mailbox.View
	folder  string
	picture []pictured
	highest mailbox.UID
}

type pictured struct {
	uid   mailbox.UID
	flags string
}

func flagText(flags []string) string {
	flags = slices.Clone(flags)
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

// look opens a mailbox, or lets the session be told what happened.
func (a *actor) look() {
	ctx, cancel := a.context()
	defer cancel()
	if a.view == nil || a.rnd.IntN(6) == 0 {
		a.selectBox(ctx, folders[a.rnd.IntN(len(folders))])
		return
	}
	a.sync(ctx, a.rnd.IntN(2) == 0)
}

func (a *actor) selectBox(ctx context.Context, folder string) {
	a.view = nil
	v, ok := a.open(ctx, folder)
	if !ok {
		return
	}
	s := &session{view: v, folder: folder}
	if a.told(ctx, s) {
		a.view = s
	}
}

// told reads the messages that the client does not know of yet.
func (a *actor) told(ctx context.Context, s *session) bool {
	set := mailbox.Set{Ranges: []mailbox.Range{{First: uint32(len(s.picture) + 1), Last: mailbox.Star}}}
	if s.view.Len() == len(s.picture) {
		return true
	}
	for m, err := range s.view.Messages(ctx, set) {
		if err != nil {
			a.fineView(err)
			return false
		}
		if m.Index < len(s.picture) {
			continue // "*" is the last one, also if nothing is new
		}
		if m.UID <= s.highest {
			a.w.t.Errorf("seed %d: %s was told of UID %d after %d", a.w.seed, a.name, m.UID, s.highest)
		}
		s.highest = m.UID
		a.w.ledger.saw(s.view.UIDValidity(), m.UID, m.ID)
		s.picture = append(s.picture, pictured{m.UID, flagText(m.Flags())})
	}
	return true
}

// sync lets the session be told, and asserts that the story makes sense.
func (a *actor) sync(ctx context.Context, hold bool) {
	s := a.view
	c, err := s.view.Sync(ctx, hold)
	if err != nil {
		a.fineView(err)
		return // the view is where it was
	}
	a.w.ledger.count("told")
	bad := func(format string, args ...any) {
		a.w.t.Errorf("seed %d: %s: "+format, append([]any{a.w.seed, a.name}, args...)...)
	}
	if hold && len(c.Expunged) > 0 {
		bad("was told of expunges that were to be held")
	}
	for _, e := range c.Expunged {
		if e.Index >= len(s.picture) || s.picture[e.Index].uid != e.UID {
			bad("was told that UID %d is gone from place %d, where it is not", e.UID, e.Index)
			return
		}
		s.picture = slices.Delete(s.picture, e.Index, e.Index+1)
	}
	for _, m := range c.Updated {
		if m.Index >= len(s.picture) {
			continue // told with the new ones
		}
		if s.picture[m.Index].uid != m.UID {
			bad("was told of flags of UID %d at place %d, where it is not", m.UID, m.Index)
			return
		}
		s.picture[m.Index].flags = flagText(m.Flags())
	}
	if c.Exists < len(s.picture) {
		bad("was told of %d messages, and had %d", c.Exists, len(s.picture))
	}
	if !a.told(ctx, s) {
		a.view = nil // the client hangs up
		return
	}
	if len(s.picture) != c.Exists {
		bad("was told of %d messages and found %d", c.Exists, len(s.picture))
	}
}

// finish lets the session be told of everything, for the comparison with what is
// there in the end.
func (a *actor) finish() {
	if a.view == nil || a.w.isDead(a.inst) {
		a.view = nil
		return
	}
	time.Sleep(time.Second) // what is older than that, a session's question looks for
	a.sync(a.ctx, false)
}
