package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/account"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
	"github.com/letterlock/letterlock/internal/fakes3"
)

var invoke, ok = clitest.Runners([]cli.Command{Command()}, account.Commands())

// examine returns what the doctor says of each subject that is worse than ok.
func examine(t *testing.T, args ...string) (bad map[string]string, all []finding) {
	t.Helper()
	base := []string{"doctor", "-json", "-imap", "127.0.0.1:0", "-lmtp", ""}
	r := invoke(t, "", append(base, args...)...)
	require.NoError(t, json.Unmarshal([]byte(r.Out), &all), r.Err)
	bad = map[string]string{}
	for _, f := range all {
		if f.Status != statusOK && f.Subject != "clock" && f.Subject != "user" && f.Subject != "disk" {
			bad[f.Subject] = f.Status + ": " + f.Text
			assert.NotEmpty(t, f.Advice, f.Text)
		}
	}
	problems := 0
	for _, f := range all {
		if f.Status == statusProblem {
			problems++
		}
	}
	assert.Equal(t, problems > 0, r.Code == cli.ExitFailed)
	return bad, all
}

func newStore(t *testing.T) string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "mail")
	ok(t, "pw\n", "account", "add", "ann", "-store", store)
	return store
}

// With all in order there is nothing to say, for people and for programs.
func TestHealthy(t *testing.T) {
	store := newStore(t)
	bad, all := examine(t, "-store", store)
	assert.Empty(t, bad)
	subjects := map[string]bool{}
	for _, f := range all {
		subjects[f.Subject] = true
	}
	for _, s := range []string{"store", "server key", "clock", "-imap"} {
		assert.True(t, subjects[s], s)
	}
	out := ok(t, "", "doctor", "-store", store, "-imap", "127.0.0.1:0", "-lmtp", "unix:"+filepath.Join(store, "..", "lmtp"))
	assert.Contains(t, out, "ok ")
	assert.Contains(t, out, "1 accounts are listed")
	assert.Contains(t, out, "0 problems")
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	bad, _ := examine(t, "-store", filepath.Join(dir, "typo"))
	assert.Contains(t, bad["store"], "problem: there is no store")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing is made")

	store := newStore(t)
	require.NoError(t, os.Chmod(store+".serverkey", 0o644))
	require.NoError(t, os.Chmod(store, 0o755))
	bad, _ = examine(t, "-store", store)
	if hasModes {
		assert.Contains(t, bad["server key"], "problem: others on this machine can read")
		assert.Contains(t, bad["permissions"], "warning: others on this machine can enter")
	}
	require.NoError(t, os.Remove(store+".serverkey"))
	bad, _ = examine(t, "-store", store)
	assert.Contains(t, bad["server key"], "warning: ")

	// A store that was made in the future.
	late := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(store, "store", "format"), late, late))
	_, all := examine(t, "-store", store)
	assert.Contains(t, all, finding{statusProblem, "clock", textOf(all, "clock"), "set the clock: timedatectl set-ntp true"})
}

func textOf(all []finding, subject string) string {
	for _, f := range all {
		if f.Subject == subject {
			return f.Text
		}
	}
	return ""
}

func TestAddresses(t *testing.T) {
	store := newStore(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	greeting := "* OK ready\r\n"
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, greeting)
			c.Close()
		}
	}()
	bad, all := examine(t, "-store", store, "-imap", ln.Addr().String())
	assert.Empty(t, bad)
	assert.Contains(t, textOf(all, "-imap"), "a server answers")
	bad, _ = examine(t, "-store", store, "-lmtp", ln.Addr().String())
	assert.Contains(t, bad["-lmtp"], "problem: "+ln.Addr().String()+" is in use by another program")
	bad, _ = examine(t, "-store", store, "-imap", "0.0.0.0:0", "-lmtp", "0.0.0.0:0", "-metrics", "no port")
	assert.Contains(t, bad["-imap"], "warning: logins from other machines")
	assert.Contains(t, bad["-lmtp"], "warning: whoever reaches")
	assert.Contains(t, bad["-metrics"], "problem: ")
	bad, _ = examine(t, "-store", store, "-lmtp", "unix:/nowhere/socket")
	assert.Contains(t, bad["-lmtp"], "problem: ")
}

// newCertificate writes a certificate that signs itself.
func newCertificate(t *testing.T, dir string, from, to time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"mail.example.org"}, NotBefore: from, NotAfter: to,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

