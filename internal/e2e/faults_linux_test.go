package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mountSmall returns a folder with a file system of its own, for which it takes a
// root that may mount.
func mountSmall(t *testing.T, size string) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		require.Empty(t, os.Getenv("CI"), "a file system of its own: %v", err)
		t.Skipf("a file system of its own, which CI must have: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// trouble is a server and clients whose disk fails.
type trouble struct {
	t    *testing.T
	s    *server
	dir  string
	c    *imapclient.Client
	sent map[string]bool // by ID: whether it was taken
	n    int

	maybe bool // what was not taken may be there all the same
}

func newTrouble(t *testing.T, folder string) *trouble {
	dir := filepath.Join(folder, "mail")
	must(t, password+"\n", "account", "add", "ann", "-store", dir)
	s := start(t, dir)
	x := &trouble{t: t, s: s, dir: dir, c: dial(t, s.imap, nil), sent: map[string]bool{}}
	for range 3 {
		require.NoError(t, x.deliver(100))
		require.NoError(t, x.append(100))
	}
	_, err := x.c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	return x
}

func (x *trouble) mail(size int) (string, []byte) {
	x.n++
	id := fmt.Sprintf("mail-%d", x.n)
	return id, append(mail(id), strings.Repeat("0123456789abcdef\r\n", size/18)...)
}

func (x *trouble) deliver(size int) error {
	id, text := x.mail(size)
	c, err := dialLMTP(x.t.Context(), x.s.lmtp)
	require.NoError(x.t, err)
	defer c.Close()
	_, err = deliver(c, text, "ann@example.org")
	x.sent[id] = err == nil
	return err
}

func (x *trouble) append(size int) error {
	id, text := x.mail(size)
	_, _, err := appendMail(x.c, "INBOX", text)
	x.sent[id] = err == nil
	return err
}

// refused asserts that mail and changes are refused for now, in words that say
// why to the operator, and not to the world; and that reading goes on.
func (x *trouble) refused(size int, cause string) {
	x.t.Helper()
	err := x.deliver(size)
	var answer smtp.LMTPDataError
	var plain *smtp.SMTPError
	if errors.As(err, &answer) {
		for _, plain = range answer {
		}
	}
	if assert.True(x.t, plain != nil || errors.As(err, &plain), "%v", err) {
		assert.Equal(x.t, 4, plain.Code/100, "%v", plain)
	}
	err = x.append(size)
	var no *imap.Error
	if assert.ErrorAs(x.t, err, &no) {
		assert.Equal(x.t, imap.StatusResponseTypeNo, no.Type)
		assert.NotContains(x.t, no.Text, x.dir)
	}
	assert.Contains(x.t, x.s.logged(), cause)
	assert.NotContains(x.t, x.s.logged(), "panic")
	x.reads()
}

// reads asserts that a message can be read, also by a client that comes now.
func (x *trouble) reads() {
	x.t.Helper()
	assert.Contains(x.t, string(read(x.t, x.c, 1)), "The text of mail-")
	mails, _ := list(x.t, dial(x.t, x.s.imap, nil), "INBOX")
	assert.NotEmpty(x.t, mails)
}

// whole asserts that everything works again, and that nothing was lost.
func (x *trouble) whole() {
	x.t.Helper()
	require.NoError(x.t, x.deliver(100))
	require.NoError(x.t, x.append(100))
	require.NoError(x.t, x.c.Noop().Wait())
	require.NoError(x.t, x.c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$after"}}, nil).Close())
	mails, _ := list(x.t, dial(x.t, x.s.imap, nil), "INBOX")
	got := map[string]int{}
	for _, m := range mails {
		got[m.ID]++
	}
	for id, taken := range x.sent {
		if taken {
			assert.Equal(x.t, 1, got[id], id)
		} else if !x.maybe || got[id] > 1 {
			assert.Zero(x.t, got[id], id)
		}
	}
	assert.Equal(x.t, []imap.Flag{"$after"}, lasting(mails[0].Flags))
	x.s.stop(x.t)
	checked(x.t, x.dir)
}

// A full disk refuses mail for now, loses none, leaves nothing half there, and
// keeps nobody from reading.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	folder := mountSmall(t, "8m")
	ballast := filepath.Join(folder, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 2<<20), 0o600))
	x := newTrouble(t, folder)
	must(t, password+"\n", "account", "add", "bob", "-store", x.dir)
	for x.deliver(500_000) == nil {
		require.Less(t, x.n, 100, "the disk does not fill up")
	}
	x.refused(2_000_000, "no space left on device")
	// To the last block, where not even a flag fits.
	f, err := os.Create(filepath.Join(folder, "more"))
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.NoError(t, f.Close())
	var no *imap.Error
	err = x.c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$before"}}, nil).Close()
	require.ErrorAs(t, err, &no)
	x.refused(100, "no space left on device")
	x.frees()
	x.refused(100, "kept back for changes that free space")
	require.NoError(t, os.Remove(ballast))
	require.NoError(t, os.Remove(f.Name()))
	x.whole()
}

// frees asserts that what frees space is done without a free byte.
func (x *trouble) frees() {
	x.t.Helper()
	mails, _ := list(x.t, dial(x.t, x.s.imap, nil), "INBOX")
	last := mails[len(mails)-1]
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}
	require.NoError(x.t, x.c.Store(imap.UIDSetNum(last.UID), deleted, nil).Close())
	require.NoError(x.t, x.c.Expunge().Close())
	delete(x.sent, last.ID)
	must(x.t, password+"\nanother-secret\n", "account", "passwd", "ann", "-store", x.dir)
	must(x.t, "another-secret\n"+password+"\n", "account", "passwd", "ann", "-store", x.dir)
	must(x.t, "", "account", "remove", "bob", "-yes", "-store", x.dir)
	must(x.t, "", "gc", "-store", x.dir)
	must(x.t, password+"\n", "gc", "-account", "ann", "-store", x.dir)
}

// A disk that turned read-only, as one does after an error, is read from.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	folder := mountSmall(t, "8m")
	x := newTrouble(t, folder)
	eventually(t, "nobody has a file open for writing", func() bool {
		return syscall.Mount("", folder, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "") == nil
	})
	x.refused(100, "read-only file system")
	require.NoError(t, syscall.Mount("", folder, "", syscall.MS_REMOUNT, ""))
	x.whole()
}
