package mailbox

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzName parses the objects that lead from names to accounts. Whoever may write
// the store can put anything there.
func FuzzName(f *testing.F) {
	f.Add(append([]byte{nameVersion}, bytes.Repeat([]byte{7}, 16)...))
	f.Add(append([]byte{nameVersion}, bytes.Repeat([]byte{7}, 60)...))
	f.Add([]byte{nameVersion})
	f.Add([]byte{nameVersion + 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := parseName("name/x", b)
		if err != nil {
			require.True(t, strings.Contains(err.Error(), "name/x"), "an error names its object")
			require.Zero(t, id)
			return
		}
		require.Equal(t, b[1:17], id[:])
	})
}
