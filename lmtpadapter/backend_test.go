package lmtpadapter

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ownServer is a go-smtp server such as an embedder may have.
func ownServer(t *testing.T, o Options, store deliverer, set func(*smtp.Server)) *started {
	t.Helper()
	logs := newLogs(t)
	o.Logger = logs.logger()
	srv := smtp.NewServer(newBackend(t.Context(), &o, store))
	srv.LMTP = true
	srv.ErrorLog = engineLog{logs.logger()}
	if set != nil {
		set(srv)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	return &started{addr: ln.Addr().String(), logs: logs}
}

func TestBackend(t *testing.T) {
	store := newFakeStore("alice@example.org", "bob@example.org")
	store.fail["bob@example.org"] = assert.AnError
	s := ownServer(t, Options{Domain: "mx.example.org", MaxMessage: 20, MaxRecipients: 2}, store, nil)
	k := s.dial(t)
	k.envelope("alice@example.org", "bob@example.org")
	k.do("RCPT TO:<alice@example.org>", "452 4.5.3 ")
	k.do("DATA", "354 ")
	k.send("..x\r\n.\r\n")
	k.expect("250 2.0.0 <alice@example.org> Delivered")
	k.expect("451 4.3.0 <bob@example.org> ")
	require.Len(t, store.got(), 1)
	assert.Equal(t, ".x\r\n", string(store.got()[0].body))
	assert.Contains(t, store.got()[0].prefix, "\r\n\tby mx.example.org with LMTP id ")

	k.do("MAIL FROM:<sender@example.net> SIZE=21", "552 5.3.4 ")
	k.mail("alice@example.org", "bob@example.org")
	k.do("DATA", "354 ")
	k.send("twenty-one bytes..!\r\nMAIL FROM:<evil@example.net>\r\n.\r\n")
	k.expect("552 5.3.4 <alice@example.org> ")
	k.expect("552 5.3.4 <bob@example.org> ")
	k.do("NOOP", "250 ")
}

// Without the server in front, BDAT cannot be trusted.
func TestBackendRefusesChunks(t *testing.T) {
	store := newFakeStore("alice@example.org")
	k := ownServer(t, Options{}, store, nil).dial(t)
	k.envelope("alice@example.org", "alice@example.org")
	k.send("BDAT 4\r\ntextBDAT 4 LAST\r\nmore")
	k.expect("250 2.0.0 Continue")
	k.expect("554 5.3.3 <alice@example.org> ")
	k.expect("554 5.3.3 <alice@example.org> ")
	k.mail("alice@example.org")
	k.send("BDAT 100 LAST\r\ntext")
	require.NoError(t, k.c.(*net.TCPConn).CloseWrite())
	k.expect("554 5.3.3 <alice@example.org> ")
	assert.Empty(t, store.got())
}

// The engine's own limit is answered for each recipient, and does not cost the
// connection.
func TestBackendEngineLimit(t *testing.T) {
	store := newFakeStore("alice@example.org")
	s := ownServer(t, Options{}, store, func(srv *smtp.Server) { srv.MaxMessageBytes = 20 })
	k := s.dial(t)
	k.envelope("alice@example.org", "alice@example.org")
	k.do("DATA", "354 ")
	k.send(strings.Repeat("QUIT\r\n", 1000) + ".\r\n")
	k.expect("552 5.3.4 <alice@example.org> ")
	k.expect("552 5.3.4 <alice@example.org> ")
	k.do("NOOP", "250 ")
	assert.Empty(t, store.got())
}

// After a message that broke off, what comes is not read as commands.
func TestBackendStalledMessage(t *testing.T) {
	store := newFakeStore("alice@example.org")
	s := ownServer(t, Options{}, store, func(srv *smtp.Server) { srv.ReadTimeout = 50 * time.Millisecond })
	k := s.dial(t)
	k.envelope("alice@example.org")
	k.do("DATA", "354 ")
	k.send("Subject: x\r\n")
	k.expect("421 4.4.2 <alice@example.org> ")
	k.end()
	assert.Empty(t, store.got())
}

func TestBackendNeedsLMTP(t *testing.T) {
	s := ownServer(t, Options{}, newFakeStore("alice@example.org"), func(srv *smtp.Server) { srv.LMTP = false })
	k := s.dial(t)
	k.expect("220 ")
	k.do("EHLO client.example.net", "554 5.3.5 ")
}

func TestNilStorePanics(t *testing.T) {
	assert.PanicsWithValue(t, "lmtpadapter: Options.Store is nil", func() { NewServer(&Options{}) })
	assert.PanicsWithValue(t, "lmtpadapter: Options.Store is nil", func() { NewBackend(&Options{}) })
}
