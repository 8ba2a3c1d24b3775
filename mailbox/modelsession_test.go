package mailbox

import (
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// session is a client: a view, and the picture that the client built from
// nothing but what it was told.
type session struct {
	handle  *Account
	view    *View
	picture []pictured
}

type pictured struct {
	uid   UID
	flags string
}

// withSession runs an operation in a client that has a mailbox open.
func (w *world) withSession(do func(*session)) {
	if len(w.sessions) < 4 {
		h := pick(w, w.handles)
		v, err := h.Select(w.ctx, w.box(), false)
		require.NoError(w.t, err)
		s := &session{handle: h, view: v}
		for m, err := range v.Messages(w.ctx, All()) {
			require.NoError(w.t, err)
			s.picture = append(s.picture, pictured{m.UID, flagText(m.Flags())})
		}
		w.sessions = append(w.sessions, s)
	}
	do(pick(w, w.sessions))
}

// plain returns the model's mailbox of a session, nil if it was deleted.
func (w *world) plain(s *session) *plainBox {
	for _, b := range w.model {
		if b.validity == s.view.UIDValidity() {
			return b
		}
	}
	return nil
}

// set draws messages of a session, by UID or by sequence number, and returns
// also which UIDs that is for the client.
func (w *world) set(s *session) (Set, []UID) {
	n := len(s.picture)
	if n == 0 {
		return Set{Ranges: []Range{{1, Star}}, UID: w.rnd.IntN(2) == 0}, nil
	}
	a, b := w.rnd.IntN(n), w.rnd.IntN(n)
	lo, hi := min(a, b), max(a, b)
	var uids []UID
	for _, p := range s.picture[lo : hi+1] {
		uids = append(uids, p.uid)
	}
	if w.rnd.IntN(2) == 0 {
		return Set{Ranges: []Range{{uint32(a + 1), uint32(b + 1)}}}, uids
	}
	return Set{Ranges: []Range{{uint32(s.picture[a].uid), uint32(s.picture[b].uid)}}, UID: true}, uids
}

func (w *world) store(s *session) {
	set, uids := w.set(s)
	op, flags := FlagOp(1+w.rnd.IntN(3)), w.flags()
	o := StoreOptions{Silent: w.rnd.IntN(2) == 0}
	late := w.unchangedSince(s, &o)
	modified, err := s.view.Store(w.ctx, set, op, flags, o)
	b := w.plain(s)
	if b == nil {
		if len(uids) > 0 {
			require.ErrorIs(w.t, err, ErrNoMailbox)
		}
		return
	}
	require.NoError(w.t, err)
	var failed []UID
	for _, u := range uids {
		m := b.messages[u]
		if m == nil {
			continue
		}
		if late[u] {
			failed = append(failed, u)
			w.done["modified"]++
			continue
		}
		change(m.flags, op, flags)
		if o.Silent {
			w.done["silent"]++
			i := slices.IndexFunc(s.picture, func(p pictured) bool { return p.uid == u })
			believed := toSet(strings.Fields(s.picture[i].flags))
			change(believed, op, flags)
			s.picture[i].flags = flagText(slices.Collect(maps.Keys(believed)))
		}
	}
	require.Equal(w.t, failed, modified)
}

func change(have map[string]bool, op FlagOp, flags []string) {
	if op == FlagsSet {
		clear(have)
	}
	for _, f := range flags {
		if op == FlagsRemove {
			delete(have, f)
		} else {
			have[f] = true
		}
	}
}

// unchangedSince makes a STORE, some times, one that fails for messages which were
// changed after one of the session's. It returns those.
func (w *world) unchangedSince(s *session, o *StoreOptions) map[UID]bool {
	if len(s.picture) == 0 || w.plain(s) == nil || w.rnd.IntN(3) > 0 {
		return nil
	}
	var since ModSeq
	for m, err := range s.view.Messages(w.ctx, UIDs(pick(w, s.picture).uid)) {
		require.NoError(w.t, err)
		since = m.ModSeq
	}
	o.UnchangedSince = &since
	now, err := s.handle.Select(w.ctx, w.nameOf(s), true)
	require.NoError(w.t, err)
	late := map[UID]bool{}
	for m, err := range now.Messages(w.ctx, All()) {
		require.NoError(w.t, err)
		late[m.UID] = m.ModSeq > since
	}
	return late
}

func (w *world) nameOf(s *session) string {
	for name, b := range w.model {
		if b.validity == s.view.UIDValidity() {
			return name
		}
	}
	return ""
}

func (w *world) copy(s *session) {
	set, uids := w.set(s)
	dest, move := w.box(), w.rnd.IntN(2) == 0
	do := s.view.Copy
	if move {
		do = s.view.Move
	}
	done, err := do(w.ctx, set, dest)
	b := w.plain(s)
	if b == nil {
		require.ErrorIs(w.t, err, ErrNoMailbox)
		return
	}
	left := slices.ContainsFunc(uids, func(u UID) bool { return b.messages[u] != nil })
	if !left && len(uids) > 0 && !set.UID {
		require.ErrorIs(w.t, err, ErrNoMessage)
		return
	}
	require.NoError(w.t, err)
	var source, target []UID
	for _, u := range uids {
		if m := b.messages[u]; m != nil {
			source, target = append(source, u), append(target, w.model[dest].next)
			w.add(dest, m.copy())
			if move {
				delete(b.messages, u)
			}
		}
	}
	require.Equal(w.t, source, done.Source)
	require.Equal(w.t, target, done.Dest)
	require.Equal(w.t, w.model[dest].validity, done.UIDValidity)
}

func (w *world) expunge(s *session) {
	var within *Set
	var uids []UID
	if w.rnd.IntN(2) == 0 {
		var set Set
		set, uids = w.set(s)
		within = &set
	}
	gone, err := s.view.Expunge(w.ctx, within)
	b := w.plain(s)
	if b == nil {
		require.ErrorIs(w.t, err, ErrNoMailbox)
		return
	}
	require.NoError(w.t, err)
	var want []UID
	for _, u := range b.uids() {
		if b.messages[u].flags[FlagDeleted] && (within == nil || slices.Contains(uids, u)) {
			want = append(want, u)
			delete(b.messages, u)
		}
	}
	require.Equal(w.t, want, gone)
}

// sync tells a client what happened, and the client believes it.
func (w *world) sync(s *session, hold bool) {
	c, err := s.view.Sync(w.ctx, hold)
	require.NoError(w.t, err)
	if hold {
		require.Empty(w.t, c.Expunged)
	}
	for _, e := range c.Expunged {
		require.Equal(w.t, s.picture[e.Index].uid, e.UID, "expunged index")
		s.picture = slices.Delete(s.picture, e.Index, e.Index+1)
	}
	for _, m := range c.Updated {
		if m.Index < len(s.picture) {
			require.Equal(w.t, s.picture[m.Index].uid, m.UID, "updated index")
			s.picture[m.Index].flags = flagText(m.Flags())
			w.done["echoed"]++
		}
	}
	require.Equal(w.t, c.Exists != len(s.picture), c.ExistsChanged)
	require.GreaterOrEqual(w.t, c.Exists, len(s.picture))
	if c.Exists > len(s.picture) {
		for m, err := range s.view.Messages(w.ctx, Set{Ranges: []Range{{uint32(len(s.picture) + 1), Star}}}) {
			require.NoError(w.t, err)
			s.picture = append(s.picture, pictured{m.UID, flagText(m.Flags())})
		}
	}
	w.done["expunged"] += len(c.Expunged)
	b := w.plain(s)
	require.Equal(w.t, b == nil, c.MailboxDeleted)
	if b == nil {
		return
	}
	if !hold {
		require.Len(w.t, s.picture, len(b.messages))
	}
	for _, p := range s.picture {
		if m := b.messages[p.uid]; m != nil {
			require.Equal(w.t, flagText(slices.Collect(maps.Keys(m.flags))), p.flags, "what the client believes")
		}
	}
}

// compareSession checks that the view shows what the client was told, and that
// every message of it can still be read.
func (w *world) compareSession(s *session) {
	var have []pictured
	for m, err := range s.view.Messages(w.ctx, All()) {
		require.NoError(w.t, err)
		require.Equal(w.t, len(have), m.Index)
		have = append(have, pictured{m.UID, flagText(m.Flags())})
		_, err := m.Meta(w.ctx)
		require.NoError(w.t, err)
	}
	require.Equal(w.t, len(s.picture), s.view.Len())
	b := w.plain(s)
	for i, p := range have {
		require.Equal(w.t, s.picture[i].uid, p.uid)
		// One that was expunged may have its flags of before a silent change.
		if b != nil && b.messages[p.uid] != nil {
			require.Equal(w.t, s.picture[i], p)
		}
	}
	places := s.view.shown.lookup(s.view.account)
	for i := range s.picture {
		u, err := places.uid(w.ctx, i)
		require.NoError(w.t, err)
		require.Equal(w.t, s.picture[i].uid, u)
	}
}
