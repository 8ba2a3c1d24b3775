package account

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

func TestRemoveCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	ok(t, "pw\n", "account", "add", "bob", "-store", "mail")
	r := invoke(t, "bob\n", "account", "remove", "ann", "-store", "mail")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "nothing was erased")
	assert.Equal(t, cli.ExitFailed, invoke(t, "", "account", "remove", "ann", "-store", "mail").Code)
	assert.Equal(t, 2, keys(t))

	assert.Contains(t, ok(t, "ann\n", "account", "remove", "ann", "-store", "mail"), "is erased")
	assert.Equal(t, "bob\n", ok(t, "", "account", "list", "-store", "mail"))
	assert.Equal(t, 1, keys(t))
	assert.Equal(t, cli.ExitFailed, invoke(t, "pw\n", "account", "recovery", "ann", "-store", "mail").Code)
	ok(t, "new\n", "account", "add", "ann", "-store", "mail")
	ok(t, "new\n", "account", "recovery", "ann", "-store", "mail")
	ok(t, "", "account", "remove", "ann", "-yes", "-store", "mail")
	assert.Equal(t, cli.ExitFailed, invoke(t, "", "account", "remove", "nobody", "-yes", "-store", "mail").Code)
	assert.Contains(t, ok(t, "", "check", "-store", "mail"), "no damage found")
	ok(t, "pw\n", "account", "recovery", "bob", "-store", "mail")
}

// keys returns the number of accounts' keys in the store.
func keys(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob("mail/acct/*/key/??????????")
	require.NoError(t, err)
	return len(found)
}
