package lmtpadapter

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/mailboxtest"
)

// The tests of this file have real mailboxes behind the protocol.

func openMailboxes(t *testing.T, blobs blob.Store, accounts ...string) *mailbox.Store {
	t.Helper()
	mailboxtest.CheckAtEnd(t, blobs)
	if faulty, ok := blobs.(*blobtest.Faulty); ok {
		t.Cleanup(func() { faulty.SetPlan(nil) })
	}
	s, err := mailbox.Open(t.Context(), blobs, mailbox.Options{
		Password:     crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1}, // the least allowed
		PollInterval: -1,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	for _, a := range accounts {
		require.NoError(t, s.CreateAccount(t.Context(), a, []byte("secret")))
	}
	return s
}

func login(t *testing.T, s *mailbox.Store, name string) *mailbox.Account {
	t.Helper()
	a, err := s.Login(t.Context(), name, []byte("secret"))
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

// contents returns the messages of a folder, without our header lines.
func contents(t *testing.T, a *mailbox.Account, folder string) (all []string) {
	t.Helper()
	v, err := a.Select(t.Context(), folder, true)
	require.NoError(t, err)
	defer v.Close()
	for m, err := range v.Messages(t.Context(), mailbox.Set{Ranges: []mailbox.Range{{First: 1, Last: mailbox.Star}}}) {
		require.NoError(t, err)
		r, err := m.Open(t.Context(), 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		// Ours are six lines, of which the last three belong to Received.
		part := strings.SplitAfterN(string(b), "\r\n", 7)
		require.Len(t, part, 7)
		require.True(t, strings.HasPrefix(part[0], "Return-Path: <"))
		require.True(t, strings.HasPrefix(part[1], "Delivered-To: "))
		require.True(t, strings.HasPrefix(part[2], "Received: from "))
		all = append(all, part[6])
	}
	return all
}

func lmtpClient(t *testing.T, addr string) *smtp.Client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c := smtp.NewClientLMTP(nc)
	t.Cleanup(func() { c.Close() })
	return c
}

// told waits for the signal that an account moved on.
func told(t *testing.T, w *mailbox.Watch) {
	t.Helper()
	select {
	case <-w.C:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the session was not told")
	}
}

// 250 means in the mailbox: the session that waits is told, what it finds is
// what was sent, in the folder that was named or else in INBOX.
func TestDeliverToMailbox(t *testing.T) {
	store := openMailboxes(t, memblob.New(), "alice@example.org", "bob")
	alice, bob := login(t, store, "alice@example.org"), login(t, store, "bob")
	require.NoError(t, alice.Create(t.Context(), "Lists/Go"))
	watch, bobs := alice.Watch(), bob.Watch()
	defer watch.Close()
	defer bobs.Close()
	s := start(t, Options{}, store)
	c := lmtpClient(t, s.addr)

	const msg = "Return-Path: <forged@example.net>\r\nSubject: Grüße\r\n\r\n.\r\n..\r\ntext\r\n"
	require.NoError(t, c.SendMail("", []string{
		"Alice@example.org", "alice+Lists/Go@example.org", "alice+Gone@example.org", "bob@example.org",
	}, strings.NewReader(msg)))
	for len(contents(t, alice, "INBOX")) < 2 || len(contents(t, alice, "Lists/Go")) < 1 {
		told(t, watch)
	}
	for len(contents(t, bob, "INBOX")) < 1 {
		told(t, bobs)
	}
	assert.Equal(t, []string{msg, msg}, contents(t, alice, "INBOX"))
	assert.Equal(t, []string{msg}, contents(t, alice, "Lists/Go"))
	assert.Equal(t, []string{msg}, contents(t, bob, "INBOX"))

	require.NoError(t, c.Mail("sender@example.net", nil))
	var refused *smtp.SMTPError
	require.ErrorAs(t, c.Rcpt("nobody@example.org", nil), &refused)
	assert.Equal(t, 550, refused.Code)
	assert.Equal(t, smtp.EnhancedCode{5, 1, 1}, refused.EnhancedCode)
	require.NoError(t, c.Quit())
}

// The message is in the mailbox for whoever opens the store anew.
func TestDeliveredIsThereForOthers(t *testing.T) {
	blobs := memblob.New()
	store := openMailboxes(t, blobs, "alice@example.org")
	s := start(t, Options{}, store)
	require.NoError(t, lmtpClient(t, s.addr).SendMail("sender@example.net", []string{"alice@example.org"}, strings.NewReader("x\r\n")))
	later := openMailboxes(t, blobs.Clone()) // what a crash right after the 250 leaves
	assert.Equal(t, []string{"x\r\n"}, contents(t, login(t, later, "alice@example.org"), "INBOX"))
}

// Hostile bytes come back as they came in, by DATA and in chunks of any size.
func TestBytesComeBack(t *testing.T) {
	store := openMailboxes(t, memblob.New(), "alice@example.org")
	k := start(t, Options{}, store).dial(t)
	k.expect("220 ")
	k.capabilities()
	const alphabet = "\r\n\r\n..a \x00\xff"
	rng := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i := range 60 {
		msg := make([]byte, rng.IntN(300))
		for j := range msg {
			msg[j] = alphabet[rng.IntN(len(alphabet))]
		}
		if i%2 == 0 {
			msg = append(msg, "\r\n"...)
			k.mail("alice@example.org")
			k.do("DATA", "354 ")
			k.send(stuffed(msg))
			k.expect("250 ")
		} else {
			k.mail("alice@example.org")
			for rest := msg; ; {
				n := rng.IntN(len(rest) + 1)
				k.send(fmt.Sprintf("BDAT %d\r\n%s", n, rest[:n]))
				k.expect("250 ")
				if rest = rest[n:]; rng.IntN(3) == 0 {
					k.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(rest), rest))
					k.expect("250 ")
					break
				}
			}
		}
		want = append(want, string(msg))
	}
	assert.Equal(t, want, contents(t, login(t, store, "alice@example.org"), "INBOX"))
}

