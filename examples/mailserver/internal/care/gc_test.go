package care

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
)

// files returns how many files of the store are in folders of a name.
func files(t *testing.T, folder string) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir("mail", func(path string, d fs.DirEntry, err error) error {
		if filepath.Base(filepath.Dir(path)) == folder {
			n++
		}
		return err
	}))
	return n
}

func TestCollectCommand(t *testing.T) {
	password := clitest.DemoStore(t)
	bodies := files(t, "body")
	require.NotZero(t, bodies)
	var rep map[string]collected
	run := func(args ...string) collected {
		args = append([]string{"gc", "-store", "mail", "-account", "demo", "-json"}, args...)
		rep = nil
		require.NoError(t, json.Unmarshal([]byte(ok(t, password, args...)), &rep))
		return rep["account"]
	}
	got := run("-dry-run")
	assert.Equal(t, bodies, got.Kept)
	assert.Zero(t, files(t, "gc"), "a dry run writes nothing")
	assert.Zero(t, run().Deleted)
	assert.NotZero(t, files(t, "gc"))
	assert.Contains(t, ok(t, password, "gc", "-store", "mail", "-account", "demo"), "erased: 0 objects")
	assert.Contains(t, ok(t, "", "gc", "-store", "mail"), "0 removed accounts")
	assert.Equal(t, bodies, files(t, "body"))
	assert.Contains(t, ok(t, password, "check", "-store", "mail", "-account", "demo"), "no damage found")
	assert.Equal(t, cli.ExitUsage, invoke(t, "", "gc", "-store", "mail", "-recovery-file", "paper").Code)

	// Garbage goes at once where nobody else uses the account.
	accounts, err := filepath.Glob("mail/acct/*/body")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(accounts[0], strings.Repeat("0", 32)), []byte("junk"), 0o600))
	assert.Zero(t, run().Deleted)
	assert.Equal(t, bodies+1, files(t, "body"))
	assert.Positive(t, run("-now").Deleted)
	assert.Equal(t, bodies, files(t, "body"))
	assert.Equal(t, cli.ExitUsage, invoke(t, "", "gc", "-store", "mail", "-now").Code)
}
