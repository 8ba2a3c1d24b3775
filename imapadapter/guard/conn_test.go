package guard

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStartTLS(t *testing.T) {
	server, trust := testTLS()
	e := newEngine(t, Options{TLSConfig: server, InsecureAuth: func(net.Addr) bool { return false }})
	conn := e.dialTCP()
	cl := newClient(t, conn, whole)
	assert.Equal(t, "* OK [CAPABILITY IMAP4rev2 IMAP4rev1 SASL-IR LITERAL- STARTTLS LOGINDISABLED] IMAP server ready", cl.line())
	cl.send("a1 LOGIN user secret\r\n")
	assert.Equal(t, "a1 NO [PRIVACYREQUIRED] TLS is required to log in", cl.line())
	cl.send("a2 STARTTLS\r\n")
	assert.Equal(t, "a2 OK Begin TLS negotiation now", cl.line())

	secure := tls.Client(conn, trust)
	require.NoError(t, secure.Handshake())
	cl = newClient(t, secure, bytewise)
	defer cl.close()
	cl.send("b1 CAPABILITY\r\nb2 STARTTLS\r\nb3 LOGIN {4}\r\n")
	assert.Equal(t, "* CAPABILITY IMAP4rev2 IMAP4rev1 SASL-IR LITERAL- AUTH=PLAIN", cl.line())
	assert.Equal(t, "b1 OK CAPABILITY completed", cl.line())
	assert.Equal(t, "b2 BAD STARTTLS is not available", cl.line())
	assert.Equal(t, "+ Ready for literal data", cl.line())
	cl.send("user secret\r\n")
	assert.True(t, strings.HasPrefix(cl.line(), "b3 OK [CAPABILITY "))
	cl.quiet()
	assert.Equal(t, []string{"LOGIN user secret"}, e.seen.all())
}

// TestStartTLSLateInjection sends commands in plain text after the answer to
// STARTTLS: they are read as a handshake.
func TestStartTLSLateInjection(t *testing.T) {
	server, _ := testTLS()
	e := newEngine(t, Options{TLSConfig: server})
	cl := newClient(t, e.dialTCP(), whole)
	defer cl.close()
	cl.until("* OK ")
	cl.send("a1 STARTTLS\r\n")
	assert.Equal(t, "a1 OK Begin TLS negotiation now", cl.line())
	cl.send("x9 LOGIN user secret\r\nx9 LOGIN user secret\r\n")
	rest, _ := io.ReadAll(cl.r)
	assert.NotContains(t, string(rest), "x9")
	assert.Empty(t, e.seen.all())
}

func TestImplicitTLS(t *testing.T) {
	server, trust := testTLS()
	for name, o := range map[string]Options{
		"guard":    {TLSConfig: server, ImplicitTLS: true},
		"listener": {},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			o.InsecureAuth = func(net.Addr) bool { return false }
			e := newEngine(t, o)
			if name == "listener" {
				e.start(tls.NewListener(ln, server))
			} else {
				e.start(ln)
			}
			conn, err := tls.Dial("tcp", ln.Addr().String(), trust)
			require.NoError(t, err)
			cl := newClient(t, conn, whole)
			defer cl.close()
			assert.Equal(t, "* OK [CAPABILITY IMAP4rev2 IMAP4rev1 SASL-IR LITERAL- AUTH=PLAIN] IMAP server ready", cl.line())
			cl.send("a1 LOGIN user secret\r\n")
			assert.True(t, strings.HasPrefix(cl.line(), "a1 OK "))
		})
	}
	assert.Panics(t, func() { NewListener(nil, &Options{ImplicitTLS: true}) })
}

func TestInsecureAuthDefault(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "127.8.9.1:1": true, "[::ffff:127.0.0.1]:1": true,
		"192.0.2.1:1": false, "10.0.0.1:1": false, "[2001:db8::1]:1": false, "[fe80::1]:1": false, "0.0.0.0:1": false,
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		assert.Equal(t, want, fromLoopback(a), addr)
	}
	assert.True(t, fromLoopback(&net.UnixAddr{Net: "unix", Name: "@"}))
}

