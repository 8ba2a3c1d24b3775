package backup_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/mailbox"
)

// script returns the commands that docs/operations.md gives for tools that copy
// files.
func script(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(page), "```sh\n# copy-store FROM TO\n")
	require.True(t, found)
	text, _, found := strings.Cut(after, "\n```\n")
	require.True(t, found)
	return text
}

// The order that the documentation gives makes a good copy of a store in use.
func TestFileToolsInTheDocumentedOrder(t *testing.T) {
	for _, tool := range []string{"sh", "tar", "awk", "find", "sort"} {
		if _, err := exec.LookPath(tool); err != nil {
			require.Empty(t, os.Getenv("CI"), "CI has %s", tool)
			t.Skipf("there is no %s here", tool)
		}
	}
	ctx := t.Context()
	dir := t.TempDir()
	source := filepath.Join(dir, "mail")
	blobs, err := diskblob.Open(source, &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s := open(t, blobs)
	create(t, s, "ann")
	var taken, accounts atomic.Int64
	stop := make(chan struct{})
	halt := sync.OnceFunc(func() { close(stop) })
	var writers sync.WaitGroup
	defer writers.Wait()
	defer halt()
	writer := func(step func(n int) error) {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := step(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writer(func(n int) error {
		defer taken.Add(1)
		return s.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}}, strings.NewReader(mail(n)))[0]
	})
	writer(func(n int) error { // accounts come to be meanwhile
		defer accounts.Add(1)
		return s.CreateAccount(ctx, fmt.Sprintf("user%d", n), []byte("secret"))
	})
	for round := range 2 {
		goal := taken.Load() + 50
		require.Eventually(t, func() bool { return taken.Load() >= goal && accounts.Load() > int64(round) || t.Failed() }, time.Minute, time.Millisecond)
		before, made := taken.Load(), accounts.Load()
		target := filepath.Join(dir, fmt.Sprint("copy", round))
		out, err := exec.CommandContext(ctx, "sh", "-c", script(t), "copy-store", source, target).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Empty(t, string(out))
		copied, err := diskblob.Open(target, &diskblob.Options{NoSync: true})
		require.NoError(t, err)
		c := open(t, copied)
		a := login(t, c, "ann")
		got, _ := texts(t, a)
		require.GreaterOrEqual(t, int64(len(got)), before)
		for n, text := range got {
			require.Equal(t, mail(n), text)
		}
		whole(t, c, a)
		for n := range made {
			require.NoError(t, c.Lookup(ctx, fmt.Sprintf("user%d", n)))
			deliver(t, c, fmt.Sprintf("user%d", n), 1)
		}
	}
}
