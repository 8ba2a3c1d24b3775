package account

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
)

func TestAccountsAndTheirNames(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "one\n", "account", "add", "bob@Example.org", "-store", "mail/")
	ok(t, "two\r\n", "account", "add", "-store", "mail", "ann")
	assert.Equal(t, "ann\nbob@example.org\n", ok(t, "", "account", "list", "-store", "./mail"))
	assert.JSONEq(t, `["ann","bob@example.org"]`, ok(t, "", "account", "list", "-json", "-store", "mail"))

	info, err := os.Stat("mail.serverkey")
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := filepath.Glob(".mail.serverkey*")
	require.NoError(t, err)
	assert.Empty(t, left)

	// Without the key the store does not tell, and with another it is not opened.
	assert.Contains(t, invoke(t, "", "account", "list", "-store", "mail", "-server-key", "none.key").Err, "there is no server key")
	assert.Contains(t, invoke(t, "x\n", "account", "add", "eve", "-store", "mail", "-server-key", "none.key").Err, "the store has a server key")
	require.NoFileExists(t, "none.key")
	require.NoError(t, access.CreateServerKey("other.key"))
	assert.Contains(t, invoke(t, "x\n", "account", "add", "eve", "-store", "mail", "-server-key", "other.key").Err, "the store does not have this server key")
	assert.Equal(t, "ann\nbob@example.org\n", ok(t, "", "account", "list", "-store", "mail"))

	// A password's line end is no part of it.
	ok(t, "two\n", "account", "recovery", "ann", "-store", "mail")
	ok(t, "two", "account", "recovery", "ann", "-store", "mail")
}

func TestPasswords(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "old\n", "account", "add", "ann", "-store", "mail")
	ok(t, "old\nnew\n", "account", "passwd", "ann", "-store", "mail")
	assert.Equal(t, cli.ExitFailed, invoke(t, "old\n", "account", "recovery", "ann", "-store", "mail").Code)
	identity := ok(t, "new\n", "account", "recovery", "ann", "-store", "mail")
	assert.True(t, strings.HasPrefix(identity, "AGE-SECRET-KEY-PQ-1"))

	// The recovery identity replaces a lost password, and stands in for it.
	require.NoError(t, os.WriteFile("paper", []byte("# ann\n\n"+identity), 0o600))
	ok(t, "found\n", "account", "passwd", "ann", "-store", "mail", "-recovery-file", "paper")
	assert.Equal(t, identity, ok(t, "found\n", "account", "recovery", "ann", "-store", "mail"))
	assert.Equal(t, identity, ok(t, "", "account", "recovery", "ann", "-store", "mail", "-recovery-file", "paper"))

	// Another account's opens nothing.
	ok(t, "x\n", "account", "add", "bob", "-store", "mail")
	r := invoke(t, "y\n", "account", "passwd", "bob", "-store", "mail", "-recovery-file", "paper")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "the identity is another account's")
	assert.NotContains(t, r.Err, strings.TrimSpace(identity))
	ok(t, "x\n", "account", "recovery", "bob", "-store", "mail")
}

func TestTokens(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	assert.Equal(t, "[]\n", ok(t, "pw\n", "account", "token", "list", "ann", "-json", "-store", "mail"))
	token := strings.TrimSpace(ok(t, "pw\n", "account", "token", "add", "ann", "-label", "Ann's phone", "-store", "mail"))

	// A token reads and lists, but neither shows nor changes secrets.
	assert.Contains(t, ok(t, token, "account", "token", "list", "ann", "-store", "mail"), "phone")
	refused := invoke(t, token, "account", "recovery", "ann", "-store", "mail")
	assert.Equal(t, cli.ExitFailed, refused.Code)
	assert.Contains(t, refused.Err, "app token")
	assert.Equal(t, cli.ExitFailed, invoke(t, token+"\nnew\n", "account", "passwd", "ann", "-store", "mail").Code)
	text := ok(t, "pw\n", "account", "token", "list", "ann", "-store", "mail")
	assert.Contains(t, text, `"Ann's phone"`)
	assert.NotContains(t, text, token)
	var list []tokenLine
	require.NoError(t, json.Unmarshal([]byte(ok(t, "pw\n", "account", "token", "list", "ann", "-json", "-store", "mail")), &list))
	require.Len(t, list, 1)
	assert.Equal(t, "Ann's phone", list[0].Label)
	assert.False(t, list[0].Created.IsZero())

	ok(t, "pw\n", "account", "token", "revoke", "ann", list[0].ID, "-store", "mail")
	assert.Equal(t, cli.ExitFailed, invoke(t, token, "account", "token", "list", "ann", "-store", "mail").Code)
	ok(t, "pw\n", "account", "recovery", "ann", "-store", "mail")
}

func TestRotate(t *testing.T) {
	password := clitest.DemoStore(t)
	old := ok(t, password, "account", "recovery", "demo", "-store", "mail")
	token := ok(t, password, "account", "token", "add", "demo", "-store", "mail")
	next := ok(t, strings.TrimSpace(password)+"\nnew\n", "account", "rotate", "demo", "-store", "mail")
	assert.True(t, strings.HasPrefix(next, "AGE-SECRET-KEY-PQ-1"))
	assert.NotEqual(t, old, next)
	for _, secret := range []string{password, token} {
		assert.Equal(t, cli.ExitFailed, invoke(t, secret, "account", "token", "list", "demo", "-store", "mail").Code)
	}
	require.NoError(t, os.WriteFile("paper", []byte(old), 0o600))
	r := invoke(t, "", "account", "token", "list", "demo", "-store", "mail", "-recovery-file", "paper")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "another identity now")
	assert.Equal(t, next, ok(t, "new\n", "account", "recovery", "demo", "-store", "mail"))
	assert.Equal(t, next+old, ok(t, "new\n", "account", "recovery", "demo", "-all", "-store", "mail"))
	assert.Contains(t, ok(t, "new\n", "check", "-store", "mail", "-account", "demo"), "account: 3 messages")
}

// A store that is away while its server key is there is a disk that is not mounted:
// an empty one in its place would send all mail back.
func TestNoStoreIsMadeWhereOneWas(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	require.NoError(t, os.Rename("mail", "away"))
	for _, empty := range []bool{false, true} {
		if empty {
			require.NoError(t, os.Mkdir("mail", 0o700))
		}
		r := invoke(t, "pw\n", "account", "add", "bob", "-store", "mail")
		assert.Equal(t, cli.ExitFailed, r.Code)
		assert.Contains(t, r.Err, "not mounted")
	}
	require.NoError(t, os.Remove("mail"))
	require.NoError(t, os.Rename("away", "mail"))
	ok(t, "pw\n", "account", "add", "bob", "-store", "mail")
}
