package mailbox

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// inboxOf returns an account with n messages in INBOX, all in one log entry.
func inboxOf(t testing.TB, n int) *Account {
	t.Helper()
	s := openStore(t, memblob.New())
	s.freshness = 0
	a := quickUser(t, s, "ann")
	fill(t, a, n)
	return a
}

func uidsIn(t testing.TB, v *View, set Set) []UID {
	t.Helper()
	out := []UID{}
	for m, err := range v.Messages(t.Context(), set) {
		require.NoError(t, err)
		out = append(out, m.UID)
	}
	return out
}

func syncView(t testing.TB, v *View, hold bool) *Changes {
	t.Helper()
	c, err := v.Sync(t.Context(), hold)
	require.NoError(t, err)
	return c
}

func flagAll(t testing.TB, v *View, set Set, op FlagOp, silent bool, flags ...string) {
	t.Helper()
	_, err := v.Store(t.Context(), set, op, flags, StoreOptions{Silent: silent})
	require.NoError(t, err)
}

// Sets, as RFC 9051 section 9 reads them (seq-range, "*"), on a view of UIDs 1 to
// 5 without 3.
func TestSets(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 5)
	v := selectInbox(t, a)
	flagAll(t, v, UIDs(3), FlagsAdd, true, FlagDeleted)
	_, err := v.Expunge(ctx, nil)
	require.NoError(t, err)
	syncView(t, v, false)
	for _, c := range []struct {
		ranges []Range
		uid    bool
		want   []UID
	}{
		{[]Range{{1, 2}}, false, []UID{1, 2}},
		{[]Range{{2, 1}}, false, []UID{1, 2}},
		{[]Range{{3, 3}}, false, []UID{4}},
		{[]Range{{Star, Star}}, false, []UID{5}},
		{[]Range{{9, Star}}, false, []UID{5}},
		{[]Range{{Star, 3}}, false, []UID{4, 5}},
		{[]Range{{4, 9}}, false, []UID{5}},
		{[]Range{{9, 12}}, false, []UID{}},
		{[]Range{{4, 4}, {1, 1}, {1, 2}, {4, Star}}, false, []UID{1, 2, 5}},
		{[]Range{{2, 4}}, true, []UID{2, 4}},
		{[]Range{{4, 2}}, true, []UID{2, 4}},
		{[]Range{{3, 3}}, true, []UID{}},
		{[]Range{{900, Star}}, true, []UID{5}},
		{[]Range{{Star, 900}}, true, []UID{5}},
		{[]Range{{Star, Star}}, true, []UID{5}},
		{[]Range{{900, 901}}, true, []UID{}},
		{[]Range{{4, math.MaxUint32}}, true, []UID{4, 5}},
		{[]Range{{math.MaxUint32, math.MaxUint32}}, true, []UID{}},
		{nil, true, []UID{}},
	} {
		require.Equal(t, c.want, uidsIn(t, v, Set{Ranges: c.ranges, UID: c.uid}), "%v uid %v", c.ranges, c.uid)
	}
	require.NoError(t, a.Create(ctx, "empty"))
	empty, err := a.Select(ctx, "empty", false)
	require.NoError(t, err)
	for _, uid := range []bool{true, false} {
		require.Empty(t, uidsIn(t, empty, Set{Ranges: []Range{{Star, Star}, {1, Star}, {5, 2}}, UID: uid}))
	}
	_, ok, err := empty.FirstUnseen(ctx)
	require.NoError(t, err)
	require.False(t, ok)
}

// A set names nothing that the session was not told of, whatever numbers it has.
func TestSetsEndAtWhatWasTold(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 3)
	require.NoError(t, a.Create(ctx, "other"))
	v := selectInbox(t, a)
	fill(t, a, 2)
	for _, r := range []Range{{1, math.MaxUint32}, {4, Star}, {900, Star}, {4, 5}} {
		flagAll(t, v, Set{Ranges: []Range{r}, UID: true}, FlagsAdd, false, FlagFlagged)
		done, err := v.Copy(ctx, Set{Ranges: []Range{r}, UID: true}, "other")
		require.NoError(t, err)
		require.NotContains(t, done.Source, UID(4))
	}
	now := selectInbox(t, a)
	for m, err := range now.Messages(ctx, All()) {
		require.NoError(t, err)
		require.Equal(t, m.UID <= 3, m.HasFlag(FlagFlagged), "UID %d", m.UID)
	}
}

