package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// kindOf classes objects by what they are, for counting requests.
func kindOf(name string) string {
	p := strings.Split(name, "/")
	if p[0] == "acct" && len(p) > 2 {
		return p[2]
	}
	return p[0]
}

// fill puts n messages into INBOX, a thousand in each log entry. They share one
// body.
func fill(t testing.TB, a *Account, n int) {
	t.Helper()
	ctx := context.Background()
	body, err := a.account.store.stage(ctx, a.account.prefix, a.account.recipient, strings.NewReader(mail(1)))
	require.NoError(t, err)
	for n > 0 {
		k := min(n, 1000)
		n -= k
		err := a.account.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
			return &state.AddMessages{Mailbox: s.ByName(Inbox).ID, Time: 1, Messages: repeat(body, k)}, nil
		})
		require.NoError(t, err)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
}

func repeat(m state.NewMessage, n int) []state.NewMessage {
	out := make([]state.NewMessage, n)
	for i := range out {
		out[i] = m
	}
	return out
}

func selectInbox(t testing.TB, a *Account) *View {
	t.Helper()
	v, err := a.Select(context.Background(), Inbox, false)
	require.NoError(t, err)
	return v
}

// A COPY, MOVE, STORE or EXPUNGE of a thousand messages is one log entry and
// touches no body; what FETCH FULL asks for reads none either.
func TestThousandMessagesAreOneEntry(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	s := openStore(t, count)
	s.opts.PollInterval = -1
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Sent"))
	fill(t, a, 1000)
	v := selectInbox(t, a)

	for _, op := range []struct {
		name string
		do   func() error
	}{
		{"copy", func() error { _, err := v.Copy(ctx, All(), "Sent"); return err }},
		{"store", func() error {
			_, err := v.Store(ctx, All(), FlagsAdd, []string{FlagDeleted}, StoreOptions{})
			return err
		}},
		{"expunge", func() error {
			_, err := v.Expunge(ctx, &Set{Ranges: []Range{{1, 500}}, UID: true})
			return err
		}},
		{"move", func() error { _, err := v.Move(ctx, All(), "Sent"); return err }},
	} {
		count.Reset()
		require.NoError(t, op.do())
		require.EqualValues(t, 1, count.All()[blobtest.Class{Op: blobtest.OpCreate, Name: "log"}].Calls, op.name)
		require.EqualValues(t, 1, count.Total(blobtest.OpCreate).Calls, op.name)
		require.Zero(t, count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}].Calls, op.name)
	}
	st, err := a.Status(ctx, "Sent")
	require.NoError(t, err)
	require.Equal(t, 1500, st.Messages)
}

func TestListingReadsNoBody(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	s := openStore(t, count)
	a := newUser(t, s, "ann")
	for i := range 1000 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	a.account.snapshots.stop()
	require.NoError(t, snapshotNow(ctx, a.account))
	recovery, err := a.Recovery()
	require.NoError(t, err)
	cold := openStore(t, count)
	count.Reset()
	b := openWith(t, cold, "ann", recovery)
	v := selectInbox(t, b)
	n := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("mail %d", n), message.ParseEnvelope(message.ParseHeader(meta.Header)).Subject)
		n++
	}
	require.Equal(t, 1000, n)
	require.Zero(t, count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}].Calls)
	t.Logf("opening the account and listing 1,000 messages cold:\n%v", count)
	reads := 0
	for _, kind := range []string{"pack"} {
		reads += count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: kind}].Calls
	}
	require.LessOrEqual(t, reads, 10)
}

// grown returns by how many bytes the heap's peak rose above its start while do
// ran.
func grown(t *testing.T, do func()) int64 {
	t.Helper()
	runtime.GC()
	start := heap()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		peak := uint64(0)
		for {
			select {
			case <-stop:
				done <- peak
				return
			case <-time.After(2 * time.Millisecond):
				peak = max(peak, heap())
			}
		}
	}()
	do()
	close(stop)
	return int64(<-done) - int64(start)
}

// bigMail yields a message of about n bytes with an attachment, without ever
// holding it.
func bigMail(n int64) io.Reader {
	line := strings.Repeat("QUJD", 19) + "\r\n"
	return io.MultiReader(
		strings.NewReader("Subject: big\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello needle\r\n--b\r\nContent-Type: text/plain; name=big.txt\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
		io.LimitReader(&repeater{line: []byte(line)}, n/int64(len(line))*int64(len(line))),
		strings.NewReader("\r\n--b--\r\n"),
	)
}

type repeater struct {
	line []byte
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.line[r.at:])
		n += k
		r.at = (r.at + k) % len(r.line)
	}
	return n, nil
}

