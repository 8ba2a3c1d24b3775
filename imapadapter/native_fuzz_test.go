package imapadapter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

// fuzzWorld is an account that all runs of a fuzz target share.
type fuzzWorld struct {
	store   *mailbox.Store
	account *mailbox.Account
	log     syncBuffer
	server  *Server
	ln      *pipeListener
}

const fuzzMail = "Subject: x9 DELETE victim\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na1 OK no\r\n--b--\r\n"

func newFuzzWorld(f testing.TB) *fuzzWorld {
	w := &fuzzWorld{ln: &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}}
	ctx := context.Background()
	var err error
	cheap := crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}
	w.store, err = mailbox.Open(ctx, memblob.New(), mailbox.Options{Password: cheap})
	require.NoError(f, err)
	require.NoError(f, w.store.CreateAccount(ctx, "user", []byte("secret")))
	w.account, err = w.store.Login(ctx, "user", []byte("secret"))
	require.NoError(f, err)
	w.server = NewServer(&Options{Store: w.store, LoginDelay: -1, AppendLimit: 1 << 20, Logger: slog.New(slog.NewTextHandler(&w.log, nil))})
	var served sync.WaitGroup
	served.Go(func() { _ = w.server.Serve(w.ln) })
	f.Cleanup(func() {
		_ = w.server.Close()
		served.Wait()
		_ = w.account.Close()
		_ = w.store.Close()
	})
	return w
}

