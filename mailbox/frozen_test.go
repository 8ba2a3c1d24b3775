package mailbox

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
)

const frozenStore = "testdata/store-v2"

// A whole store that version 2 wrote: entries of both kinds, a snapshot, entries
// after it, slots and a token. It must open for ever.
func TestFrozenStoreOpens(t *testing.T) {
	ctx := t.Context()
	if *golden.Update {
		writeFrozenStore(t)
	}
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(frozenStore, "objects"))))
	d, err := diskblob.Open(dir, &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s := openStore(t, d)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(frozenStore, name))
		require.NoError(t, err)
		return strings.TrimSpace(string(b))
	}
	a := openWith(t, s, "ann", read("recovery.txt"))
	b, err := s.Login(ctx, "ann", []byte("secret of ann"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	b, err = s.Login(ctx, "ann", []byte(read("token.txt")))
	require.NoError(t, err)
	require.NoError(t, b.Close())

	require.Equal(t, read("content.txt"), strings.TrimSpace(content(t, a)))
	_, err = a.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
	_, err = s.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
	_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
}

// content lists an account as text.
func content(t *testing.T, a *Account) string {
	t.Helper()
	ctx := t.Context()
	boxes, err := a.Mailboxes(ctx)
	require.NoError(t, err)
	var out strings.Builder
	for _, box := range boxes {
		fmt.Fprintf(&out, "%s id=%d exists=%v subscribed=%v use=%v validity=%d next=%d modseq=%d\n",
			box.Name, box.ID, box.Exists, box.Subscribed, box.SpecialUse, box.UIDValidity, box.UIDNext, box.HighestModSeq)
		if !box.Exists {
			continue
		}
		v, err := a.Select(ctx, box.Name, true)
		require.NoError(t, err)
		for m, err := range v.Messages(ctx, All()) {
			require.NoError(t, err)
			r, err := m.Open(ctx, 0, -1)
			require.NoError(t, err)
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			meta, err := m.Meta(ctx)
			require.NoError(t, err)
			fmt.Fprintf(&out, "  uid=%d modseq=%d size=%d date=%d id=%v flags=%v header=%q text=%q\n",
				m.UID, m.ModSeq, m.Size, m.Date.Unix(), m.ID, m.Flags(), meta.Header, text)
		}
	}
	return out.String()
}

func writeFrozenStore(t *testing.T) {
	ctx := t.Context()
	require.NoError(t, os.RemoveAll(frozenStore))
	dir := t.TempDir()
	d, err := diskblob.Open(dir, &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s, err := Open(ctx, d, Options{Password: cheap, PollInterval: -1})
	require.NoError(t, err)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Sent", `\Sent`))
	require.NoError(t, a.Create(ctx, "old/er"))
	require.NoError(t, a.Subscribe(ctx, "elsewhere", true))
	for i := range 4 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{Flags: []string{"$Label" + fmt.Sprint(i%2)}})
		require.NoError(t, err)
	}
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann", Folder: "Sent"}}, strings.NewReader(mail(5)))[0])
	v := selectInbox(t, a)
	_, err = v.Copy(ctx, UIDs(1, 2), "Sent")
	require.NoError(t, err)
	_, err = v.Store(ctx, UIDs(1), FlagsAdd, []string{FlagDeleted}, StoreOptions{})
	require.NoError(t, err)
	_, err = v.Expunge(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, snapshotNow(ctx, a.account))
	_, err = v.Move(ctx, UIDs(3), "old/er")
	require.NoError(t, err)
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(""))[0])
	require.NoError(t, a.Rename(ctx, "old", "older"))
	token, err := a.AddToken(ctx, "laptop")
	require.NoError(t, err)
	recovery, err := a.Recovery()
	require.NoError(t, err)
	for name, text := range map[string]string{"recovery.txt": recovery, "token.txt": token.Export(), "content.txt": content(t, a)} {
		require.NoError(t, os.MkdirAll(frozenStore, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(frozenStore, name), []byte(text+"\n"), 0o644))
	}
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
	require.NoError(t, os.CopyFS(filepath.Join(frozenStore, "objects"), os.DirFS(dir)))
}
