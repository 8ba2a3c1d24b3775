package guard

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/require"
)

// A recorder is a session that does nothing and writes down what it was asked
// for. Mailboxes whose names begin with "no" do not exist.
type recorder struct {
	mu    sync.Mutex
	calls []string
	idle  int // goroutines inside Idle

	// discard makes Append read the message and not keep it.
	discard bool
	// appendErr makes Append fail before it has read anything.
	appendErr error
}

func (r *recorder) saw(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	call := fmt.Sprintf(format, args...)
	if r.idle > 0 {
		call = "WHILE IDLE " + call
	}
	r.calls = append(r.calls, call)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.calls...)
}

// A recorderSession is what one connection has of a recorder.
type recorderSession struct{ r *recorder }

var errNoMailbox = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNonExistent, Text: "no such {5}"}

func (s recorderSession) on(call, mailbox string) error {
	s.r.saw("%s %s", call, mailbox)
	if strings.HasPrefix(mailbox, "no") {
		return errNoMailbox
	}
	return nil
}

func (s recorderSession) Close() error { return nil }

func (s recorderSession) Login(user, password string) error {
	s.r.saw("LOGIN %s %s", user, password)
	if password == "wrong" {
		return imapserver.ErrAuthFailed
	}
	return nil
}

func (s recorderSession) Select(m string, _ *imap.SelectOptions) (*imap.SelectData, error) {
	if err := s.on("SELECT", m); err != nil {
		return nil, err
	}
	return &imap.SelectData{NumMessages: 1, UIDNext: 2, UIDValidity: 1}, nil
}
func (s recorderSession) Create(m string, _ *imap.CreateOptions) error { return s.on("CREATE", m) }
func (s recorderSession) Delete(m string) error                        { return s.on("DELETE", m) }
func (s recorderSession) Rename(m, to string, _ *imap.RenameOptions) error {
	return s.on("RENAME "+m+" TO", to)
}
func (s recorderSession) Subscribe(m string) error   { return s.on("SUBSCRIBE", m) }
func (s recorderSession) Unsubscribe(m string) error { return s.on("UNSUBSCRIBE", m) }
func (s recorderSession) Unselect() error            { s.r.saw("UNSELECT"); return nil }
func (s recorderSession) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{}, nil
}

func (s recorderSession) List(_ *imapserver.ListWriter, ref string, patterns []string, _ *imap.ListOptions) error {
	s.r.saw("LIST %s %s", ref, strings.Join(patterns, ","))
	return nil
}

func (s recorderSession) Status(m string, o *imap.StatusOptions) (*imap.StatusData, error) {
	if err := s.on("STATUS", m); err != nil {
		return nil, err
	}
	n := uint32(0)
	return &imap.StatusData{Mailbox: m, NumMessages: &n}, nil
}

func (s recorderSession) Append(m string, r imap.LiteralReader, _ *imap.AppendOptions) (*imap.AppendData, error) {
	if s.r.appendErr != nil {
		return nil, s.r.appendErr
	}
	if s.r.discard {
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			return nil, err
		}
		s.r.saw("APPEND %s of %d bytes", m, n)
		return &imap.AppendData{UID: 1, UIDValidity: 1}, nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	s.r.saw("APPEND %s %q", m, b)
	if strings.HasPrefix(m, "no") {
		return nil, errNoMailbox
	}
	return &imap.AppendData{UID: 1, UIDValidity: 1}, nil
}

func (s recorderSession) Poll(_ *imapserver.UpdateWriter, _ bool) error { return nil }

func (s recorderSession) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.r.saw("IDLE")
	s.r.mu.Lock()
	s.r.idle++
	s.r.mu.Unlock()
	err := w.WriteNumMessages(2)
	<-stop
	s.r.mu.Lock()
	s.r.idle--
	s.r.mu.Unlock()
	return err
}

func (s recorderSession) Expunge(_ *imapserver.ExpungeWriter, _ *imap.UIDSet) error {
	s.r.saw("EXPUNGE")
	return nil
}

func (s recorderSession) Search(_ imapserver.NumKind, c *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	s.r.saw("SEARCH TEXT %q HEADER %d UID %d", c.Text, len(c.Header), len(c.UID))
	return &imap.SearchData{All: imap.SeqSet{}}, nil
}

// Fetch answers with a message whose text looks like the end of the command.
func (s recorderSession) Fetch(w *imapserver.FetchWriter, _ imap.NumSet, o *imap.FetchOptions) error {
	s.r.saw("FETCH %d sections", len(o.BodySection))
	m := w.CreateMessage(1)
	for _, section := range o.BodySection {
		body := "a3 OK FETCH completed\r\n+ idling\r\n{3}\r\n"
		b := m.WriteBodySection(section, int64(len(body)))
		if _, err := io.WriteString(b, body); err != nil {
			return err
		}
		if err := b.Close(); err != nil {
			return err
		}
	}
	return m.Close()
}

