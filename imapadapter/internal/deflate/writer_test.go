package deflate

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is flushed can be read at once, and nothing is held behind it.
func TestWriter(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	require.NoError(t, w.Flush())
	require.Zero(t, b.Len())
	r := NewReader(&b)
	for _, line := range []string{"* OK hello\r\n", "a1 OK NOOP completed\r\n"} {
		_, err := w.Write([]byte(line))
		require.NoError(t, err)
		require.True(t, w.Pending())
		require.NoError(t, w.Flush())
		require.False(t, w.Pending())
		got := make([]byte, 100)
		n, err := r.Read(got)
		require.NoError(t, err)
		require.Equal(t, line, string(got[:n]))
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// A compressor that could not write is as good as new for the next connection.
func TestWriterFails(t *testing.T) {
	w := NewWriter(brokenWriter{})
	_, err := w.Write([]byte("x"))
	require.NoError(t, err)
	require.ErrorIs(t, w.Flush(), errBroken)
	require.False(t, w.Pending())
	TestWriter(t)
}
