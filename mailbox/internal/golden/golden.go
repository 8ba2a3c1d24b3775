// Package golden compares what the tests of the mailbox packages encode with bytes
// that were committed.
package golden

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Update is the flag -update: tests write their frozen files anew. Use it for a new
// version of a format only.
var Update = flag.Bool("update", false, "write the frozen files anew; only for a new version of a format")

// Equal compares b with testdata/name.hex of the test's package.
func Equal(t testing.TB, name string, b []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".hex")
	if *Update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(hex.Dump(b)), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), hex.Dump(b))
}
