package server_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

// TestMaxConns checks both bounds, and that a connection that ends makes room.
func TestMaxConns(t *testing.T) {
	w := newPipeWorld(t, func(o *server.Options) { o.MaxConns, o.MaxConnsPerAddr = 5, 2 })
	open := func(from string) (*client, string) {
		cl := newClient(t, w.ln.dial(t, from))
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
	require.Eventually(t, func() bool { // the end is noted after the client sees it
		_, l = open("[2001:db8::4]:1")
		return strings.HasPrefix(l, "* OK ")
	}, 10*time.Second, time.Millisecond)
	assert.Contains(t, w.log.String(), "too many connections")
}

// TestInsecureAuthDefault checks from where passwords are taken without TLS.
func TestInsecureAuthDefault(t *testing.T) {
	w := newPipeWorld(t)
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "127.8.9.1:1": true, "[::ffff:127.0.0.1]:1": true,
		"192.0.2.1:1": false, "10.0.0.1:1": false, "[2001:db8::1]:1": false, "[fe80::1]:1": false, "0.0.0.0:1": false,
	} {
		greeting := newClient(t, w.ln.dial(t, addr)).line()
		assert.Equal(t, want, strings.Contains(greeting, "AUTH=PLAIN"), "%s: %s", addr, greeting)
		assert.Equal(t, !want, strings.Contains(greeting, "LOGINDISABLED"), "%s: %s", addr, greeting)
	}
}

// TestLoginNeedsTLS refuses a password before it is sent.
func TestLoginNeedsTLS(t *testing.T) {
	w := newPipeWorld(t)
	cl := newClient(t, w.ln.dial(t, "192.0.2.7:1000"))
	cl.until("* OK ")
	const refused = " NO [PRIVACYREQUIRED] TLS is required to log in"
	for _, command := range []string{
		"LOGIN user secret", "AUTHENTICATE PLAIN AHVzZXIAc2VjcmV0", "LOGIN {4}", "LOGIN {22+}\r\nx9 LOGIN user secret\r\n {6+}\r\nsecret",
	} {
		cl.send("a " + command + "\r\n")
		assert.Equal(t, "a"+refused, cl.line())
	}
	cl.send("b STARTTLS\r\n")
	assert.Equal(t, "b BAD STARTTLS is not available", cl.line())
	cl.quiet()
}

// TestTooManyRefusals checks that a client that is refused again and again is cut off,
// and that one sound command starts the count anew.
func TestTooManyRefusals(t *testing.T) {
	const maxRefusals = 50
	w := newPipeWorld(t)
	cl := newClient(t, w.ln.dial(t, "127.0.0.1:1"))
	cl.login()
	for range maxRefusals - 1 {
		cl.send("what\r\n")
		require.Equal(t, "what BAD [CLIENTBUG] Syntax error: no command", cl.line())
	}
	cl.quiet()
	for range maxRefusals {
		cl.send("what\r\n")
		require.Equal(t, "what BAD [CLIENTBUG] Syntax error: no command", cl.line())
	}
	assert.Equal(t, "* BYE Closing the connection", cl.line())
	assert.Equal(t, "EOF", cl.line())
}

// TestForeignProtocol cuts off a browser that posts a form here at its first line.
func TestForeignProtocol(t *testing.T) {
	w := newPipeWorld(t)
	cl := newClient(t, w.ln.dial(t, "127.0.0.1:1"))
	cl.until("* OK ")
	cl.send("POST / HTTP/1.1\r\nHost: x\r\n\r\na LOGIN user secret\r\n")
	assert.Equal(t, "POST BAD [CLIENTBUG] Syntax error: no command", cl.line())
	assert.Equal(t, "* BYE Closing the connection", cl.line())
	assert.Equal(t, "EOF", cl.line())
}

