package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A mail that comes in by LMTP wakes a session that waits, and is read back as it
// came, behind the lines that LMTP puts in front.
func TestMailComesInAndIsRead(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	told := make(chan uint32, 8)
	c := dial(t, s.imap, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				told <- *d.NumMessages
			}
		},
	}})
	_, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	idle, err := c.Idle()
	require.NoError(t, err)

	lmtp, err := dialLMTP(t.Context(), s.lmtp)
	require.NoError(t, err)
	taken, err := deliver(lmtp, mail("first"), "ann@example.org", "ann+Nowhere@example.org")
	require.NoError(t, err)
	assert.Equal(t, []string{"ann+Nowhere@example.org", "ann@example.org"}, taken)
	require.Error(t, lmtp.Rcpt("nobody@example.org", nil))
	require.NoError(t, lmtp.Quit())

	for n := range told {
		if n == 2 {
			break
		}
	}
	require.NoError(t, idle.Close())
	require.NoError(t, idle.Wait())
	for uid := range imap.UID(2) {
		text := string(read(t, c, uid+1))
		assert.True(t, strings.HasPrefix(text, "Return-Path: <bob@example.org>\r\n"), text)
		assert.True(t, strings.HasSuffix(text, string(mail("first"))), text)
	}

	appended := []byte("bare\nlines\r\rand \x00 as they are")
	uid, _, err := appendMail(c, "INBOX", appended)
	require.NoError(t, err)
	assert.Equal(t, appended, read(t, c, uid))
	require.NoError(t, c.Logout().Wait())
	s.stop(t)
	checked(t, dir)
}

// The account commands work on a store that is being served.
func TestAccountsWhileServing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	s := start(t, dir)
	try := func(name, secret string) error {
		c, err := imapclient.DialInsecure(s.imap, nil)
		require.NoError(t, err)
		defer c.Close()
		return c.Login(name, secret).Wait()
	}
	require.Error(t, try("bob.builder@example.org", "first-secret"))
	must(t, "first-secret\n", "account", "add", "bob.builder@example.org", "-store", dir)
	require.NoError(t, try("bob.builder@example.org", "first-secret"))
	require.NoError(t, try("Bob.Builder@Example.ORG", "first-secret"))
	require.Error(t, try("bob.builder", "first-secret"))

	token := strings.TrimSpace(must(t, "first-secret\n", "account", "token", "add", "bob.builder@example.org", "-store", dir))
	require.NoError(t, try("bob.builder@example.org", token))
	must(t, "first-secret\nsecond-secret\n", "account", "passwd", "bob.builder@example.org", "-store", dir)
	require.Error(t, try("bob.builder@example.org", "first-secret"))
	require.NoError(t, try("bob.builder@example.org", "second-secret"))
	id, _, _ := strings.Cut(must(t, "second-secret\n", "account", "token", "list", "bob.builder@example.org", "-store", dir), " ")
	must(t, "second-secret\n", "account", "token", "revoke", "bob.builder@example.org", id, "-store", dir)
	require.Error(t, try("bob.builder@example.org", token))

	s.stop(t)
	for _, secret := range []string{"bob.builder", "first-secret", "second-secret", token} {
		assert.NotContains(t, s.logged(), secret)
	}
}

// LMTP is taken at a Unix socket too, which a killed server leaves behind.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	folder, err := os.MkdirTemp("", "ll") // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	address := "unix:" + filepath.Join(folder, "lmtp")
	for range 2 {
		s := start(t, dir, "-lmtp", address)
		out := must(t, "Subject: x\n\ny\n", "deliver", "ann", "-lmtp", address)
		assert.Contains(t, out, "ann@localhost: 250 ")
		s.kill(t)
	}
	s := start(t, dir, "-lmtp", "")
	c := dial(t, s.imap, nil)
	mails, _ := list(t, c, "INBOX")
	assert.Len(t, mails, 2)
	s.stop(t)
}

// An address in use is said before anything is served.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	for _, flag := range []string{"-imap", "-lmtp"} {
		out, errs, code := command(t, "", "serve", "-store", dir, "-imap", "127.0.0.1:0", "-lmtp", "127.0.0.1:0", flag, ln.Addr().String())
		assert.Equal(t, 1, code)
		assert.Empty(t, out)
		assert.Contains(t, errs, "address already in use")
	}
}

// With -imap or -lmtp beyond loopback the log says what that means.
func TestWarnsOfOpenAddresses(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir, "-imap", "0.0.0.0:0", "-lmtp", "0.0.0.0:0")
	s.stop(t)
	assert.Contains(t, s.logged(), "there is no certificate")
	assert.Contains(t, s.logged(), "can deliver mail")
	s = start(t, dir, "-imap", "0.0.0.0:0", "-insecure-auth")
	s.stop(t)
	assert.Contains(t, s.logged(), "may cross the network in plain text")
}
