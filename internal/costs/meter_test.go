package costs

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

const (
	latency  = 30 * time.Millisecond
	password = "correct horse battery staple"
)

// cheap makes password derivations cost as little as is allowed.
var cheap = crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1}

// cost is what something costs, of a bucket: a Create is a PUT, an Open and a Stat
// are a GET each, a listing is a LIST, a Delete a POST.
type cost struct {
	what                   string
	put, get, list, delete float64
	rounds                 int // requests one after the other
}

// meter counts what goes to a store at a distance.
type meter struct {
	t     *testing.T
	mem   *memblob.Store
	count *blobtest.Counting
	slow  *blobtest.Slow
	all   []cost
}

func newMeter(t *testing.T) *meter {
	m := &meter{t: t, mem: memblob.New()}
	m.count = blobtest.NewCounting(m.mem, nil)
	m.slow = blobtest.NewSlow(m.count, latency)
	return m
}

// open returns the store as a process that has just begun sees it. It does not
// look for other processes unless poll says how often.
func (m *meter) open(poll time.Duration) *mailbox.Store {
	m.t.Helper()
	s, err := mailbox.Open(m.t.Context(), m.slow, mailbox.Options{
		PollInterval: poll, Password: cheap, Pool: crypto.NewPool(crypto.PoolOptions{}),
	})
	require.NoError(m.t, err)
	return s
}

// of does something, waits until what it set off in the background is over, and
// returns what it cost. How long it took, without what it set off, counts.
func (m *meter) of(what string, do func()) cost {
	m.t.Helper()
	return m.each(what, 1, func(int) { do() })
}

// each does something n times and returns the average; the rounds are those of the
// slowest.
func (m *meter) each(what string, n int, do func(i int)) cost {
	m.t.Helper()
	m.settle()
	m.count.Reset()
	c := cost{what: what}
	for i := range n {
		began := time.Now()
		do(i)
		c.rounds = max(c.rounds, int((time.Since(began)+latency/2)/latency))
		m.settle()
	}
	avg := func(ops ...blobtest.Op) float64 {
		sum := 0
		for _, op := range ops {
			sum += m.count.Total(op).Calls
		}
		return float64(sum) / float64(n)
	}
	c.put, c.list, c.delete = avg(blobtest.OpCreate), avg(blobtest.OpList), avg(blobtest.OpDelete)
	c.get = avg(blobtest.OpOpen, blobtest.OpStat)
	m.all = append(m.all, c)
	return c
}

// settle waits for what goes on in the background, and then so long that what was
// known of the store is old.
func (m *meter) settle() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func mail(n int) io.Reader {
	return strings.NewReader(fmt.Sprintf("From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.org>\r\n"+
		"Subject: a mail of an ordinary kind, number %d\r\nDate: Mon, 2 Jan 2006 15:04:05 +0000\r\nMessage-ID: <%d@example.org>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nText of mail %d.\r\n", n, n, n))
}

// user makes an account, and returns a handle on it.
func (m *meter) user(s *mailbox.Store, name string) *mailbox.Account {
	m.t.Helper()
	require.NoError(m.t, s.CreateAccount(m.t.Context(), name, []byte(password)))
	return m.login(s, name)
}

func (m *meter) login(s *mailbox.Store, name string) *mailbox.Account {
	m.t.Helper()
	a, err := s.Login(m.t.Context(), name, []byte(password))
	require.NoError(m.t, err)
	return a
}

func (m *meter) append(a *mailbox.Account, r io.Reader) {
	m.t.Helper()
	_, err := a.Append(m.t.Context(), mailbox.Inbox, r, mailbox.AppendOptions{})
	require.NoError(m.t, err)
}

// deliver does what LMTP does: it looks the account up, and delivers.
func (m *meter) deliver(s *mailbox.Store, name string, r io.Reader) {
	m.t.Helper()
	ctx := m.t.Context()
	require.NoError(m.t, s.Lookup(ctx, name))
	require.NoError(m.t, s.Deliver(ctx, []mailbox.Recipient{{Account: name}}, r)[0])
}

// sel does what SELECT does.
func (m *meter) sel(a *mailbox.Account) *mailbox.View {
	m.t.Helper()
	v, err := a.Select(m.t.Context(), mailbox.Inbox, false)
	require.NoError(m.t, err)
	_, _, err = v.FirstUnseen(m.t.Context())
	require.NoError(m.t, err)
	return v
}

// fetchFull does what FETCH 1:* FULL does, and what the engine does after it.
func (m *meter) fetchFull(v *mailbox.View, n int) {
	m.t.Helper()
	ctx := m.t.Context()
	got := 0
	for msg, err := range v.Messages(ctx, mailbox.All()) {
		require.NoError(m.t, err)
		_, err = msg.Meta(ctx)
		require.NoError(m.t, err)
		got++
	}
	require.Equal(m.t, n, got)
}

func (m *meter) read(v *mailbox.View, u mailbox.UID, off, n int64) int64 {
	m.t.Helper()
	var got int64
	for msg, err := range v.Messages(m.t.Context(), mailbox.UIDs(u)) {
		require.NoError(m.t, err)
		got += m.readMessage(m.t.Context(), msg, off, n)
	}
	return got
}

func (m *meter) readMessage(ctx context.Context, msg *mailbox.Message, off, n int64) int64 {
	m.t.Helper()
	r, err := msg.Open(ctx, off, n)
	require.NoError(m.t, err)
	got, err := io.Copy(io.Discard, r)
	require.NoError(m.t, err)
	require.NoError(m.t, r.Close())
	return got
}
