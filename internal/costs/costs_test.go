package costs

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// exactly asserts what something costs.
func exactly(t *testing.T, c cost, put, get, list float64, rounds int) {
	t.Helper()
	assert.Equal(t, cost{what: c.what, put: put, get: get, list: list, rounds: rounds}, c)
}

// TestCosts holds what a user's commands cost to a budget, and the tables of the
// documentation to what they cost.
func TestCosts(t *testing.T) {
	var rows []cost
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(t)
		writing(m)
		reading(m)
		arriving(m)
		rows = m.all
	})
	idle := waiting(t)
	require.NoError(t, document(rows, idle))
}

// writing counts what changes an account, with a thousand messages in it.
func writing(m *meter) {
	t, ctx := m.t, m.t.Context()
	s := m.open(-1)
	a := m.user(s, "ann")
	m.append(a, mail(0))
	exactly(t, m.of("APPEND", func() { m.append(a, mail(1)) }), 2, 0, 0, 2)
	many := m.each("APPEND, each of 1,000, with the snapshots that they cause", 998, func(i int) { m.append(a, mail(2+i)) })
	assert.LessOrEqual(t, many.put, 2.1)
	assert.LessOrEqual(t, many.get, 0.1, "what was written is not read again")
	require.NoError(t, a.Create(ctx, "Archive"))
	v := m.sel(a)
	store := func(set mailbox.Set, flag string) {
		_, err := v.Store(ctx, set, mailbox.FlagsAdd, []string{flag}, mailbox.StoreOptions{})
		require.NoError(t, err)
		_, err = v.Sync(ctx, true)
		require.NoError(t, err)
	}
	exactly(t, m.of("STORE of a flag on one message", func() { store(mailbox.UIDs(1), mailbox.FlagSeen) }), 1, 0, 0, 1)
	exactly(t, m.of("STORE of a flag on 1,000", func() { store(mailbox.All(), mailbox.FlagFlagged) }), 1, 0, 0, 1)
	exactly(t, m.of("COPY of 1,000", func() {
		_, err := v.Copy(ctx, mailbox.All(), "Archive")
		require.NoError(t, err)
	}), 1, 0, 0, 1)
	inbox, err := a.Select(ctx, "Archive", false)
	require.NoError(t, err)
	exactly(t, m.of("MOVE of 1,000", func() {
		_, err := inbox.Move(ctx, mailbox.All(), mailbox.Inbox)
		require.NoError(t, err)
	}), 1, 0, 0, 1)
	_, err = v.Sync(ctx, false)
	require.NoError(t, err)
	last := mailbox.Set{UID: true, Ranges: []mailbox.Range{{First: 1001, Last: 2000}}}
	_, err = v.Store(ctx, last, mailbox.FlagsAdd, []string{mailbox.FlagDeleted}, mailbox.StoreOptions{})
	require.NoError(t, err)
	exactly(t, m.of("EXPUNGE of 1,000", func() {
		gone, err := v.Expunge(ctx, nil)
		require.NoError(t, err)
		require.Len(t, gone, 1000)
	}), 1, 0, 0, 1)
	exactly(t, m.of("APPEND of 30 MB", func() { m.append(a, bytes.NewReader(make([]byte, 30<<20))) }), 2, 0, 0, 2)
	closing := m.of("LOGOUT of the last session, with a snapshot", func() {
		v.Close()
		inbox.Close()
		require.NoError(t, a.Close())
	})
	assert.LessOrEqual(t, closing.put, 16.0)
	require.NoError(t, s.Close())
}

// reading counts what looks at the account that writing has left.
func reading(m *meter) {
	t, ctx := m.t, m.t.Context()
	s := m.open(-1)
	var a, again *mailbox.Account
	cold := m.of("LOGIN by password, cold", func() { a = m.login(s, "ann") })
	assert.LessOrEqual(t, cold.get, 24.0)
	assert.Zero(t, cold.put)
	assert.LessOrEqual(t, cold.rounds, 8)
	exactly(t, m.of("LOGIN by password, warm", func() { again = m.login(s, "ann") }), 0, 3, 0, 3)
	require.NoError(t, again.Close())
	token, err := a.AddToken(ctx, "laptop")
	require.NoError(t, err)
	exactly(t, m.of("LOGIN by token, warm", func() {
		again, err = s.Login(ctx, "ann", []byte(token.Export()))
		require.NoError(t, err)
	}), 0, 3, 0, 3)
	require.NoError(t, again.Close())
	var v *mailbox.View
	sel := m.of("SELECT, cold", func() { v = m.sel(a) })
	assert.LessOrEqual(t, sel.rounds, 4)
	assert.LessOrEqual(t, sel.get, 3.0)
	full := m.of("FETCH FULL of 1,000, cold", func() { m.fetchFull(v, 1001) })
	assert.LessOrEqual(t, full.get, 10.0)
	assert.Zero(t, full.put+full.list)
	assert.LessOrEqual(t, full.rounds, 4)
	exactly(t, m.of("FETCH FULL of 1,000, warm", func() { m.fetchFull(v, 1001) }), 0, 0, 0, 0)
	exactly(t, m.of("SELECT, warm", func() { m.sel(a).Close() }), 0, 1, 0, 1)
	text := m.of("SEARCH BODY of 1,000", func() {
		set := mailbox.Set{Ranges: []mailbox.Range{{First: 1, Last: 1000}}}
		q := &mailbox.Query{Op: mailbox.OpAnd, Args: []*mailbox.Query{{Op: mailbox.OpSet, Set: set}, {Op: mailbox.OpBody, Text: "nowhere"}}}
		for _, err := range v.Search(t.Context(), q) {
			require.NoError(t, err)
		}
	})
	assert.LessOrEqual(t, text.get, 1010.0)
	assert.LessOrEqual(t, text.rounds, 100) // of 30 ms: 3 s
	exactly(t, m.of("FETCH of one message", func() { m.read(v, 1, 0, -1) }), 0, 1, 0, 1)
	part := m.of("FETCH of 100 KB in the middle of 30 MB", func() {
		require.EqualValues(t, 100<<10, m.read(v, 2001, 10<<20, 100<<10))
	})
	exactly(t, part, 0, 1, 0, 1)
	folders(m, a)
	v.Close()
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
}