// The Index of messages among expunged ones, against a list.
func TestPlacesAmongGhosts(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		a := inboxOf(t, 700)
		v, other := selectInbox(t, a), selectInbox(t, a)
		list := uidsIn(t, v, All())
		for range 3 { // some told, some not
			var doomed []UID
			for _, u := range list {
				if rnd.IntN(4) == 0 || u > 250 && u < 540 && seed%3 == 0 || u > 650 && seed%4 == 0 || u < 20 && seed%5 == 0 {
					doomed = append(doomed, u)
				}
			}
			if len(doomed) == 0 {
				continue
			}
			flagAll(t, other, UIDs(doomed...), FlagsAdd, true, FlagDeleted)
			_, err := other.Expunge(ctx, nil)
			require.NoError(t, err)
			hold := rnd.IntN(3) > 0
			c := syncView(t, v, hold)
			for _, e := range c.Expunged {
				require.Equal(t, list[e.Index], e.UID)
				list = slices.Delete(list, e.Index, e.Index+1)
			}
			require.Equal(t, len(list), c.Exists)
		}
		require.Equal(t, list, uidsIn(t, v, All()))
		for range 200 {
			if len(list) == 0 {
				break
			}
			x, y := rnd.IntN(len(list)), rnd.IntN(len(list))
			set := Set{Ranges: []Range{{uint32(x + 1), uint32(y + 1)}}}
			require.Equal(t, list[min(x, y):max(x, y)+1], uidsIn(t, v, set))
		}
		c := syncView(t, v, false)
		for _, e := range c.Expunged {
			require.Equal(t, list[e.Index], e.UID)
			list = slices.Delete(list, e.Index, e.Index+1)
		}
		require.Equal(t, list, uidsIn(t, v, All()))
	}
}

// A silent change hides itself, and nothing that another session did.
func TestSilentChanges(t *testing.T) {
	a := inboxOf(t, 2)
	told := func(v *View) map[UID]string {
		out := map[UID]string{}
		for _, m := range syncView(t, v, false).Updated {
			out[m.UID] = flagText(m.Flags())
		}
		return out
	}
	v, other := selectInbox(t, a), selectInbox(t, a)
	none := map[UID]string{}

	flagAll(t, v, UIDs(1, 2), FlagsAdd, true, FlagFlagged)
	require.Equal(t, none, told(v), "its own")
	require.Equal(t, map[UID]string{1: `\Flagged`, 2: `\Flagged`}, told(other))

	flagAll(t, other, UIDs(1), FlagsAdd, false, FlagSeen)
	flagAll(t, v, UIDs(1, 2), FlagsAdd, true, "$Work")
	require.Equal(t, map[UID]string{1: `$Work \Flagged \Seen`}, told(v), "another's before")

	flagAll(t, v, UIDs(1, 2), FlagsRemove, true, "$Work")
	flagAll(t, other, UIDs(2), FlagsAdd, false, FlagDraft)
	require.Equal(t, map[UID]string{2: `\Draft \Flagged`}, told(v), "another's after")

	flagAll(t, other, UIDs(1), FlagsAdd, false, FlagAnswered)
	flagAll(t, v, UIDs(1), FlagsAdd, true, FlagAnswered)
	require.Equal(t, none, told(v), "what the session takes to be so already")

	flagAll(t, v, UIDs(1, 2), FlagsSet, true, FlagDeleted)
	flagAll(t, v, UIDs(1, 2), FlagsAdd, true, FlagSeen)
	flagAll(t, v, UIDs(1), FlagsRemove, true, FlagDeleted)
	require.Equal(t, none, told(v), "several in a row")

	flagAll(t, v, UIDs(1), FlagsSet, false)
	require.Equal(t, map[UID]string{1: ""}, told(v), "one that is not silent")

	for i := range maxSilent + 5 {
		flagAll(t, v, UIDs(1), FlagsAdd, true, fmt.Sprint("k", i%9))
		flagAll(t, v, UIDs(2), FlagsSet, true)
	}
	require.LessOrEqual(t, len(v.silent), maxSilent)
	told(v)
	require.Empty(t, v.silent)

	since := v.HighestModSeq()
	flagAll(t, other, UIDs(1), FlagsSet, false, FlagSeen)
	modified, err := v.Store(t.Context(), All(), FlagsSet, []string{FlagDraft}, StoreOptions{Silent: true, UnchangedSince: &since})
	require.NoError(t, err)
	require.Equal(t, []UID{1}, modified)
	require.Equal(t, map[UID]string{1: `\Seen`}, told(v), "what was not changed is told")
}

