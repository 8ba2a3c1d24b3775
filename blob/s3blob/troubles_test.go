package s3blob_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/internal/fakes3"
	"github.com/letterlock/letterlock/lmtpadapter"
	"github.com/letterlock/letterlock/mailbox"
)

// TestTroublesAreTold: what clients of mail are told while a bucket has trouble. It
// is temporary, and comes within a deadline; when the trouble is over, all goes on,
// nothing that was acknowledged is lost and nothing is half written.
func TestTroublesAreTold(t *testing.T) {
	everywhere := func(f fakes3.Fault) fakes3.Plan {
		return func(fakes3.Op, string, int) fakes3.Fault { return f }
	}
	below := func(folder string, f fakes3.Fault) fakes3.Plan {
		return func(_ fakes3.Op, key string, _ int) fakes3.Fault {
			if strings.Contains(key, folder) {
				return f
			}
			return fakes3.Fault{}
		}
	}
	denied := fakes3.Fault{Status: 403, Code: "AccessDenied"}
	for name, c := range map[string]struct {
		plan  fakes3.Plan
		reads bool // bodies can be read
	}{
		"storm of SlowDown":     {plan: everywhere(fakes3.Fault{Status: 503, Code: "SlowDown"})},
		"broken connections":    {plan: everywhere(fakes3.Fault{Refuse: true})},
		"lost answers":          {plan: everywhere(fakes3.Fault{Lose: true})},
		"hanging connections":   {plan: everywhere(fakes3.Fault{Hang: true})},
		"wrong keys":            {plan: everywhere(fakes3.Fault{Status: 403, Code: "InvalidAccessKeyId"})},
		"no bucket":             {plan: everywhere(fakes3.Fault{Status: 404, Code: "NoSuchBucket"})},
		"a web page":            {plan: everywhere(fakes3.Fault{Page: true, Status: 200})},
		"a web page, not found": {plan: everywhere(fakes3.Fault{Page: true, Status: 404})},
		"forbidden logs":        {plan: below("/log/", denied), reads: true},
		"forbidden bodies":      {plan: below("/body/", denied)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newMailWorld(t)
			w.add("1", "OK")
			w.mail("2", "250")
			require.Contains(t, w.imap("SELECT INBOX"), "OK")

			w.fake.SetPlan(c.plan)
			began := time.Now()
			w.add("3", "NO [UNAVAILABLE]")
			w.mail("4", "451")
			answer := w.imap("FETCH 1 BODY.PEEK[]")
			if c.reads {
				assert.Contains(t, answer, "OK")
			} else {
				assert.Contains(t, answer, "NO [UNAVAILABLE]")
			}
			assert.Less(t, time.Since(began), 2*time.Minute)

			w.fake.SetPlan(nil)
			assert.Contains(t, w.imap("NOOP"), "OK")
			w.add("5", "OK")
			w.mail("6", "250")
			w.whole("1", "2", "5", "6")
		})
	}
}

// TestBadWire: every second answer that a bucket gives for a key is cut or has a
// flipped bit, and nobody who sends or reads mail notices.
func TestBadWire(t *testing.T) {
	for name, at := range map[string]int{"cut": 0, "flipped at 1": 1, "flipped at 20": 20, "flipped at 300": 300} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newMailWorld(t)
			var mu sync.Mutex // protects what follows
			seen := map[string]int{}
			damaged := 0
			w.fake.SetPlan(func(op fakes3.Op, key string, _ int) fakes3.Fault {
				mu.Lock()
				defer mu.Unlock()
				call := string(op) + " " + key
				seen[call]++
				switch {
				case seen[call]%2 == 0 || at > 0 && op == fakes3.List: // names have no checksum
					return fakes3.Fault{}
				case op == fakes3.Get || op == fakes3.List || op == fakes3.Delete:
					damaged++
				}
				if at > 0 {
					return fakes3.Fault{Flip: at}
				}
				return fakes3.Fault{Short: 1 + 97*(damaged%5)}
			})
			ids := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c"}
			for i, id := range ids {
				if i%3 == 0 {
					w.add(id, "OK")
				} else {
					w.mail(id, "250")
				}
			}
			require.Contains(t, w.imap("SELECT INBOX"), "OK")
			require.Contains(t, w.imap("FETCH 1:* BODY.PEEK[]"), "OK")
			w.whole(ids...)
			mu.Lock()
			defer mu.Unlock()
			require.Greater(t, damaged, 10)
		})
	}
}

// mailWorld is servers of mail over a bucket, with a client of each.
type mailWorld struct {
	t     *testing.T
	fake  *fakes3.Server
	store *mailbox.Store
	conn  *bufio.ReadWriter // a session of IMAP
	lmtp  string            // address
	tag   int
}

const mailPassword = "correct horse"

