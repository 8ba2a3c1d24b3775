package server_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter/server"
)

// TestIdleOverTLS tells an idle client again and again: the Read that waits for it
// is ended each time, and nothing of the TLS stream may be lost by that. The
// client sends its DONE byte by byte meanwhile.
func TestIdleOverTLS(t *testing.T) {
	config := tlsConfig(t)
	w := newWorld(t, nil, func(o *server.Options) { o.TLSConfig = config })
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		assert.ErrorIs(t, w.server.Serve(tls.NewListener(raw, config)), server.ErrServerClosed)
	})
	c, err := tls.Dial("tcp", raw.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	p := newPeer(t, c)
	require.True(t, strings.HasPrefix(p.line(), "* OK "))
	p.login().ok("SELECT INBOX")
	for round := range 3 {
		p.send("i IDLE\r\n")
		require.Equal(t, "+ idling", p.line())
		for i := range 6 {
			w.fill("INBOX", 1)
			n := round*6 + i + 1
			require.Equal(t, fmt.Sprintf("* %d EXISTS", n), p.line())
			require.Equal(t, fmt.Sprintf("* %d RECENT", n), p.line())
		}
		for _, b := range "DONE\r\n" {
			p.send(string(b))
		}
		_, answer := p.until("i ")
		require.Equal(t, "OK IDLE completed", answer)
		p.ok("NOOP")
	}
	assert.NoError(t, w.server.Shutdown(t.Context()))
	assert.Equal(t, "* BYE Server is shutting down", p.line())
	served.Wait()
}

func tlsConfig(t *testing.T) *tls.Config {
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mail"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
}

// TestNewsWhileACommandComesIn has news for an idle client that has begun its next
// line: they wait, and are told with the next command.
func TestNewsWhileACommandComesIn(t *testing.T) {
	w := newWorld(t, nil)
	p := w.enter("INBOX")
	p.send("i IDLE\r\n")
	require.Equal(t, "+ idling", p.line())
	w.fill("INBOX", 1)
	require.Equal(t, "* 1 EXISTS", p.line())
	require.Equal(t, "* 1 RECENT", p.line())
	p.send("DO")
	w.fill("INBOX", 1)
	p.send("NE\r\nn NOOP\r\n")
	lines, answer := p.until("n ")
	assert.Equal(t, "OK NOOP completed", answer)
	assert.Contains(t, lines, "i OK IDLE completed")
	assert.Contains(t, lines, "* 2 EXISTS")
}

// TestInProgress tells a client whose search takes long how far it is.
func TestInProgress(t *testing.T) {
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty, func(o *server.Options) { o.Timeout = 5 * time.Second })
	w.fill("INBOX", 3)
	p := w.enter("INBOX")
	hold := make(chan struct{})
	held := make(chan struct{}, 10)
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if op != blobtest.OpOpen {
			return blobtest.Fault{}
		}
		held <- struct{}{}
		return blobtest.Fault{Hold: hold}
	})
	p.send("s SEARCH TEXT nowhere\r\n")
	<-held
	time.Sleep(600 * time.Millisecond) // a tenth of Timeout is the time between two words
	close(hold)
	lines, answer := p.until("s ")
	assert.Equal(t, "OK SEARCH completed", answer)
	require.NotEmpty(t, lines)
	assert.Equal(t, `* OK [INPROGRESS ("s" 1 3)] Still at work`, lines[0])
}

// TestEmailIDs follows a message through copies and moves.
func TestEmailIDs(t *testing.T) {
	w := newWorld(t, nil)
	w.fill("INBOX", 2)
	p := w.enter("INBOX")
	p.ok("CREATE Other")
	id := func(set string) string {
		line := p.ok("UID FETCH " + set + " EMAILID")[0]
		_, rest, _ := strings.Cut(line, "EMAILID (")
		rest, _, _ = strings.Cut(rest, ")")
		return rest
	}
	first, second := id("1"), id("2")
	require.Len(t, first, 33)
	assert.NotEqual(t, first, second)
	p.ok("COPY 1 Other")
	p.ok("MOVE 1 Other")
	assert.Equal(t, []string{"* SEARCH 1"}, p.ok("SEARCH EMAILID "+second))
	p.ok("SELECT Other")
	assert.Equal(t, first, id("1"))
	assert.Equal(t, first, id("2"))
	assert.Equal(t, []string{"* SEARCH 1 2"}, p.ok("SEARCH EMAILID "+first))
	assert.Equal(t, []string{"* SEARCH"}, p.ok("SEARCH EMAILID "+second))
}
