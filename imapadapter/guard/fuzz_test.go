package guard

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A scriptConn is a client in memory: next gives it what to send, whenever the
// server has read all, from what the server has said so far; an empty string
// ends the connection.
type scriptConn struct {
	net.Conn
	rng    *rand.Rand
	next   func(said string) string
	queue  string
	mu     sync.Mutex
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
	return nil
}

func (c *scriptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

// runScript serves one client to its end and returns what the session saw, what
// the client was told and what the engine logged.
func runScript(t *testing.T, seed uint64, next func(string) string) (calls []string, said, logged string) {
	seen := &recorder{}
	over := make(chan struct{})
	var logs syncBuffer
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return endSession{recorderSession{seen}, over}, nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapLiteralPlus: {}, imap.CapUnauthenticate: {}},
		InsecureAuth: true,
		Logger:       log.New(&logs, "", 0),
	})
	ln := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	conn := &scriptConn{rng: rand.New(rand.NewPCG(seed, 1)), next: next}
	ln.conns <- conn
	done := make(chan error, 1)
	go func() { done <- server.Serve(NewListener(ln, nil)) }()
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		require.Fail(t, "the session does not end", "said: %q", conn.said.String())
	}
	require.NoError(t, server.Close())
	require.NoError(t, <-done)
	conn.mu.Lock()
	defer conn.mu.Unlock()
	return seen.all(), conn.said.String(), logs.String()
}

// An endSession tells when it is over.
type endSession struct {
	recorderSession
	over chan struct{}
}

func (s endSession) Close() error { close(s.over); return nil }

const loginScript = "l1 LOGIN user secret\r\nl2 SELECT INBOX\r\n"

// FuzzLiteral puts a literal that reads like a command at the end of any line.
// The command has at most one answer, and the literal is never obeyed.
func FuzzLiteral(f *testing.F) {
	for _, head := range []string{
		"DELETE ", "DELETE junk", "DELETE \"", "DELETE \"\\\"", "XYZZY ", "APPEND ", "APPEND INBOX ", "APPEND INBOX (", "APPEND INBOX \"junk\" ",
		"APPEND INBOX UTF8 (~", "SEARCH TEXT ", "SEARCH CHARSET x TEXT ", "LOGIN x ", "FETCH 1 BODY[HEADER.FIELDS (", "IDLE ", "AUTHENTICATE PLAIN ",
		"UID ", "LIST \"\" (", "STATUS ", "DELETE &bad; ", "LOGOUT ", "STARTTLS ", "UNAUTHENTICATE ", "{5} ", "{5+}", "\x00 ", "~",
	} {
		for kind := range uint8(4) {
			f.Add([]byte(head), kind, uint16(len(evil)), []byte(" junk"), uint64(1))
			f.Add([]byte(head), kind, uint16(5000), []byte(""), uint64(2))
			f.Add([]byte(head), kind, uint16(20000), []byte(")"), uint64(3))
		}
	}
	f.Fuzz(func(t *testing.T, head []byte, kind uint8, size uint16, tail []byte, seed uint64) {
		k := literalKinds[int(kind)%len(literalKinds)]
		body := strings.Repeat(evil, int(size)/len(evil)+1)[:size]
		line := "a1 " + oneLine(head) + k.header(int(size)) + "\r\n"
		rest := body + oneLine(tail) + "\r\n"
		stage := 0
		calls, said, logged := runScript(t, seed, func(said string) string {
			stage++
			switch {
			case stage == 1 && k.sync:
				return loginScript + line
			case stage == 1:
				return loginScript + line + rest
			case stage == 2 && k.sync && strings.Contains(said, "\r\n+ ") && !strings.Contains(said, "\r\na1 "):
				return rest
			case stage <= 3 && strings.Contains(said, "\r\na1 "):
				stage = 3
				return "a2 NOOP\r\n"
			}
			return ""
		})
		assert.NotContains(t, calls, "DELETE INBOX")
		assert.LessOrEqual(t, strings.Count(said, "\r\na1 "), 1, "%q", said)
		assert.NotContains(t, logged, "panic")
	})
}

// oneLine removes line ends.
func oneLine(b []byte) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(string(b))
}

// sessionBytes returns what clients send in the files of testdata/sessions.
func sessionBytes(t testing.TB) []string {
	files, err := filepath.Glob("testdata/sessions/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var b strings.Builder
		for l := range strings.SplitSeq(string(text), "\n") {
			if s, ok := strings.CutPrefix(l, "C: "); ok {
				b.WriteString(s + "\r\n")
			} else if s, ok := strings.CutPrefix(l, "C| "); ok {
				raw, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
				require.NoError(t, err)
				b.WriteString(raw)
			}
		}
		all = append(all, b.String())
	}
	return all
}

// FuzzSession sends any bytes after a login, in any splits. The session ends,
// nothing panics, and all that is said is whole lines.
func FuzzSession(f *testing.F) {
	for i, s := range sessionBytes(f) {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		stage := 0
		calls, said, logged := runScript(t, seed, func(string) string {
			if stage++; stage > 1 {
				return ""
			}
			return loginScript + string(b)
		})
		require.GreaterOrEqual(t, len(calls), 2)
		assert.True(t, strings.HasSuffix(said, "\r\n"), "%q", said)
		assert.NotContains(t, logged, "panic")
		for _, call := range calls {
			assert.NotContains(t, call, "WHILE IDLE")
		}
	})
}

// TestResponseScanner feeds responses in every split.
func TestResponseScanner(t *testing.T) {
	const said = "* OK hello {5}\r\n" +
		"* 1 FETCH (BODY[] {22}\r\na1 OK done\r\n+ idle\r\nx\r\n BODY[1] {0}\r\n FLAGS ())\r\n" +
		"* NO {7}\r\n* LIST () \"/\" \"{5}\"\r\n"
	for _, end := range []struct {
		text                    string
		answered, ok, continued bool
	}{
		{"a1 OK done\r\n", true, true, false},
		{"a1 NO {5}\r\n", true, false, false},
		{"+ idling {5}\r\n", false, false, true},
		{"+ \r\na1 BAD x\r\n", true, false, true},
		{"a10 OK done\r\n", false, false, false},
	} {
		all := said + end.text
		for i := range len(all) {
			for _, j := range []int{i, i + (len(all)-i)/2, len(all)} {
				r := responseScanner{tag: "a1"}
				r.feed([]byte(all[:i]))
				if i < len(said) {
					require.False(t, r.answered || r.continued, "%q", all[:i])
				}
				r.feed([]byte(all[i:j]))
				r.feed([]byte(all[j:]))
				require.True(t, r.between())
				require.Equal(t, fmt.Sprint(end.answered, end.ok, end.continued), fmt.Sprint(r.answered, r.ok, r.continued), "%q", end.text)
			}
		}
	}
}
