package lmtpadapter

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// fakeStore is a store whose accounts all exist by name, and in which a test can
// see what was delivered and make things go wrong.
type fakeStore struct {
	accounts map[string]error // what Lookup says, nil for an account
	max      int64

	// deliver, if set, is asked before a message is read; fail for what one
	// account's delivery ends in after it was read.
	deliver func(ctx context.Context, r io.Reader) error
	fail    map[string]error

	mu    sync.Mutex
	calls int
	mails []fakeMail
}

type fakeMail struct {
	account, folder, prefix string
	body                    []byte
}

func newFakeStore(accounts ...string) *fakeStore {
	f := &fakeStore{accounts: map[string]error{}, max: 100 << 20, fail: map[string]error{}}
	for _, a := range accounts {
		f.accounts[a] = nil
	}
	return f
}

func (f *fakeStore) MaxMessage() int64 { return f.max }

func (f *fakeStore) Lookup(_ context.Context, name string) error {
	if strings.ContainsAny(name, " \t") {
		return mailbox.ErrBadName
	}
	err, ok := f.accounts[strings.ToLower(name)]
	if !ok {
		return mailbox.ErrNoAccount
	}
	return err
}

func (f *fakeStore) Deliver(ctx context.Context, rcpts []mailbox.Recipient, r io.Reader) []error {
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
	errs := make([]error, len(rcpts))
	all := func(err error) []error {
		for i := range errs {
			errs[i] = fmt.Errorf("fake: deliver: %w", err)
		}
		return errs
	}
	if f.deliver != nil {
		if err := f.deliver(ctx, r); err != nil {
			return all(err)
		}
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return all(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, rcpt := range rcpts {
		if errs[i] = f.fail[rcpt.Account]; errs[i] == nil {
			f.mails = append(f.mails, fakeMail{rcpt.Account, rcpt.Folder, string(rcpt.Prefix), body})
		}
	}
	return errs
}

func (f *fakeStore) got() []fakeMail {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mails
}

// logs keeps what was logged at every level, and fails the test if it ever holds
// a word that only envelopes and messages have.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var canaries = []string{"@example", "alice", "bob", "carol", "sender", "Subject"}

func newLogs(t *testing.T) *logs {
	l := &logs{}
	t.Cleanup(func() {
		for _, c := range canaries {
			assert.NotContains(t, l.String(), c, "log")
		}
	})
	return l
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// started is a server that listens, and is closed with its test.
type started struct {
	*Server
	addr string
	logs *logs
}

func start(t *testing.T, o Options, store deliverer) *started {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startOn(t, o, store, ln)
}

func startOn(t *testing.T, o Options, store deliverer, ln net.Listener) *started {
	t.Helper()
	s := &started{addr: ln.Addr().String(), logs: newLogs(t)}
	o.Logger = s.logs.logger()
	if o.Domain == "" {
		o.Domain = "mx.example.org"
	}
	s.Server = newServer(&o, store)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.NoError(t, <-served)
	})
	return s
}

// talk is a client that says exactly what it is told to.
type talk struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

func (s *started) dial(t *testing.T) *talk {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return newTalk(t, c)
}

func newTalk(t *testing.T, c net.Conn) *talk {
	c.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs fails
	return &talk{t, c, bufio.NewReader(c)}
}

func (k *talk) send(s string) {
	k.t.Helper()
	_, err := io.WriteString(k.c, s)
	require.NoError(k.t, err)
}

// expect reads one line, which must begin with want.
func (k *talk) expect(want string) string {
	k.t.Helper()
	line, err := k.in.ReadString('\n')
	require.NoError(k.t, err, "want %q", want)
	require.True(k.t, strings.HasPrefix(line, want), "want %q, got %q", want, line)
	return strings.TrimSuffix(line, "\r\n")
}

// do sends a command line and returns the last line of its answer, which must
// begin with want.
func (k *talk) do(line, want string) string {
	k.t.Helper()
	k.send(line + "\r\n")
	for {
		got := k.expect("")
		if len(got) > 3 && got[3] == '-' {
			continue
		}
		require.True(k.t, strings.HasPrefix(got, want), "%s: want %q, got %q", line, want, got)
		return got
	}
}

// envelope begins a transaction on a fresh connection.
func (k *talk) envelope(rcpts ...string) {
	k.t.Helper()
	k.expect("220 ")
	k.do("LHLO client.example.net", "250 ")
	k.mail(rcpts...)
}

func (k *talk) mail(rcpts ...string) {
	k.t.Helper()
	k.do("MAIL FROM:<sender@example.net>", "250 ")
	for _, r := range rcpts {
		k.do("RCPT TO:<"+r+">", "250 ")
	}
}

// end expects the connection to be closed without another word.
func (k *talk) end() {
	k.t.Helper()
	rest, err := io.ReadAll(k.in)
	if err != nil {
		require.ErrorContains(k.t, err, "reset", "connection is still open")
	}
	require.Empty(k.t, string(rest))
}

// stuffed is a message as it is sent after DATA (RFC 5321 section 4.5.2).
func stuffed(msg []byte) string {
	s := "\r\n" + string(msg)
	s = strings.ReplaceAll(s, "\r\n.", "\r\n..")
	s = strings.TrimPrefix(s, "\r\n")
	if s != "" && !strings.HasSuffix(s, "\r\n") {
		s += "\r\n" // a message that does not end a line cannot be sent by DATA
	}
	return s + ".\r\n"
}
