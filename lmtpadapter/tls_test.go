package lmtpadapter

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// certificate returns the two ends' configurations of TLS.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mx.example.org"}
}

// upgrade goes on in TLS.
func (k *talk) upgrade(cfg *tls.Config) *talk {
	k.t.Helper()
	c := tls.Client(k.c, cfg)
	require.NoError(k.t, c.HandshakeContext(k.t.Context()))
	return newTalk(k.t, c)
}

func TestStartTLS(t *testing.T) {
	server, client := certificate(t)
	store := newFakeStore("alice@example.org")
	s := start(t, Options{TLSConfig: server}, store)
	k := s.dial(t)
	k.expect("220 mx.example.org LMTP")
	assert.Contains(t, k.capabilities(), "STARTTLS")
	k.do("STARTTLS now", "501 5.5.4 ")
	k.mail("alice@example.org")
	// What comes with STARTTLS, in the clear, must not be carried out in TLS.
	k.send("starttls\r\nRCPT TO:<alice@example.org>\r\n")
	k.expect("220 2.0.0 ")
	k = k.upgrade(client)

	// All is forgotten: the client must say LHLO, and begin anew.
	k.do("MAIL FROM:<sender@example.net>", "502 5.5.1 ")
	assert.NotContains(t, k.capabilities(), "STARTTLS")
	k.do("RCPT TO:<alice@example.org>", "502 5.5.1 ")
	k.do("STARTTLS", "502 5.5.1 ")
	k.mail("alice@example.org")
	k.send("BDAT 4\r\ntextBDAT 4 LAST\r\nmore")
	k.expect("250 2.0.0 Continue")
	k.expect("250 2.0.0 <alice@example.org> ")
	require.Len(t, store.got(), 1)
	assert.Equal(t, "textmore", string(store.got()[0].body))
	assert.Contains(t, store.got()[0].prefix, " with LMTPS id ")
}

// capabilities says LHLO and returns what is offered.
func (k *talk) capabilities() (caps []string) {
	k.t.Helper()
	k.send("LHLO client.example.net\r\n")
	for {
		line := k.expect("250")
		caps = append(caps, line[4:])
		if line[3] == ' ' {
			return caps[1:]
		}
	}
}

// TLS that is ended in good order in the middle of the last chunk ends the
// message no more than a broken connection does.
func TestCutInTLS(t *testing.T) {
	server, client := certificate(t)
	store := newFakeStore("alice@example.org")
	s := start(t, Options{TLSConfig: server}, store)
	k := s.dial(t)
	k.expect("220 ")
	k.do("STARTTLS", "220 ")
	k = k.upgrade(client)
	k.capabilities()
	k.mail("alice@example.org")
	k.send("BDAT 100 LAST\r\ntext")
	require.NoError(t, k.c.Close())
	require.NoError(t, s.Shutdown(t.Context()))
	assert.Empty(t, store.got())
}

func TestImplicitTLS(t *testing.T) {
	server, client := certificate(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	store := newFakeStore("alice@example.org")
	s := startOn(t, Options{TLSConfig: server}, store, tls.NewListener(ln, server))

	k := s.dial(t).upgrade(client)
	k.expect("220 ")
	assert.NotContains(t, k.capabilities(), "STARTTLS")
	k.mail("alice@example.org")
	k.do("DATA", "354 ")
	k.do("x\r\n.", "250 ")
	require.Len(t, store.got(), 1)
	assert.Contains(t, store.got()[0].prefix, " with LMTPS id ")

	plain := s.dial(t)
	plain.send("LHLO client.example.net\r\n")
	_, err = plain.in.ReadByte() // an alert of TLS, or nothing
	for err == nil {
		_, err = plain.in.ReadByte()
	}
	require.NoError(t, s.Shutdown(t.Context()))
	assert.Contains(t, s.logs.String(), "TLS handshake failed")
}

// A server of the embedder's own says in the Received line whether it had TLS.
func TestBackendOverTLS(t *testing.T) {
	server, client := certificate(t)
	store := newFakeStore("alice@example.org")
	s := start(t, Options{TLSConfig: server}, store)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	own := smtp.NewServer(newBackend(t.Context(), &Options{}, store)) // an embedder's
	own.LMTP, own.TLSConfig = true, server
	go own.Serve(ln)
	defer own.Close()
	for _, addr := range []string{s.addr, ln.Addr().String()} {
		nc, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		k := newTalk(t, nc)
		k.expect("220 ")
		k.capabilities()
		k.do("STARTTLS", "220 ")
		k = k.upgrade(client)
		k.capabilities()
		k.mail("alice@example.org")
		k.do("DATA", "354 ")
		k.do("x\r\n.", "250 ")
	}
	require.Len(t, store.got(), 2)
	assert.Contains(t, store.got()[1].prefix, " with LMTPS id ")
}
