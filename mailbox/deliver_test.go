package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Mail for a folder goes to the one of that name, else to the first that differs
// in ASCII case only, else to INBOX; whether or not the account is open in the process
// that delivers.
func TestDeliverFindsTheFolder(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s, other := openStore(t, blobs), openStore(t, blobs)
	a := newUser(t, s, "ann")
	for _, name := range []string{"Lists/Go", "lists/go", "LISTS/GO", "Ärzte"} {
		require.NoError(t, a.Create(ctx, name))
	}
	for _, c := range []struct{ folder, want string }{
		{"", Inbox}, {"inbox", Inbox}, {"INBOX", Inbox}, {"nowhere", Inbox}, {"bad//name", Inbox}, {"a\x00b", Inbox}, {"\xff", Inbox},
		{"lists/go", "lists/go"}, {"Lists/Go", "Lists/Go"},
		{"lists/GO", "LISTS/GO"}, // the first in order of names
		{"Ärzte", "Ärzte"}, {"ÄRZTE", "Ärzte"}, {"ärzte", Inbox},
		{"lists/go/", "lists/go"},
		{strings.Repeat("x", MaxMailboxName+1), Inbox},
	} {
		before, err := a.Status(ctx, c.want)
		require.NoError(t, err)
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann", Folder: c.folder}}, strings.NewReader(mail(1)))[0])
		require.NoError(t, other.Deliver(ctx, []Recipient{{Account: "ann", Folder: c.folder}}, strings.NewReader(mail(1)))[0])
		require.NoError(t, a.account.catchUp(ctx))
		after, err := a.Status(ctx, c.want)
		require.NoError(t, err)
		require.Equal(t, before.Messages+2, after.Messages, "%q", c.folder)
	}
}

// One call may name an account several times, nobody, or nobody who exists; the
// message is read to its end all the same.
func TestDeliverRecipients(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "x"))
	for _, c := range []struct {
		rcpts []Recipient
		added int
	}{
		{nil, 0},
		{[]Recipient{{Account: "nobody"}, {Account: ""}, {Account: "\xff"}}, 0},
		{[]Recipient{{Account: "ann"}, {Account: "ANN", Folder: "x"}, {Account: "nobody"}, {Account: "ann", Prefix: []byte("X: y\r\n")}}, 3},
	} {
		before := total(t, a)
		r := strings.NewReader(strings.Repeat("x", 100_000))
		errs := s.Deliver(ctx, c.rcpts, r)
		require.Len(t, errs, len(c.rcpts))
		for i, rcpt := range c.rcpts {
			if strings.EqualFold(rcpt.Account, "ann") {
				require.NoError(t, errs[i])
			} else {
				require.ErrorIs(t, errs[i], ErrNoAccount)
			}
		}
		require.Zero(t, r.Len(), "read to the end")
		require.Equal(t, before+c.added, total(t, a))
	}
}

func total(t *testing.T, a *Account) (n int) {
	t.Helper()
	boxes, err := a.Mailboxes(t.Context())
	require.NoError(t, err)
	for _, b := range boxes {
		n += b.Messages
	}
	return n
}

// Concurrent deliveries to one account are all there, each once.
func TestDeliverConcurrently(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	stores := []*Store{openStore(t, blobs), openStore(t, blobs)}
	a := newUser(t, stores[0], "ann")
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			assert.NoError(t, stores[i%2].Deliver(ctx, []Recipient{{Account: "ann"}, {Account: "ann"}}, strings.NewReader(mail(i)))[0])
		})
	}
	wg.Wait()
	v := selectInbox(t, a)
	seen := map[string]int{}
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		seen[message.ParseEnvelope(message.ParseHeader(meta.Header)).Subject]++
	}
	require.Len(t, seen, 40)
	for subject, n := range seen {
		require.Equal(t, 2, n, subject)
	}
}