// TestTimeouts runs in virtual time.
func TestTimeouts(t *testing.T) {
	tests := []struct {
		name     string
		login    bool
		send     []string // each a second after the one before
		within   time.Duration
		answered string // the last line before the end
	}{
		{"silent before login", false, nil, 30 * time.Second, "* BYE Timed out"},
		{"busy before login", false, repeat("a NOOP\r\n", 100), time.Minute, "* BYE Timed out"},
		{"slow before login", false, repeat("a", 60), 30 * time.Second, "* BYE Timed out"},
		{"blank before login", false, repeat("\r\n", 60), 30 * time.Second, "* BYE Timed out"},
		{"silent", true, nil, 30 * time.Minute, "* BYE Timed out"},
		{"slow command", true, repeat("a", 100), time.Minute, "* BYE Timed out"},
		{"slow literal", true, append([]string{"a1 DELETE {4000+}\r\n"}, repeat("a", 100)...), time.Minute, "* BYE Timed out"},
		{"unasked literal", true, []string{"a1 DELETE {4000}\r\n"}, time.Minute, "* BYE Timed out"},
		{"slow drop", true, []string{"a1 DELETE {5000+}\r\n", "a"}, time.Minute, "* BYE Timed out"},
		{"idle", true, []string{"a1 IDLE\r\n"}, 30 * time.Minute, "* BYE Timed out"},
		{"stalled message", true, []string{"a1 APPEND INBOX {4000+}\r\n", "a"}, time.Minute, ""},
		{"slow message", true, append([]string{"a1 APPEND INBOX {9000+}\r\n"}, repeat("a", 500)...), 5*time.Minute + time.Second, ""},
		{"no end of message", true, []string{"a1 APPEND INBOX {1+}\r\n", "a"}, time.Minute, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timeOut(t, tt.login, tt.send, tt.within, tt.answered)
			})
		})
	}
}

func repeat(s string, n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = s
	}
	return l
}

func timeOut(t *testing.T, login bool, send []string, within time.Duration, last string) {
	e := newEngine(t, Options{IdleTimeout: 30 * time.Minute})
	conn := e.dialPipe("127.0.0.1:1")
	cl := newClient(t, conn, whole)
	if login {
		cl.login()
	} else {
		cl.until("* OK ")
	}
	require.NoError(t, conn.SetDeadline(time.Time{}))
	begin := time.Now()
	var sender sync.WaitGroup
	sender.Go(func() {
		for _, s := range send {
			if _, err := conn.Write([]byte(s)); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	})
	b, err := io.ReadAll(conn)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(b), "\r\n"), "\r\n")
	assert.Equal(t, last, lines[len(lines)-1])
	took := time.Since(begin)
	assert.LessOrEqual(t, took, within+2*time.Second)
	assert.GreaterOrEqual(t, took, within-2*time.Second)
	for _, call := range e.seen.all() {
		assert.NotContains(t, call, "APPEND")
		assert.NotContains(t, call, "WHILE IDLE")
	}
	cl.close()
	sender.Wait()
}

// TestSlowMessage uploads 20 MB in fifteen minutes, which is slow and steady;
// the engine alone allows five.
func TestSlowMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, Options{})
		e.seen.discard = true
		e.session = func() imapserver.Session { return bigSession{recorderSession{e.seen}} }
		conn := e.dialPipe("127.0.0.1:1")
		cl := newClient(t, conn, whole)
		cl.login()
		require.NoError(t, conn.SetDeadline(time.Time{}))
		chunk := strings.Repeat("a", 22222)
		cl.send(fmt.Sprintf("a1 APPEND INBOX {%d+}\r\n", 900*len(chunk)))
		for range 900 {
			time.Sleep(time.Second)
			_, err := io.WriteString(conn, chunk)
			require.NoError(t, err)
		}
		cl.send("\r\n")
		assert.Equal(t, "a1 OK [APPENDUID 1 1] APPEND completed", cl.line())
		cl.close()
	})
}

// TestIdleEndsWithConnection checks that the engine's goroutine is waited for
// when the connection ends inside IDLE.
func TestIdleEndsWithConnection(t *testing.T) {
	e := newEngine(t, Options{})
	closed := make(chan int, 1)
	e.session = func() imapserver.Session { return idleCounter{recorderSession{e.seen}, closed} }
	cl := newClient(t, e.dialTCP(), whole)
	cl.login()
	cl.send("a1 IDLE\r\n")
	cl.until("* 2 EXISTS")
	cl.close()
	assert.Equal(t, 0, <-closed, "goroutines inside Idle when the session is closed")
}

