package lmtpadapter

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onePipe is a listener of a single connection.
type onePipe struct {
	conn chan net.Conn
	once sync.Once
	done chan struct{}
}

func (l *onePipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *onePipe) Addr() net.Addr { return &net.TCPAddr{} }

func (l *onePipe) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// answerLine is a line of RFC 5321 section 4.2.
var answerLine = regexp.MustCompile(`^[2-5][0-9][0-9][- ].*$`)

// FuzzSession sends any bytes to a server. It answers in lines, delivers nothing
// that was not sent, and ends when the client does.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
		"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nRCPT TO:<bob>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\ndeQUIT\r\n",
		"LHLO x\r\nMAIL FROM:<> SIZE=9 BODY=8BITMIME\r\nRSET\r\nNOOP\r\nVRFY a\r\nHELP\r\n",
		"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nBDAT 5\r\nabcdeRSET\r\nMAIL FROM:<>\r\nBDAT 0 LAST\r\n",
		"EHLO x\r\nHELO x\r\nDATA\r\nSTARTTLS\r\nAUTH PLAIN\r\n\r\n\x00\r\n",
		"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nDATA\r\nSubject: x\r\n\r\n..\n.\r.\r\n\r\n.\r\nBDAT 99999999999999999999\r\n",
		strings.Repeat("x", 5000) + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		store := newFakeStore("alice", "bob")
		client, server := net.Pipe()
		ln := &onePipe{conn: make(chan net.Conn, 1), done: make(chan struct{})}
		ln.conn <- server
		s := newServer(&Options{Domain: "mx.example.org"}, store)
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		require.NoError(t, client.SetDeadline(time.Now().Add(20*time.Second)))
		go func() {
			_, _ = client.Write(b) // the server may have closed it
			_, _ = io.WriteString(client, "\r\n.\r\nQUIT\r\n")
			time.Sleep(time.Millisecond)
			_ = client.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // it may wait for the rest of a chunk
		}()
		said, _ := io.ReadAll(client)
		_ = client.Close()
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
		for line := range bytes.Lines(said) {
			if bytes.HasSuffix(line, []byte("\r\n")) { // else it was cut by the end
				assert.Regexp(t, answerLine, string(bytes.TrimSuffix(line, []byte("\r\n"))))
			}
		}
		for _, m := range store.mails {
			assert.LessOrEqual(t, len(m.body), len(b))
		}
	})
}
