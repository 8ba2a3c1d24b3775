package move

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// put writes a file of a source.
func put(t *testing.T, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// lastLine returns the last line of JSON, which is the sum.
func lastLine(t *testing.T, out string) (done moved) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &done))
	assert.Equal(t, done.Read, done.Added+done.Present+done.Twice+done.Refused, "it adds up: %s", out)
	return done
}

// Thunderbird's folders of today and of yesterday come whole.
func TestImportThunderbird(t *testing.T) {
	store := newAccount(t)
	data := filepath.Join("..", "archive", "testdata")
	out := ok(t, "secret\n", "import", "ann", filepath.Join(data, "thunderbird.mbox"), "-into", "New", "-store", store)
	assert.Contains(t, out, "read: 2 mails: 2 imported\n")
	profile := t.TempDir()
	mixed, err := os.ReadFile(filepath.Join(data, "thunderbird-mixed.mbox"))
	require.NoError(t, err)
	put(t, string(mixed), profile, "Mail", "Local Folders", "Inbox")
	put(t, "index", profile, "Mail", "Local Folders", "Inbox.msf")
	put(t, "", profile, "Mail", "Local Folders", "Sent")
	put(t, "settings", profile, "prefs.js")
	out = ok(t, "secret\n", "import", "ann", filepath.Join(profile, "Mail", "Local Folders"), "-store", store)
	assert.Contains(t, out, "read: 3 mails: 3 imported\n")
	got := picture(t, store)
	assert.Equal(t, 5, strings.Count(got, "\n  "), got)
	assert.Contains(t, got, `[\Seen $label1] 1604311200 `)
	assert.Contains(t, got, `\r\n\r\nFrom here on: second\r\n"`)
	assert.Contains(t, ok(t, "secret\n", "folder", "list", "ann", "-json", "-store", store), `["\\Sent"]`)
	out = ok(t, "secret\n", "import", "ann", profile, "-store", store)
	assert.Contains(t, out, "read: 3 mails: 3 imported\n")
	assert.Contains(t, picture(t, store), "Local Folders/Inbox ")
}

// Every mail of a source is added, there already, came twice, or is refused for a
// reason.
func TestImportAddsUp(t *testing.T) {
	store := newAccount(t)
	dir := t.TempDir()
	emlx := func(mail string) string { return "17        \n" + mail + "<plist></plist>\n" }
	put(t, emlx("Subject: a\r\n\r\nxyz"), dir, "INBOX.mbox", "U", "Data", "Messages", "1.emlx")
	put(t, emlx("Subject: b\r\n\r\nxyz"), dir, "INBOX.mbox", "U", "Data", "Messages", "2.partial.emlx")
	put(t, "nonsense", dir, "INBOX.mbox", "U", "Data", "Messages", "3.emlx")
	put(t, "From a Tue Mar  4 05:06:07 2014\nSubject: c\n\nx\n\nFrom here on all is well\n", dir, "Work.mbox", "mbox")
	r := invoke(t, "secret\n", "import", "ann", dir, "-json", "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	done := lastLine(t, r.Out)
	assert.Equal(t, moved{Folders: 2, Read: 3, Added: 2, Refused: 1, Problems: 3, Reasons: map[string]int{
		"not complete in the source": 1, "no mail": 1, "lines that may begin a mail, taken for text": 1,
	}}, done)
	r = invoke(t, "secret\n", "import", "ann", dir, "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "read: 3 mails: 2 were there already, 1 refused\n")
	assert.Contains(t, r.Out, "problems: 1 lines that may begin a mail, taken for text, 1 no mail, 1 not complete in the source\n")
}

// Labels of Takeout are folders and flags, and a second export brings what is new.
func TestImportTakeout(t *testing.T) {
	store := newAccount(t)
	dir := t.TempDir()
	mail := func(labels, subject string) string {
		return "From 1461@xxx Tue Mar 04 05:06:07 +0000 2014\r\nX-GM-THRID: 1461\r\nX-Gmail-Labels: " + labels + "\r\nSubject: " + subject + "\r\n\r\ntext\r\n\r\n"
	}
	first := mail("Inbox,Unread", "new") + mail("Sent,Important,Work", "sent")
	put(t, first, dir, "Takeout", "Mail", "All mail.mbox")
	put(t, mail("Sent,Important,Work", "sent"), dir, "Takeout", "Mail", "Work.mbox")
	put(t, "<html>", dir, "Takeout", "archive_browser.html")
	out := ok(t, "secret\n", "import", "ann", dir, "-store", store)
	assert.Contains(t, out, "imported: 3 mails in 3 folders")
	assert.Contains(t, out, "read: 4 mails: 3 imported, 1 came twice\n")
	got := picture(t, store)
	assert.Contains(t, got, `[] 1393909567 "Subject: new\r\n\r\ntext\r\n"`)
	assert.Equal(t, 2, strings.Count(got, `[\Seen $Important] 1393909567 "Subject: sent\r\n\r\ntext\r\n"`), got)
	assert.NotContains(t, got, "X-GM")
	assert.Contains(t, ok(t, "secret\n", "folder", "list", "ann", "-json", "-store", store), `["\\Sent"]`)

	put(t, mail("Inbox,Opened", "newer")+first, dir, "Takeout", "Mail", "All mail.mbox")
	r := invoke(t, "secret\n", "import", "ann", dir, "-json", "-store", store)
	require.Equal(t, cli.ExitOK, r.Code, r.Err)
	done := lastLine(t, r.Out)
	assert.Equal(t, 1, done.Added)
	assert.Equal(t, 3, done.Present)
	assert.Equal(t, 1, done.Twice)

	put(t, "PK\x03\x04", dir, "takeout.zip")
	r = invoke(t, "secret\n", "import", "ann", filepath.Join(dir, "takeout.zip"), "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "unpack it")
}