// A client that drops leaves no message and no object; a store that fails for
// one account leaves the others their mail.
func TestFailuresLeaveNothing(t *testing.T) {
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	store := openMailboxes(t, faulty, "alice@example.org", "bob@example.org")
	s := start(t, Options{}, store)
	objects := func() (n int) {
		for _, err := range faulty.List(context.Background(), "", "") {
			require.NoError(t, err)
			n++
		}
		return n
	}
	before := objects()
	k := s.dial(t)
	k.envelope("alice@example.org", "bob@example.org")
	k.do("DATA", "354 ")
	k.send(strings.Repeat("some text\r\n", 50_000))
	require.NoError(t, k.c.(*net.TCPConn).CloseWrite())
	_, err := io.Copy(io.Discard, k.in)
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(t.Context()))
	assert.Equal(t, before, objects())

	s = start(t, Options{MaxMessage: 100_000}, store)
	k = s.dial(t)
	k.envelope("alice@example.org", "bob@example.org")
	k.do("DATA", "354 ")
	k.send(strings.Repeat("some text\r\n", 50_000) + ".\r\n")
	k.expect("552 5.3.4 <alice@example.org> ")
	k.expect("552 5.3.4 <bob@example.org> ")
	assert.Equal(t, before, objects())

	// One of the two bodies cannot be stored.
	var mu sync.Mutex
	bodies := 0
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if op == blobtest.OpCreate && strings.Contains(name, "/body/") {
			if bodies++; bodies == 1 {
				return blobtest.Fault{Before: blobtest.ErrInjected}
			}
		}
		return blobtest.Fault{}
	})
	k.mail("alice@example.org", "bob@example.org")
	k.do("DATA", "354 ")
	k.send("x\r\n.\r\n")
	answers := k.expect("") + k.expect("")
	assert.Contains(t, answers, "250 2.0.0 <")
	assert.Contains(t, answers, "451 4.3.0 <")
	faulty.SetPlan(nil)
	assert.Len(t, append(contents(t, login(t, store, "alice@example.org"), "INBOX"),
		contents(t, login(t, store, "bob@example.org"), "INBOX")...), 1)
}

