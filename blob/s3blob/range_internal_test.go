package s3blob

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseRange: what is taken is what a server means, and written back the same.
func FuzzParseRange(f *testing.F) {
	for _, s := range []string{
		"bytes 0-0/1", "bytes 0-9/100", "bytes 90-99/100", "bytes 9-0/100", "bytes 0-100/100", "bytes */100", "bytes 0-9/*",
		"bytes 0-9", "0-9/100", "", "bytes -1-9/100", "bytes 0-9223372036854775807/9223372036854775807", "bytes 0-9/99999999999999999999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		from, to, size, ok := parseRange(s)
		if !ok {
			return
		}
		require.True(t, 0 <= from && from < to && to <= size, "%q: %d to %d of %d", s, from, to, size)
		again := fmt.Sprintf("bytes %d-%d/%d", from, to-1, size)
		f2, t2, s2, ok := parseRange(again)
		require.True(t, ok)
		require.Equal(t, []int64{from, to, size}, []int64{f2, t2, s2})
	})
}

func TestParseRange(t *testing.T) {
	from, to, size, ok := parseRange("bytes 0-9/100")
	require.True(t, ok)
	require.Equal(t, []int64{0, 10, 100}, []int64{from, to, size})
	for _, s := range []string{"", "bytes */100", "bytes 5-4/100", "bytes 0-100/100", "bytes 0-9/*", "0-9/100"} {
		_, _, _, ok := parseRange(s)
		require.False(t, ok, s)
	}
}