// \Recent: the first session that could change the mailbox has a message so, no
// matter how many sessions there are and how many logins there were.
func TestRecent(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	s.freshness = 0
	a := newUser(t, s, "ann")
	add := func(n int) {
		for range n {
			_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
			require.NoError(t, err)
		}
	}
	add(3)
	reader, err := a.Select(ctx, Inbox, true)
	require.NoError(t, err)
	require.Equal(t, 3, reader.Recent())
	st, err := a.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, 3, st.Recent, "who only reads leaves them to the next")
	v := selectInbox(t, a)
	require.Equal(t, 3, v.Recent())
	other := selectInbox(t, a)
	require.Zero(t, other.Recent())

	add(2)
	c := syncView(t, other, false)
	require.Equal(t, 2, c.Recent)
	require.True(t, c.RecentChanged)
	c = syncView(t, v, false)
	require.Equal(t, 3, c.Recent)
	require.False(t, c.RecentChanged)
	st, err = a.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Zero(t, st.Recent)

	flagAll(t, v, UIDs(1, 4), FlagsAdd, true, FlagDeleted)
	_, err = v.Expunge(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, 3, syncView(t, v, true).Recent)
	c = syncView(t, v, false)
	require.Equal(t, 2, c.Recent)
	require.True(t, c.RecentChanged)
	require.Equal(t, 1, syncView(t, other, false).Recent)

	// A login after the last logout, without anything written in between.
	add(1)
	require.Equal(t, 3, syncView(t, v, false).Recent)
	require.NoError(t, a.Close())
	a = login(t, s, "ann")
	require.Zero(t, selectInbox(t, a).Recent())
	// And another process learns it with the next entry.
	add(1)
	require.Equal(t, 1, selectInbox(t, login(t, openStore(t, blobs), "ann")).Recent())
}

// Wherever a Sync fails, the next one tells all, and every message is \Recent in
// one session.
func TestSyncFailsAnywhere(t *testing.T) {
	ctx := t.Context()
	trouble := errors.New("store is away")
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	s, err := Open(ctx, faulty, Options{Password: cheap, CacheBytes: -1, PollInterval: -1})
	require.NoError(t, err)
	defer s.Close()
	s.freshness = 0
	a := quickUser(t, s, "ann")
	fill(t, a, 600)
	v, other := selectInbox(t, a), selectInbox(t, a)
	failed, whole := 0, false
	for n := 1; !whole; n++ {
		before := v.Recent() + other.Recent()
		list := uidsIn(t, v, All())
		doomed := UID(10 * n)
		flagAll(t, other, UIDs(doomed, doomed+300), FlagsAdd, true, FlagDeleted)
		_, err := other.Expunge(ctx, nil)
		require.NoError(t, err)
		flagAll(t, other, UIDs(doomed+1, doomed+301), FlagsAdd, true, FlagFlagged)
		fill(t, a, 2) // and a snapshot
		seen := 0
		faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
			if op == blobtest.OpOpen && strings.Contains(name, "/pack/") {
				if seen++; seen == n {
					return blobtest.Fault{Before: trouble}
				}
			}
			return blobtest.Fault{}
		})
		c, err := v.Sync(ctx, false)
		faulty.SetPlan(nil)
		if whole = err == nil; !whole {
			require.ErrorIs(t, err, trouble)
			require.Equal(t, list, uidsIn(t, v, All()))
			failed++
			syncView(t, other, false)
			c = syncView(t, v, false)
		}
		require.Len(t, c.Expunged, 2)
		require.Len(t, c.Updated, 2)
		syncView(t, other, false)
		require.Equal(t, before, v.Recent()+other.Recent(), "two came, two of v went")
	}
	require.Greater(t, failed, 3)
}

