package mailbox_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

// replayed is what somebody has who knows of an account nothing but its events.
type replayed map[mailbox.MailboxID]*mailbox.Mailbox

func (r replayed) apply(t *testing.T, e mailbox.Event) {
	t.Helper()
	if c, ok := e.(mailbox.MailboxCreated); ok {
		require.NotContains(t, r, c.Mailbox)
		r[c.Mailbox] = mailbox.New(c)
		return
	}
	for id, m := range r {
		next, err := m.Apply(e)
		require.NoError(t, err)
		if r[id] = next; next.Deleted() {
			delete(r, id)
		}
	}
}

// copied returns the same mailboxes by way of their snapshots.
func (r replayed) copied(t *testing.T) replayed {
	t.Helper()
	out := replayed{}
	for id, m := range r {
		c, err := mailbox.Restore(m.Snapshot())
		require.NoError(t, err)
		require.Equal(t, m.Snapshot(), c.Snapshot())
		require.Equal(t, m.Position(), c.Position())
		out[id] = c
	}
	return out
}

// For random histories, what the events say from nothing, what a snapshot and the
// events after it say, and what the account has are the same.
func TestReplayIsSnapshotAndTailIsLive(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), blobs: memblob.New()}
			h.open()
			for range 12 {
				for range 15 {
					h.act()
				}
				if h.rng.IntN(3) == 0 {
					h.reopen() // writes snapshots, which move pages to the store
				}
			}
			h.compare()
			require.NoError(t, h.store.Close())
		})
	}
}

// history does random things to an account.
type history struct {
	t       *testing.T
	rng     *rand.Rand
	blobs   blob.Store
	store   *mailbox.Store
	account *mailbox.Account
}

func (h *history) open() {
	var err error
	h.store, err = mailbox.Open(h.t.Context(), h.blobs, mailbox.Options{Password: crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1}})
	require.NoError(h.t, err)
	if held, err := h.store.Login(h.t.Context(), "ann", []byte("a password")); err == nil {
		h.account = held
		return
	}
	require.NoError(h.t, h.store.CreateAccount(h.t.Context(), "ann", []byte("a password")))
	h.account, err = h.store.Login(h.t.Context(), "ann", []byte("a password"))
	require.NoError(h.t, err)
}

func (h *history) reopen() {
	require.NoError(h.t, h.account.Close())
	require.NoError(h.t, h.store.Close())
	h.open()
}

func (h *history) folder() string {
	all, err := h.account.Mailboxes(h.t.Context())
	require.NoError(h.t, err)
	all = slices.DeleteFunc(all, func(m mailbox.MailboxInfo) bool { return !m.Exists })
	return all[h.rng.IntN(len(all))].Name
}

func (h *history) flags() []string {
	all := []string{mailbox.FlagSeen, mailbox.FlagDeleted, "work", "Later", "x"}
	h.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:h.rng.IntN(3)]
}

func (h *history) mail() *strings.Reader {
	return strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", h.rng.Int(), strings.Repeat("x", h.rng.IntN(300))))
}

// act does one thing; that it may be refused is part of it.
func (h *history) act() {
	ctx, a := h.t.Context(), h.account
	switch h.rng.IntN(12) {
	case 0:
		_ = a.Create(ctx, fmt.Sprintf("f%d/g%d", h.rng.IntN(3), h.rng.IntN(3)))
	case 1:
		_ = a.Rename(ctx, h.folder(), fmt.Sprintf("r%d", h.rng.IntN(6)))
	case 2:
		if h.rng.IntN(3) == 0 {
			_ = a.Delete(ctx, h.folder())
		}
	case 3:
		_ = a.Subscribe(ctx, h.folder(), h.rng.IntN(2) == 0)
	case 4, 5:
		for _, err := range h.store.Deliver(ctx, []mailbox.Recipient{{Account: "ann", Folder: h.folder()}}, h.mail()) {
			require.NoError(h.t, err)
		}
	case 6, 7:
		_, err := a.Append(ctx, h.folder(), h.mail(), mailbox.AppendOptions{Flags: h.flags(), Date: time.Unix(h.rng.Int64N(1<<32), 0)})
		require.NoError(h.t, err)
	default:
		h.change()
	}
}

