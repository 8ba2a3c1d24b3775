package move

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/examples/mailserver/internal/archive"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
	imapserver "github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

// newAccount makes a store with the account ann.
func newAccount(t *testing.T) (store string) {
	t.Helper()
	store = filepath.Join(t.TempDir(), "store")
	ok(t, "secret\n", "account", "add", "ann", "-store", store)
	return store
}

// picture lists what an account holds, all that a client can see.
func picture(t *testing.T, store string) string {
	t.Helper()
	ctx := t.Context()
	d, err := diskblob.Open(store, nil)
	require.NoError(t, err)
	s, err := mailbox.Open(ctx, d, mailbox.Options{PollInterval: -1, ServerKey: clitest.ServerKey(t, store)})
	require.NoError(t, err)
	defer s.Close()
	a, err := s.Login(ctx, "ann", []byte("secret"))
	require.NoError(t, err)
	defer a.Close()
	boxes, err := a.Mailboxes(ctx)
	require.NoError(t, err)
	var out strings.Builder
	for _, b := range boxes {
		fmt.Fprintf(&out, "%s %d %d %v\n", b.Name, b.UIDValidity, b.UIDNext, b.Subscribed)
		v, err := a.Select(ctx, b.Name, true)
		require.NoError(t, err)
		for m, err := range v.Messages(ctx, mailbox.All()) {
			require.NoError(t, err)
			r, err := m.Open(ctx, 0, -1)
			require.NoError(t, err)
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			if len(text) > 1000 {
				text = fmt.Appendf(nil, "%d bytes, %x", len(text), sha256.Sum256(text))
			}
			fmt.Fprintf(&out, "  %d %v %d %q\n", m.UID, m.Flags(), m.Date.Unix(), text)
		}
	}
	_, err = a.Check(ctx, func(p mailbox.Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
	return out.String()
}

// writeArchive writes a Maildir with two folders.
func writeArchive(t *testing.T, messages int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "Maildir")
	w, err := archive.NewWriter(archive.FormatMaildir, dir)
	require.NoError(t, err)
	for i, name := range []string{"INBOX", "Work/2024 & später"} {
		f, err := w.Folder(archive.Folder{Name: name, UIDValidity: uint32(1000 + i), UIDNext: uint32(3*messages + 50), Subscribed: i == 1})
		require.NoError(t, err)
		for n := range messages {
			flags := [][]string{nil, {`\Seen`, "$Work"}, {`\Answered`, `\Flagged`, "b", "a"}}[n%3]
			text := fmt.Sprintf("Subject: %d\r\n\r\nFrom here\r\n>From there\r\n%s", n, strings.Repeat("line\r\n", n%7))
			if n == 4 {
				text = ""
			}
			m := archive.Message{UID: uint32(3*n + 5), Flags: flags, Date: time.Unix(int64(1_500_000_000+n), 0)}
			_, err := f.Add(m, strings.NewReader(text))
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
	}
	require.NoError(t, w.Close())
	return dir
}

// What is moved in and out again, in every format, is the same to every client.
func TestImportExportImport(t *testing.T) {
	store := newAccount(t)
	from := writeArchive(t, 40)
	out := ok(t, "secret\n", "import", "ann", from, "-store", store)
	assert.Contains(t, out, "imported: 80 mails in 2 folders")
	assert.NotContains(t, out, "problems")
	want := picture(t, store)
	assert.Contains(t, want, "INBOX 1000 170 true\n  5 [] 1500000000 ")
	assert.Contains(t, want, "Work/2024 & später 1001 170 true\n")
	assert.Contains(t, want, `  11 [\Answered \Flagged b a] 1500000002 `)

	out = ok(t, "secret\n", "import", "ann", from, "-store", store)
	assert.Contains(t, out, "imported: 0 mails in 2 folders, 0/s\nread: 80 mails: 80 were there already\n")
	assert.Equal(t, want, picture(t, store))

	key := filepath.Join(t.TempDir(), "ann.key")
	require.NoError(t, os.WriteFile(key, []byte(ok(t, "secret\n", "account", "recovery", "ann", "-store", store)), 0o600))
	for _, format := range []string{"maildir", "mbox", "eml"} {
		dir := filepath.Join(t.TempDir(), "out")
		out := ok(t, "", "export", "-identity", key, "-out", dir, "-format", format, "-store", store)
		assert.Contains(t, out, "exported: 80 mails in 3 folders")
		back := newAccount(t)
		ok(t, "secret\n", "import", "ann", dir, "-keep-line-ends", "-store", back)
		got := picture(t, back)
		if format == "mbox" { // it has no room for some things
			strip := func(s string) string {
				s = strings.NewReplacer(" true\n", "\n", " false\n", "\n", `\Answered \Flagged b a`, `\Answered \Flagged a b`).Replace(s)
				head, _, _ := strings.Cut(s, "Work ")
				_, tail, _ := strings.Cut(s, "Work/")
				return head + tail
			}
			got, want := strip(got), strip(want)
			assert.Equal(t, want, got)
			continue
		}
		assert.Equal(t, want, got, format)
	}
	r := invoke(t, "secret\n", "export", "ann", "-out", from, "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "not empty")
	out = ok(t, "secret\n", "export", "ann", "-folder", "INBOX", "-format", "mbox", "-out", filepath.Join(t.TempDir(), "one"), "-store", store)
	assert.Contains(t, out, "exported: 40 mails in 1 folders")
}

// An import that was stopped in the middle goes on where it was, and makes no
// doubles; what is wrong is named and counted, or ends it.
func TestImportGoesOn(t *testing.T) {
	store := newAccount(t)
	from := writeArchive(t, 30)
	bad := filepath.Join(from, "cur", "1500000001.bad")
	require.NoError(t, os.Mkdir(bad, 0o700))

	r := invoke(t, "secret\n", "import", "ann", from, "-on-error", "stop", "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "not a regular file")
	partly := picture(t, store)
	assert.Less(t, strings.Count(partly, "\n  "), 60)

	r = invoke(t, "secret\n", "import", "ann", from, "-json", "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	events := map[string][]map[string]any{}
	for line := range strings.Lines(r.Out) {
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		events[e["event"].(string)] = append(events[e["event"].(string)], e)
	}
	require.Len(t, events["problem"], 1)
	assert.Equal(t, bad, events["problem"][0]["name"])
	require.Len(t, events["folder"], 2)
	require.Len(t, events["done"], 1)
	done := events["done"][0]
	assert.Equal(t, false, done["ok"])
	assert.Equal(t, 60.0, done["added"].(float64)+done["present"].(float64))
	got := picture(t, store)
	assert.Equal(t, 60, strings.Count(got, "\n  "))

	r = invoke(t, "wrong\n", "import", "ann", from, "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "wrong password")
	for want, args := range map[string][]string{
		"-on-error is":            {"import", "ann", from, "-on-error", "x"},
		"-format is":              {"import", "ann", from, "-format", "x"},
		"can be seen by others":   {"import", "ann", "imap://ann:secret@localhost"},
		"imap://USER@HOST":        {"import", "ann", "imap://localhost"},
		"are for IMAP":            {"import", "ann", from, "-plain"},
		"SOURCE is missing":       {"import", "ann"},
		"-out is missing":         {"export", "ann"},
		"NAME or -identity":       {"export", "-out", "x"},
		"-format is maildir, mbo": {"export", "ann", "-out", "x", "-format", "zip"},
	} {
		r := invoke(t, "secret\n", append(args, "-store", store)...)
		assert.Equal(t, cli.ExitUsage, r.Code, want)
		assert.Contains(t, r.Err, want)
		assert.NotContains(t, r.Err, "secret")
	}
	assert.Equal(t, got, picture(t, store))
}

// Names that no mailbox can have are mended, and flags that no message can have
// counted.
func TestImportNames(t *testing.T) {
	store := newAccount(t)
	dir := t.TempDir()
	line := "From x Tue Mar  4 05:06:07 2014\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a*b"), []byte(line+"X-Keywords: (bad) good\n\nx\n"), 0o600))
	r := invoke(t, "secret\n", "import", "ann", dir, "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, `it goes to "a_b"`)
	assert.Contains(t, r.Out, "1 flags left out")
	assert.Contains(t, picture(t, store), "[good]")
}

// serveIMAP serves a store without encryption.
func serveIMAP(t *testing.T, store string) (address string) {
	t.Helper()
	d, err := diskblob.Open(store, nil)
	require.NoError(t, err)
	s, err := mailbox.Open(t.Context(), d, mailbox.Options{PollInterval: -1, ServerKey: clitest.ServerKey(t, store)})
	require.NoError(t, err)
	imapServer := imapserver.New(&imapserver.Options{Store: s})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go imapServer.Serve(ln)
	t.Cleanup(func() { imapServer.Close(); s.Close() })
	return ln.Addr().String()
}

// A server's mail comes with its folders, UIDs, flags and dates; a server that
// drops the connection is gone on with.
func TestImportFromServer(t *testing.T) {
	old := newAccount(t)
	ok(t, "secret\n", "import", "ann", writeArchive(t, 150), "-store", old)
	ok(t, "secret\n", "import", "ann", bigMail(t), "-into", "big", "-store", old)
	address := serveIMAP(t, old)
	var whole atomic.Bool
	address = dropping(t, address, 60_000, &whole)
	store := newAccount(t)
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("secret\n"), 0o600))

	r := invoke(t, "secret\n", "import", "ann", "imap://ann@"+address, "-plain", "-password-file", password, "-store", store)
	require.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "run the command again")
	partly := strings.Count(picture(t, store), "\n  ")
	assert.Greater(t, partly, 0)
	assert.Less(t, partly, 301)

	whole.Store(true)
	out := ok(t, "secret\nsecret\n", "import", "ann", "imap://ann@"+address, "-plain", "-store", store)
	assert.Contains(t, out, " were there already")
	assert.Equal(t, picture(t, old), picture(t, store))
	r = invoke(t, "secret\nwrong\n", "import", "ann", "imap://ann@"+address, "-plain", "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "log in to")
}

func bigMail(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "big.eml"), []byte("Subject: big\r\n\r\n"+strings.Repeat("0123456789\r\n", 50_000)), 0o600))
	return dir
}

