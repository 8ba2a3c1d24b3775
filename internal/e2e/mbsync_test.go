//go:build clients

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree is what mailboxes hold: by folder and Message-ID, the letters of Maildir
// for the flags.
type tree map[string]map[string]string

// maildir is a folder tree that mbsync keeps.
type maildir struct {
	program
	root string
}

func newMaildir(t *testing.T, s *server) *maildir {
	t.Helper()
	host, port := hostPort(t, s.imap)
	m := &maildir{program: program{dir: t.TempDir()}}
	m.root = filepath.Join(m.dir, "Maildir")
	require.NoError(t, os.Mkdir(m.root, 0o700))
	config := fmt.Sprintf(`IMAPAccount server
Host %s
Port %s
User ann
Pass "%s"
SSLType None
AuthMechs LOGIN

IMAPStore far
Account server

MaildirStore near
Path %[4]s/
Inbox %[4]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
`, host, port, password, m.root)
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "rc"), []byte(config), 0o600))
	return m
}

func (m *maildir) sync(t *testing.T) {
	t.Helper()
	m.ok(t, "", "mbsync", "-c", filepath.Join(m.dir, "rc"), "-a")
}

var messageID = regexp.MustCompile(`(?m)^Message-ID: <(.*)@example.org>\r?$`)

// coded is a mailbox name of the test as mbsync spells folders: in IMAP's UTF-7.
const (
	plainName = "Work/2026/Straße"
	coded     = "Work/2026/Stra&AN8-e"
)

// folder returns the mailbox name of a folder that has a cur or new.
func (m *maildir) folder(t *testing.T, sub string) string {
	t.Helper()
	name, err := filepath.Rel(m.root, filepath.Dir(sub))
	require.NoError(t, err)
	if name = filepath.ToSlash(name); name == coded {
		return plainName
	}
	return name
}

// messages yields the message files of the tree.
func (m *maildir) messages(t *testing.T, each func(folder, id, path string)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{"cur", "new"}, filepath.Base(filepath.Dir(path))) {
			return err
		}
		folder := m.folder(t, filepath.Dir(path))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		id := messageID.FindSubmatch(text)
		require.NotNil(t, id, "%s", text)
		each(folder, string(id[1]), path)
		return nil
	}))
}

// tree returns what is in the folders.
func (m *maildir) tree(t *testing.T) tree {
	t.Helper()
	out := tree{}
	require.NoError(t, filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == "cur" {
			out[m.folder(t, path)] = map[string]string{}
		}
		return err
	}))
	m.messages(t, func(folder, id, path string) {
		_, dup := out[folder][id]
		require.False(t, dup, "%s is twice in %s", id, folder)
		_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
		out[folder][id] = flags
	})
	return out
}

// files returns the names of all files, in which mbsync's state and the flags
// are.
func (m *maildir) files(t *testing.T) []string {
	t.Helper()
	var out []string
	m.messages(t, func(_, _, path string) { out = append(out, path) })
	return out
}

// file finds a message's file.
func (m *maildir) file(t *testing.T, folder, id string) string {
	t.Helper()
	var found string
	m.messages(t, func(f, i, path string) {
		if f == folder && i == id {
			found = path
		}
	})
	require.NotEmpty(t, found, "%s in %s", id, folder)
	return found
}

// add puts a message into a folder of the tree, with flags.
func (m *maildir) add(t *testing.T, folder, id, flags string) {
	t.Helper()
	for _, d := range []string{"cur", "new", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(m.root, folder, d), 0o700))
	}
	text := strings.ReplaceAll(string(mail(id)), "\r\n", "\n")
	require.NoError(t, os.WriteFile(filepath.Join(m.root, folder, "cur", id+".1.here:2,"+flags), []byte(text), 0o600))
}

// flag gives a message of the tree other flags.
func (m *maildir) flag(t *testing.T, folder, id, flags string) {
	t.Helper()
	path := m.file(t, folder, id)
	name, _, _ := strings.Cut(filepath.Base(path), ":2,")
	require.NoError(t, os.Rename(path, filepath.Join(m.root, folder, "cur", name+":2,"+flags)))
}

// serverTree returns what the server holds.
func serverTree(t *testing.T, c *imapclient.Client) tree {
	t.Helper()
	out := tree{}
	boxes, err := c.List("", "*", nil).Collect()
	require.NoError(t, err)
	letters := map[imap.Flag]string{imap.FlagDraft: "D", imap.FlagFlagged: "F", imap.FlagAnswered: "R", imap.FlagSeen: "S", imap.FlagDeleted: "T"}
	for _, box := range boxes {
		if slices.Contains(box.Attrs, imap.MailboxAttrNonExistent) || slices.Contains(box.Attrs, imap.MailboxAttrNoSelect) {
			continue
		}
		out[box.Mailbox] = map[string]string{}
		mails, _ := list(t, c, box.Mailbox)
		for _, m := range mails {
			var flags []string
			for _, f := range m.Flags {
				flags = append(flags, letters[f])
			}
			slices.Sort(flags)
			out[box.Mailbox][m.ID] = strings.Join(flags, "")
		}
	}
	return out
}

