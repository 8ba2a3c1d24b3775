package care

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/internal/fakes3"
)

func TestBackupAndRestore(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	was := ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", "mail")
	out := ok(t, "", "backup", "-store", "mail", "-to", "copy", "-verify")
	assert.Contains(t, out, "1 accounts, ")
	assert.Contains(t, out, "objects compared")
	ok(t, "x\n", "account", "add", "bob", "-store", "mail")
	var report copied
	require.NoError(t, json.Unmarshal([]byte(ok(t, "", "backup", "-store", "mail", "-to", "copy", "-verify", "-json")), &report))
	assert.Equal(t, 2, report.Accounts)
	assert.Equal(t, 6, report.Copied, "two keys, the end of the ring, a slot, an entry and a name")
	assert.Positive(t, *report.Compared)
	ok(t, "", "check", "-store", "copy")

	// The same store again, and the same after a loss. The server key goes its own way.
	key, err := os.ReadFile("mail.serverkey")
	require.NoError(t, err)
	for _, store := range []string{"moved", "restored"} {
		require.NoError(t, os.WriteFile(store+".serverkey", key, 0o600))
	}
	ok(t, "", "restore", "-from", "copy", "-store", "moved", "-nothing-lost")
	assert.Equal(t, was, ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", "moved"))
	ok(t, "", "restore", "-from", "copy", "-store", "restored")
	var before, after []struct {
		UIDValidity uint32 `json:"uidvalidity"`
	}
	require.NoError(t, json.Unmarshal([]byte(was), &before))
	require.NoError(t, json.Unmarshal([]byte(ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", "restored")), &after))
	assert.Greater(t, after[0].UIDValidity, before[0].UIDValidity)
	assert.Contains(t, ok(t, "pw\n", "log", "show", "ann", "-open", "-store", "restored"), "restored from an older state")
	ok(t, "pw\n", "check", "-account", "ann", "-store", "restored")
	assert.Equal(t, "ann\nbob\n", ok(t, "", "account", "list", "-store", "restored"))
}

func TestBackupRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	ok(t, "pw\n", "account", "add", "ann", "-store", "other")
	ok(t, "", "backup", "-store", "mail", "-to", "copy")
	for want, args := range map[string][]string{
		"-store and -to must":          {"backup", "-store", "mail"},
		"-from and -store must":        {"restore", "-store", "mail"},
		"one place must not be in the": {"backup", "-store", "mail", "-to", "mail/copy"},
		"the two places are one":       {"backup", "-store", "s3://b/x", "-to", "s3://b/x"},
	} {
		r := invoke(t, "", args...)
		assert.Equal(t, cli.ExitUsage, r.Code, "%v: %s", args, r.Err)
		assert.Contains(t, r.Err, want)
	}
	for want, args := range map[string][]string{
		"there is no store in gone":   {"backup", "-store", "gone", "-to", "copy"},
		"not a copy of this store":    {"backup", "-store", "other", "-to", "copy"},
		"there is a store in mail":    {"restore", "-from", "copy", "-store", "mail"},
		"there is no store in copied": {"restore", "-from", "copied", "-store", "new"},
	} {
		r := invoke(t, "", args...)
		assert.Equal(t, cli.ExitFailed, r.Code, "%v: %s", args, r.Err)
		assert.Contains(t, r.Err, want)
	}

	// A copy that rotted is noticed.
	keys, err := filepath.Glob("copy/acct/*/key/0000000001")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	text, err := os.ReadFile(keys[0])
	require.NoError(t, err)
	require.NoError(t, os.Chmod(keys[0], 0o600))
	require.NoError(t, os.WriteFile(keys[0], []byte(strings.Repeat("x", len(text))), 0o600))
	r := invoke(t, "", "backup", "-store", "mail", "-to", "copy", "-verify")
	assert.Equal(t, cli.ExitFailed, r.Code)
	assert.Contains(t, r.Out, "copy differs from the source")
	assert.Contains(t, r.Err, "problems found")
}

// A store moves from a folder to a bucket and back by one command, and nothing is
// different for anybody.
func TestMoveToABucketAndBack(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("AWS_ACCESS_KEY_ID", fakes3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	srv := httptest.NewServer(fakes3.New())
	defer srv.Close()
	bucket := "s3://" + fakes3.Bucket + "/moved?region=x&endpoint=" + srv.URL
	ok(t, "pw\n", "account", "add", "ann", "-store", "mail")
	was := ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", "mail")
	ok(t, "", "backup", "-store", "mail", "-to", bucket, "-verify")
	assert.Equal(t, was, ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", bucket, "-server-key", "mail.serverkey"))
	ok(t, "", "backup", "-store", bucket, "-to", "back", "-verify")
	assert.Equal(t, was, ok(t, "pw\n", "folder", "list", "ann", "-json", "-store", "back", "-server-key", "mail.serverkey"))
	ok(t, "", "restore", "-from", bucket, "-store", "restored")
	ok(t, "pw\n", "check", "-account", "ann", "-store", "restored", "-server-key", "mail.serverkey")
	r := invoke(t, "", "restore", "-from", "back", "-store", bucket)
	assert.Contains(t, r.Err, "there is a store in")
}
