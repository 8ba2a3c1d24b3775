package server_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

func (p *peer) login() *peer {
	p.ok(fmt.Sprintf("LOGIN %s %q", user, password))
	return p
}

func TestOptionsNeedAStore(t *testing.T) {
	assert.Panics(t, func() { server.New(&server.Options{}) })
	assert.Panics(t, func() { server.New(nil) })
}

// TestTokens logs in with an app token in all the ways there are.
func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	token, err := w.account.AddToken(t.Context(), "phone")
	require.NoError(t, err)
	secret := token.Export()
	w.dial().ok(fmt.Sprintf("LOGIN %s %s", user, secret))
	w.dial().ok("AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+secret)))
	bearer := base64.StdEncoding.EncodeToString([]byte("n,a=" + user + ",\x01host=x\x01auth=Bearer " + secret + "\x01\x01"))
	p := w.dial()
	p.ok("AUTHENTICATE OAUTHBEARER " + bearer)
	p.ok("SELECT INBOX")
	google := base64.StdEncoding.EncodeToString([]byte("user=" + user + "\x01auth=Bearer " + secret + "\x01\x01"))
	w.dial().ok("AUTHENTICATE XOAUTH2 " + google)
	infos, err := w.account.Tokens(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.account.RevokeToken(t.Context(), infos[0].ID))
	w.dial().no(fmt.Sprintf("LOGIN %s %s", user, secret), "AUTHENTICATIONFAILED")
}

// TestAuthenticateHook lets an embedder bring its own authentication, and maps
// what it fails with.
func TestAuthenticateHook(t *testing.T) {
	var w *world
	w = newWorld(t, nil, func(o *server.Options) {
		o.LoginDelay = 20 * time.Millisecond
		o.Authenticate = func(ctx context.Context, name string, secret []byte) (*mailbox.Account, error) {
			switch name {
			case "busy":
				return nil, fmt.Errorf("wrapped: %w", crypto.ErrBusy)
			case "broken":
				return nil, errors.New("database of secrets is down: " + string(secret))
			case "a,b=c":
				return w.login(), nil
			}
			return nil, mailbox.ErrAuth
		}
	})
	p := w.dial()
	start := time.Now()
	p.no("LOGIN nobody x", "AUTHENTICATIONFAILED")
	assert.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)
	start = time.Now()
	p.no("LOGIN nobody x", "AUTHENTICATIONFAILED")
	assert.GreaterOrEqual(t, time.Since(start), 40*time.Millisecond)
	p.no("LOGIN busy x", "UNAVAILABLE")
	p.no("LOGIN broken x", "UNAVAILABLE")
	p.ok("AUTHENTICATE OAUTHBEARER " + base64.StdEncoding.EncodeToString([]byte("n,a=a=2Cb=3Dc,\x01auth=Bearer x\x01\x01")))
	p.ok("SELECT INBOX")
}

// TestTLS serves both kinds of TLS beside each other, and says goodbye over it.
func TestTLS(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mail"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	w := newWorld(t, nil, func(o *server.Options) {
		o.TLSConfig = config
		o.InsecureAuth = func(net.Addr) bool { return false }
	})
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		assert.ErrorIs(t, w.server.Serve(tls.NewListener(raw, config)), server.ErrServerClosed)
	})
	trust := &tls.Config{InsecureSkipVerify: true}

	started := w.dial()
	started.no(fmt.Sprintf("LOGIN %s %q", user, password), "PRIVACYREQUIRED")
	started.ok("STARTTLS")
	started = newPeer(t, tls.Client(started.c, trust))
	c, err := tls.Dial("tcp", raw.Addr().String(), trust)
	require.NoError(t, err)
	implicit := newPeer(t, c)
	require.True(t, strings.HasPrefix(implicit.line(), "* OK "))
	for _, p := range []*peer{started, implicit} {
		caps := p.ok("CAPABILITY")[0]
		assert.Contains(t, caps, "AUTH=PLAIN")
		assert.NotContains(t, caps, "LOGINDISABLED")
		p.login().ok("SELECT INBOX")
	}
	assert.NoError(t, w.server.Shutdown(t.Context()))
	for _, p := range []*peer{started, implicit} {
		assert.Equal(t, "* BYE Server is shutting down", p.line())
		assert.Equal(t, "EOF", p.line())
	}
	served.Wait()
}

