//go:build clients

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// neomutt with QRESYNC comes back to a folder that it has in its cache of
// headers: it is told what changed, and shows the right picture.
func TestNeomuttQresync(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	for n := 1; n <= 9; n++ {
		_, _, err := appendMail(c, "INBOX", mail(fmt.Sprintf("m%d", n)))
		require.NoError(t, err)
	}
	store := func(op imap.StoreFlagsOp, flag imap.Flag, ids ...string) {
		t.Helper()
		for _, id := range ids {
			require.NoError(t, c.Store(uidOf(t, c, "INBOX", id), &imap.StoreFlags{Op: op, Flags: []imap.Flag{flag}}, nil).Close())
		}
	}
	store(imap.StoreFlagsAdd, imap.FlagSeen, "m1", "m2", "m3", "m4", "m5", "m6")
	store(imap.StoreFlagsAdd, imap.FlagFlagged, "m1", "m2")

	w := tap(t, s.imap)
	m := newMutt(t, w.address)
	assert.Equal(t, picture{
		"~A": {"m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"},
		"~U": {"m7", "m8", "m9"},
		"~F": {"m1", "m2"},
	}, m.look(t))
	sent, answered := w.heard()
	assert.Contains(t, answered, "* ENABLED QRESYNC")
	assert.Empty(t, matching(sent, "CHANGEDSINCE"), "it has nothing yet")
	assert.Len(t, matching(answered, "BODY[HEADER.FIELDS"), 9)

	store(imap.StoreFlagsDel, imap.FlagSeen, "m3")
	store(imap.StoreFlagsDel, imap.FlagFlagged, "m1")
	store(imap.StoreFlagsAdd, imap.FlagSeen, "m8")
	store(imap.StoreFlagsAdd, imap.FlagFlagged, "m6")
	store(imap.StoreFlagsAdd, imap.FlagDeleted, "m4", "m5", "m9")
	require.NoError(t, c.Expunge().Close())
	for _, id := range []string{"m10", "m11"} {
		_, _, err := appendMail(c, "INBOX", mail(id))
		require.NoError(t, err)
	}
	assert.Equal(t, picture{
		"~A": {"m1", "m10", "m11", "m2", "m3", "m6", "m7", "m8"},
		"~U": {"m10", "m11", "m3", "m7"},
		"~F": {"m2", "m6"},
	}, m.look(t), "after it was away")
	sent, answered = w.heard()
	assert.Len(t, matching(sent, " VANISHED)"), 1, "it asked for what changed")
	assert.Contains(t, answered, "* VANISHED (EARLIER) 4:5,9")
	headers := strings.Join(matching(answered, "BODY[HEADER.FIELDS"), "\n")
	for _, uid := range []string{"1", "2", "3", "8"} {
		assert.NotContains(t, headers, "(UID "+uid+" ", "a header that it has")
	}
	assert.Contains(t, headers, "(UID 10 ")
	assert.Contains(t, headers, "(UID 11 ")
	s.stop(t)
	checked(t, dir)
}

// picture is which messages neomutt shows, for each of its patterns.
type picture map[string][]string

// mutt is a neomutt that keeps its caches from one run to the next.
type mutt struct {
	program
}

func newMutt(t *testing.T, address string) *mutt {
	t.Helper()
	m := &mutt{program{dir: t.TempDir(), env: []string{"TERM=xterm", "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}}}
	require.NoError(t, os.Mkdir(filepath.Join(m.dir, "headers"), 0o700))
	rc := fmt.Sprintf(`set imap_user="ann" imap_pass="%s" folder="imap://%s/" spoolfile="+INBOX"
set imap_qresync=yes imap_condstore=yes imap_idle=yes header_cache="%s/headers"
set ssl_starttls=no ssl_force_tls=no wait_key=no pipe_decode=no pipe_split=no move=no delete=no quit=yes mark_old=no sort=mailbox-order
`, password, address, m.dir)
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "rc"), []byte(rc), 0o600))
	return m
}

// look opens the folder and pipes out what neomutt takes for all, unread and
// flagged messages. Each must be one message or more: neomutt drops the keys
// that follow an error.
func (m *mutt) look(t *testing.T) picture {
	t.Helper()
	patterns := []string{"~A", "~U", "~F"}
	keys := ""
	for i, pattern := range patterns {
		keys += fmt.Sprintf("<tag-pattern>%s<enter><tag-prefix><pipe-message>cat > %s/found-%d<enter><untag-pattern>~A<enter>", pattern, m.dir, i)
	}
	m.ok(t, "", "timeout", "120", "script", "-qec", fmt.Sprintf("stty rows 40 cols 120; neomutt -n -F %s/rc -e 'push \"%s<quit>\"'", m.dir, keys), "/dev/null")
	out := picture{}
	for i, pattern := range patterns {
		file := filepath.Join(m.dir, fmt.Sprintf("found-%d", i))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.Remove(file))
		out[pattern] = ids(text)
	}
	return out
}

// ids returns the Message-IDs in a text, sorted.
func ids(text []byte) []string {
	var out []string
	for _, found := range messageID.FindAllSubmatch(text, -1) {
		out = append(out, string(found[1]))
	}
	slices.Sort(out)
	return out
}
