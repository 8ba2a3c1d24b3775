//go:build clients

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// neomutt, driven by keys in a terminal, shows a message, saves an attachment,
// flags, and moves to another folder.
func TestNeomutt(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	require.NoError(t, c.Create("Archive", nil).Wait())
	text := "From: =?utf-8?Q?Zo=C3=AB?= <zoe@example.org>\r\nTo: ann@example.org\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n" +
		"Message-ID: <mutt@example.org>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=C3=B6ner Text\r\n" +
		"--b\r\nContent-Type: application/octet-stream; name=data.bin\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=data.bin\r\n\r\n" +
		"YXR0YWNoZWQgYnl0ZXM=\r\n--b--\r\n"
	for _, m := range []string{string(mail("before")), text, string(mail("after"))} {
		_, _, err := appendMail(c, "INBOX", []byte(m))
		require.NoError(t, err)
	}

	p := program{dir: t.TempDir(), env: []string{"TERM=xterm", "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}}
	rc := fmt.Sprintf(`set imap_user="ann" imap_pass="%s" folder="imap://%s/" spoolfile="+INBOX"
set ssl_starttls=no ssl_force_tls=no wait_key=no pipe_decode=yes confirmappend=no move=no delete=yes quit=yes
set header_cache="" message_cachedir="" mark_old=no sort=mailbox-order pager_stop=yes attach_save_without_prompting=no
`, password, s.imap)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "rc"), []byte(rc), 0o600))
	shown, saved := filepath.Join(p.dir, "shown.txt"), filepath.Join(p.dir, "saved.bin")
	keys := "<limit>~s Grüße<enter>" +
		"<pipe-message>cat > " + shown + "<enter>" +
		"<view-attachments><last-entry><save-entry><kill-line>" + saved + "<enter><exit>" +
		"<limit>all<enter><first-entry><flag-message>" +
		"<last-entry><save-message><kill-line>=Archive<enter><sync-mailbox><quit>"
	p.ok(t, "", "timeout", "60", "script", "-qec", fmt.Sprintf("stty rows 40 cols 120; neomutt -n -F %s/rc -e 'push \"%s\"'", p.dir, keys), "/dev/null")

	b, err := os.ReadFile(shown)
	require.NoError(t, err)
	for _, want := range []string{"From: Zoë <zoe@example.org>", "Subject: Grüße", "Schöner Text"} {
		assert.Contains(t, string(b), want)
	}
	b, err = os.ReadFile(saved)
	require.NoError(t, err)
	assert.Equal(t, "attached bytes", strings.TrimSpace(string(b)))

	inbox, _ := list(t, c, "INBOX")
	require.Len(t, inbox, 2)
	assert.Contains(t, inbox[0].Flags, imap.FlagFlagged)
	archive, _ := list(t, c, "Archive")
	require.Len(t, archive, 1)
	assert.Equal(t, "after", archive[0].ID)
	s.stop(t)
	checked(t, dir)
}