// TestShutdown ends a server with clients in every state. Those at rest are told
// at once; a message that is on its way is taken to its end first.
func TestShutdown(t *testing.T) {
	w := newWorld(t, nil)
	stranger, resting, idling, sending := w.dial(), w.enter("INBOX"), w.enter("INBOX"), w.enter("INBOX")
	idling.send("a IDLE\r\n")
	require.Equal(t, "+ idling", idling.line())
	sending.send("a APPEND INBOX {10}\r\n")
	require.True(t, strings.HasPrefix(sending.line(), "+ "))
	sending.send("12345")
	w.atWork(1)

	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(context.Background()) }()
	for _, p := range []*peer{stranger, resting, idling} {
		assert.Equal(t, "* BYE Server is shutting down", p.line())
		assert.Equal(t, "EOF", p.line())
	}
	select {
	case <-done:
		require.Fail(t, "the server ended with a command at work")
	default:
	}
	sending.send("67890\r\n")
	lines, answer := sending.until("a ")
	assert.True(t, strings.HasPrefix(answer, "OK [APPENDUID "), answer)
	assert.Contains(t, lines, "* 1 EXISTS")
	assert.Equal(t, "* BYE Server is shutting down", sending.line())
	assert.Equal(t, "EOF", sending.line())
	assert.NoError(t, <-done)
	_, err := net.Dial("tcp", w.addr)
	assert.Error(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	assert.ErrorIs(t, w.server.Serve(ln), server.ErrServerClosed)
}

// TestShutdownGivesUp has a client that never sends its message to the end.
func TestShutdownGivesUp(t *testing.T) {
	w := newWorld(t, nil)
	p := w.enter("")
	p.send("a APPEND INBOX {10+}\r\n12345")
	w.atWork(1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, w.server.Shutdown(ctx), context.DeadlineExceeded)
	status, err := w.account.Status(t.Context(), "INBOX")
	require.NoError(t, err)
	assert.Zero(t, status.Messages)
}

// TestCloseCancels closes a server while a command waits for the store.
func TestCloseCancels(t *testing.T) {
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty)
	w.put("INBOX", long(1000))
	p := w.enter("INBOX")
	hold, waits := make(chan struct{}), make(chan struct{}, 1)
	defer close(hold)
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if op != blobtest.OpOpen {
			return blobtest.Fault{}
		}
		waits <- struct{}{}
		return blobtest.Fault{Hold: hold}
	})
	p.send("a FETCH 1 BODY.PEEK[]\r\n")
	<-waits
	assert.NoError(t, w.server.Close())
	assert.Equal(t, "EOF", p.line())
	faulty.SetPlan(nil)
}

// atWork waits until n goroutines are in a session's APPEND.
func (w *world) atWork(n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.atWorkIn("(*request).append(") >= n }, 10*time.Second, time.Millisecond)
}

// atWorkIn returns how many goroutines are in a function.
func (w *world) atWorkIn(name string) int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), name)
}

// TestIdleSession weighs a session that idles, with all that belongs to it: the
// connection, its goroutine's stack, and the client's end of the socket.
func TestIdleSession(t *testing.T) {
	const n = 1000
	w := newWorld(t, nil, func(o *server.Options) { o.MaxConnsPerAddr = -1 })
	w.fill("INBOX", 100)
	w.enter("INBOX").ok("FETCH 1:* FULL")
	weigh := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	conns := make([]net.Conn, n)
	before := weigh()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				conns[i] = w.idler()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	each := (weigh() - before) / n
	t.Logf("%d bytes for each idle session", each)
	if !raceDetector {
		assert.Less(t, each, int64(32<<10))
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
}

// idler returns a connection on which a session idles.
func (w *world) idler() net.Conn {
	c, err := net.Dial("tcp", w.addr)
	if !assert.NoError(w.t, err) {
		return nil
	}
	_, err = fmt.Fprintf(c, "a LOGIN %s %q\r\nb SELECT INBOX\r\nc IDLE\r\n", user, password)
	assert.NoError(w.t, err)
	for in := bufio.NewReaderSize(c, 16); ; {
		line, err := in.ReadString('\n')
		if !assert.NoError(w.t, err) || strings.HasPrefix(line, "+ ") {
			return c
		}
	}
}
