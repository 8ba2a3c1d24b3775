//go:build clients

package e2e

import (
	"fmt"
	"net"
	netsmtp "net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// postfix is an instance of Postfix with a configuration, a queue and a port of
// its own. It needs root, as Postfix does.
type postfix struct {
	config string // folder
	smtp   string // address
	log    string // file
}

// services are what Postfix needs to take mail in and hand it on by LMTP.
const services = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// virtualTransport is the line that docs/lmtp.md gives.
const virtualTransport = "virtual_transport = lmtp:inet:127.0.0.1:1124"

const mainConfig = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = %[3]s
daemon_directory = /usr/lib/postfix/sbin
meta_directory = %[1]s/config
maillog_file = %[1]s/mail.log
maillog_file_prefixes = %[1]s
mail_owner = %[4]s
setgid_group = %[5]s
myhostname = mx.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = static:all
%[2]s
`

// startPostfix starts an instance that delivers to an LMTP address.
func startPostfix(t *testing.T, lmtp string) *postfix {
	t.Helper()
	require.Zero(t, os.Getuid(), "Postfix is started by root only")
	// Its programs run as another user: not in a folder that only root may enter.
	dir, err := os.MkdirTemp("/var/tmp", "letterlock-postfix-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &postfix{config: filepath.Join(dir, "config"), smtp: ln.Addr().String(), log: filepath.Join(dir, "mail.log")}
	require.NoError(t, ln.Close())
	for _, sub := range []string{"config", "queue", "data"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	path, err := exec.LookPath("postfix")
	require.NoError(t, err, "the tests of real clients need it")
	// Debian's packages of mail servers exclude each other, so it may be unpacked
	// beside another one, and then its users are not there.
	owner, group := "postfix", "postdrop"
	if _, err := user.Lookup(owner); err != nil {
		owner, group = "mail", "news"
	}
	program{}.ok(t, "", "chown", owner, filepath.Join(dir, "data"))
	files := filepath.Join(filepath.Dir(path), "../../etc/postfix/postfix-files")
	program{}.ok(t, "", "cp", files, p.config)
	line := strings.Replace(virtualTransport, "127.0.0.1:1124", lmtp, 1)
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(p.config, name), []byte(text), 0o644))
	}
	write("main.cf", fmt.Sprintf(mainConfig, dir, line, filepath.Dir(path), owner, group))
	write("master.cf", fmt.Sprintf(services, p.smtp))
	program{}.ok(t, "", "postfix", "-c", p.config, "start")
	t.Cleanup(func() {
		out, err := exec.Command("postfix", "-c", p.config, "stop").CombinedOutput() // the test's context is over
		assert.NoError(t, err, "%s", out)
		if t.Failed() {
			t.Logf("log of Postfix:\n%s", p.logged())
		}
	})
	return p
}

func (p *postfix) logged() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// send hands a mail to Postfix as another server would.
func (p *postfix) send(t *testing.T, id string, to ...string) {
	t.Helper()
	eventually(t, "Postfix takes mail", func() bool {
		return netsmtp.SendMail(p.smtp, nil, "bob@example.net", to, mail(id)) == nil
	})
}

// queue returns what Postfix says of the mails that wait.
func (p *postfix) queue(t *testing.T) string {
	t.Helper()
	return program{}.ok(t, "", "postqueue", "-c", p.config, "-j")
}

// Debian's Postfix delivers by the one line of the documentation. A mail that the
// server cannot take for now stays in Postfix's queue, and comes when it can.
func TestPostfix(t *testing.T) {
	page, err := os.ReadFile("../../docs/lmtp.md")
	require.NoError(t, err)
	require.Contains(t, string(page), virtualTransport, "the line is documented")
	dir := newStore(t)
	s := start(t, dir)
	p := startPostfix(t, s.lmtp)
	there := func() []seen {
		got, _ := list(t, dial(t, s.imap, nil), "INBOX")
		return got
	}

	p.send(t, "first", "ann@example.org", "ann+lists@example.org")
	eventually(t, "two copies are there", func() bool { return len(there()) == 2 })
	c := dial(t, s.imap, nil)
	_, err = c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	text := string(read(t, c, 1))
	require.NoError(t, c.Logout().Wait())
	assert.True(t, strings.HasPrefix(text, "Return-Path: <bob@example.net>\r\n"), text)
	assert.Contains(t, text, "by mx.example.org (Postfix)")
	assert.True(t, strings.HasSuffix(text, "The text of first.\r\n"), text)

	// A store that takes nothing for now, with something else in the place of the
	// accounts' folder: 451, and another try later.
	require.NoError(t, os.Rename(filepath.Join(dir, "acct"), filepath.Join(dir, "away")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "acct"), nil, 0o600))
	p.send(t, "second", "ann@example.org")
	eventually(t, "Postfix has deferred it", func() bool { return strings.Contains(p.queue(t), "451 4.") })
	require.NoError(t, os.Remove(filepath.Join(dir, "acct")))
	require.NoError(t, os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "acct")))
	program{}.ok(t, "", "postqueue", "-c", p.config, "-f")
	eventually(t, "the second mail is there", func() bool { return len(there()) == 3 })

	// A server that is down, and back at the same address.
	s.stop(t)
	p.send(t, "third", "ann@example.org")
	eventually(t, "Postfix has deferred it", func() bool { return strings.Contains(p.queue(t), "Connection refused") })
	s = start(t, dir, "-lmtp", s.lmtp)
	program{}.ok(t, "", "postqueue", "-c", p.config, "-f")
	eventually(t, "the third mail is there", func() bool { return len(there()) == 4 })
	eventually(t, "nothing waits", func() bool { return p.queue(t) == "" })
	s.stop(t)
	checked(t, dir)
}