func (s recorderSession) Store(_ *imapserver.FetchWriter, set imap.NumSet, _ *imap.StoreFlags, _ *imap.StoreOptions) error {
	s.r.saw("STORE %d", len(set.String()))
	return nil
}

func (s recorderSession) Copy(set imap.NumSet, m string) (*imap.CopyData, error) {
	return nil, s.on("COPY", m)
}
func (s recorderSession) Move(w *imapserver.MoveWriter, set imap.NumSet, m string) error {
	return s.on("MOVE", m)
}
func (s recorderSession) Unauthenticate() error { s.r.saw("UNAUTHENTICATE"); return nil }
func (s recorderSession) AppendLimit() uint32   { return testAppendLimit }

const testAppendLimit = 10000

// bigSession takes messages of any size.
type bigSession struct{ recorderSession }

func (bigSession) AppendLimit() uint32 { return 1 << 31 }

// An engine is a guarded server in this process.
type engine struct {
	t       *testing.T
	seen    *recorder
	server  *imapserver.Server
	options Options
	session func() imapserver.Session
	log     bytes.Buffer
	bare    bool // without the guard
}

func newEngine(t *testing.T, o Options) *engine {
	e := &engine{t: t, seen: &recorder{}, options: o}
	e.session = func() imapserver.Session { return recorderSession{e.seen} }
	return e
}

// start serves connections of ln until the test ends.
func (e *engine) start(ln net.Listener) {
	e.server = imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			require.Equal(e.t, !e.bare, Guarded(c.NetConn()))
			return e.session(), nil, nil
		},
		Caps: imap.CapSet{
			imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapLiteralPlus: {},
			imap.CapUnauthenticate: {}, imap.CapMove: {}, imap.CapNamespace: {},
		},
		InsecureAuth: true,
		Logger:       log.New(&syncWriter{w: &e.log}, "", 0),
	})
	if !e.bare {
		ln = NewListener(ln, &e.options)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := e.server.Serve(ln); err != nil {
			e.t.Errorf("serve: %v", err)
		}
	}()
	e.t.Cleanup(func() {
		_ = e.server.Close()
		<-done
	})
}

// dialTCP connects to a fresh listener over TCP.
func (e *engine) dialTCP() net.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e.t, err)
	e.start(ln)
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialPipe connects through memory, from an address.
func (e *engine) dialPipe(from string) net.Conn {
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	e.start(ln)
	return ln.dial(e.t, from)
}

type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// A pipeListener accepts connections that were made by dial.
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

func (l *pipeListener) dial(t *testing.T, from string) net.Conn {
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	addr, err := net.ResolveTCPAddr("tcp", from)
	require.NoError(t, err)
	l.conns <- addressed{server, addr}
	return client
}

type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// A client talks in lines and never blocks on a write.
type client struct {
	t     *testing.T
	c     net.Conn
	r     *bufio.Reader
	out   chan []byte
	split func([]byte) [][]byte
	done  chan struct{}
}

func newClient(t *testing.T, c net.Conn, split func([]byte) [][]byte) *client {
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	cl := &client{t: t, c: c, r: bufio.NewReader(c), out: make(chan []byte, 10000), split: split, done: make(chan struct{})}
	go func() {
		defer close(cl.done)
		for b := range cl.out {
			for _, p := range cl.split(b) {
				if _, err := cl.c.Write(p); err != nil {
					return
				}
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
		if ok := errors.As(err, &ne); ok && ne.Timeout() {
			require.FailNow(cl.t, "the server says nothing")
		}
		return "EOF"
	}
	require.True(cl.t, strings.HasSuffix(s, "\r\n"), "line end of %q", s)
	return strings.TrimSuffix(s, "\r\n")
}

// until returns the lines up to and including the one that begins with prefix.
func (cl *client) until(prefix string) []string {
	var lines []string
	for {
		l := cl.line()
		lines = append(lines, l)
		if strings.HasPrefix(l, prefix) {
			return lines
		}
		require.NotEqual(cl.t, "EOF", l, "waiting for %q after %q", prefix, lines)
	}
}

func (cl *client) close() {
	close(cl.out)
	_ = cl.c.Close()
	<-cl.done
}

// hangUp closes the connection when all has been sent.
func (cl *client) hangUp() {
	close(cl.out)
	<-cl.done
	_ = cl.c.Close()
}

func whole(b []byte) [][]byte { return [][]byte{b} }

func bytewise(b []byte) [][]byte {
	var pieces [][]byte
	for i := range b {
		pieces = append(pieces, b[i:i+1])
	}
	return pieces
}

// testTLS returns the configurations of a server and of a client that trusts it.
var testTLS = sync.OnceValues(func() (*tls.Config, *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: pool, ServerName: "mail.example"}
})

// A cutSession reports how the reading of a message ended.
type cutSession struct {
	recorderSession
	outcome chan error
}

func (s cutSession) Append(_ string, r imap.LiteralReader, _ *imap.AppendOptions) (*imap.AppendData, error) {
	_, err := io.Copy(io.Discard, r)
	s.outcome <- err
	return nil, err
}
