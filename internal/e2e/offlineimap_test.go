//go:build clients

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// offlineimap is a folder tree that offlineimap keeps over compressed connections.
type offlineimap struct{ maildir }

func newOfflineimap(t *testing.T, s *server) *offlineimap {
	t.Helper()
	host, port := hostPort(t, s.imap)
	m := &offlineimap{maildir{program: program{dir: t.TempDir()}}}
	m.root = filepath.Join(m.dir, "Maildir")
	config := fmt.Sprintf(`[general]
accounts = ann
metadata = %[1]s/state
ui = quiet

[Account ann]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %[1]s/Maildir
sep = /

[Repository far]
type = IMAP
remotehost = %[2]s
remoteport = %[3]s
remoteuser = ann
remotepass = %[4]s
auth_mechanisms = PLAIN
ssl = no
starttls = no
usecompression = yes
`, m.dir, host, port, password)
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "rc"), []byte(config), 0o600))
	return m
}

func (m *offlineimap) sync(t *testing.T) {
	t.Helper()
	m.ok(t, "", "timeout", "120", "offlineimap", "-c", filepath.Join(m.dir, "rc"))
}

// offlineimap keeps a folder tree on both sides the same, until there is no
// difference left.
func TestOfflineimap(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	for i, box := range []string{"INBOX", "Work", "Work/2026", plainName} {
		if box != "INBOX" {
			require.NoError(t, c.Create(box, nil).Wait())
		}
		for n := range 4 {
			_, _, err := appendMail(c, box, mail(fmt.Sprintf("o-%d-%d", i, n)))
			require.NoError(t, err)
		}
	}
	store := func(box, id string, op imap.StoreFlagsOp, flags ...imap.Flag) {
		t.Helper()
		require.NoError(t, c.Store(uidOf(t, c, box, id), &imap.StoreFlags{Op: op, Flags: flags}, nil).Close())
	}
	store("INBOX", "o-0-1", imap.StoreFlagsAdd, imap.FlagSeen, imap.FlagAnswered)
	store("Work/2026", "o-2-3", imap.StoreFlagsAdd, imap.FlagFlagged)

	m := newOfflineimap(t, s)
	m.sync(t)
	want := serverTree(t, c)
	require.Len(t, want, 4)
	assert.Equal(t, want, m.tree(t), "after the first sync")

	// Both sides change.
	store("INBOX", "o-0-1", imap.StoreFlagsDel, imap.FlagAnswered)
	store("Work", "o-1-0", imap.StoreFlagsAdd, imap.FlagDeleted)
	require.NoError(t, c.Expunge().Close())
	_, err := c.Move(uidOf(t, c, "Work/2026", "o-2-0"), "INBOX").Wait()
	require.NoError(t, err)
	require.NoError(t, c.Create("Server", nil).Wait())
	_, _, err = appendMail(c, "Server", mail("in-a-new-folder"))
	require.NoError(t, err)
	m.add(t, "INBOX", "new-in-the-maildir", "FS")
	m.add(t, "Near", "in-a-new-maildir", "S")
	m.flag(t, "INBOX", "o-0-2", "RS")
	m.flag(t, "Work/2026", "o-2-3", "")
	require.NoError(t, os.Remove(m.file(t, plainName, "o-3-1")))

	m.sync(t)
	want["INBOX"]["o-0-1"], want["INBOX"]["o-0-2"], want["Work/2026"]["o-2-3"] = "S", "RS", ""
	want["INBOX"]["o-2-0"], want["INBOX"]["new-in-the-maildir"] = "", "FS"
	want["Server"], want["Near"] = map[string]string{"in-a-new-folder": ""}, map[string]string{"in-a-new-maildir": "S"}
	delete(want["Work"], "o-1-0")
	delete(want["Work/2026"], "o-2-0")
	delete(want[plainName], "o-3-1")
	assert.Equal(t, want, serverTree(t, c), "the server")
	assert.Equal(t, want, m.tree(t), "the maildir")

	// Nothing is left to do.
	files := m.files(t)
	m.sync(t)
	assert.Equal(t, files, m.files(t))
	assert.Equal(t, want, serverTree(t, c))

	// Somebody who begins now has the same.
	second := newOfflineimap(t, s)
	second.sync(t)
	assert.Equal(t, want, second.tree(t))
	s.stop(t)
	checked(t, dir)
}
