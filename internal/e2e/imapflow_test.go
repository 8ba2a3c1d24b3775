//go:build clients

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ImapFlow comes back by QRESYNC to a mailbox that changed, waits for more, and
// finds messages and mailboxes again by their IDs.
func TestImapFlowSync(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	host, port := hostPort(t, s.imap)
	script, err := filepath.Abs("testdata/imapflow_sync.js")
	require.NoError(t, err)
	out := program{dir: t.TempDir()}.ok(t, "", "node", script, host, port, "ann", password)
	assert.Equal(t, "CONDSTORE QRESYNC COMPRESS\nall well\n", out)
	s.stop(t)
	checked(t, dir)
}
