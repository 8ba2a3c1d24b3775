package mailbox

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

var modelSeed = flag.Uint64("model.seed", 0, "run only the model test's random sequence of this seed")

// plainBox is a mailbox as a user thinks of it.
type plainBox struct {
	validity uint32
	next     UID
	messages map[UID]*plainMessage
}

type plainMessage struct {
	text  string
	flags map[string]bool
}

func (m *plainMessage) copy() *plainMessage { return &plainMessage{m.text, maps.Clone(m.flags)} }

func (b *plainBox) uids() []UID { return slices.Sorted(maps.Keys(b.messages)) }

// model is a plain map that does what an account is to do.
type plainAccount map[string]*plainBox

// world runs random operations on the library through several stores over one
// blob store, as several processes would, and on the model.
type world struct {
	t        *testing.T
	ctx      context.Context
	rnd      *rand.Rand
	model    plainAccount
	handles  []*Account
	sessions []*session
	mails    int
	texts    map[place]string // of every message there ever was
	done     map[string]int   // how often what was tried
}

// place names a message for ever.
type place struct {
	validity uint32
	uid      UID
}

func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		runModel(t, memblob.New(), *modelSeed, 400)
		return
	}
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("mem/%d", seed+1), func(t *testing.T) {
			t.Parallel()
			if seed%2 == 0 {
				runModel(t, memblob.New(), seed+1, 250)
				return
			}
			losing := blobtest.NewFaulty(memblob.New(), loseAnswers(seed))
			runModel(t, losing, seed+1, 250)
			require.Greater(t, losing.Calls(blobtest.OpCreate), 100)
		})
	}
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		d, err := diskblob.Open(t.TempDir(), &diskblob.Options{NoSync: true})
		require.NoError(t, err)
		runModel(t, d, 99, 100)
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		fake := fakes3.New()
		s, err := s3blob.Open(t.Context(), fake.Client(), fakes3.Bucket, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		var mu sync.Mutex
		rnd := rand.New(rand.NewPCG(100, 2))
		fake.SetPlan(func(op fakes3.Op, _ string, _ int) fakes3.Fault {
			mu.Lock()
			defer mu.Unlock()
			return s3Fault(rnd, op)
		})
		runModel(t, s, 100, 100)
	})
}

// s3Fault is what a bucket does now and then: it refuses for a moment, loses an
// answer, or says of a condition that another request is in the way.
func s3Fault(rnd *rand.Rand, op fakes3.Op) fakes3.Fault {
	switch k := rnd.IntN(60); {
	case k == 0:
		return fakes3.Fault{Status: 503, Code: "SlowDown"}
	case k == 1:
		return fakes3.Fault{Status: 500, Code: "InternalError"}
	case k == 2 && op == fakes3.Put:
		return fakes3.Fault{Status: 409, Code: "ConditionalRequestConflict"}
	case k < 5 && op == fakes3.Put:
		return fakes3.Fault{Lose: true}
	}
	return fakes3.Fault{}
}

// loseAnswers makes every tenth creation that decides something come without an
// answer.
func loseAnswers(seed uint64) blobtest.Plan {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 2))
	return func(op blobtest.Op, name string, n int) blobtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if op == blobtest.OpCreate && strings.Contains(name, "/log/") && rnd.IntN(10) == 0 {
			return blobtest.Fault{After: blobtest.ErrInjected}
		}
		return blobtest.Fault{}
	}
}

func runModel(t *testing.T, blobs blob.Store, seed uint64, steps int) {
	w := &world{
		t: t, ctx: t.Context(), rnd: rand.New(rand.NewPCG(seed, 1)), model: plainAccount{},
		texts: map[place]string{}, done: map[string]int{},
	}
	var recovery string
	for i := range 3 {
		s := openStore(t, blobs)
		s.freshness = 0
		if i == 0 {
			w.handles = append(w.handles, newUser(t, s, "ann"))
			var err error
			recovery, err = w.handles[0].Recovery()
			require.NoError(t, err)
			continue
		}
		w.handles = append(w.handles, openWith(t, s, "ann", recovery))
	}
	st, err := w.handles[0].Status(w.ctx, Inbox)
	require.NoError(t, err)
	w.model[Inbox] = &plainBox{validity: st.UIDValidity, next: 1, messages: map[UID]*plainMessage{}}
	for step := range steps {
		w.step()
		w.glance(w.handles[step%len(w.handles)])
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, step)
		}
	}
	for _, s := range w.sessions {
		w.sync(s, false)
		w.compareSession(s)
	}
	for _, h := range w.handles {
		w.compare(h)
	}
	_, err = w.handles[1].Check(w.ctx, func(p Problem) {
		if !p.Harmless {
			t.Errorf("check: %v", p)
		}
	})
	require.NoError(t, err)
	if steps >= 200 {
		for _, what := range []string{"silent", "echoed", "modified", "found", "expunged", "snapshot in a session"} {
			require.NotZero(t, w.done[what], "%s was not tried", what)
		}
	}
}

