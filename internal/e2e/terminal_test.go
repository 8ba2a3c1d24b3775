//go:build clients

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// At a terminal a new password is asked for twice, and never shown.
func TestPasswordsAtATerminal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	script, err := filepath.Abs("testdata/terminal.py")
	require.NoError(t, err)
	typing := func(answers []string, args ...string) (string, int) {
		args = append(append(append([]string{script}, answers...), "--", mailserver), append(args, "-store", dir)...)
		out, code := program{dir: t.TempDir()}.run(t, "", "python3", args...)
		assert.NotContains(t, out, "secret")
		return strings.ReplaceAll(out, "\r\n", "\n"), code
	}
	out, code := typing([]string{"secret-1", "secret-2"}, "account", "add", "ann")
	assert.Equal(t, 1, code)
	assert.Equal(t, "made a new store: "+dir+"\nPassword: \nPassword again: \nmailserver account add: account ann: the two passwords differ\n", out)

	out, code = typing([]string{"secret-1", "secret-1"}, "account", "add", "ann")
	assert.Zero(t, code, out)
	out, code = typing([]string{"secret-1", "secret-2", "secret-2"}, "account", "passwd", "ann")
	assert.Zero(t, code, out)
	assert.Equal(t, "Password: \nNew password: \nNew password again: \n", out)
	out, code = typing([]string{"secret\x03"}, "account", "recovery", "ann") // Ctrl-C
	assert.Equal(t, 1, code)
	assert.Equal(t, "Password: \nmailserver account recovery: interrupted\n", out)
	must(t, "secret-2\n", "account", "recovery", "ann", "-store", dir)
}