// change does something to messages of a folder.
func (h *history) change() {
	ctx := h.t.Context()
	v, err := h.account.Select(ctx, h.folder(), false)
	require.NoError(h.t, err)
	defer v.Close()
	if v.Len() == 0 {
		return
	}
	first := uint32(1 + h.rng.IntN(v.Len()))
	set := mailbox.Set{Ranges: []mailbox.Range{{First: first, Last: first + uint32(h.rng.IntN(3))}}}
	switch h.rng.IntN(5) {
	case 0:
		_, err = v.Copy(ctx, set, h.folder())
	case 1:
		_, err = v.Move(ctx, set, h.folder())
	case 2:
		_, err = v.Expunge(ctx, &set)
	default:
		_, err = v.Store(ctx, set, []mailbox.FlagOp{mailbox.FlagsSet, mailbox.FlagsAdd, mailbox.FlagsRemove}[h.rng.IntN(3)], h.flags(), mailbox.StoreOptions{})
	}
	require.NoError(h.t, err)
}

func (h *history) compare() {
	ctx := h.t.Context()
	var events []mailbox.Event
	for e, err := range h.account.Events(ctx, 0) {
		require.NoError(h.t, err)
		events = append(events, e)
	}
	require.NotEmpty(h.t, events)
	all := replayed{}
	for i, e := range events {
		before := all.copied(h.t)
		kept := maps.Clone(all)
		all.apply(h.t, e)
		if i%10 == 0 {
			for id, m := range before {
				require.True(h.t, m.Equal(kept[id]), "Apply leaves the mailbox as it is")
			}
		}
	}
	h.same(all)

	// From any entry on: what a snapshot there and the events after it say.
	for range 3 {
		part := replayed{}
		cut := mailbox.ModSeq(0)
		for _, e := range events[:h.rng.IntN(len(events))] {
			part.apply(h.t, e)
		}
		for _, m := range part {
			cut = max(cut, m.Position())
		}
		part = replayed{}
		for e, err := range h.account.Events(ctx, 0) { // whole entries only
			require.NoError(h.t, err)
			if position(e) <= cut {
				part.apply(h.t, e)
			}
		}
		part = part.copied(h.t)
		for e, err := range h.account.Events(ctx, cut) {
			require.NoError(h.t, err)
			require.Greater(h.t, position(e), cut)
			part.apply(h.t, e)
		}
		h.same(part)
	}
}

// same compares with what the account has.
func (h *history) same(got replayed) {
	names := map[string]bool{}
	for _, m := range got {
		names[m.Name()] = true
		live, err := h.account.Mailbox(h.t.Context(), m.Name())
		require.NoError(h.t, err)
		require.Equal(h.t, fmt.Sprint(slices.Collect(live.Messages())), fmt.Sprint(slices.Collect(m.Messages())), m.Name())
		require.True(h.t, live.Equal(m), "%s: %d %d, %d %d", m.Name(), live.UIDNext(), m.UIDNext(), live.HighestModSeq(), m.HighestModSeq())
		status, err := h.account.Status(h.t.Context(), m.Name())
		require.NoError(h.t, err)
		require.Equal(h.t, status.Messages, m.Len())
		require.Equal(h.t, status.Unseen, m.Unseen())
	}
	all, err := h.account.Mailboxes(h.t.Context())
	require.NoError(h.t, err)
	for _, m := range all {
		if m.Exists {
			require.Contains(h.t, names, m.Name)
			delete(names, m.Name)
		}
	}
	require.Empty(h.t, slices.Collect(maps.Keys(names)))
}

