package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

// toRescue makes a store, mail, and its account's identity, ann.key, as the page
// has them, with every kind of event before and after a snapshot. It returns the
// folder they are in and the lines that the page's program must print.
func toRescue(t *testing.T) (dir string, lines []string) {
	t.Helper()
	ctx := t.Context()
	store := newStore(t)
	dir = filepath.Dir(store)
	if name := filepath.Base(store); name != "mail" {
		require.NoError(t, os.Rename(store, filepath.Join(dir, "mail")))
		store = filepath.Join(dir, "mail")
	}
	identity := must(t, password+"\n", "account", "recovery", "ann", "-store", store)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ann.key"), []byte("# of ann\n"+identity), 0o600))

	d, err := diskblob.Open(store, nil)
	require.NoError(t, err)
	s, err := mailbox.Open(ctx, d, mailbox.Options{PollInterval: -1, ServerKey: serverKey(t, store)})
	require.NoError(t, err)
	require.NoError(t, s.CreateAccount(ctx, "other", []byte("x")))
	require.NoError(t, s.Deliver(ctx, []mailbox.Recipient{{Account: "other"}}, strings.NewReader("not ann's"))[0])
	id, err := crypto.ParseIdentity(strings.TrimSpace(identity))
	require.NoError(t, err)
	for round := range 2 {
		a, err := s.OpenAccount(ctx, "ann", id)
		require.NoError(t, err)
		changeAll(t, s, a, round)
		if round == 1 {
			lines = listing(t, store, a)
		}
		require.NoError(t, a.Close()) // takes a snapshot when there are enough entries
		if round == 0 {
			id, identity = rotate(t, s, id, identity)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ann.key"), []byte("# of ann\n"+identity), 0o600))
		}
	}
	require.NoError(t, s.Close())
	snapshots, err := filepath.Glob(filepath.Join(store, "acct", "*", "snap", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, snapshots)
	return dir, lines
}

// rotate changes ann's identity, and adds the new one before those that are given.
func rotate(t *testing.T, s *mailbox.Store, old *crypto.Identity, before string) (*crypto.Identity, string) {
	t.Helper()
	a, err := s.OpenAccount(t.Context(), "ann", old)
	require.NoError(t, err)
	line, err := a.RotateIdentity(t.Context(), []byte(password))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	id, err := crypto.ParseIdentity(line)
	require.NoError(t, err)
	return id, line + "\n" + before
}

// changeAll makes every kind of event.
func changeAll(t *testing.T, s *mailbox.Store, a *mailbox.Account, round int) {
	t.Helper()
	ctx := t.Context()
	name := func(s string) string { return fmt.Sprint(s, round) }
	for n := range 40 {
		_, err := a.Append(ctx, "INBOX", bytes.NewReader(mail(fmt.Sprint("rescue-", round, n))), mailbox.AppendOptions{Flags: []string{name("$Key"), `\Seen`}})
		require.NoError(t, err)
	}
	require.NoError(t, a.Create(ctx, name("Größe")+"/below"))
	for _, folder := range []string{"", strings.ToUpper("g") + "röße" + fmt.Sprint(round), "nowhere"} {
		require.NoError(t, s.Deliver(ctx, []mailbox.Recipient{{Account: "ann", Folder: folder}}, bytes.NewReader(mail("rescue-delivered"+folder+fmt.Sprint(round))))[0])
	}
	v, err := a.Select(ctx, "INBOX", false)
	require.NoError(t, err)
	_, err = v.Copy(ctx, mailbox.Set{Ranges: []mailbox.Range{{First: 2, Last: 6}}}, name("Größe"))
	require.NoError(t, err)
	_, err = v.Move(ctx, mailbox.Set{Ranges: []mailbox.Range{{First: 10, Last: 14}}}, name("Größe")+"/below")
	require.NoError(t, err)
	_, err = v.Store(ctx, mailbox.Set{Ranges: []mailbox.Range{{First: 1, Last: 3}}}, mailbox.FlagsAdd, []string{`\Deleted`, "other"}, mailbox.StoreOptions{})
	require.NoError(t, err)
	_, err = v.Store(ctx, mailbox.Set{Ranges: []mailbox.Range{{First: 20, Last: 22}}}, mailbox.FlagsRemove, []string{strings.ToUpper(name("$Key"))}, mailbox.StoreOptions{})
	require.NoError(t, err)
	_, err = v.Store(ctx, mailbox.Set{Ranges: []mailbox.Range{{First: 23, Last: 24}}}, mailbox.FlagsSet, []string{`\Draft`}, mailbox.StoreOptions{})
	require.NoError(t, err)
	_, err = v.Expunge(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, a.Rename(ctx, name("Größe"), name("a/b/c")))
	im, err := a.Importer(ctx)
	require.NoError(t, err)
	_, err = im.Import(ctx, name("imported"), func(yield func(mailbox.ImportMessage, error) bool) {
		for n := range 5 {
			open := func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(mail(fmt.Sprint("rescue-old-", n)))), nil
			}
			if !yield(mailbox.ImportMessage{Origin: fmt.Sprint(round, n), UID: mailbox.UID(7*n + 3), Open: open}, nil) {
				return
			}
		}
	}, mailbox.ImportOptions{UIDValidity: 77, UIDNext: 500})
	require.NoError(t, err)
	require.NoError(t, a.Create(ctx, name("fresh"))) // and renewed
	_, err = im.Import(ctx, name("fresh"), func(func(mailbox.ImportMessage, error) bool) {}, mailbox.ImportOptions{UIDValidity: 78})
	require.NoError(t, err)
	if round == 1 {
		require.NoError(t, a.Rename(ctx, "INBOX", "was inbox"))
		require.NoError(t, a.Delete(ctx, "imported0"))
		_, err := a.Append(ctx, "INBOX", bytes.NewReader(nil), mailbox.AppendOptions{})
		require.NoError(t, err)
	}
}

