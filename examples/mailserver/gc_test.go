package main

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	password := demoStore(t)
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
	assert.Equal(t, exitUsage, invoke(t, "", "gc", "-store", "mail", "-recovery-file", "paper").code)
}

func TestRemoveCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	ok(t, "pw\n", "account", "add", "bob", "-store", "mail")
	r := invoke(t, "bob\n", "account", "remove", "ann", "-store", "mail")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "nothing was erased")
	assert.Equal(t, exitFailed, invoke(t, "", "account", "remove", "ann", "-store", "mail").code)
	assert.Equal(t, 2, files(t, "key"))

	assert.Contains(t, ok(t, "ann\n", "account", "remove", "ann", "-store", "mail"), "is erased")
	assert.Equal(t, "bob\n", ok(t, "", "account", "list", "-store", "mail"))
	assert.Equal(t, 1, files(t, "key"))
	assert.Equal(t, exitFailed, invoke(t, "pw\n", "account", "recovery", "ann", "-store", "mail").code)
	ok(t, "new\n", "account", "add", "ann", "-store", "mail")
	ok(t, "new\n", "account", "recovery", "ann", "-store", "mail")
	ok(t, "", "account", "remove", "ann", "-yes", "-store", "mail")
	assert.Equal(t, exitFailed, invoke(t, "", "account", "remove", "nobody", "-yes", "-store", "mail").code)
	assert.Contains(t, ok(t, "", "check", "-store", "mail"), "no damage found")
	ok(t, "pw\n", "account", "recovery", "bob", "-store", "mail")
}