// uidOf finds a message on the server, in the mailbox that it then has selected
// for writing.
func uidOf(t *testing.T, c *imapclient.Client, mailbox, id string) imap.UIDSet {
	t.Helper()
	_, err := c.Select(mailbox, nil).Wait()
	require.NoError(t, err)
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: id + "@"}}}, nil).Wait()
	require.NoError(t, err)
	require.Len(t, found.AllUIDs(), 1, id)
	return imap.UIDSetNum(found.AllUIDs()...)
}

// mbsync keeps a folder tree on both sides the same, whichever side changes.
func TestMbsync(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	for _, box := range []string{"Work", "Work/2026", plainName, "Gone"} {
		require.NoError(t, c.Create(box, nil).Wait())
	}
	for i, box := range []string{"INBOX", "Work", "Work/2026", plainName, "Gone"} {
		for n := range 4 {
			_, _, err := appendMail(c, box, mail(fmt.Sprintf("m-%d-%d", i, n)))
			require.NoError(t, err)
		}
	}
	store := func(box, id string, op imap.StoreFlagsOp, flags ...imap.Flag) {
		t.Helper()
		require.NoError(t, c.Store(uidOf(t, c, box, id), &imap.StoreFlags{Op: op, Flags: flags}, nil).Close())
	}
	store("INBOX", "m-0-1", imap.StoreFlagsAdd, imap.FlagSeen, imap.FlagAnswered)
	store("Work/2026", "m-2-3", imap.StoreFlagsAdd, imap.FlagFlagged)

	m := newMaildir(t, s)
	m.sync(t)
	want := serverTree(t, c)
	require.Len(t, want, 5)
	assert.Equal(t, want, m.tree(t), "after the first sync")

	// Both sides change.
	store("INBOX", "m-0-1", imap.StoreFlagsDel, imap.FlagAnswered)
	store("Work", "m-1-0", imap.StoreFlagsAdd, imap.FlagDeleted)
	require.NoError(t, c.Expunge().Close())
	_, err := c.Move(uidOf(t, c, "Work/2026", "m-2-0"), "INBOX").Wait()
	require.NoError(t, err)
	_, _, err = appendMail(c, "INBOX", mail("new-on-the-server"))
	require.NoError(t, err)
	require.NoError(t, c.Create("Server/Only", nil).Wait())
	_, _, err = appendMail(c, "Server/Only", mail("in-a-new-folder"))
	require.NoError(t, err)
	m.add(t, "INBOX", "new-in-the-maildir", "FS")
	m.add(t, "Maildir/Only", "in-a-new-maildir", "D")
	m.flag(t, "INBOX", "m-0-2", "RS")
	m.flag(t, "Work/2026", "m-2-3", "")
	m.flag(t, "Work", "m-1-3", "T")
	require.NoError(t, os.Remove(m.file(t, plainName, "m-3-1")))

	m.sync(t)
	want["INBOX"]["m-0-1"], want["INBOX"]["m-0-2"], want["Work/2026"]["m-2-3"] = "S", "RS", ""
	want["INBOX"]["m-2-0"], want["INBOX"]["new-on-the-server"], want["INBOX"]["new-in-the-maildir"] = "", "", "FS"
	want["Server/Only"], want["Maildir/Only"] = map[string]string{"in-a-new-folder": ""}, map[string]string{"in-a-new-maildir": "D"}
	delete(want["Work"], "m-1-0")
	delete(want["Work"], "m-1-3")
	delete(want["Work/2026"], "m-2-0")
	delete(want[plainName], "m-3-1")
	assert.Equal(t, want, existing(serverTree(t, c)), "the server")
	assert.Equal(t, want, existing(m.tree(t)), "the maildir")

	// Nothing is left to do.
	files, server := m.files(t), serverTree(t, c)
	m.sync(t)
	assert.Equal(t, files, m.files(t))
	assert.Equal(t, server, serverTree(t, c))

	// Somebody who begins now has the same.
	second := newMaildir(t, s)
	second.sync(t)
	assert.Equal(t, m.tree(t), second.tree(t))
	s.stop(t)
	checked(t, dir)
}

// existing leaves out the parents of what was made, which are there or not.
func existing(tr tree) tree {
	for _, parent := range []string{"Server", "Maildir"} {
		if len(tr[parent]) == 0 {
			delete(tr, parent)
		}
	}
	return tr
}