func newMailWorld(t *testing.T) *mailWorld {
	w := &mailWorld{t: t, fake: fakes3.New()}
	blobs := open(t, w.fake.Client(), s3blob.Options{Patience: 300 * time.Millisecond, Stall: 300 * time.Millisecond})
	var err error
	w.store, err = mailbox.Open(t.Context(), blobs, mailbox.Options{Password: crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.store.Close()) })
	require.NoError(t, w.store.CreateAccount(t.Context(), "ann", []byte(mailPassword)))
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	serve := func(serve func(net.Listener) error, stop func() error) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served.Go(func() { _ = serve(ln) })
		t.Cleanup(func() { _ = stop() })
		return ln.Addr().String()
	}
	imap := server.New(&server.Options{Store: w.store, LoginDelay: -1})
	lmtp := lmtpadapter.NewServer(&lmtpadapter.Options{Store: w.store})
	w.lmtp = serve(lmtp.Serve, lmtp.Close)
	conn := w.dial(serve(imap.Serve, imap.Close))
	w.conn = bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	require.Contains(t, w.line(), "OK")
	require.Contains(t, w.imap("LOGIN ann %q", mailPassword), "OK")
	return w
}

func (w *mailWorld) dial(address string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(5*time.Minute)))
	return conn
}

func (w *mailWorld) line() string {
	w.t.Helper()
	s, err := w.conn.ReadString('\n')
	require.NoError(w.t, err, "after %q", s)
	return s
}

// imap sends a command and returns the tagged answer.
func (w *mailWorld) imap(format string, args ...any) string {
	w.t.Helper()
	w.tag++
	tag := fmt.Sprintf("t%d ", w.tag)
	_, err := w.conn.WriteString(tag + fmt.Sprintf(format, args...) + "\r\n")
	require.NoError(w.t, err)
	require.NoError(w.t, w.conn.Flush())
	for {
		if s, ok := strings.CutPrefix(w.line(), tag); ok {
			return s
		}
	}
}

func letter(id string) string {
	return "Subject: letter " + id + "\r\n\r\nText " + strings.Repeat("and so on\r\n", 100)
}

// add appends a letter by IMAP.
func (w *mailWorld) add(id, answer string) {
	w.t.Helper()
	text := letter(id)
	assert.Contains(w.t, w.imap("APPEND INBOX {%d+}\r\n%s", len(text), text), answer, "APPEND")
}

// mail delivers a letter by LMTP. Trouble may be told for the recipient or for the
// letter.
func (w *mailWorld) mail(id, answer string) {
	w.t.Helper()
	conn := textproto.NewConn(w.dial(w.lmtp))
	defer conn.Close()
	say := func(line string) string {
		if line != "" {
			require.NoError(w.t, conn.PrintfLine("%s", line))
		}
		for {
			s, err := conn.ReadLine()
			require.NoError(w.t, err)
			if s[3] == ' ' {
				return s
			}
		}
	}
	say("")
	say("LHLO x")
	say("MAIL FROM:<>")
	got := say("RCPT TO:<ann@example.org>")
	if strings.HasPrefix(got, "250") {
		require.Contains(w.t, say("DATA"), "354")
		out := conn.DotWriter()
		_, err := io.WriteString(out, letter(id))
		require.NoError(w.t, err)
		require.NoError(w.t, out.Close())
		got = say("")
	}
	assert.True(w.t, strings.HasPrefix(got, answer), "LMTP: %s", got)
}

// whole asserts that the account has these letters, once, and others only if their
// outcome was not known; and that nothing is damaged.
func (w *mailWorld) whole(ids ...string) {
	w.t.Helper()
	ctx := w.t.Context()
	a, err := w.store.Login(ctx, "ann", []byte(mailPassword))
	require.NoError(w.t, err)
	defer a.Close()
	v, err := a.Select(ctx, mailbox.Inbox, true)
	require.NoError(w.t, err)
	defer v.Close()
	times := map[string]int{}
	for m, err := range v.Messages(ctx, mailbox.All()) {
		require.NoError(w.t, err)
		r, err := m.Open(ctx, 0, -1)
		require.NoError(w.t, err)
		text, err := io.ReadAll(r)
		require.NoError(w.t, err)
		require.NoError(w.t, r.Close())
		at := strings.Index(string(text), "Subject: letter ")
		require.GreaterOrEqual(w.t, at, 0)
		id := string(text[at+16])
		require.Equal(w.t, letter(id), string(text[at:]))
		times[id]++
	}
	for _, id := range ids {
		assert.Equal(w.t, 1, times[id], "letter %s", id)
	}
	for id, n := range times {
		assert.LessOrEqual(w.t, n, 1, "letter %s", id)
	}
	_, err = a.Check(ctx, func(p mailbox.Problem) {
		assert.True(w.t, p.Harmless, "%s: %v", p.Object, p.Err)
	})
	require.NoError(w.t, err)
}