// position returns the position of an event, which a reader of one type knows.
func position(e mailbox.Event) mailbox.ModSeq {
	switch e := e.(type) {
	case mailbox.MailboxCreated:
		return e.At
	case mailbox.MailboxDeleted:
		return e.At
	case mailbox.MailboxRenamed:
		return e.At
	case mailbox.MailboxSubscribed:
		return e.At
	case mailbox.UIDValidityChanged:
		return e.At
	case mailbox.MessagesAdded:
		return e.At
	case mailbox.FlagsChanged:
		return e.At
	case mailbox.MessagesExpunged:
		return e.At
	}
	panic("an event of an unknown type")
}

// What cannot have happened to a mailbox is refused and changes nothing.
func TestApplyRefusesWhatCannotHaveHappened(t *testing.T) {
	m := mailbox.New(mailbox.MailboxCreated{At: 5, Mailbox: 2, Name: "Work", UIDValidity: 7})
	m, err := m.Apply(mailbox.MessagesAdded{At: 6, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 3, Size: 10, Flags: []string{"a"}}}, UIDNext: 9})
	require.NoError(t, err)
	before := m.Snapshot()
	one := mailbox.UIDRanges{{First: 3, Last: 3}}
	for _, e := range []mailbox.Event{
		mailbox.FlagsChanged{At: 5, Mailbox: 2, UIDs: one, Op: mailbox.FlagsAdd},
		mailbox.FlagsChanged{At: 7, Mailbox: 2, UIDs: mailbox.UIDRanges{{First: 3, Last: 4}}, Op: mailbox.FlagsAdd, Flags: []string{"b"}},
		mailbox.FlagsChanged{At: 7, Mailbox: 2, UIDs: one, Flags: []string{"b"}},
		mailbox.FlagsChanged{At: 7, Mailbox: 2, UIDs: one, Op: mailbox.FlagsAdd, Flags: []string{"not an atom"}},
		mailbox.MessagesExpunged{At: 7, Mailbox: 2, UIDs: mailbox.UIDRanges{{First: 1, Last: 3}}},
		mailbox.MessagesAdded{At: 7, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 8}}},
		mailbox.MessagesAdded{At: 7, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 9, Size: -1}}},
		mailbox.MessagesAdded{At: 7, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 9, Size: 1 << 32}}},
		mailbox.MessagesAdded{At: 7, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 9, ModSeq: 8}}},
		mailbox.MessagesAdded{At: 7, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 10}, {UID: 10}}},
		mailbox.MailboxCreated{At: 7, Mailbox: 2, Name: "Work", UIDValidity: 7},
	} {
		_, err := m.Apply(e)
		require.ErrorIs(t, err, mailbox.ErrInvalidEvent, "%+v", e)
		require.Equal(t, before, m.Snapshot())
	}
	other, err := m.Apply(mailbox.MessagesExpunged{At: 7, Mailbox: 3, UIDs: one})
	require.NoError(t, err)
	require.True(t, other.Equal(m), "an event of another mailbox")
	require.EqualValues(t, 7, other.Position())

	gone, err := m.Apply(mailbox.MailboxDeleted{At: 7, Mailbox: 2})
	require.NoError(t, err)
	require.True(t, gone.Deleted())
	require.Zero(t, gone.Len())
	_, err = gone.Apply(mailbox.MailboxRenamed{At: 8, Mailbox: 2, Name: "x"})
	require.ErrorIs(t, err, mailbox.ErrInvalidEvent)
	for cut := range before {
		_, err := mailbox.Restore(before[:cut])
		require.Error(t, err)
	}
}

func FuzzRestore(f *testing.F) {
	m := mailbox.New(mailbox.MailboxCreated{At: 5, Mailbox: 2, Name: "Work", UIDValidity: 7})
	m, err := m.Apply(mailbox.MessagesAdded{At: 6, Mailbox: 2, Messages: []mailbox.MessageState{{UID: 3, Size: 10, Flags: []string{"a"}}}})
	require.NoError(f, err)
	f.Add(m.Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := mailbox.Restore(b); err == nil {
			require.Equal(t, b, m.Snapshot())
		}
	})
}