func pick[T any](w *world, s []T) T { return s[w.rnd.IntN(len(s))] }

func (w *world) box() string { return pick(w, slices.Sorted(maps.Keys(w.model))) }

func (w *world) step() {
	h := pick(w, w.handles)
	switch k := w.rnd.IntN(100); {
	case k < 25:
		w.append(h)
	case k < 33:
		w.deliver(h)
	case k < 38:
		w.create(h)
	case k < 40:
		w.delete(h)
	case k < 43:
		w.rename(h)
	case k < 58:
		w.withSession(w.store)
	case k < 66:
		w.withSession(w.copy)
	case k < 72:
		w.withSession(w.expunge)
	case k < 78:
		w.withSession(w.search)
	case k < 90:
		w.withSession(func(s *session) {
			w.sync(s, w.rnd.IntN(2) == 0)
			w.compareSession(s)
		})
	case k < 95:
		require.NoError(w.t, h.account.adopt(w.ctx))
		require.NoError(w.t, snapshotNow(w.ctx, h.account)) // however light the tail
		w.done["snapshot in a session"] += len(w.sessions)
	case k < 96:
		w.sessions = nil
	default:
		w.compare(h)
	}
}

func (w *world) append(h *Account) {
	name := w.box()
	w.mails++
	text := mail(w.mails)
	flags := w.flags()
	got, err := h.Append(w.ctx, name, strings.NewReader(text), AppendOptions{Flags: flags})
	require.NoError(w.t, err)
	require.Equal(w.t, w.model[name].validity, got.UIDValidity)
	require.Equal(w.t, w.model[name].next, got.UID)
	w.add(name, &plainMessage{text, toSet(flags)})
}

func (w *world) add(name string, m *plainMessage) {
	b := w.model[name]
	b.messages[b.next] = m
	w.texts[place{b.validity, b.next}] = m.text
	b.next++
}

func (w *world) deliver(h *Account) {
	name := w.box()
	w.mails++
	folder := name
	if w.rnd.IntN(4) == 0 {
		folder, name = "no/such", Inbox
	}
	errs := h.account.store.Deliver(w.ctx, []Recipient{{Account: "ann", Folder: folder}}, strings.NewReader(mail(w.mails)))
	require.NoError(w.t, errs[0])
	w.add(name, &plainMessage{mail(w.mails), map[string]bool{}})
}

func (w *world) create(h *Account) {
	name := fmt.Sprintf("f%d", w.rnd.IntN(6))
	if w.rnd.IntN(2) == 0 {
		name += fmt.Sprintf("/g%d", w.rnd.IntN(3))
	}
	err := h.Create(w.ctx, name)
	if w.model[name] != nil {
		require.ErrorIs(w.t, err, ErrMailboxExists)
		return
	}
	require.NoError(w.t, err)
	above, _, _ := strings.Cut(name, string(Separator))
	for _, n := range []string{above, name} {
		if w.model[n] == nil {
			w.learn(h, n)
		}
	}
}

// learn takes a new mailbox's UIDVALIDITY into the model; it must be new.
func (w *world) learn(h *Account, name string) {
	st, err := h.Status(w.ctx, name)
	require.NoError(w.t, err)
	for _, b := range w.model {
		require.NotEqual(w.t, b.validity, st.UIDValidity)
	}
	w.model[name] = &plainBox{validity: st.UIDValidity, next: 1, messages: map[UID]*plainMessage{}}
}

func (w *world) delete(h *Account) {
	name := w.box()
	err := h.Delete(w.ctx, name)
	if name == Inbox {
		require.ErrorIs(w.t, err, ErrInbox)
		return
	}
	require.NoError(w.t, err)
	delete(w.model, name)
}