type idleCounter struct {
	recorderSession
	closed chan int
}

func (s idleCounter) Close() error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.closed <- s.r.idle
	return nil
}

// TestMaxConns checks both bounds, and that a connection that ends makes room.
func TestMaxConns(t *testing.T) {
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	e := newEngine(t, Options{MaxConns: 5, MaxConnsPerAddr: 2})
	var log syncBuffer
	e.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e.start(ln)
	open := func(from string) (*client, string) {
		cl := newClient(t, ln.dial(t, from), whole)
		return cl, cl.line()
	}
	const full = "* BYE [UNAVAILABLE] Too many connections"
	first, l := open("[2001:db8::1]:1")
	require.Contains(t, l, "* OK ")
	_, l = open("[2001:db8::2]:1")
	require.Contains(t, l, "* OK ")
	_, l = open("[2001:db8::3]:1")
	require.Equal(t, full, l)
	for range 3 {
		_, l = open("127.0.0.1:1")
		require.Contains(t, l, "* OK ")
	}
	_, l = open("127.0.0.1:1")
	require.Equal(t, full, l)
	first.send("a LOGOUT\r\n")
	first.until("a OK ")
	require.Equal(t, "EOF", first.line())
	_, l = open("[2001:db8::4]:1")
	require.Contains(t, l, "* OK ")
	assert.Contains(t, log.String(), "too many connections")
}

type syncBuffer struct {
	syncWriter
	b bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestGuardStreams streams 50 MB and looks at the memory in use while it does.
func TestGuardStreams(t *testing.T) {
	const size = 50 << 20
	e := newEngine(t, Options{})
	e.seen.discard = true
	e.session = func() imapserver.Session { return bigSession{recorderSession{e.seen}} }
	conn := e.dialTCP()
	cl := newClient(t, conn, whole)
	defer cl.close()
	cl.login()
	begin, peak := heap(), uint64(0)
	chunk := []byte(strings.Repeat(evil+"0123456789abcde", 1<<10)) // 32 KiB
	_, err := fmt.Fprintf(conn, "a1 APPEND INBOX {%d+}\r\n", size)
	require.NoError(t, err)
	for sent := 0; sent < size; sent += len(chunk) {
		_, err := conn.Write(chunk)
		require.NoError(t, err)
		if sent%(5<<20) == 0 {
			peak = max(peak, heap())
		}
	}
	cl.send("\r\n")
	assert.Equal(t, "a1 OK [APPENDUID 1 1] APPEND completed", cl.line())
	assert.Less(t, int64(peak)-int64(begin), int64(1<<20))
	t.Logf("heap grew by %d bytes at most", int64(peak)-int64(begin))
	assert.Equal(t, fmt.Sprintf("APPEND INBOX of %d bytes", size), e.seen.all()[2])
}

// heap returns the bytes in use, less what was allocated since they were counted:
// that may be garbage.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestIdleMemory measures what the guard holds for a connection that waits.
func TestIdleMemory(t *testing.T) {
	const n = 2000
	conns := make([]*conn, n)
	l := NewListener(nil, nil).(*listener)
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	ends := make([]addressed, n)
	for i := range ends {
		ends[i] = addressed{quietConn{}, addr}
	}
	buf := make([]byte, 4096)
	before := heap()
	for i := range conns {
		c := newConn(&ends[i], &l.o, func() {})
		_, err := c.Write([]byte("* OK hello\r\n"))
		require.NoError(t, err)
		n, err := c.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "a1 NOOP\r\n", string(buf[:n]))
		_, err = c.Write([]byte("a1 OK done\r\n"))
		require.NoError(t, err)
		_, err = c.Read(buf) // ends: the state of one that waits
		require.Error(t, err)
		conns[i] = c
	}
	each := int64(heap()-before) / n
	runtime.KeepAlive(conns)
	t.Logf("%d bytes each", each)
	assert.Less(t, each, int64(2048))
}

// A quietConn sends one command and is silent.
type quietConn struct{ net.Conn }

func (quietConn) Read(p []byte) (int, error)       { return copy(p, "a1 NOOP\r\n"), io.ErrClosedPipe }
func (quietConn) Write(p []byte) (int, error)      { return len(p), nil }
func (quietConn) SetReadDeadline(time.Time) error  { return nil }
func (quietConn) SetWriteDeadline(time.Time) error { return nil }