// Many clients at once lose and mix up nothing, while the server is shut down
// under them: each message that was answered 250 is there, once.
func TestManyClients(t *testing.T) {
	store := openMailboxes(t, memblob.New(), "alice@example.org", "bob@example.org")
	s := start(t, Options{}, store)
	const clients, half = 8, 5
	var mu sync.Mutex
	said := map[string]bool{} // message -> answered 250
	var wg, warm sync.WaitGroup
	warm.Add(clients)
	for i := range clients {
		nc, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		wg.Go(func() {
			defer nc.Close()
			c := smtp.NewClientLMTP(nc)
			for n := 0; ; n++ {
				if n == half {
					warm.Done()
				}
				msg := fmt.Sprintf("message %d of %d\r\n", n, i)
				err := c.SendMail("sender@example.net", []string{"alice@example.org", "bob@example.org"}, strings.NewReader(msg))
				mu.Lock()
				said[msg] = err == nil
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	warm.Wait()
	require.NoError(t, s.Shutdown(t.Context()))
	wg.Wait()
	for _, name := range []string{"alice@example.org", "bob@example.org"} {
		got := map[string]int{}
		for _, msg := range contents(t, login(t, store, name), "INBOX") {
			got[msg]++
		}
		delivered := 0
		for msg, ok := range said {
			if ok {
				delivered++
				assert.Equal(t, 1, got[msg], "%s", msg)
			}
		}
		assert.GreaterOrEqual(t, delivered, clients*half)
		assert.Len(t, got, delivered, "no message is there that was not answered 250")
	}
}

// heavy is a store that keeps all objects but bodies, of which it keeps nothing.
type heavy struct {
	blob.Store
	mu    sync.Mutex
	bytes int64
}

func (h *heavy) Create(ctx context.Context, name string, r io.Reader) error {
	if !strings.Contains(name, "/body/") {
		return h.Store.Create(ctx, name, r)
	}
	n, err := io.Copy(io.Discard, r)
	h.mu.Lock()
	h.bytes += n
	h.mu.Unlock()
	return err
}

// 50 MB to three recipients take less than 4 MB, client included.
func TestMemory(t *testing.T) {
	const limit = 4 << 20
	size := 50 << 20
	if raced {
		size = 5 << 20
	}
	h := &heavy{Store: memblob.New()}
	rcpts := []string{"alice@example.org", "bob@example.org", "carol@example.org"}
	s := start(t, Options{}, openMailboxes(t, h, rcpts...))
	k := s.dial(t)
	k.envelope(rcpts...)
	live := func() uint64 {
		runtime.GC()
		// Without what was allocated since, which may be garbage.
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	chunk := strings.Repeat(strings.Repeat("x", 74)+"\r\n.."+strings.Repeat("y", 72)+"\r\n", (1<<20)/152)
	for _, begin := range []string{"DATA", "BDAT"} {
		if begin == "DATA" {
			k.do("DATA", "354 ")
		} else {
			k.mail(rcpts...)
			k.send(fmt.Sprintf("BDAT %d LAST\r\n", size/len(chunk)*len(chunk)))
		}
		before, peak := live(), uint64(0)
		for range size / len(chunk) {
			k.send(chunk)
			peak = max(peak, live())
		}
		if begin == "DATA" {
			k.send(".\r\n")
		}
		for range rcpts {
			k.expect("250 ")
		}
		t.Logf("%s: live heap %d KB before, at most %d KB more", begin, before>>10, (max(peak, before)-before)>>10)
		assert.Less(t, peak, before+limit, begin)
	}
	assert.Greater(t, h.bytes, 5*int64(size), "bodies were stored") // one dot in 152 bytes is not
}

// Nothing of a message or its envelope reaches the store in the clear.
func TestStoreSeesNothing(t *testing.T) {
	const msg = "Subject: The quick brown fox\r\n\r\njumps over the lazy dog\r\n"
	canary := blobtest.NewCanary(t, memblob.New(), []byte("The quick brown fox"), []byte("jumps over the lazy dog"),
		[]byte("alice@example.org"), []byte("sender@example.net"), []byte("Secret-Folder"), []byte("Delivered-To"))
	s := start(t, Options{}, openMailboxes(t, canary, "alice@example.org"))
	c := lmtpClient(t, s.addr)
	require.NoError(t, c.SendMail("sender@example.net", []string{"alice+Secret-Folder@example.org"}, strings.NewReader(msg)))
}