// A context that ends, or a log that cannot be found, leaves no body behind that
// will not be delivered; and one recipient who waits for another's search of the
// log waits no longer than its context.
func TestDeliverGivenUp(t *testing.T) {
	trouble := errors.New("store is away")
	blobs := memblob.New()
	faulty := blobtest.NewFaulty(blobs, nil)
	s := openStore(t, faulty)
	require.NoError(t, newUser(t, s, "ann").Close())
	before := names(t, blobs)
	faulty.SetPlan(func(op blobtest.Op, name string, n int) blobtest.Fault {
		if op == blobtest.OpList && strings.HasPrefix(name, "acct/") {
			return blobtest.Fault{Before: trouble}
		}
		return blobtest.Fault{}
	})
	require.ErrorIs(t, s.Deliver(t.Context(), []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0], trouble)
	require.Equal(t, before, names(t, blobs))
	faulty.SetPlan(nil)

	in, err := s.inbox(t.Context(), "ann")
	require.NoError(t, err)
	in.opening <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, in.ready(ctx), context.Canceled)
	<-in.opening

	require.ErrorIs(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0], context.Canceled)
	require.Equal(t, before, names(t, blobs))
	require.NoError(t, s.Deliver(t.Context(), []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
}

// Mail goes on to arrive in order when the account is closed again in the process that
// delivers, and when its identity was changed by another process while it was open.
func TestDeliverToAnOpenAccount(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s, other := openStore(t, blobs), openStore(t, blobs)
	a := newUser(t, s, "ann")
	n := 0
	deliver := func() {
		t.Helper()
		n++
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(n)))[0])
	}
	deliver()
	require.NoError(t, a.Close())
	deliver()
	a = login(t, s, "ann")
	deliver()
	deliver()
	require.NoError(t, a.Close())
	deliver()
	login(t, s, "ann")
	b := login(t, other, "ann")
	deliver()
	_, err := b.RotateIdentity(ctx, []byte("next"))
	require.NoError(t, err)
	s.mu.Lock()
	clear(s.inboxes) // as after five minutes
	s.mu.Unlock()
	deliver()
	c, err := other.Login(ctx, "ann", []byte("next"))
	require.NoError(t, err)
	defer c.Close()
	v := selectInbox(t, c)
	require.Equal(t, n, v.Len())
	i := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		i++
		require.EqualValues(t, len(mail(i)), m.Size)
		require.Equal(t, UID(i), m.UID)
	}
	require.Equal(t, n, i)
}

// The worst that a mail can make the scanner keep is taken, by both ways, and is
// not passed over by who reads the log.
func TestLargestMetadataIsTaken(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	most := 0
	for name, text := range worstMails() {
		sc := message.NewScanner()
		_, err := io.WriteString(sc, text)
		require.NoError(t, err)
		size := len(sc.Close().Encode())
		most = max(most, size)
		t.Logf("%s: %d bytes of metadata", name, size)
		require.LessOrEqual(t, size, state.MaxMetadata, name)
		_, err = a.Append(ctx, Inbox, strings.NewReader(text), AppendOptions{})
		require.NoError(t, err, name)
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(text))[0], name)
	}
	require.Greater(t, most, 200<<10, "these are not the worst")
	require.NoError(t, a.account.catchUp(ctx))
	require.NoError(t, snapshotNow(ctx, a.account))
	v := selectInbox(t, a)
	require.Equal(t, 2*len(worstMails()), v.Len())
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		require.Equal(t, m.Size, meta.Size)
	}
}

