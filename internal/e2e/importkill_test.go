package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An import that is killed at any moment, and run again until it ends, has every
// message once, in order, with its UID.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	const messages = 1500
	dir := newStore(t)
	var text strings.Builder
	for n := range messages {
		fmt.Fprintf(&text, "From x Tue Mar  4 05:06:07 2014\n")
		if n == 0 {
			fmt.Fprintf(&text, "X-IMAPbase: 4711 %d\n", 2*messages)
		}
		fmt.Fprintf(&text, "X-UID: %d\nSubject: %d\n\n%s\n", 2*n+2, n, strings.Repeat("a line\n", 100))
	}
	box := filepath.Join(t.TempDir(), "box")
	require.NoError(t, os.WriteFile(box, []byte(text.String()), 0o600))
	args := []string{"import", "ann", box, "-into", "INBOX", "-store", dir}
	entries := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "acct", "*", "log", "*"))
		require.NoError(t, err)
		return len(found)
	}
	for range 2 {
		c := exec.Command(mailserver, args...)
		c.Stdin = strings.NewReader(password + "\n")
		require.NoError(t, c.Start())
		ended := make(chan struct{})
		go func() {
			_ = c.Wait() // the kill, or its end
			close(ended)
		}()
		before := entries()
		eventually(t, "the import writes, or ends", func() bool {
			select {
			case <-ended:
				return true
			default:
				return entries() > before+1
			}
		})
		_ = c.Process.Kill() // it may have ended
		<-ended
	}
	out := must(t, password+"\n", args...)
	assert.Contains(t, out, "imported: ")
	assert.NotContains(t, out, "new UIDs")
	export := filepath.Join(t.TempDir(), "out")
	must(t, password+"\n", "export", "ann", "-format", "mbox", "-out", export, "-store", dir)
	f, err := os.Open(filepath.Join(export, "INBOX.mbox"))
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	var uids, subjects []string
	for line := range strings.Lines(string(b)) {
		if uid, ok := strings.CutPrefix(line, "X-UID: "); ok && len(uids) == len(subjects) {
			uids = append(uids, strings.TrimSpace(uid))
		}
		if s, ok := strings.CutPrefix(line, "Subject: "); ok {
			subjects = append(subjects, strings.TrimSpace(s))
		}
	}
	require.Len(t, subjects, messages)
	for n := range messages {
		require.Equal(t, fmt.Sprint(2*n+2), uids[n])
		require.Equal(t, fmt.Sprint(n), subjects[n])
	}
	checked(t, dir)
}