// A mailbox that is deleted while it is selected, and one of the same name made
// in its place.
func TestMailboxDeletedWhileSelected(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 3)
	require.NoError(t, a.Create(ctx, "lists"))
	inbox := selectInbox(t, a)
	_, err := inbox.Copy(ctx, All(), "lists")
	require.NoError(t, err)
	v, err := a.Select(ctx, "lists", false)
	require.NoError(t, err)
	require.NoError(t, a.Delete(ctx, "lists"))
	require.NoError(t, a.Create(ctx, "lists"))
	_, err = inbox.Copy(ctx, UIDs(1), "lists")
	require.NoError(t, err)

	c := syncView(t, v, true)
	require.True(t, c.MailboxDeleted)
	require.Equal(t, 3, c.Exists, "still there for the session")
	require.Equal(t, []UID{1, 2, 3}, uidsIn(t, v, All()))
	m := firstMessage(t, v)
	_, err = m.Meta(ctx)
	require.NoError(t, err)
	for name, do := range map[string]func() error{
		"store":   func() error { _, err := v.Store(ctx, All(), FlagsSet, nil, StoreOptions{}); return err },
		"copy":    func() error { _, err := v.Copy(ctx, All(), Inbox); return err },
		"expunge": func() error { _, err := v.Expunge(ctx, nil); return err },
	} {
		require.ErrorIs(t, do(), ErrNoMailbox, name)
	}
	c = syncView(t, v, false)
	require.True(t, c.MailboxDeleted)
	require.Equal(t, []Expunged{{0, 1}, {0, 2}, {0, 3}}, c.Expunged)
	require.Zero(t, v.Len())
	require.True(t, syncView(t, v, false).MailboxDeleted)
	again, err := a.Select(ctx, "lists", false)
	require.NoError(t, err)
	require.Equal(t, 1, again.Len())
	require.NotEqual(t, v.UIDValidity(), again.UIDValidity())
	require.NotEqual(t, v.ID(), again.ID())
}

// RENAME INBOX: a session in INBOX is told that all is gone, the new mailbox has
// the messages with their UIDs and flags (RFC 9051 section 6.3.6).
func TestRenameInboxWhileSelected(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 300)
	v := selectInbox(t, a)
	flagAll(t, v, UIDs(7), FlagsAdd, true, "$Work")
	require.NoError(t, a.Rename(ctx, Inbox, "old/mail"))
	_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	c := syncView(t, v, false)
	require.False(t, c.MailboxDeleted)
	require.Len(t, c.Expunged, 300)
	require.Equal(t, 1, c.Exists)
	require.Equal(t, []UID{301}, uidsIn(t, v, All()))
	old, err := a.Select(ctx, "old/mail", false)
	require.NoError(t, err)
	require.Equal(t, 300, old.Len())
	require.NotEqual(t, v.UIDValidity(), old.UIDValidity())
	for m, err := range old.Messages(ctx, UIDs(7)) {
		require.NoError(t, err)
		require.Equal(t, []string{"$Work"}, m.Flags())
		_, err := m.Meta(ctx)
		require.NoError(t, err)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
	flagAll(t, old, All(), FlagsSet, true, FlagSeen)
	st, err := a.Status(ctx, "old/mail")
	require.NoError(t, err)
	require.Zero(t, st.Unseen)
}