func (w *world) rename(h *Account) {
	from, to := w.box(), fmt.Sprintf("r%d", w.rnd.IntN(5))
	err := h.Rename(w.ctx, from, to)
	if w.model[to] != nil {
		require.ErrorIs(w.t, err, ErrMailboxExists)
		return
	}
	if from == Inbox {
		require.NoError(w.t, err)
		old := w.model[Inbox]
		w.learn(h, to)
		w.model[to].messages, w.model[to].next = old.messages, old.next
		for u, m := range old.messages {
			w.texts[place{w.model[to].validity, u}] = m.text
		}
		old.messages = map[UID]*plainMessage{}
		return
	}
	moved := plainAccount{}
	for n, b := range w.model {
		if n == from || strings.HasPrefix(n, from+"/") {
			moved[to+strings.TrimPrefix(n, from)] = b
		}
	}
	for n := range moved {
		if w.model[n] != nil {
			require.ErrorIs(w.t, err, ErrMailboxExists)
			return
		}
	}
	require.NoError(w.t, err)
	for n := range w.model {
		if n == from || strings.HasPrefix(n, from+"/") {
			delete(w.model, n)
		}
	}
	maps.Copy(w.model, moved)
}

// glance checks after each step, by one process after the other, that all that
// is to be seen without reading messages is as the model says.
func (w *world) glance(h *Account) {
	boxes, err := h.Mailboxes(w.ctx)
	require.NoError(w.t, err)
	var names []string
	for _, b := range boxes {
		if !b.Exists {
			continue
		}
		names = append(names, b.Name)
		want := w.model[b.Name]
		if want == nil {
			continue // the names are compared below
		}
		unseen, deleted, size := 0, 0, 0
		for _, m := range want.messages {
			if !m.flags[FlagSeen] {
				unseen++
			}
			if m.flags[FlagDeleted] {
				deleted++
			}
			size += len(m.text)
		}
		got := b.Status
		got.ID, got.Recent, got.HighestModSeq = 0, 0, 0 // not in the model
		require.Equal(w.t, Status{
			Messages: len(want.messages), Unseen: unseen, Deleted: deleted, Size: int64(size),
			UIDNext: want.next, UIDValidity: want.validity,
		}, got, b.Name)
	}
	require.Equal(w.t, slices.Sorted(maps.Keys(w.model)), names)
}

// compare checks the whole account against the model.
func (w *world) compare(h *Account) {
	boxes, err := h.Mailboxes(w.ctx)
	require.NoError(w.t, err)
	var names []string
	for _, b := range boxes {
		if b.Exists {
			names = append(names, b.Name)
		}
	}
	want := slices.Sorted(maps.Keys(w.model))
	require.Equal(w.t, want, names)
	for _, name := range names {
		b := w.model[name]
		v, err := h.Select(w.ctx, name, true)
		require.NoError(w.t, err)
		require.Equal(w.t, b.validity, v.UIDValidity())
		require.Equal(w.t, b.next, v.UIDNext())
		uids := b.uids()
		unseen, deleted, size := 0, 0, 0
		i := 0
		for m, err := range v.Messages(w.ctx, All()) {
			require.NoError(w.t, err)
			require.Less(w.t, i, len(uids))
			require.Equal(w.t, uids[i], m.UID)
			p := b.messages[m.UID]
			require.Equal(w.t, flagText(slices.Collect(maps.Keys(p.flags))), flagText(m.Flags()))
			if !p.flags[FlagSeen] {
				unseen++
			}
			if p.flags[FlagDeleted] {
				deleted++
			}
			size += len(p.text)
			r, err := m.Open(w.ctx, 0, -1)
			require.NoError(w.t, err)
			text, err := io.ReadAll(r)
			require.NoError(w.t, err)
			require.NoError(w.t, r.Close())
			require.Equal(w.t, p.text, string(text))
			i++
		}
		require.Equal(w.t, len(uids), i)
		st, err := h.Status(w.ctx, name)
		require.NoError(w.t, err)
		require.Equal(w.t, len(uids), st.Messages)
		require.Equal(w.t, unseen, st.Unseen)
		require.Equal(w.t, deleted, st.Deleted)
		require.EqualValues(w.t, size, st.Size)
		require.Equal(w.t, b.next, st.UIDNext)
		require.LessOrEqual(w.t, st.Recent, st.Messages)
	}
}

var modelFlags = []string{FlagSeen, FlagDeleted, FlagFlagged, "$Work", "$Later"}

func (w *world) flags() []string {
	var out []string
	for _, f := range modelFlags {
		if w.rnd.IntN(3) == 0 {
			out = append(out, f)
		}
	}
	return out
}

func toSet(flags []string) map[string]bool {
	m := map[string]bool{}
	for _, f := range flags {
		m[f] = true
	}
	return m
}

func flagText(flags []string) string {
	sort.Strings(flags)
	return strings.Join(flags, " ")
}
