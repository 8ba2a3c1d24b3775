//go:build clients

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The README's lines, pasted into a shell, deliver a mail and read it.
func TestReadmeLinesRun(t *testing.T) {
	t.Parallel()
	s, password := demo(t)
	shell := blocks(t, "README.md", "sh")
	require.Len(t, shell, 3)
	lines := strings.NewReplacer("PASSWORD", password, "127.0.0.1:1143", s.imap, "127.0.0.1:1124", s.lmtp).Replace(shell[1])
	out := program{dir: root}.ok(t, "", "sh", "-e", "-c", lines)
	assert.Contains(t, out, "demo@localhost: 250 ")
	assert.Contains(t, out, "Subject: Hello\r\n\r\nIt works.\r\n")
	assert.Contains(t, out, "* 4 FETCH (FLAGS (")
	assert.Contains(t, out, `"Welcome to letterlock"`)
	s.stop(t)
}