func TestCertificate(t *testing.T) {
	store := newStore(t)
	dir := t.TempDir()
	now := time.Now()
	const day = 24 * time.Hour
	tls := func(args ...string) map[string]string {
		bad, _ := examine(t, append([]string{"-store", store, "-tls-cert", filepath.Join(dir, "cert.pem"), "-tls-key", filepath.Join(dir, "key.pem")}, args...)...)
		return bad
	}
	assert.Contains(t, tls()["TLS"], "no such file")
	_, key := newCertificate(t, dir, now.Add(-day), now.Add(90*day))
	assert.Equal(t, map[string]string{"TLS": "warning: the certificate is signed by itself"}, tls("-domain", "mail.example.org"))
	d := &doctor{flags: &flags{domain: "other.example"}, now: time.Now}
	leaf := func(from, to time.Time) []finding {
		d.found = nil
		d.leaf(&x509.Certificate{NotBefore: from, NotAfter: to, DNSNames: []string{"mail.example.org"}, Subject: pkix.Name{CommonName: "a"}}, 2)
		return d.found
	}
	assert.Contains(t, leaf(now.Add(-day), now.Add(90*day)), finding{statusProblem, "TLS", "the certificate is not for other.example", "get one for that name, or set -domain"})
	assert.Contains(t, leaf(now.Add(-day), now.Add(3*day))[0].Text, "the certificate ends at")
	assert.Equal(t, statusProblem, leaf(now.Add(-9*day), now.Add(-day))[0].Status)
	assert.Equal(t, statusProblem, leaf(now.Add(day), now.Add(90*day))[0].Status)
	if hasModes {
		require.NoError(t, os.Chmod(key, 0o640))
		assert.Contains(t, tls()["TLS key"], "problem: others")
	}
	bad, _ := examine(t, "-store", store, "-imaps", "127.0.0.1:0")
	assert.Contains(t, bad["TLS"], "problem: ")
}

func TestBucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", fakes3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	fake := fakes3.New()
	srv := httptest.NewServer(fake)
	defer srv.Close()
	dir := t.TempDir()
	key := filepath.Join(dir, "serverkey")
	url := "s3://" + fakes3.Bucket + "/mail?region=x&endpoint=" + srv.URL
	ok(t, "pw\n", "account", "add", "ann", "-store", url, "-server-key", key)
	bad, all := examine(t, "-store", url, "-server-key", key)
	assert.Empty(t, bad)
	assert.NotEmpty(t, textOf(all, "bucket"))
	assert.NotContains(t, textOf(all, "clock"), "differs")
	fake.Quirks.IgnoresCondition = true
	bad, _ = examine(t, "-store", url, "-server-key", key)
	assert.Contains(t, bad["store"], "exclusive=true")
	fake.Quirks = fakes3.Quirks{Clock: time.Hour}
	_, all = examine(t, "-store", url, "-server-key", key)
	assert.Contains(t, textOf(all, "clock"), "it differs from that of the bucket by ")
}

// A disk that is nearly full, or that is none, is named.
func TestVolume(t *testing.T) {
	for _, c := range []struct {
		v    volume
		want []string
	}{
		{volume{total: 100 << 30, free: 50 << 30}, []string{statusOK}},
		{volume{total: 100 << 30, free: 4 << 30}, []string{statusWarning}},
		{volume{total: 2 << 30, free: 1 << 29}, []string{statusWarning}},
		{volume{total: 100 << 30, free: 1 << 20}, []string{statusProblem}},
		{volume{total: 100 << 30, free: 50 << 30, files: 1000, freeFiles: 10}, []string{statusOK, statusWarning}},
		{volume{total: 100 << 30, free: 50 << 30, network: true}, []string{statusOK, statusProblem}},
		{volume{total: 100 << 30, free: 50 << 30, memory: true}, []string{statusOK, statusWarning}},
	} {
		d := &doctor{now: time.Now}
		d.volume(c.v)
		var got []string
		for _, f := range d.found {
			got = append(got, f.Status)
		}
		assert.Equal(t, c.want, got, "%+v", c.v)
	}
	d := &doctor{now: time.Now}
	d.skew("x", -time.Hour)
	d.skew("x", 3*time.Second)
	assert.Equal(t, statusProblem, d.found[0].Status)
	assert.Equal(t, statusWarning, d.found[1].Status)
}