// TestRefusals sends commands that are refused with every kind of literal, of sizes on
// both sides of every limit, at the place of the %s. The literal is never obeyed, the
// command has one answer, and the next command is understood.
func TestRefusals(t *testing.T) {
	w := newPipeWorld(t, func(o *server.Options) { o.AppendLimit, o.MaxCommand = 60000, 65536 })
	for _, shape := range []string{
		"DELETE %s junk", "DELETE junk %s", "DELETE(%s", "DELETE [%s", "DELETE x%s",
		"XYZZY %s", "NOOP %s", "CHECK %s", "CAPABILITY %s", "EXPUNGE %s", "CLOSE %s", "UNSELECT %s",
		"NAMESPACE %s", "STARTTLS %s", "IDLE %s", "UNAUTHENTICATE %s", "LOGOUT %s",
		"LOGIN %s", "LOGIN user %s", "AUTHENTICATE %s", "AUTHENTICATE PLAIN %s",
		"ENABLE %s", "CREATE %s (FOO", "CREATE junk (USE %s", "RENAME %s", "RENAME junk %s junk", "SUBSCRIBE %s junk",
		"UNSUBSCRIBE %s junk", "STATUS %s", "STATUS %s (JUNK)", "STATUS junk (%s)", "STATUS %s MESSAGES",
		"LIST %s", "LIST \"\" %s junk", "LIST (JUNK) \"\" %s", "LIST (%s) \"\" *", "LIST \"\" (%s", "LIST \"\" * RETURN (%s)",
		"LSUB \"\" %s junk", "SELECT %s junk", "EXAMINE %s junk", "SELECT %s (CONDSTORE)",
		"FETCH %s", "FETCH 1 %s", "FETCH 1 (%s)", "FETCH 1 BODY[%s]", "FETCH 1 BODY[HEADER.FIELDS (%s", "FETCH 1 BODY[HEADER.FIELDS %s]",
		"UID %s", "UID FETCH %s", "UID XYZZY %s", "UID EXPUNGE %s", "UID COPY 1 %s junk", "UID MOVE 1 %s junk",
		"STORE 1 FLAGS %s", "STORE 1 FLAGS (%s)", "STORE 1 %s", "COPY %s", "COPY 1 %s junk", "MOVE 1 %s junk",
		"SEARCH JUNK %s", "SEARCH TEXT %s JUNK", "SEARCH CHARSET %s", "SEARCH CHARSET KOI8-R TEXT %s", "SEARCH RETURN (%s) ALL",
		"SEARCH SINCE %s", "SEARCH HEADER %s", "SEARCH OR TEXT %s", "SEARCH NOT (TEXT %s", "SEARCH TEXT (%s)",
		"APPEND %s", "APPEND %s junk", "APPEND (INBOX) %s", "APPEND INBOX \"junk\" %s", "APPEND INBOX (\\Seen %s",
		"APPEND INBOX (\\Seen)%s", "APPEND INBOX JUNK %s", "APPEND INBOX JUNK (%s", "APPEND INBOX UTF8 %s", "APPEND INBOX UTF8(%s",
		"APPEND INBOX CATENATE (TEXT %s)", "APPEND \"open %s", "DELETE \"open %s", "DELETE \x01 %s", "DELETE \xff %s", "DELETE &bad; %s",
	} {
		t.Run(shape, func(t *testing.T) {
			for _, kind := range literalKinds {
				for _, size := range []int{1, len(evil), 4096, 4097, 60000, 60001, 70000} {
					refuseOne(t, w, shape, kind, size)
				}
			}
		})
	}
}