func TestGuarded(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	assert.False(t, Guarded(a))
	// The engine checks the other half in every test.
}

// TestDisagreement has a session break off in the middle of a literal: the
// client takes the engine's answer for a part of it, and so does the guard. No
// further command is read.
func TestDisagreement(t *testing.T) {
	e := newEngine(t, Options{})
	e.session = func() imapserver.Session { return shortSession{recorderSession{e.seen}} }
	cl := newClient(t, e.dialTCP(), whole)
	defer cl.close()
	cl.login()
	cl.send("a1 FETCH 1 BODY[]\r\na2 DELETE two\r\n")
	assert.Equal(t, "* 1 FETCH (BODY[] {1000}", cl.line())
	rest, err := io.ReadAll(cl.r)
	require.NoError(t, err)
	assert.Less(t, len(rest), 1000)
	assert.NotContains(t, string(rest), "a2")
	assert.NotContains(t, e.seen.all(), "DELETE two")
}

type shortSession struct{ recorderSession }

func (s shortSession) Fetch(w *imapserver.FetchWriter, _ imap.NumSet, o *imap.FetchOptions) error {
	m := w.CreateMessage(1)
	b := m.WriteBodySection(o.BodySection[0], 1000)
	_, err := io.WriteString(b, "a1 OK short\r\n")
	return errors.Join(err, b.Close(), m.Close())
}

// TestPreAuth checks that a greeting can open the door.
func TestPreAuth(t *testing.T) {
	script := []string{"a1 APPEND INBOX {1+}\r\nx\r\n", "a2 NOOP\r\n", ""}
	conn := &scriptConn{rng: rand.New(rand.NewPCG(1, 1))}
	conn.next = func(string) string { s := script[0]; script = script[1:]; return s }
	l := NewListener(nil, &Options{TLSConfig: &tls.Config{}, InsecureAuth: func(net.Addr) bool { return false }}).(*listener)
	c := newConn(conn, &l.o, func() {})
	const greeting = "* PREAUTH [CAPABILITY IMAP4rev1 AUTH=X LITERAL- LITERAL+] hello\r\n"
	for _, p := range bytewise([]byte(greeting)) {
		n, err := c.Write(p)
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	assert.Equal(t, "* PREAUTH [CAPABILITY IMAP4rev1 AUTH=X LITERAL+] hello\r\n", conn.said.String())
	assert.True(t, c.authed)
	assert.True(t, c.loginBy.IsZero())
	b := make([]byte, 100)
	n, err := c.Read(nil)
	assert.Zero(t, n)
	assert.NoError(t, err)
	n, err = c.Read(b)
	require.NoError(t, err)
	assert.Equal(t, "a1 APPEND INBOX {1+}\r\n", string(b[:n]))
}

// TestLongLinePassesUnedited checks that nothing is held back without bound.
func TestLongLinePassesUnedited(t *testing.T) {
	conn := &scriptConn{rng: rand.New(rand.NewPCG(1, 1))}
	l := NewListener(nil, &Options{TLSConfig: &tls.Config{}}).(*listener)
	c := newConn(conn, &l.o, func() {})
	long := "* OK [CAPABILITY " + strings.Repeat("X", maxEdited)
	_, err := c.Write([]byte(long))
	require.NoError(t, err)
	assert.Equal(t, long, conn.said.String())
	_, err = c.Write([]byte(" AUTH=X] hello\r\n"))
	require.NoError(t, err)
	assert.Equal(t, long+" AUTH=X] hello\r\n", conn.said.String())
	assert.Empty(t, c.line)
}

// TestDeadlines checks that the engine's deadlines reach the socket, and
// interrupt a Read.
func TestDeadlines(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	l := NewListener(nil, nil).(*listener)
	c := newConn(addressed{server, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}, &l.o, func() {})
	defer c.Close()
	assert.Equal(t, server.LocalAddr(), c.LocalAddr())
	done := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		done <- err
	}()
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
	require.NoError(t, c.SetReadDeadline(time.Now().Add(-time.Hour)))
	line, err := bufio.NewReader(client).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "* BYE Timed out\r\n", line)
	assert.Equal(t, io.EOF, <-done)
}
