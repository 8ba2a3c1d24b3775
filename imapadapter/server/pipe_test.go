package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

// pipeWorld is a server without sockets, for one account.
type pipeWorld struct {
	t       testing.TB
	store   *mailbox.Store
	account *mailbox.Account
	server  *server.Server
	ln      *pipeListener
	log     logBook
}

const pipeMail = "Subject: x9 DELETE victim\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na1 OK no\r\n--b--\r\n"

func newPipeWorld(t testing.TB, change ...func(*server.Options)) *pipeWorld {
	w := &pipeWorld{t: t, ln: &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}}
	ctx := context.Background()
	var err error
	w.store, err = mailbox.Open(ctx, memblob.New(), mailbox.Options{Password: cheap, Quotas: true})
	require.NoError(t, err)
	require.NoError(t, w.store.CreateAccount(ctx, "user", []byte("secret")))
	w.account, err = w.store.Login(ctx, "user", []byte("secret"))
	require.NoError(t, err)
	o := &server.Options{Store: w.store, LoginDelay: -1, AppendLimit: 1 << 20, Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
	for _, f := range change {
		f(o)
	}
	w.server = server.New(o)
	var served sync.WaitGroup
	served.Go(func() { _ = w.server.Serve(w.ln) })
	t.Cleanup(func() {
		_ = w.server.Close()
		served.Wait()
		_ = w.account.Close()
		_ = w.store.Close()
	})
	return w
}

const pipeLogin = "l1 LOGIN user secret\r\nl2 SELECT INBOX\r\n"

// restore gives INBOX some messages, and makes a mailbox that nobody may delete.
func (w *pipeWorld) restore(t testing.TB) {
	ctx := t.Context()
	if err := w.account.Create(ctx, "victim"); !errors.Is(err, mailbox.ErrMailboxExists) {
		require.NoError(t, err)
	}
	status, err := w.account.Status(ctx, mailbox.Inbox)
	require.NoError(t, err)
	for n := status.Messages; n < 3; n++ {
		_, err := w.account.Append(ctx, mailbox.Inbox, strings.NewReader(pipeMail), mailbox.AppendOptions{})
		require.NoError(t, err)
	}
}

// run serves a scripted client to its end and returns what it was sent.
func (w *pipeWorld) run(t testing.TB, seed uint64, next func(said string) string) string {
	w.restore(t)
	conn := &scriptConn{rng: rand.New(rand.NewPCG(seed, 1)), next: next, over: make(chan struct{})}
	w.ln.conns <- conn
	select {
	case <-conn.over:
	case <-time.After(60 * time.Second):
		require.Fail(t, "the session does not end")
	}
	assert.NotContains(t, w.log.String(), "panic")
	conn.mu.Lock()
	defer conn.mu.Unlock()
	said := conn.said.String()
	assert.True(t, strings.HasSuffix(said, "\r\n"), "%q", said)
	return said
}

// pipeListener accepts connections that were made by dial.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(t testing.TB, from string) net.Conn {
	client, conn := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	addr, err := net.ResolveTCPAddr("tcp", from)
	require.NoError(t, err)
	l.conns <- addressed{conn, addr}
	return client
}

type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// client talks in lines and never blocks on a write.
type client struct {
	t    testing.TB
	c    net.Conn
	r    *bufio.Reader
	out  chan []byte
	done chan struct{}
}

func newClient(t testing.TB, c net.Conn) *client {
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	cl := &client{t: t, c: c, r: bufio.NewReader(c), out: make(chan []byte, 10000), done: make(chan struct{})}
	go func() {
		defer close(cl.done)
		for b := range cl.out {
			if _, err := cl.c.Write(b); err != nil {
				return
			}
		}
	}()
	return cl
}

func (cl *client) send(s string) { cl.out <- []byte(s) }

// line returns the next line without its end, or "EOF".
func (cl *client) line() string {
	s, err := cl.r.ReadString('\n')
	if err != nil {
		require.Empty(cl.t, s)
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			require.FailNow(cl.t, "the server says nothing")
		}
		return "EOF"
	}
	require.True(cl.t, strings.HasSuffix(s, "\r\n"), "line end of %q", s)
	return strings.TrimSuffix(s, "\r\n")
}

// until reads lines up to and including the one that begins with prefix.
func (cl *client) until(prefix string) {
	for {
		l := cl.line()
		if strings.HasPrefix(l, prefix) {
			return
		}
		require.NotEqual(cl.t, "EOF", l, "waiting for %q", prefix)
	}
}

// login brings the client to the selected state.
func (cl *client) login() {
	cl.until("* OK [CAPABILITY ")
	cl.send(pipeLogin)
	cl.until("l2 OK ")
}

// quiet checks that nothing was said that was not expected.
func (cl *client) quiet() {
	cl.send("quiet NOOP\r\n")
	require.Equal(cl.t, "quiet OK NOOP completed", cl.line())
}

func (cl *client) close() {
	close(cl.out)
	_ = cl.c.Close()
	<-cl.done
}

// scriptConn is a client in memory: next gives it what to send, whenever the server has
// read all, from what the server has said so far; an empty string ends the connection.
type scriptConn struct {
	net.Conn
	rng  *rand.Rand
	next func(said string) string
	over chan struct{} // closed by Close
	once sync.Once

	mu     sync.Mutex // protects what follows
	queue  string
	said   bytes.Buffer
	closed bool
}

func (c *scriptConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue == "" && !c.closed {
		c.queue = c.next(c.said.String())
	}
	if c.queue == "" || c.closed {
		return 0, io.EOF
	}
	n := copy(p, c.queue[:1+c.rng.IntN(len(c.queue))])
	c.queue = c.queue[n:]
	return n, nil
}

func (c *scriptConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(p)
}

func (c *scriptConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.once.Do(func() { close(c.over) })
	return nil
}

func (c *scriptConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scriptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

// answers returns the lines that begin with a tag, and whether all that was said is
// whole responses. Literals, which may hold lines that look like answers, are skipped.
func answers(said, tag string) (lines []string, whole bool) {
	for said != "" {
		line, rest, ended := strings.Cut(said, "\r\n")
		if !ended {
			return lines, false
		}
		said = rest
		text := strings.HasPrefix(line, "+ ")
		if strings.HasPrefix(line, tag+" ") {
			lines, text = append(lines, line), true
		}
		for _, p := range []string{"* OK ", "* NO ", "* BAD ", "* BYE "} {
			text = text || strings.HasPrefix(line, p)
		}
		open := strings.LastIndexByte(line, '{')
		if text || open < 0 || !strings.HasSuffix(line, "}") {
			continue
		}
		if n, err := strconv.Atoi(line[open+1 : len(line)-1]); err == nil {
			if len(said) < n {
				return lines, false
			}
			said = said[n:]
		}
	}
	return lines, true
}
