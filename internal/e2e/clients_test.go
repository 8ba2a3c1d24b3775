//go:build clients

package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program is a mail program with what it needs to run.
type program struct {
	dir string   // where it runs
	env []string // besides the test's own
}

// run runs a program, which must be there, and returns its output and exit code.
func (p program) run(t *testing.T, in, name string, args ...string) (string, int) {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "the tests of real clients need it")
	c := exec.CommandContext(t.Context(), path, args...)
	c.Dir, c.Env = p.dir, append(os.Environ(), p.env...)
	c.Stdin = strings.NewReader(in)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err = c.Run()
	require.NotNil(t, c.ProcessState, "%s: %v", name, err)
	return out.String(), c.ProcessState.ExitCode()
}

// ok runs a program, which must end well, and returns its output.
func (p program) ok(t *testing.T, in, name string, args ...string) string {
	t.Helper()
	out, code := p.run(t, in, name, args...)
	require.Zero(t, code, "%s: %s", name, out)
	return out
}

func hostPort(t *testing.T, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return host, port
}

// curl lists, fetches, searches, appends and expunges by IMAP.
func TestCurl(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	p := program{dir: t.TempDir()}
	file := filepath.Join(p.dir, "mail.eml")
	require.NoError(t, os.WriteFile(file, mail("by-curl"), 0o600))
	curl := func(path string, args ...string) string {
		return p.ok(t, "", "curl", append([]string{"-sS", "--user", "ann:" + password, "imap://" + s.imap + path}, args...)...)
	}
	curl("/INBOX", "-T", file)
	curl("/", "-X", "CREATE Archive")
	assert.Equal(t, string(mail("by-curl")), curl("/INBOX;UID=1"))
	assert.Equal(t, "The text of by-curl.\r\n", curl("/INBOX;MAILINDEX=1;SECTION=TEXT"))
	assert.Contains(t, curl("/INBOX?SUBJECT%20by-curl"), "* SEARCH 1")
	assert.Contains(t, curl("/"), "Archive")
	curl("/INBOX", "-X", `STORE 1 +FLAGS (\Deleted)`)
	assert.Contains(t, curl("/INBOX", "-X", "EXPUNGE"), "* 1 EXPUNGE")
	_, code := p.run(t, "", "curl", "-sS", "--user", "ann:wrong", "imap://"+s.imap+"/INBOX")
	assert.Equal(t, 67, code, "login denied")
	s.stop(t)
	checked(t, dir)
}

// swaks delivers to several recipients, of whom one is not there.
func TestSwaks(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	must(t, "x\n", "account", "add", "bob@example.org", "-store", dir)
	s := start(t, dir)
	p := program{dir: t.TempDir()}
	file := filepath.Join(p.dir, "list.txt")
	require.NoError(t, os.WriteFile(file, []byte("attached by swaks"), 0o600))
	out, _ := p.run(t, "", "swaks", "--protocol", "LMTP", "--server", s.lmtp, "--from", "zoe@example.org",
		"--to", "ann@example.org,nobody@example.org,bob@example.org,ann+Missing@example.org", "--body", "by swaks", "--attach", "@"+file)
	assert.Contains(t, out, "<** 550 5.1.1")
	assert.Equal(t, 3, strings.Count(out, "250 2.0.0 <"), out)

	c := dial(t, s.imap, nil)
	got, _ := list(t, c, "INBOX")
	require.Len(t, got, 2)
	text := string(read(t, c, 1))
	assert.True(t, strings.HasPrefix(text, "Return-Path: <zoe@example.org>\r\nDelivered-To: "), text)
	assert.Contains(t, text, "by swaks")
	s.stop(t)
	checked(t, dir)
}

// Python's imaplib goes through most commands.
func TestImaplib(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	host, port := hostPort(t, s.imap)
	script, err := filepath.Abs("testdata/imaplib_client.py")
	require.NoError(t, err)
	out := program{dir: t.TempDir()}.ok(t, "", "python3", script, host, port, "ann", password)
	assert.Equal(t, "all well\n", out)
	s.stop(t)
	checked(t, dir)
}