// folders counts STATUS of fifty folders.
func folders(m *meter, a *mailbox.Account) {
	t, ctx := m.t, m.t.Context()
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("Folder %d", i))
		require.NoError(t, a.Create(ctx, names[i]))
	}
	status := func() {
		for _, name := range names {
			_, err := a.Status(ctx, name)
			require.NoError(t, err)
		}
	}
	exactly(t, m.of("STATUS of 50 folders, nobody having looked for 0.2 s", status), 0, 1, 0, 1)
	m.settle()
	_, err := a.Status(ctx, mailbox.Inbox)
	require.NoError(t, err)
	m.count.Reset()
	status()
	require.Empty(t, m.count.All(), "STATUS of all folders, warm")
}

// arriving counts deliveries.
func arriving(m *meter) {
	t, ctx := m.t, m.t.Context()
	s := m.open(-1)
	first := m.of("delivery by LMTP, first to an account", func() { m.deliver(s, "ann", mail(0)) })
	assert.EqualValues(t, 2, first.put)
	exactly(t, m.of("delivery by LMTP", func() { m.deliver(s, "ann", mail(1)) }), 2, 2, 0, 4)
	a := m.login(s, "ann")
	v := m.sel(a)
	watch := a.Watch()
	notified := m.of("delivery by LMTP, and the notification of a waiting session", func() {
		for len(watch.C) > 0 {
			<-watch.C
		}
		m.deliver(s, "ann", mail(2))
		<-watch.C
		c, err := v.Sync(ctx, false)
		require.NoError(t, err)
		require.Equal(t, 1004, c.Exists)
	})
	exactly(t, notified, 2, 2, 0, 4)
	watch.Close()
	v.Close()
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
}

// waiting counts an hour in which nothing happens, with few sessions and with many.
func waiting(t *testing.T) (hour cost) {
	hours := func(accounts int) (c cost) {
		synctest.Test(t, func(t *testing.T) {
			m := newMeter(t)
			s := m.open(0)
			for i := range accounts {
				a := m.user(s, fmt.Sprint("user", i))
				defer a.Close()
				v := m.sel(a)
				defer v.Close()
				watch := a.Watch()
				defer watch.Close()
			}
			c = m.of("IDLE for an hour, all sessions of a process together", func() { time.Sleep(time.Hour) })
			c.rounds = 0
			require.NoError(t, s.Close())
		})
		return c
	}
	few, many := hours(1), hours(8)
	assert.Equal(t, few, many, "what waiting costs does not follow the number of users")
	assert.LessOrEqual(t, many.list, 1900.0)
	assert.LessOrEqual(t, many.put, 121.0, "says that it lives")
	assert.Zero(t, many.get)
	return many
}

// TestTogether: mails that are added at once share round trips. For one connection
// of IMAP, whose client does not wait for answers, see TestPipelinedAppends of
// imapadapter.
func TestTogether(t *testing.T) {
	const n = 100
	took := func(sessions int) (rounds time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			m := newMeter(t)
			s := m.open(-1)
			a := m.user(s, "ann")
			began := time.Now()
			var wg sync.WaitGroup
			for k := range sessions {
				wg.Go(func() {
					for i := k; i < n; i += sessions {
						m.append(a, mail(i))
					}
				})
			}
			wg.Wait()
			rounds = time.Since(began) / latency
			require.Equal(t, n, m.sel(a).Len())
			require.NoError(t, a.Close())
			require.NoError(t, s.Close())
		})
		return rounds
	}
	one, four, all := took(1), took(4), took(n)
	t.Logf("100 mails: %d round trips one after the other, %d by 4 sessions, %d all at once", one, four, all)
	require.EqualValues(t, 2*n, one)
	require.GreaterOrEqual(t, one, 2*four)
	require.GreaterOrEqual(t, one, 30*all)
}

// TestOwnerWasAway opens an account that got mail while nobody looked: what has no
// snapshot yet is read many at once, and not again for the listing.
func TestOwnerWasAway(t *testing.T) {
	const n = 400
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(t)
		s := m.open(-1)
		require.NoError(t, m.user(s, "ann").Close())
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				for i := k; i < n; i += 4 {
					// Of one process they would share entries.
					errs := s.Deliver(context.Background(), []mailbox.Recipient{{Account: "ann"}}, mail(i))
					assert.NoError(t, errs[0])
				}
			})
		}
		wg.Wait()
		require.NoError(t, s.Close())
		s = m.open(-1)
		var a *mailbox.Account
		login := m.of("LOGIN after deliveries", func() { a = m.login(s, "ann") })
		v := m.sel(a)
		list := m.of("FETCH FULL after deliveries", func() { m.fetchFull(v, n) })
		t.Logf("login: %v round trips, %v GET; listing: %v round trips, %v GET", login.rounds, login.get, list.rounds, list.get)
		assert.LessOrEqual(t, login.rounds, 16)
		assert.LessOrEqual(t, list.get, 10.0)
		assert.LessOrEqual(t, m.slow.Most(), 64+8)
		require.NoError(t, a.Close())
		require.NoError(t, s.Close())
	})
}
