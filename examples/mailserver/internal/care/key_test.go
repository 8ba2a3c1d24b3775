package care

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// A server key is replaced, and one that is lost is made up for.
func TestKeyCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	require.NoError(t, access.CreateServerKey("new.key"))
	both := []string{"-store", "mail", "-server-key", "new.key", "-other-server-key", "mail.serverkey"}
	assert.Contains(t, ok(t, "", append([]string{"key", "adopt"}, both...)...), "vouched for 1 names; 0 wait")
	assert.Contains(t, ok(t, "", append([]string{"key", "rekey"}, both...)...), "0 entries of the directory, 1 passwords, 0 names")
	ok(t, "pw\n", append([]string{"folder", "list", "ann"}, both...)...)
	assert.Contains(t, ok(t, "", append([]string{"key", "status"}, both...)...), "0 entries of the directory, 0 passwords, 0 names")
	ok(t, "pw\n", "folder", "list", "ann", "-store", "mail", "-server-key", "new.key")

	key := ok(t, "", "key", "deliverer", "-store", "mail", "-server-key", "new.key")
	require.NoError(t, os.WriteFile("mail.deliverkey", []byte(key), 0o600))
	r := invoke(t, "", "account", "list", "-store", "mail", "-delivery-key", "mail.deliverkey")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "no server key")

	require.NoError(t, os.Remove("new.key"))
	require.NoError(t, os.Remove("mail.serverkey"))
	assert.Equal(t, cli.ExitFailed, invoke(t, "pw\n", "folder", "list", "ann", "-store", "mail").Code)
	assert.Contains(t, ok(t, "", "key", "adopt", "-store", "mail"), "vouched for 1 names; 1 wait")
	assert.Contains(t, invoke(t, "pw\n", "folder", "list", "ann", "-store", "mail").Err, "another server key is needed")
}
