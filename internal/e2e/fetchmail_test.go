//go:build clients

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fetchmail takes mail from ann by IMAP and hands it to bob by LMTP: first what is
// unread, then all that is left, which it deletes.
func TestFetchmail(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	must(t, password+"\n", "account", "add", "bob@example.org", "-store", dir)
	s := start(t, dir)
	ann := dial(t, s.imap, nil)
	bob, err := imapclient.DialInsecure(s.imap, nil)
	require.NoError(t, err)
	t.Cleanup(func() { bob.Close() })
	require.NoError(t, bob.Login("bob@example.org", password).Wait())

	host, port := hostPort(t, s.imap)
	p := program{dir: t.TempDir()}
	p.env = []string{"FETCHMAILHOME=" + p.dir, "HOME=" + p.dir}
	lmtpHost, lmtpPort := hostPort(t, s.lmtp)
	rc := filepath.Join(p.dir, "rc")
	require.NoError(t, os.WriteFile(rc, fmt.Appendf(nil, `poll %s service %s protocol IMAP auth password
  user ann password "%s" sslproto ""
  lmtp smtphost %s/%s smtpname "bob@example.org"
`, host, port, password, lmtpHost, lmtpPort), 0o600))
	const fetched, nothing = 0, 1 // exit codes
	fetch := func(want int, args ...string) {
		t.Helper()
		out, code := p.run(t, "", "timeout", append([]string{"60", "fetchmail", "-f", rc, "--nosyslog"}, args...)...)
		assert.Equal(t, want, code, "%v: %s", args, out)
	}
	holds := func(c *imapclient.Client, want ...string) {
		t.Helper()
		got := []string{}
		mails, _ := list(t, c, "INBOX")
		for _, m := range mails {
			got = append(got, m.ID)
		}
		assert.Equal(t, want, got)
	}
	add := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			_, _, err := appendMail(ann, "INBOX", mail(id))
			require.NoError(t, err)
		}
	}

	add("a", "b", "c")
	require.NoError(t, ann.Store(uidOf(t, ann, "INBOX", "b"), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close())
	fetch(fetched, "--keep")
	holds(bob, "a", "c")
	mails, _ := list(t, ann, "INBOX")
	require.Len(t, mails, 3)
	for _, m := range mails {
		assert.Contains(t, m.Flags, imap.FlagSeen, m.ID)
	}
	assert.Contains(t, string(read(t, bob, 1)), "\r\nThe text of a.\r\n")

	fetch(nothing, "--keep")
	add("d")
	fetch(fetched, "--keep")
	holds(bob, "a", "c", "d")

	add("e")
	fetch(fetched, "--nokeep") // what is read stays
	holds(bob, "a", "c", "d", "e")
	holds(ann, "a", "b", "c", "d")
	fetch(fetched, "--nokeep", "--all")
	holds(bob, "a", "c", "d", "e", "a", "b", "c", "d")
	mails, _ = list(t, ann, "INBOX")
	assert.Empty(t, mails)
	s.stop(t)
	checked(t, dir)
}
