package backup_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/backup"
)

func status(t *testing.T, a *mailbox.Account, name string) mailbox.Status {
	t.Helper()
	st, err := a.Status(t.Context(), name)
	require.NoError(t, err)
	return st
}

// Moving: nobody wrote after the copy. Nothing at all is different for anybody.
func TestDrillMove(t *testing.T) {
	ctx := t.Context()
	folder, err := diskblob.Open(t.TempDir(), &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s := open(t, folder)
	a := create(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Work"))
	for i := range 3 {
		deliver(t, s, "ann", i)
	}
	before, work := status(t, a, mailbox.Inbox), status(t, a, "Work")
	_, uids := texts(t, a)
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())

	there, back := memblob.New(), memblob.New()
	_, err = backup.Copy(ctx, folder, there, backup.Options{})
	require.NoError(t, err)
	_, err = backup.Copy(ctx, there, back, backup.Options{})
	require.NoError(t, err)
	for _, blobs := range []blob.Store{there, back} {
		m := open(t, blobs)
		a := login(t, m, "ann")
		require.Equal(t, before, status(t, a, mailbox.Inbox))
		require.Equal(t, work, status(t, a, "Work"))
		_, got := texts(t, a)
		require.Equal(t, uids, got)
		deliver(t, m, "ann", 9)
		whole(t, m, a)
	}
}

// The store is lost, and what came after the backup with it. Everything before is
// there with its UIDs. What mail programs know of the lost part is not taken for
// something else: UIDVALIDITY is another one.
func TestDrillDisaster(t *testing.T) {
	ctx := t.Context()
	lost, copied := memblob.New(), memblob.New()
	s := open(t, lost)
	a := create(t, s, "ann")
	create(t, s, "idle")
	require.NoError(t, a.Create(ctx, "Work"))
	for i := range 3 {
		deliver(t, s, "ann", i)
	}
	_, err := backup.Copy(ctx, lost, copied, backup.Options{})
	require.NoError(t, err)

	// What a mail program saw and the backup did not: two mails and a folder.
	deliver(t, s, "ann", 100)
	deliver(t, s, "ann", 101)
	require.NoError(t, a.Create(ctx, "Later"))
	type place struct {
		validity uint32
		uid      mailbox.UID
	}
	known := map[place]string{}
	remember := func(a *mailbox.Account) {
		got, uids := texts(t, a)
		for i, uid := range uids {
			p := place{status(t, a, mailbox.Inbox).UIDValidity, uid}
			was, ok := known[p]
			require.True(t, !ok || was == got[i], "one UID, two messages: %v", p)
			known[p] = got[i]
		}
	}
	remember(a)
	later := status(t, a, "Later").UIDValidity
	boxes, err := a.Mailboxes(ctx)
	require.NoError(t, err)
	ids := map[mailbox.MailboxID]string{}
	for _, b := range boxes {
		ids[b.ID] = b.Name
	}

	for round := range 3 { // the restored store is lost, too, and restored from the same backup
		restored := memblob.New()
		_, err = backup.Copy(ctx, copied, restored, backup.Options{Restored: true})
		require.NoError(t, err)
		r := open(t, restored)
		deliver(t, r, "ann", 200+round) // before anybody logs in
		b := login(t, r, "ann")
		got, uids := texts(t, b)
		require.Equal(t, []string{mail(0), mail(1), mail(2), mail(200 + round)}, got)
		require.Equal(t, []mailbox.UID{1, 2, 3, 4}, uids)
		remember(b)
		require.NoError(t, b.Create(ctx, "Later"))
		require.Greater(t, status(t, b, "Later").UIDValidity, later)
		boxes, err := b.Mailboxes(ctx)
		require.NoError(t, err)
		for _, box := range boxes {
			name, ok := ids[box.ID]
			require.True(t, !ok || name == box.Name && name != "Later", "ID %d is given again, to %s", box.ID, box.Name)
		}

		// It happens once, and survives a snapshot, a restart and a further backup.
		was := status(t, b, mailbox.Inbox).UIDValidity
		require.NoError(t, b.Close())
		require.NoError(t, r.Close())
		moved := memblob.New()
		_, err = backup.Copy(ctx, restored, moved, backup.Options{})
		require.NoError(t, err)
		m := open(t, moved)
		c := login(t, m, "ann")
		require.Equal(t, was, status(t, c, mailbox.Inbox).UIDValidity)
		whole(t, m, c, login(t, m, "idle"))
	}
}

// Several processes open a restored account at once: it is renewed once, before any
// of them has told anybody of it.
func TestDrillManyLogins(t *testing.T) {
	ctx := t.Context()
	source, restored := memblob.New(), memblob.New()
	s := open(t, source)
	was := status(t, create(t, s, "ann"), mailbox.Inbox).UIDValidity
	_, err := backup.Copy(ctx, source, restored, backup.Options{Restored: true})
	require.NoError(t, err)
	var work sync.WaitGroup
	got := make([]uint32, 8)
	for i := range got {
		p := open(t, restored)
		work.Go(func() {
			a, err := p.Login(ctx, "ann", []byte("secret"))
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Close()
			st, err := a.Status(ctx, mailbox.Inbox)
			if err != nil {
				t.Error(err)
			}
			got[i] = st.UIDValidity
		})
	}
	work.Wait()
	require.NotEqual(t, was, got[0])
	for _, v := range got {
		require.Equal(t, got[0], v)
	}
	entries := 0
	for _, name := range names(t, restored) {
		if strings.Contains(name, "/log/") {
			entries++
		}
	}
	require.Equal(t, 2, entries)
}
