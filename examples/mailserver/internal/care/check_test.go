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

func TestCheckFindsNothing(t *testing.T) {
	password := clitest.DemoStore(t)
	assert.Contains(t, ok(t, "", "check", "-store", "mail"), "no damage found")
	assert.Contains(t, ok(t, password, "check", "-store", "mail", "-account", "demo"), "account: 3 messages")

	var res result
	require.NoError(t, json.Unmarshal([]byte(ok(t, password, "check", "-store", "mail", "-account", "demo", "-json")), &res))
	assert.True(t, res.OK)
	assert.Equal(t, 1, res.Store.Accounts)
	assert.Equal(t, 3, *res.Account.Messages)
	assert.NotNil(t, res.Problems)

	require.NoError(t, os.WriteFile("paper", []byte(ok(t, password, "account", "recovery", "demo", "-store", "mail")), 0o600))
	assert.Contains(t, ok(t, "", "check", "-store", "mail", "-account", "demo", "-recovery-file", "paper"), "account: 3 messages")
	assert.Equal(t, cli.ExitFailed, invoke(t, "wrong\n", "check", "-store", "mail", "-account", "demo").Code)
	r := invoke(t, "", "check", "-store", "mail", "-account", "demo", "-recovery-file", "gone")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "recovery file: open gone")
	assert.Empty(t, r.Out)
}

func TestCheckNamesDamage(t *testing.T) {
	password := clitest.DemoStore(t)
	var body string
	require.NoError(t, filepath.WalkDir("mail", func(path string, d fs.DirEntry, err error) error {
		if filepath.Base(filepath.Dir(path)) == "body" {
			body = path
		}
		return err
	}))
	require.NotEmpty(t, body)
	b, err := os.ReadFile(body)
	require.NoError(t, err)
	b[len(b)-1] ^= 1
	require.NoError(t, os.Remove(body))
	require.NoError(t, os.WriteFile(body, b, 0o400))

	r := invoke(t, password, "check", "-store", "mail", "-account", "demo")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, filepath.Base(body))
	assert.Contains(t, r.Err, "problems found: 1")

	r = invoke(t, password, "check", "-store", "mail", "-account", "demo", "-json")
	assert.Equal(t, cli.ExitFailed, r.Code)
	var res result
	require.NoError(t, json.Unmarshal([]byte(r.Out), &res))
	assert.False(t, res.OK)
	require.Len(t, res.Problems, 1)
	assert.Contains(t, res.Problems[0].Object, filepath.Base(body))
}

// An account that does not open keeps nothing else from being checked, and is
// whole again when the damaged object is taken from a backup.
func TestCheckOfAnAccountThatDoesNotOpen(t *testing.T) {
	password := clitest.DemoStore(t)
	entries, err := filepath.Glob("mail/acct/*/log/*")
	require.NoError(t, err)
	require.Greater(t, len(entries), 2)
	entry := entries[1]
	backup, err := os.ReadFile(entry)
	require.NoError(t, err)
	require.NoError(t, os.Remove(entry))
	require.NoError(t, os.WriteFile(entry, backup[:60], 0o400))

	r := invoke(t, password, "check", "-store", "mail", "-account", "demo")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "the account cannot be opened; what the log says up to entry 1 is checked: ")
	assert.Contains(t, r.Out, strings.TrimPrefix(entries[2], "mail/"), "which names the entry before by its hash")
	assert.Contains(t, r.Out, "store: 1 accounts")
	assert.NotContains(t, r.Out, "no damage found")
	r = invoke(t, password, "check", "-store", "mail", "-account", "demo", "-json")
	var res result
	require.NoError(t, json.Unmarshal([]byte(r.Out), &res))
	assert.False(t, res.OK)
	assert.Zero(t, *res.Account.Messages)

	require.NoError(t, os.Remove(entry))
	require.NoError(t, os.WriteFile(entry, backup, 0o400))
	assert.Contains(t, ok(t, password, "check", "-store", "mail", "-account", "demo"), "account: 3 messages")
}

// A check with a head file notices an older copy in the place of the store.
func TestCheckHeadFile(t *testing.T) {
	clitest.DemoStore(t)
	require.NoError(t, os.CopyFS("old", os.DirFS("mail")))
	ok(t, "", "check", "-store", "mail", "-head-file", "heads")
	heads, err := os.ReadFile("heads")
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(heads), "\n"))
	ok(t, "", "check", "-store", "mail", "-head-file", "heads")

	entries, err := filepath.Glob("old/acct/*/log/*")
	require.NoError(t, err)
	require.NoError(t, os.Remove(entries[len(entries)-1]))
	r := invoke(t, "", "check", "-store", "old", "-head-file", "heads")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "rolled back")
	kept, err := os.ReadFile("heads")
	require.NoError(t, err)
	assert.Equal(t, heads, kept, "the file stays as it was")
	require.NoError(t, os.WriteFile("heads", []byte("nonsense\n"), 0o600))
	assert.Equal(t, cli.ExitFailed, invoke(t, "", "check", "-store", "mail", "-head-file", "heads").Code)
}

func TestCheckSaysWhatIsLost(t *testing.T) {
	password := clitest.DemoStore(t)
	bodies, err := filepath.Glob("mail/acct/*/body/*")
	require.NoError(t, err)
	require.NoError(t, os.Remove(bodies[0]))
	var res result
	r := invoke(t, password, "check", "-store", "mail", "-account", "demo", "-json")
	require.NoError(t, json.Unmarshal([]byte(r.Out), &res))
	require.Len(t, res.Problems, 1)
	require.NotNil(t, res.Problems[0].Lost)
	assert.EqualValues(t, "body", res.Problems[0].Lost.Part)
	assert.Equal(t, 1, res.Account.Lost)
	assert.Equal(t, 3, *res.Account.Messages)
	r = invoke(t, password, "check", "-store", "mail", "-account", "demo")
	assert.Contains(t, r.Out, "lost: 1 messages")

	// An account that does not open is checked as far as it goes.
	entries, err := filepath.Glob("mail/acct/*/log/*")
	require.NoError(t, err)
	require.NoError(t, os.Remove(entries[len(entries)-1]))
	require.NoError(t, os.WriteFile(entries[len(entries)-1], []byte("junk"), 0o600))
	r = invoke(t, password, "check", "-store", "mail", "-account", "demo")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "cannot be opened")
	assert.Contains(t, r.Out, "account: ")
	assert.Equal(t, cli.ExitUsage, invoke(t, "", "check", "-store", "mail", "-repair").Code)
}

func TestCheckRepairs(t *testing.T) {
	password := clitest.DemoStore(t)
	ok(t, password, "gc", "-store", "mail", "-account", "demo") // makes a snapshot
	snaps, err := filepath.Glob("mail/acct/*/snap/*")
	require.NoError(t, err)
	require.Len(t, snaps, 1)
	require.NoError(t, os.Remove(snaps[0]))
	require.NoError(t, os.WriteFile(snaps[0], []byte("junk"), 0o600))
	r := invoke(t, password, "check", "-store", "mail", "-account", "demo", "-repair")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "snapshot made anew: true, damaged snapshots removed: 1")
	assert.Contains(t, ok(t, password, "check", "-store", "mail", "-account", "demo"), "no damage found")
}