func refuseOne(t *testing.T, w *pipeWorld, shape string, kind literalKind, size int) {
	w.restore(t)
	cl := newClient(t, w.ln.dial(t, "127.0.0.1:1"))
	defer cl.close()
	cl.login()
	before, after, _ := strings.Cut(shape, "%s")
	body := strings.Repeat(evil, size/len(evil)+1)[:size]
	what := fmt.Sprintf("%s with %s literal of %d", shape, kind.name, size)
	cl.send("a1 " + before + kind.header(size) + "\r\n")
	if !kind.sync {
		cl.send(body + after + "\r\n")
	}
	answered := 0
	for asked := false; ; {
		l := cl.line()
		switch {
		case strings.HasPrefix(l, "+ "):
			require.True(t, kind.sync && !asked, "%s: asked for", what)
			asked = true
			cl.send(body + after + "\r\n")
			continue
		case strings.HasPrefix(l, "a1 "):
			if answered++; answered == 1 {
				cl.send("a2 NOOP\r\n")
			}
			continue
		case strings.HasPrefix(l, "* "):
			continue
		}
		require.True(t, l == "EOF" || strings.HasPrefix(l, "a2 "), "%s: %q", what, l)
		assert.Equal(t, 1, answered, "%s: answers before %q", what, l)
		break
	}
	_, err := w.account.Status(t.Context(), "victim")
	require.NoError(t, err, what)
}

// TestNextMessageIsDropped refuses an APPEND of several messages after the first: for the
// announcement of the second, and for lack of room. The text of a message that follows is
// not taken for commands.
func TestNextMessageIsDropped(t *testing.T) {
	w := newPipeWorld(t)
	w.restore(t)
	require.NoError(t, w.store.SetQuota(t.Context(), "user", mailbox.Quota{Messages: 1}))
	cl := newClient(t, w.ln.dial(t, "127.0.0.1:1"))
	cl.login()
	for _, between := range []string{" ", " junk ", " (\\Seen "} {
		cl.send(fmt.Sprintf("a1 APPEND INBOX {4+}\r\nfull%s{%d+}\r\n%s {%d+}\r\n%s\r\n", between, len(evil), evil, len(evil), evil))
		l := cl.line()
		require.True(t, strings.HasPrefix(l, "a1 NO ") || strings.HasPrefix(l, "a1 BAD "), l)
		cl.quiet()
	}
	_, err := w.account.Status(t.Context(), "victim")
	require.NoError(t, err)
}

// TestLoginMemory has many clients send most of a long line before the login. The server
// holds no more than its limit, closes those that began first, and lets others log in.
func TestLoginMemory(t *testing.T) {
	const limit, n = 1 << 20, 200
	w := newWorld(t, nil, func(o *server.Options) { o.LoginMemory = limit })
	before := heapInUse()
	half := "a LOGIN \"" + strings.Repeat("x", 49<<10)
	var closed atomic.Int64
	var readers sync.WaitGroup
	peers := make([]*peer, n)
	for i := range peers {
		p := w.dial()
		peers[i] = p
		readers.Go(func() {
			if line, _ := p.br.ReadString('\n'); line == "* BYE [UNAVAILABLE] Too many unfinished logins\r\n" {
				closed.Add(1)
			}
		})
		p.send(half)
	}
	require.Eventually(t, func() bool { return closed.Load() >= n-limit/(49<<10) }, 30*time.Second, time.Millisecond)
	assert.Less(t, heapInUse()-before, int64(4*limit), "of 200 lines of 49 KB")
	w.enter("INBOX")
	newest := w.dial()
	newest.send(half)
	newest.send("\" x\r\n")
	assert.Equal(t, "a NO [AUTHENTICATIONFAILED] Authentication failed", newest.line(), "the newest is served")
	for _, p := range peers {
		require.NoError(t, p.c.Close())
	}
	readers.Wait()
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTooManyPatterns refuses a LIST whose patterns are too many or too long, and
// answers the next.
func TestTooManyPatterns(t *testing.T) {
	w := newWorld(t, memblob.New())
	p := w.enter("INBOX")
	p.no(`LIST "" (`+strings.Repeat("% ", 100)+"%)", "LIMIT")
	p.no(`LIST "" "`+strings.Repeat("*a%", 3000)+`"`, "LIMIT")
	p.no(`LSUB "" "`+strings.Repeat("*a%", 3000)+`"`, "LIMIT")
	require.Equal(t, []string{`* LIST (\HasNoChildren) "/" INBOX`}, p.ok(`LIST "" (`+strings.Repeat("% ", 99)+"%)"))
}
