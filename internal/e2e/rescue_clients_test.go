//go:build clients

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page on rescue, followed to the letter, reads everything.
func TestRescuePage(t *testing.T) {
	t.Parallel()
	dir, want := toRescue(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "docs"), 0o700))
	script, err := os.ReadFile(filepath.Join(root, "docs", "rescue.py"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docs", "rescue.py"), script, 0o600))
	shell := blocks(t, "docs/rescue.md", "sh")
	require.Len(t, shell, 3)
	p := program{dir: dir}
	p.ok(t, "", "sh", "-e", "-c", shell[0])
	p.ok(t, "", "sh", "-e", "-c", shell[2])
	b, err := os.ReadFile(filepath.Join(dir, "list.tsv"))
	require.NoError(t, err)
	var got []string
	for line := range strings.Lines(string(b)) {
		i := strings.LastIndex(line, string(filepath.Separator))
		fields := strings.Split(strings.TrimSpace(line), "\t")
		require.Len(t, fields, 6)
		got = append(got, strings.Join(append(fields[:5], strings.TrimSpace(line[i+1:])), "\t"))
		text, err := os.ReadFile(filepath.Join(dir, "mails", strings.TrimSpace(line[i+1:])+".eml"))
		require.NoError(t, err)
		inFolder, err := os.ReadFile(filepath.Join(dir, "by-folder", fields[0], strings.Repeat("0", 10-len(fields[1]))+fields[1]+".eml"))
		require.NoError(t, err)
		assert.Equal(t, text, inFolder)
	}
	assert.Equal(t, want, got)
	// From an older snapshot and the entries after it, and from the entries alone.
	snapshots, err := filepath.Glob(filepath.Join(dir, "mail", "acct", "*", "snap", "*"))
	require.NoError(t, err)
	slices.Reverse(snapshots)
	for _, newest := range append(snapshots, "") {
		p.ok(t, "", "sh", "-e", "-c", shell[1])
		again, err := os.ReadFile(filepath.Join(dir, "list.tsv"))
		require.NoError(t, err)
		assert.Equal(t, string(b), string(again))
		if newest != "" {
			require.NoError(t, os.Remove(newest))
		}
	}
}