// listing is what the page's program must print.
func listing(t *testing.T, store string, a *mailbox.Account) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	boxes, err := a.Mailboxes(ctx)
	require.NoError(t, err)
	for _, b := range boxes {
		if !b.Exists {
			continue
		}
		v, err := a.Select(ctx, b.Name, true)
		require.NoError(t, err)
		for m, err := range v.Messages(ctx, mailbox.All()) {
			require.NoError(t, err)
			flags := m.Flags()
			slices.Sort(flags)
			out = append(out, fmt.Sprintf("%s\t%d\t%s\t%s\t%d\t%s", b.Name, m.UID, strings.Join(flags, " "),
				m.Date.UTC().Format("2006-01-02T15:04:05Z"), m.Size, m.ID))
		}
	}
	require.Greater(t, len(out), 90)
	return out
}

// With the identity alone, and a program that is not ours, every mail is read.
func TestRescueOfBodies(t *testing.T) {
	t.Parallel()
	dir, lines := toRescue(t)
	key, err := os.Open(filepath.Join(dir, "ann.key"))
	require.NoError(t, err)
	defer key.Close()
	identities, err := age.ParseIdentities(key)
	require.NoError(t, err)
	bodies, err := filepath.Glob(filepath.Join(dir, "mail", "acct", "*", "body", "*")) // as the page does
	require.NoError(t, err)
	opened := map[string]int{}
	for _, body := range bodies {
		f, err := os.Open(body)
		require.NoError(t, err)
		r, err := age.Decrypt(f, identities...)
		if err == nil {
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			opened[filepath.Base(body)] = len(text)
		}
		require.NoError(t, f.Close())
	}
	require.Less(t, len(opened), len(bodies), "another account's are among them")
	for _, line := range lines {
		f := strings.Split(line, "\t")
		size, ok := opened[f[5]]
		assert.True(t, ok, line)
		assert.Equal(t, f[4], fmt.Sprint(size))
	}
}
