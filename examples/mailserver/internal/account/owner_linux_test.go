package account

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// The users of these tests: who the server runs as, and somebody else.
const serverUser, otherUser = 51234, 51235

// needRoot skips a test that changes owners where it cannot, which in CI is nowhere.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "CI runs as root")
		t.Skip("this is not root")
	}
}

// What root does beside a server that is not root leaves files that the server can
// read, and anybody else is refused before anything is asked or written.
func TestStoreOfAnotherUser(t *testing.T) {
	if os.Getenv("MAILSERVER_STORE") != "" {
		asOtherUser(t, os.Getenv("MAILSERVER_STORE"))
		return
	}
	needRoot(t)
	dir, err := os.MkdirTemp("", "owner") // others must get there, which t.TempDir refuses
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	store := filepath.Join(dir, "mail")
	ok(t, "pw\n", "account", "add", "ann", "-store", store)
	owners := func(each func(path string, uid uint32)) {
		require.NoError(t, filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := d.Info()
			require.NoError(t, err)
			each(path, info.Sys().(*syscall.Stat_t).Uid)
			return nil
		}))
	}
	owners(func(path string, _ uint32) { require.NoError(t, os.Lchown(path, serverUser, serverUser)) })

	ok(t, "pw\nnew\n", "account", "passwd", "ann", "-store", store)
	ok(t, "", "account", "quota", "ann", "-storage", "1G", "-store", store)
	ok(t, "pw\n", "account", "add", "bob", "-store", store)
	ok(t, "new\n", "gc", "-account", "ann", "-store", store)
	owners(func(path string, uid uint32) { assert.EqualValues(t, serverUser, uid, path) })

	// As somebody else, who may even read all of it.
	require.NoError(t, filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o444)
	}))
	program := filepath.Join(dir, "test")
	b, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, b, 0o755))
	c := exec.Command(program, "-test.run=^TestStoreOfAnotherUser$")
	c.Dir = dir
	c.Env = append(os.Environ(), "MAILSERVER_STORE="+store)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func asOtherUser(t *testing.T, store string) {
	for _, args := range [][]string{
		{"account", "add", "eve"}, {"account", "passwd", "ann"}, {"account", "quota", "ann", "-storage", "1G"}, {"account", "remove", "ann", "-yes"}, {"gc"},
	} {
		r := invoke(t, "pw\nnew\n", append(args, "-store", store)...)
		assert.Equal(t, cli.ExitFailed, r.Code, "%v", args)
		assert.Contains(t, r.Err, "belongs to user", "%v", args)
		assert.NotContains(t, r.Err, "password", "%v", args)
	}
	ok(t, "", "account", "quota", "ann", "-store", store)
	// Without the server key no password opens anything.
	r := invoke(t, "new\n", "folder", "list", "ann", "-store", store)
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Err, "another server key is needed")
}