// run serves one client to its end and returns what it was told. Before, INBOX has
// some messages, and there is a mailbox that nobody may delete.
func (w *fuzzWorld) run(t *testing.T, seed uint64, next func(said string) string) string {
	ctx := t.Context()
	if err := w.account.Create(ctx, "victim"); !errors.Is(err, mailbox.ErrMailboxExists) {
		require.NoError(t, err)
	}
	status, err := w.account.Status(ctx, mailbox.Inbox)
	require.NoError(t, err)
	for n := status.Messages; n < 3; n++ {
		_, err := w.account.Append(ctx, mailbox.Inbox, strings.NewReader(fuzzMail), mailbox.AppendOptions{})
		require.NoError(t, err)
	}
	conn := &endingConn{scriptConn: scriptConn{rng: rand.New(rand.NewPCG(seed, 1)), next: next}, over: make(chan struct{})}
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

// endingConn tells when the server closed it.
type endingConn struct {
	scriptConn
	over chan struct{}
	once sync.Once
}

func (c *endingConn) Close() error {
	c.once.Do(func() { close(c.over) })
	return c.scriptConn.Close()
}

const nativeLogin = "l1 LOGIN user secret\r\nl2 SELECT INBOX\r\n"

// FuzzNativeLiteral is FuzzLiteral with commands that the session answers itself.
func FuzzNativeLiteral(f *testing.F) {
	w := newFuzzWorld(f)
	for _, head := range []string{
		"DELETE ", "STATUS ", "SEARCH TEXT ", "SEARCH HEADER ", "FETCH 1 BODY[HEADER.FIELDS (", "UID STORE 1 FLAGS ", "COPY 1 ", "SELECT ",
		"ID (\"name\" ", "LIST \"\" (", "CREATE ", "APPEND INBOX ", "APPEND INBOX (\\Seen) ", "REPLACE 1 INBOX ", "UID REPLACE 1 ",
		"SORT (DATE) UTF-8 TEXT ", "THREAD REFERENCES ", "NOTIFY SET (MAILBOXES (", "APPEND ", "IDLE ", "NOOP ", "ENABLE ", "EXAMINE INBOX (",
	} {
		for kind := range uint8(4) {
			f.Add([]byte(head), kind, uint32(17), []byte(""), uint64(1))
			f.Add([]byte(head), kind, uint32(5000), []byte(")"), uint64(2))
		}
		f.Add([]byte(head), uint8(1), uint32(1<<20+1), []byte(" x"), uint64(3))
	}
	const evil = "x9 DELETE victim\r\n"
	f.Fuzz(func(t *testing.T, head []byte, kind uint8, size uint32, tail []byte, seed uint64) {
		if bytes.Contains(bytes.ToLower(head), []byte("victim")) {
			return
		}
		size = min(size, 3<<20)
		k := literalKinds[int(kind)%len(literalKinds)]
		body := strings.Repeat(evil, int(size)/len(evil)+1)[:size]
		line := "a1 " + oneLine(head) + k.header(int(size)) + "\r\n"
		rest := body + oneLine(tail) + "\r\n"
		stage := 0
		said := w.run(t, seed, func(said string) string {
			stage++
			switch {
			case stage == 1 && k.sync:
				return nativeLogin + line
			case stage == 1:
				return nativeLogin + line + rest
			case stage == 2 && k.sync && strings.Contains(said, "\r\n+ ") && !strings.Contains(said, "\r\na1 "):
				return rest
			case stage <= 3 && strings.Contains(said, "\r\na1 "):
				stage = 3
				return "a2 NOOP\r\n"
			}
			return ""
		})
		_, err := w.account.Status(t.Context(), "victim")
		assert.NoError(t, err, "the text of a literal was obeyed")
		if !strings.Contains(fold(head), "FETCH") { // which shows a mail that has such a line
			assert.LessOrEqual(t, strings.Count(said, "\r\na1 "), 1, "%q", said)
		}
	})
}

func fold(b []byte) string { return strings.ToUpper(string(b)) }

// FuzzNativeLine sends one line that announces nothing. It has exactly one answer,
// and the next command has its own.
func FuzzNativeLine(f *testing.F) {
	w := newFuzzWorld(f)
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		for i, m := range regexp.MustCompile(`(?m)^C\d?: \w+ (.*)$`).FindAllSubmatch(text, -1) {
			f.Add(m[1], uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte, seed uint64) {
		text := oneLine(line)
		word, _, _ := strings.Cut(strings.ToUpper(text), " ")
		switch {
		case strings.Contains(text, "{"), strings.HasSuffix(strings.TrimRight(text, " "), "}"):
			return // a literal, or what could be one
		case word == "IDLE", word == "AUTHENTICATE", word == "LOGOUT", word == "UNAUTHENTICATE", word == "COMPRESS":
			return
		}
		stage := 0
		said := w.run(t, seed, func(said string) string {
			switch stage++; {
			case stage == 1:
				return nativeLogin + "a1 " + text + "\r\n"
			case stage == 2:
				return "a2 NOOP\r\n"
			}
			return ""
		})
		var r responseScanner
		r.begin("a1", "")
		at := 0
		for i := range len(said) {
			r.feed([]byte(said[i : i+1]))
			if r.answered && r.between() {
				at = i + 1
				break
			}
		}
		require.True(t, r.answered, "no answer to %q: %q", text, said)
		assert.NotContains(t, said[at:], "a1 ", "%q", text)
		assert.Contains(t, said[at:], "a2 OK NOOP completed\r\n", "%q: %q", text, said)
	})
}

// FuzzNativeSession sends any bytes after a login, in any splits: all that is said
// is whole lines, and the session ends.
func FuzzNativeSession(f *testing.F) {
	w := newFuzzWorld(f)
	for i, s := range sessionBytes(f) {
		f.Add([]byte(s), uint64(i))
	}
	for i, s := range []string{
		"a IDLE\r\nDONE\r\nb NOOP\r\n", "a IDLE\r\nb NOOP\r\n", "a IDLE\r\n", "a APPEND INBOX {3+}\r\nabc\r\nb NOOP\r\n", "a APPEND INBOX {3+}\r\nabcd\r\n",
		"a APPEND INBOX {3+}\r\nabc {3+}\r\ndef {0+}\r\n\r\nb NOOP\r\n", "a NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge MailboxName))\r\nb CREATE x\r\nc NOOP\r\n",
		"a COMPRESS DEFLATE\r\n", "a REPLACE 1 INBOX {3+}\r\nabc {3+}\r\nabc\r\n", "a APPEND INBOX {30+}\r\nabc", "a FETCH 1:* (FULL BODY[])\r\n", "a ENABLE QRESYNC UIDONLY\r\nb UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)\r\n",
		"a SEARCH RETURN (SAVE) ALL\r\nb MOVE $ victim\r\nc UID EXPUNGE $\r\n", "a SELECT INBOX (QRESYNC (1 1 1:4294967295 (1:4294967295 1:4294967295)))\r\n",
	} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		stage := 0
		w.run(t, seed, func(string) string {
			if stage++; stage > 1 {
				return ""
			}
			return nativeLogin + string(b)
		})
	})
}