// Nothing that a session asks grows with the square of the mailbox.
func TestManyMessagesAtOnce(t *testing.T) {
	ctx := t.Context()
	n := uint32(200_000)
	if raceEnabled {
		n = 40_000
	}
	a := inboxOf(t, int(n))
	v, lagging := selectInbox(t, a), selectInbox(t, a)
	limit := func(what string, most time.Duration, do func()) {
		start := time.Now()
		do()
		took := time.Since(start)
		t.Logf("%s: %v", what, took)
		if !raceEnabled {
			require.Less(t, took, most, what)
		}
	}
	ranges := func(uid bool) (set Set) {
		set.UID = uid
		for i := range uint32(10_000) {
			set.Ranges = append(set.Ranges, Range{1 + (i*7919)%n, 1 + (i*7919)%n})
		}
		return set
	}
	limit("10,000 sequence ranges", time.Second, func() { require.Len(t, uidsIn(t, v, ranges(false)), 10_000) })
	limit("10,000 UID ranges", time.Second, func() { require.Len(t, uidsIn(t, v, ranges(true)), 10_000) })
	limit("a silent STORE of all", 4*time.Second, func() { flagAll(t, v, All(), FlagsAdd, true, FlagSeen) })
	limit("its Sync", time.Second, func() { require.Empty(t, syncView(t, v, false).Updated) })
	var odd Set
	odd.UID = true
	for u := uint32(1); u < n; u += 2 {
		odd.Ranges = append(odd.Ranges, Range{u, u})
	}
	limit("a STORE of every second", 4*time.Second, func() { flagAll(t, v, odd, FlagsAdd, true, FlagDeleted) })
	limit("EXPUNGE of those", 4*time.Second, func() {
		gone, err := v.Expunge(ctx, nil)
		require.NoError(t, err)
		require.Len(t, gone, int(n/2))
	})
	limit("telling a session of them", 2*time.Second, func() {
		require.Len(t, syncView(t, lagging, true).Updated, int(n/2))
		require.Len(t, uidsIn(t, lagging, ranges(false)), 10_000)
		require.Len(t, syncView(t, lagging, false).Expunged, int(n/2))
	})
	require.NoError(t, a.Create(ctx, "copy"))
	limit("COPY of the rest", 4*time.Second, func() {
		done, err := lagging.Copy(ctx, All(), "copy")
		require.NoError(t, err)
		require.Len(t, done.Dest, int(n/2))
	})
	limit("a snapshot", 4*time.Second, func() { require.NoError(t, snapshotNow(ctx, a.account)) })
	require.Less(t, len(a.account.state().ByName(Inbox).Pages), int(n)/2/state.PageRows*5/4+2, "small pages are joined")
}

// The worst set of a million messages fits into an entry.
func TestFragmentedSetOfAMillionFits(t *testing.T) {
	var set state.UIDSet
	const gap = math.MaxUint32 / 1_000_000
	for i := range 1_000_000 {
		set.Add(UID(1 + i*gap))
	}
	b := state.EncodeEvent(&state.ChangeFlags{Mailbox: math.MaxUint32, UIDs: set, Op: FlagsSet, Flags: []string{strings.Repeat("k", MaxFlagLength)}})
	require.Less(t, len(b), eventlog.MaxRecord)
	_, err := state.DecodeEvent(b)
	require.NoError(t, err)
}

// A session whose picture is older than what another was shown gets nothing as \Recent
// once more, also when the log has that by now and memory has forgotten it.
func TestRecentOfAnOlderState(t *testing.T) {
	a := newUser(t, openStore(t, memblob.New()), "ann")
	put := func() {
		_, err := a.Append(t.Context(), Inbox, strings.NewReader(mail(1)), AppendOptions{})
		require.NoError(t, err)
	}
	put()
	old := a.account.state().ByName(Inbox)
	v := selectInbox(t, a)
	require.Equal(t, 1, v.Recent())
	put() // the log has what v was shown
	put() // it need not be remembered any more
	require.Empty(t, a.account.recents)
	require.Equal(t, UID(2), a.account.recentFrom(old, true))
	require.Equal(t, 3, syncView(t, v, false).Recent)
}