// A message of 50 MB costs no more memory than a small one, whatever is done
// with it.
func TestMemoryDoesNotFollowTheMessage(t *testing.T) {
	ctx := t.Context()
	d, err := diskblob.Open(t.TempDir(), &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s := openStore(t, d)
	const size, limit = 50 << 20, 4 << 20
	a := newUser(t, s, "ann")
	for _, name := range []string{"bob", "cat"} {
		newUser(t, s, name)
	}
	check := func(what string, do func()) {
		got := grown(t, do)
		t.Logf("%s: heap grew by at most %d KiB", what, got>>10)
		require.Less(t, got, int64(limit), what)
	}
	check("append", func() {
		_, err := a.Append(ctx, Inbox, bigMail(size), AppendOptions{})
		require.NoError(t, err)
	})
	v := selectInbox(t, a)
	check("fetch", func() {
		for m, err := range v.Messages(ctx, All()) {
			require.NoError(t, err)
			r, err := m.Open(ctx, 0, -1)
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.Equal(t, m.Size, n)
		}
	})
	check("search", func() {
		found := 0
		for _, err := range v.Search(ctx, &Query{Op: OpBody, Text: "not in there"}) {
			require.NoError(t, err)
			found++
		}
		require.Zero(t, found)
	})
	check("deliver", func() {
		errs := s.Deliver(ctx, []Recipient{{Account: "ann"}, {Account: "bob"}, {Account: "cat"}}, bigMail(size))
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
}

// cost is what opening an account cold, appending and flagging take at some size.
type costs struct{ open, add, flag time.Duration }

// sized is an account with a mailbox of a size, and the least that things cost.
type sized struct {
	blobs    blob.Store
	recovery string
	costs
}

func newSized(t testing.TB, n int) *sized {
	blobs := memblob.New()
	a := newUser(t, openStore(t, blobs), "ann")
	fill(t, a, n)
	recovery, err := a.Recovery()
	require.NoError(t, err)
	require.NoError(t, a.Close())
	return &sized{blobs, recovery, costs{time.Hour, time.Hour, time.Hour}}
}

func (m *sized) measure(t testing.TB) {
	ctx := context.Background()
	s := openStore(t, m.blobs)
	start := time.Now()
	a := openWith(t, s, "ann", m.recovery)
	v := selectInbox(t, a)
	opened := time.Now()
	_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	added := time.Now()
	uid := UIDs(UID(1 + time.Now().UnixNano()%900))
	_, err = v.Store(ctx, uid, FlagsAdd, []string{fmt.Sprintf("k%d", time.Now().UnixNano()%40)}, StoreOptions{})
	require.NoError(t, err)
	flagged := time.Now()
	m.open = min(m.open, opened.Sub(start))
	m.add = min(m.add, added.Sub(opened))
	m.flag = min(m.flag, flagged.Sub(added))
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
}

// A mailbox of 100,000 messages is opened, appended to and flagged at no more
// than twice the cost of one of 1,000. Both are measured in turn, until a busy
// machine has let both show what they can: a cost that follows the mailbox is
// above twice the other however often it is measured. Some microseconds are no
// cost that follows anything: a flag takes ten, and the cache of a busy processor
// doubles that.
func TestCostDoesNotFollowTheMailbox(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector's own cost hides the ratio; the test without it asserts")
	}
	small, large := newSized(t, 1_000), newSized(t, 100_000)
	within := func(a, b time.Duration) bool { return a < 2*b+20*time.Microsecond }
	for round := 1; ; round++ {
		for range 15 {
			small.measure(t)
			large.measure(t)
		}
		if raceEnabled || within(large.open, small.open) && within(large.add, small.add) && within(large.flag, small.flag) {
			break
		}
		require.Less(t, round, 10, "1,000 messages: %v, 100,000 messages: %v", small.costs, large.costs)
	}
	t.Logf("open, append, flag: of 1,000 messages %v, of 100,000 messages %v", small.costs, large.costs)
}

// What stays in memory for a message is at most 96 bytes.
func TestResidentBytesOfAMessage(t *testing.T) {
	p := state.NewPage(state.PageRows)
	for i := range state.PageRows {
		p.Append(state.Row{UID: UID(i + 1), Meta: state.MetaSource{Entry: 1}})
	}
	size := int64(len(p.Encode()))
	require.LessOrEqual(t, size/state.PageRows, int64(96))
	var before, after runtime.MemStats
	const pages = 400
	keep := make([]*state.Page, pages)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keep {
		q, err := state.DecodePage(p.Encode())
		require.NoError(t, err)
		keep[i] = q
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / (pages * state.PageRows)
	t.Logf("%.1f bytes resident a message", each)
	require.LessOrEqual(t, each, 105.0, "the columns, and what the allocator rounds up")
	runtime.KeepAlive(keep)
	require.True(t, bytes.Equal(p.Encode(), keep[0].Encode()))
}