func worstMails() map[string]string {
	head := "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n"
	var params strings.Builder
	for i := range message.MaxParams {
		fmt.Fprintf(&params, ";\r\n p%d=\"%s\"", i, strings.Repeat("v", 40))
	}
	part := "--b\r\nContent-Type: text/plain" + params.String() + "\r\nContent-Disposition: attachment" + params.String() +
		"\r\nContent-ID: <" + strings.Repeat("i", 500) + ">\r\nContent-Description: " + strings.Repeat("d", 500) + "\r\n\r\nx\r\n"
	small := "--b\r\nContent-Type: a/b;c=d;e=f\r\nContent-Language: x,y,z,u,v,w\r\nContent-Disposition: g;h=i;j=k\r\n\r\n\r\n"
	enclosed := "--b\r\nContent-Type: message/rfc822\r\n\r\n" + "Subject: " + strings.Repeat("s", 900) + "\r\nTo: " +
		strings.Repeat("someone@example.org,\r\n ", 400) + "a@b\r\n\r\nx\r\n"
	filler := "X-Filler: " + strings.Repeat("f", 900) + "\r\n"
	return map[string]string{
		"large parts":     head + strings.Repeat(filler, 60) + "\r\n" + strings.Repeat(part, 400) + "--b--\r\n",
		"many parts":      head + strings.Repeat(filler, 35) + "\r\n" + strings.Repeat(small, message.MaxParts+10) + "--b--\r\n",
		"many messages":   head + strings.Repeat(filler, 35) + "\r\n" + strings.Repeat(enclosed, 200) + "--b--\r\n",
		"a header only":   strings.Repeat(filler, 2000),
		"one long field":  "Subject: " + strings.Repeat("s ", 200_000) + "\r\n\r\n",
		"nothing at all":  "",
		"nothing but NUL": strings.Repeat("\x00", 70_000),
	}
}

// An account that was removed and made again gets its mail, though the process
// delivered to the one before.
func TestDeliverToAnAccountMadeAgain(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	old := newUser(t, s, "ann")
	rcpt := []Recipient{{Account: "ann"}}
	require.NoError(t, s.Deliver(ctx, rcpt, strings.NewReader(mail(1)))[0])
	require.NoError(t, old.Close())
	require.NoError(t, blobs.Delete(ctx, s.nameHash("ann")))
	require.NoError(t, blobs.Delete(ctx, accountObjects(t, blobs, old.account.prefix)...))
	require.ErrorIs(t, s.Deliver(ctx, rcpt, strings.NewReader(mail(1)))[0], ErrNoAccount)
	a := newUser(t, s, "ann")
	require.NoError(t, s.Deliver(ctx, rcpt, strings.NewReader(mail(2)))[0])
	require.Equal(t, 1, total(t, a))
	require.Empty(t, accountObjects(t, blobs, old.account.prefix))
}

// TestFullDisk: a body whose entry found no room is taken away again, and whoever
// sent it is told at once and for certain.
func TestFullDisk(t *testing.T) {
	ctx := t.Context()
	full := fmt.Errorf("no space left: %w", blob.ErrNotCreated)
	blobs := memblob.New()
	faulty := blobtest.NewFaulty(blobs, nil)
	s := openStore(t, faulty)
	a := newUser(t, s, "ann")
	_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	before := names(t, blobs)
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if op == blobtest.OpCreate && strings.HasPrefix(name, a.account.prefix+"log/") {
			return blobtest.Fault{Before: full}
		}
		return blobtest.Fault{}
	})
	_, err = a.Append(ctx, Inbox, strings.NewReader(mail(2)), AppendOptions{})
	require.ErrorIs(t, err, full)
	require.NotErrorIs(t, err, eventlog.ErrUnknownOutcome)
	err = s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(3)))[0]
	require.ErrorIs(t, err, full)
	require.NotErrorIs(t, err, eventlog.ErrUnknownOutcome)
	require.Equal(t, before, names(t, blobs))
	faulty.SetPlan(nil)
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(4)))[0])
	st, err := a.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, 2, st.Messages)
}

