package account

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

func TestRenameAccount(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	ok(t, "x\n", "account", "add", "bob", "-store", "mail")
	ok(t, "", "account", "rename", "Ann", "Ann@Example.org", "-store", "mail")
	assert.Equal(t, "ann@example.org\nbob\n", ok(t, "", "account", "list", "-store", "mail"))
	ok(t, "pw\n", "account", "recovery", "ann@example.org", "-store", "mail")
	for want, args := range map[string][]string{
		"account ann: no such account": {"ann", "eve"},
		"account bob: account exists":  {"bob", "ann@example.org"},
		`want "user" or`:               {"bob", "eve@"},
		"no spaces":                    {"bob", "e e"},
	} {
		r := invoke(t, "", append([]string{"account", "rename", "-store", "mail"}, args...)...)
		assert.Equal(t, cli.ExitFailed, r.Code, want)
		assert.Contains(t, r.Err, want)
	}
}

func TestStatsFoldersAndLog(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")

	var s stats
	require.NoError(t, json.Unmarshal([]byte(ok(t, "", "account", "stats", "ann", "-json", "-store", "mail")), &s))
	assert.Equal(t, 1, s.Entries.Objects)
	assert.Equal(t, 4, s.Keys.Objects, "what is published, the end of the ring and a slot")
	assert.Zero(t, s.Bodies.Objects)
	assert.Equal(t, 5, s.Objects)
	assert.Nil(t, s.OpenStats, "what needs the keys is not told without")

	// A body that nothing refers to is garbage to those who have the keys.
	accounts, err := filepath.Glob("mail/acct/*")
	require.NoError(t, err)
	require.Len(t, accounts, 1)
	require.NoError(t, os.MkdirAll(accounts[0]+"/body", 0o700))
	require.NoError(t, os.WriteFile(accounts[0]+"/body/"+strings.Repeat("0", 32), []byte("junk"), 0o600))
	require.NoError(t, json.Unmarshal([]byte(ok(t, "pw\n", "account", "stats", "ann", "-open", "-json", "-store", "mail")), &s))
	assert.Equal(t, tally{1, 4}, s.Garbage)
	assert.Equal(t, 1, s.Folders)
	assert.Contains(t, ok(t, "pw\n", "account", "stats", "ann", "-open", "-store", "mail"), "1 folders")
	assert.NotContains(t, ok(t, "", "account", "stats", "ann", "-store", "mail"), "garbage")

	var folders []folderLine
	require.NoError(t, json.Unmarshal([]byte(ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", "mail")), &folders))
	require.Len(t, folders, 1)
	assert.Equal(t, "INBOX", folders[0].Name)
	assert.NotZero(t, folders[0].UIDValidity)
	assert.True(t, folders[0].Subscribed)
	assert.Contains(t, ok(t, "pw\n", "folder", "list", "ann", "-store", "mail"), `"INBOX"`)
	assert.Equal(t, cli.ExitFailed, invoke(t, "no\n", "folder", "list", "ann", "-store", "mail").Code)

	closed := ok(t, "", "log", "show", "ann", "-store", "mail")
	assert.Contains(t, closed, "1  rekey")
	assert.NotContains(t, closed, "UIDVALIDITY")
	assert.NotContains(t, closed, " \n")
	assert.Contains(t, ok(t, "pw\n", "log", "show", "ann", "-open", "-store", "mail"), "begin: INBOX with UIDVALIDITY")
	var line entryLine
	require.NoError(t, json.Unmarshal([]byte(ok(t, "", "log", "show", "ann", "-json", "-store", "mail")), &line))
	assert.Equal(t, "rekey", line.Kind)
	assert.Positive(t, line.Bytes)
	assert.Empty(t, ok(t, "", "log", "show", "ann", "-after", "1", "-store", "mail"))
	assert.Contains(t, invoke(t, "", "log", "show", "bob", "-store", "mail").Err, "no such account")

	// Damage is named and gone past.
	require.NoError(t, os.WriteFile(accounts[0]+"/log/"+strings.Repeat("0", 15)+"2", []byte("junk"), 0o600))
	require.NoError(t, os.WriteFile(accounts[0]+"/log/"+strings.Repeat("0", 15)+"3", []byte("junk"), 0o600))
	r := invoke(t, "", "log", "show", "ann", "-json", "-store", "mail")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Equal(t, 3, strings.Count(r.Out, "\n"))
	assert.Contains(t, r.Err, "damaged entries: 2")
}