// ImapFlow does what a web mailer does.
func TestImapFlow(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	host, port := hostPort(t, s.imap)
	script, err := filepath.Abs("testdata/imapflow_client.js")
	require.NoError(t, err)
	out := program{dir: t.TempDir()}.ok(t, "", "node", script, host, port, "ann", password)
	assert.Equal(t, "all well\n", out)
	s.stop(t)
	checked(t, dir)
}

// With the recovery identity the age tool opens every body in the store: each is,
// byte for byte, a mail that went in.
func TestAgeOpensBodies(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	went := map[string]bool{}
	for _, text := range [][]byte{mail("for-age"), []byte("not\nquite\r\ra mail\x00\xff"), bytes.Repeat([]byte("long line "), 20000)} {
		_, _, err := appendMail(c, "INBOX", text)
		require.NoError(t, err)
		went[string(text)] = true
	}
	lmtp, err := dialLMTP(t.Context(), s.lmtp)
	require.NoError(t, err)
	_, err = deliver(lmtp, mail("delivered"), "ann@example.org")
	require.NoError(t, err)
	went[string(read(t, c, lastUID(t, c)))] = true
	s.stop(t)

	p := program{dir: t.TempDir()}
	identity := filepath.Join(p.dir, "identity.txt")
	require.NoError(t, os.WriteFile(identity, []byte(must(t, password+"\n", "account", "recovery", "ann", "-store", dir)), 0o600))
	bodies, err := filepath.Glob(filepath.Join(dir, "acct", "*", "body", "*"))
	require.NoError(t, err)
	require.Len(t, bodies, len(went))
	for _, body := range bodies {
		text := p.ok(t, "", "age", "-d", "-i", identity, body)
		assert.True(t, went[text], "%s is none of the mails", filepath.Base(body))
		delete(went, text)
	}
	assert.Empty(t, went)
}

// lastUID returns the UID of the newest message of INBOX.
func lastUID(t *testing.T, c *imapclient.Client) imap.UID {
	t.Helper()
	mails, _ := list(t, c, "INBOX")
	require.NotEmpty(t, mails)
	return mails[len(mails)-1].UID
}

// grep finds no word of a mailbox in its store.
func TestGrepFindsNothing(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	fillWithSecrets(t, s, dir)
	s.stop(t)
	p := program{dir: dir}
	assert.Contains(t, p.ok(t, "", "grep", "-r", "-l", "letterlock", "."), "store/format", "grep finds what is there")
	for _, word := range secrets {
		out, code := p.run(t, "", "grep", "-r", "-a", "-i", "-F", "-e", word, ".")
		assert.Equal(t, 1, code, "%s: %s", word, out)
		out = p.ok(t, "", "find", ".", "-iname", "*"+word+"*")
		assert.Empty(t, out, word)
	}
}

// A password without TLS is taken from this machine's loopback only, unless it is
// said otherwise.
func TestPlainPasswordsFromElsewhere(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	var outside net.IP
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			outside = n.IP
		}
	}
	require.NotNil(t, outside, "the machine has no address but loopback")
	p := program{dir: t.TempDir()}
	for _, insecure := range []bool{false, true} {
		args := []string{"-imap", net.JoinHostPort(outside.String(), "0")}
		if insecure {
			args = append(args, "-insecure-auth")
		}
		s := start(t, dir, args...)
		out, code := p.run(t, "", "curl", "-v", "-sS", "--user", "ann:"+password, "imap://"+s.imap+"/")
		if insecure {
			assert.Zero(t, code, out)
		} else {
			assert.Equal(t, 67, code, out)
			assert.NotContains(t, out, "AUTH=PLAIN")
		}
		s.stop(t)
	}
}