// A message for more recipients than are served at one time is the same for all,
// whatever its size, and nobody gets one that did not arrive whole.
func TestDeliverToManyGroups(t *testing.T) {
	ctx := t.Context()
	const n = 2*deliverGroup + 3
	blobs := memblob.New()
	s := openStore(t, blobs)
	accounts := make([]*Account, n)
	rcpts := []Recipient{{Account: "nobody"}}
	for i := range accounts {
		name := fmt.Sprint("user", i)
		accounts[i] = quickUser(t, s, name)
		rcpts = append(rcpts, Recipient{Account: name, Prefix: []byte("X-To: " + name + "\r\n")})
	}
	for uid, size := range []int{0, 2000, deliverBuffer, deliverBuffer + 1, 5 * deliverBuffer} {
		text := strings.Repeat("line\r\n", size/6) + strings.Repeat("x", size%6)
		errs := s.Deliver(ctx, rcpts, strings.NewReader(text))
		require.ErrorIs(t, errs[0], ErrNoAccount)
		for i, a := range accounts {
			require.NoError(t, errs[i+1])
			v := selectInbox(t, a)
			require.Equal(t, uid+1, v.Len())
			for m, err := range v.Messages(ctx, UIDs(UID(uid+1))) {
				require.NoError(t, err)
				r, err := m.Open(ctx, 0, -1)
				require.NoError(t, err)
				b, err := io.ReadAll(r)
				require.NoError(t, err)
				require.NoError(t, r.Close())
				require.True(t, string(b) == string(rcpts[i+1].Prefix)+text, "account %d, %d bytes", i, size)
			}
			v.Close()
		}

		before, cut := names(t, blobs), errors.New("connection lost")
		errs = s.Deliver(ctx, rcpts, io.MultiReader(strings.NewReader(text), readerFunc(func([]byte) (int, error) { return 0, cut })))
		require.ErrorIs(t, errs[0], ErrNoAccount)
		for _, err := range errs[1:] {
			require.ErrorIs(t, err, cut)
		}
		require.Equal(t, before, names(t, blobs))
	}
}

// A later group does without a first one that got nothing.
func TestDeliverFirstGroupFails(t *testing.T) {
	ctx := t.Context()
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	s := openStore(t, faulty)
	a, b := quickUser(t, s, "ann"), quickUser(t, s, "bob")
	rcpts := make([]Recipient, deliverGroup, deliverGroup+1)
	for i := range rcpts {
		rcpts[i].Account = "ann"
	}
	rcpts = append(rcpts, Recipient{Account: "bob"})
	trouble := errors.New("connection reset")
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) (f blobtest.Fault) {
		if op == blobtest.OpCreate && strings.HasPrefix(name, a.account.prefix) {
			f.Before = trouble
		}
		return f
	})
	for i, size := range []int{2000, 2 * deliverBuffer} {
		errs := s.Deliver(ctx, rcpts, strings.NewReader(strings.Repeat("x", size)))
		for _, err := range errs[:deliverGroup] {
			require.ErrorIs(t, err, trouble)
		}
		if i == 0 {
			require.NoError(t, errs[deliverGroup])
		} else {
			require.Error(t, errs[deliverGroup], "nobody has the message")
		}
	}
	require.Equal(t, 1, total(t, b))
}

// forgetful stores no bodies, and measures the heap from time to time.
type forgetful struct {
	blob.Store
	mu     sync.Mutex
	n      int
	stored uint64 // bytes
	peak   uint64 // of the heap, without what is stored
}

func (f *forgetful) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.Contains(name, "/body/") {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.n++; f.n%500 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			f.peak = max(f.peak, m.HeapAlloc-f.stored)
		}
		_, err := io.Copy(io.Discard, r)
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.stored += uint64(cap(b))
	f.mu.Unlock()
	return f.Store.Create(ctx, name, bytes.NewReader(b))
}

// A recipient more costs at most 1 KB of memory.
func TestMemoryOfManyRecipients(t *testing.T) {
	blobs := &forgetful{Store: memblob.New()}
	s := openStore(t, blobs)
	s.opts.PollInterval = -1
	const users, n = 50, 10_000
	for i := range users {
		newTokenUser(t, s, fmt.Sprint("user", i))
	}
	rcpts := make([]Recipient, n)
	for i := range rcpts {
		rcpts[i].Account = fmt.Sprint("user", i%users)
	}
	text := strings.Repeat("a line of a mail\r\n", 2048/18)
	measure := func(rcpts []Recipient) uint64 {
		blobs.n, blobs.peak = 0, 0
		for _, err := range s.Deliver(t.Context(), rcpts, strings.NewReader(text)) {
			require.NoError(t, err)
		}
		return blobs.peak
	}
	few := measure(rcpts[:1000])
	many := measure(rcpts)
	t.Logf("%d recipients: peak %d KB; 1000: %d KB", n, many>>10, few>>10)
	require.Less(t, int64(many)-int64(few), int64(n<<10))
}
