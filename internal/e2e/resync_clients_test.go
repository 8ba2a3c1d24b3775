//go:build clients

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// neomutt comes back to a folder with QRESYNC: what it had in its cache it does not
// fetch again, and it shows what changed meanwhile.
func TestNeomuttResync(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	for i := range 5 {
		_, _, err := appendMail(c, "INBOX", mail(fmt.Sprintf("letter%d", i)))
		require.NoError(t, err)
	}
	p := program{dir: t.TempDir(), env: []string{"TERM=xterm", "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}}
	cache := filepath.Join(p.dir, "cache")
	require.NoError(t, os.Mkdir(cache, 0o700))
	rc := fmt.Sprintf(`set imap_user="ann" imap_pass="%s" folder="imap://%s/" spoolfile="+INBOX"
set ssl_starttls=no ssl_force_tls=no wait_key=no quit=yes mark_old=no sort=mailbox-order
set header_cache="%s" message_cachedir="" imap_condstore=yes imap_qresync=yes
`, password, s.imap, cache)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "rc"), []byte(rc), 0o600))
	// A log of what is said; neomutt says what it sends and gets at level 3.
	run := func(name, keys string) string {
		log := filepath.Join(p.dir, name)
		p.ok(t, "", "timeout", "60", "script", "-qec", fmt.Sprintf("stty rows 40 cols 120; neomutt -n -d 3 -l %s -F %s/rc -e 'push \"%s\"'", log, p.dir, keys), "/dev/null")
		b, err := os.ReadFile(log + "0") // the newest of several
		require.NoError(t, err)
		return string(b)
	}
	first := run("first.log", "<last-entry><quit>")
	require.Contains(t, first, "ENABLE QRESYNC")
	require.Contains(t, first, "HIGHESTMODSEQ")

	_, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	flag := func(uid imap.UID, flag imap.Flag) {
		change := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag}}
		require.NoError(t, c.Store(imap.UIDSetNum(uid), change, nil).Close())
	}
	flag(4, imap.FlagFlagged)
	_, _, err = appendMail(c, "INBOX", mail("new"))
	require.NoError(t, err)
	// show pipes the messages that match a pattern to a file.
	show := func(pattern, file string) string {
		return "<untag-pattern>~A<enter><tag-pattern>" + pattern + "<enter><tag-prefix><pipe-message>cat >> " + filepath.Join(p.dir, file) + "<enter>"
	}
	shown := func(file string) []string {
		b, err := os.ReadFile(filepath.Join(p.dir, file))
		require.NoError(t, err)
		return regexp.MustCompile(`about (\w+)`).FindAllString(string(b), -1)
	}
	second := run("second.log", show("~A", "all")+show("~F", "flagged")+"<quit>")
	assert.Regexp(t, `\(FLAGS\) \(CHANGEDSINCE \d+ VANISHED\)`, second)
	assert.NotContains(t, second, "QRESYNC failed")
	assert.NotContains(t, second, "FETCH 1:5 (UID FLAGS", "what is in the cache is not fetched")
	assert.Equal(t, []string{"about letter0", "about letter1", "about letter2", "about letter3", "about letter4", "about new"}, shown("all"))
	assert.Equal(t, []string{"about letter3"}, shown("flagged"))

	// Of what vanished it is told, too. (This version of it then counts wrong, sees
	// that, and reads the folder anew.)
	flag(2, imap.FlagDeleted)
	require.NoError(t, c.Expunge().Close())
	third := run("third.log", show("~A", "rest")+"<quit>")
	assert.Contains(t, third, "Handling VANISHED")
	assert.Equal(t, []string{"about letter0", "about letter2", "about letter3", "about letter4", "about new"}, shown("rest"))
	s.stop(t)
	checked(t, dir)
}
