package imapadapter_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/imapadapter"
	"github.com/letterlock/letterlock/imapadapter/guard"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/mailboxtest"
)

const (
	user     = "alice@letters.example"
	password = "correct horse"
)

// cheap is the least that package crypto allows, so that tests log in fast.
var cheap = crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}

// noon is when all tests take place.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A world is a store with one account, and a stock server of go-imap for it, behind the
// guard unless bare is set.
type world struct {
	t       testing.TB
	store   *mailbox.Store
	account *mailbox.Account // a handle of the test's own
	options imapadapter.Options
	log     *logBook

	// Set before the first dial:
	bare bool
	wrap func(*imapadapter.Session) imapserver.Session // what the server gets
	caps imap.CapSet

	serve sync.Once
	addr  string
}

func newWorld(t testing.TB, blobs blob.Store) *world {
	t.Helper()
	if blobs == nil {
		blobs = memblob.New()
	}
	mailboxtest.CheckAtEnd(t, blobs)
	if faulty, ok := blobs.(*blobtest.Faulty); ok {
		t.Cleanup(func() { faulty.SetPlan(nil) })
	}
	w := &world{t: t, log: &logBook{}, caps: imapadapter.Caps((*imapadapter.Session)(nil))}
	w.wrap = func(s *imapadapter.Session) imapserver.Session { return s }
	var err error
	w.store, err = mailbox.Open(t.Context(), blobs, mailbox.Options{Password: cheap, Now: func() time.Time { return noon }})
	require.NoError(t, err)
	if err := w.store.CreateAccount(t.Context(), user, []byte(password)); !errors.Is(err, mailbox.ErrAccountExists) {
		require.NoError(t, err)
	}
	w.account, err = w.store.Login(t.Context(), user, []byte(password))
	require.NoError(t, err)
	w.options = imapadapter.Options{Store: w.store, LoginDelay: -1, Logger: slog.New(slog.NewTextHandler(w.log, nil))}
	t.Cleanup(func() {
		assert.NoError(t, w.account.Close())
		assert.NoError(t, w.store.Close())
	})
	return w
}

// start serves the world until the test ends.
func (w *world) start() {
	backend := imapadapter.New(&w.options)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return w.wrap(backend.Session(c)), nil, nil
		},
		Caps:         w.caps,
		InsecureAuth: true,
		Logger:       log.New(io.Discard, "", 0),
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	w.addr = ln.Addr().String()
	if !w.bare {
		ln = guard.NewListener(ln, nil)
	}
	var served sync.WaitGroup
	served.Go(func() { assert.NoError(w.t, server.Serve(ln)) })
	w.t.Cleanup(func() {
		assert.NoError(w.t, server.Close())
		served.Wait()
	})
}

// put appends a message by the library, not by IMAP.
func (w *world) put(mailboxName, mail string, flags ...string) {
	w.t.Helper()
	_, err := w.account.Append(w.t.Context(), mailboxName, strings.NewReader(mail), mailbox.AppendOptions{Flags: flags, Date: noon})
	require.NoError(w.t, err)
}

// fill appends n small messages.
func (w *world) fill(mailboxName string, n int) {
	w.t.Helper()
	for i := range n {
		w.put(mailboxName, fmt.Sprintf("Subject: letter %d\r\n\r\ntext %d\r\n", i+1, i+1))
	}
}

// A peer is a client of raw lines.
type peer struct {
	t   testing.TB
	c   net.Conn
	br  *bufio.Reader
	tag int

	ended bool // the server closed the connection
}

// dial connects and reads the greeting.
func (w *world) dial() *peer {
	w.t.Helper()
	w.serve.Do(w.start)
	c, err := net.Dial("tcp", w.addr)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	p := &peer{t: w.t, c: c, br: bufio.NewReader(c)}
	require.True(w.t, strings.HasPrefix(p.line(), "* OK "), "greeting")
	return p
}

// enter connects, logs in, and selects a mailbox unless that is empty.
func (w *world) enter(mailboxName string) *peer {
	w.t.Helper()
	p := w.dial()
	p.ok(fmt.Sprintf("LOGIN %s %q", user, password))
	if mailboxName != "" {
		p.ok("SELECT " + mailboxName)
	}
	return p
}

func (p *peer) send(text string) {
	p.t.Helper()
	require.NoError(p.t, p.c.SetWriteDeadline(time.Now().Add(30*time.Second)))
	_, err := p.c.Write([]byte(text))
	require.NoError(p.t, err)
}

// line returns the next line without its end, or "EOF".
func (p *peer) line() string {
	p.t.Helper()
	require.NoError(p.t, p.c.SetReadDeadline(time.Now().Add(30*time.Second)))
	s, err := p.br.ReadString('\n')
	if err != nil {
		require.NotErrorIs(p.t, err, os.ErrDeadlineExceeded, "the server says nothing after %q", s)
		p.ended = true
		return s + "EOF"
	}
	return strings.TrimSuffix(s, "\r\n")
}

// do sends a command and returns all lines up to its answer, tag removed.
func (p *peer) do(command string) (untagged []string, answer string) {
	p.t.Helper()
	p.tag++
	tag := fmt.Sprintf("t%d ", p.tag)
	p.send(tag + command + "\r\n")
	return p.until(tag)
}

func (p *peer) until(tag string) (untagged []string, answer string) {
	p.t.Helper()
	for {
		line := p.line()
		if rest, ok := strings.CutPrefix(line, tag); ok {
			return untagged, rest
		}
		require.NotEqual(p.t, "EOF", line, "while waiting for the answer; got %q", untagged)
		untagged = append(untagged, line)
	}
}

// ok is do for a command that must succeed.
func (p *peer) ok(command string) []string {
	p.t.Helper()
	lines, answer := p.do(command)
	require.True(p.t, strings.HasPrefix(answer, "OK "), "%s: %s", command, answer)
	return lines
}

// no is do for a command that must fail with a response code.
func (p *peer) no(command, code string) []string {
	p.t.Helper()
	lines, answer := p.do(command)
	require.True(p.t, strings.HasPrefix(answer, "NO ["+code+"] "), "%s: %s", command, answer)
	return lines
}

// logBook is what was logged.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
