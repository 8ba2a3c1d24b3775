package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/require"
)

// writeCertificate writes a certificate for 127.0.0.1 and its key to files, and
// returns it.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func trust(cert *x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

// TLS is spoken from the first byte on one port and after STARTTLS on the others,
// and a certificate that is renewed is used without a restart.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	certFile, keyFile := filepath.Join(filepath.Dir(dir), "cert.pem"), filepath.Join(filepath.Dir(dir), "key.pem")
	trusted := trust(writeCertificate(t, certFile, keyFile))
	s := start(t, dir, "-imaps", "127.0.0.1:0", "-tls-cert", certFile, "-tls-key", keyFile)

	conn, err := tls.Dial("tcp", s.imaps, trusted)
	require.NoError(t, err)
	c := imapclient.New(conn, nil)
	require.NoError(t, c.Login("ann", password).Wait())
	require.NoError(t, c.Close())

	c, err = imapclient.DialStartTLS(s.imap, &imapclient.Options{TLSConfig: trusted})
	require.NoError(t, err)
	require.NoError(t, c.Login("ann", password).Wait())
	require.NoError(t, c.Close())

	plain, err := net.Dial("tcp", s.lmtp)
	require.NoError(t, err)
	overSTARTTLS(t, plain, trusted, mail("over-tls"))

	renewed := trust(writeCertificate(t, certFile, keyFile))
	later := time.Now().Add(time.Minute) // some file systems count whole seconds
	require.NoError(t, os.Chtimes(certFile, later, later))
	conn, err = tls.Dial("tcp", s.imaps, renewed)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	_, err = tls.Dial("tcp", s.imaps, trusted)
	require.Error(t, err)

	// Files that cannot be read leave the certificate that was.
	require.NoError(t, os.WriteFile(certFile, []byte("in the making"), 0o600))
	conn, err = tls.Dial("tcp", s.imaps, renewed)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	s.stop(t)
	checked(t, dir)
}

// overSTARTTLS delivers a message to ann by LMTP after STARTTLS. The client
// library knows that for SMTP only.
func overSTARTTLS(t *testing.T, conn net.Conn, config *tls.Config, text []byte) {
	t.Helper()
	c := textproto.NewConn(conn)
	say := func(code int, format string, args ...any) {
		require.NoError(t, c.PrintfLine(format, args...))
		_, _, err := c.ReadResponse(code)
		require.NoError(t, err, format)
	}
	_, _, err := c.ReadResponse(220)
	require.NoError(t, err)
	say(250, "LHLO here")
	say(220, "STARTTLS")
	c = textproto.NewConn(tls.Client(conn, config))
	defer c.Close()
	say(250, "LHLO here")
	say(250, "MAIL FROM:<>")
	say(250, "RCPT TO:<ann@example.org>")
	say(354, "DATA")
	say(250, "%s.", text)
	say(221, "QUIT")
}