// dropping passes connections on, and ends each after some bytes of answers unless
// they are to be whole.
func dropping(t *testing.T, to string, bytes int64, whole *atomic.Bool) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				return
			}
			go func() {
				io.Copy(out, in)
				out.Close()
			}()
			go func() {
				if !whole.Load() {
					io.CopyN(in, out, bytes)
				} else {
					io.Copy(in, out)
				}
				in.Close()
				out.Close()
			}()
		}
	}()
	return ln.Addr().String()
}

// An export goes on past damage, and says what it could not read.
func TestExportPastDamage(t *testing.T) {
	store := newAccount(t)
	ok(t, "secret\n", "import", "ann", writeArchive(t, 20), "-store", store)
	bodies, err := filepath.Glob(filepath.Join(store, "acct", "*", "body", "*"))
	require.NoError(t, err)
	require.Len(t, bodies, 40)
	require.NoError(t, os.Remove(bodies[0]))
	b, err := os.ReadFile(bodies[1])
	require.NoError(t, err)
	b[len(b)-1] ^= 1
	require.NoError(t, os.Chmod(bodies[1], 0o600))
	require.NoError(t, os.WriteFile(bodies[1], b, 0o600))
	for _, format := range []string{"maildir", "mbox", "eml"} {
		r := invoke(t, "secret\n", "export", "ann", "-out", filepath.Join(t.TempDir(), "out"), "-format", format, "-store", store)
		assert.Equal(t, cli.ExitFailed, r.Code)
		assert.Contains(t, r.Out, "exported: 38 mails in 3 folders")
		assert.Equal(t, 2, strings.Count(r.Err, "problem  "), r.Err)
		assert.Contains(t, r.Err, "UID ")
	}
	r := invoke(t, "secret\n", "export", "ann", "-out", filepath.Join(t.TempDir(), "out"), "-on-error", "stop", "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	other := filepath.Join(t.TempDir(), "other.key")
	require.NoError(t, os.WriteFile(other, []byte(ok(t, "secret\n", "account", "recovery", "ann", "-store", newAccount(t))), 0o600))
	r = invoke(t, "", "export", "-identity", other, "-out", filepath.Join(t.TempDir(), "out"), "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "of no account")
}

// The bar tells folder, rate and time left.
func TestProgressBar(t *testing.T) {
	var out, err, bar bytes.Buffer
	r := newReport(cli.New(nil, strings.NewReader(""), &out, &err), false)
	require.Nil(t, r.term, "no terminal, no bar")
	r.term, r.total = &bar, 10
	r.folder("INBOX")
	for range 10 {
		r.Added++
		r.last = time.Time{}
		r.step(1)
	}
	require.NoError(t, r.done(nil))
	assert.Contains(t, bar.String(), "INBOX: ")
	assert.Contains(t, bar.String(), " mails, ")
	assert.Contains(t, bar.String(), "%")
	assert.Contains(t, out.String(), "imported: 10 mails in 1 folders")
	assert.Empty(t, err.String())
}

// Where the log does not open any more, what the identity decrypts is left.
func TestExportBodies(t *testing.T) {
	store := newAccount(t)
	key := filepath.Join(t.TempDir(), "ann.key")
	require.NoError(t, os.WriteFile(key, []byte(ok(t, "secret\n", "account", "recovery", "ann", "-store", store)), 0o600))
	ok(t, "secret\n", "import", "ann", writeArchive(t, 20), "-store", store)
	ok(t, "x\n", "account", "add", "bob", "-store", store)
	bodies, err := filepath.Glob(filepath.Join(store, "acct", "*", "body", "*"))
	require.NoError(t, err)
	require.Len(t, bodies, 40)
	require.NoError(t, os.Chmod(bodies[3], 0o600))
	require.NoError(t, os.Truncate(bodies[3], 1700))
	account := filepath.Dir(filepath.Dir(bodies[0]))
	for _, kind := range []string{"log", "snap"} {
		files, err := filepath.Glob(filepath.Join(account, kind, "*"))
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			b[len(b)-1] ^= 1
			require.NoError(t, os.Chmod(file, 0o600))
			require.NoError(t, os.WriteFile(file, b, 0o600))
		}
	}
	r := invoke(t, "", "export", "-identity", key, "-out", filepath.Join(t.TempDir(), "out"), "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "-bodies")
	out := filepath.Join(t.TempDir(), "out")
	r = invoke(t, "", "export", "-identity", key, "-bodies", "-format", "eml", "-out", out, "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "exported: 39 mails")
	assert.Equal(t, 1, strings.Count(r.Err, "problem  "), r.Err)
	assert.Contains(t, r.Err, filepath.Base(bodies[3]))
	files, err := filepath.Glob(filepath.Join(out, "INBOX", "*.eml"))
	require.NoError(t, err)
	assert.Len(t, files, 39)
}

// After a change of identity the bodies need the identity of their time, and all
// of them may be in one file.
func TestExportBodiesOfEachIdentity(t *testing.T) {
	store := newAccount(t)
	ok(t, "secret\n", "import", "ann", writeArchive(t, 5), "-store", store)
	old := ok(t, "secret\n", "account", "recovery", "ann", "-store", store)
	ok(t, "secret\nsecret\n", "account", "rotate", "ann", "-store", store)
	more := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(more, "1.eml"), []byte("Subject: later\r\n\r\n"), 0o600))
	ok(t, "secret\n", "import", "ann", more, "-store", store)
	key := filepath.Join(t.TempDir(), "ann.key")
	export := func(identities string, args ...string) clitest.Ran {
		require.NoError(t, os.WriteFile(key, []byte(identities), 0o600))
		return invoke(t, "", append([]string{"export", "-identity", key, "-out", filepath.Join(t.TempDir(), "out"), "-store", store}, args...)...)
	}
	all := ok(t, "secret\n", "account", "recovery", "-all", "ann", "-store", store)
	for _, args := range [][]string{nil, {"-bodies"}} {
		r := export(all, args...)
		assert.Equal(t, 0, r.Code, r.Err)
		assert.Contains(t, r.Out, "exported: 11 mails")
	}
	r := export(old, "-bodies")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "exported: 10 mails", "as far as it opens them")
	r = export(strings.TrimSuffix(all, old), "-bodies")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "exported: 1 mails")
	assert.Equal(t, 10, strings.Count(r.Err, "problem  "))
}
