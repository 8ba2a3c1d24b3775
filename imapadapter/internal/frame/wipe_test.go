package frame

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWipe overwrites a command and what came with it, and keeps what follows.
func TestWipe(t *testing.T) {
	for _, n := range []int{0, 100, 3000} {
		var r Reader
		r.Init(strings.NewReader("a1 LOGIN u \"secret"+strings.Repeat("q", n)+"\"\r\na2 NOOP\r\n"), openPolicy{})
		cmd, err := r.Next()
		require.NoError(t, err)
		held := cmd.Text
		require.Contains(t, string(held), "secret")
		assert.GreaterOrEqual(t, r.Held(), len(held))
		r.Wipe()
		assert.Equal(t, make([]byte, len(held)), held)
		for _, b := range [][]byte{r.in.first[:], bufferOf(&r)} {
			assert.NotContains(t, string(b), "secret")
			assert.NotContains(t, string(b), "qqq")
		}
		cmd, err = r.Next()
		require.NoError(t, err)
		assert.Equal(t, "a2", cmd.Tag)
		_, err = r.Next()
		assert.Equal(t, io.EOF, err)
	}
}

func bufferOf(r *Reader) []byte {
	if r.in.buf == nil {
		return nil
	}
	return r.in.buf[:]
}

type openPolicy struct{}

func (openPolicy) Limits(string) Limits {
	return Limits{Line: 1 << 16, Literal: 1 << 16, Literals: 1 << 16}
}
func (openPolicy) Admit(string, string) *Refusal { return nil }
func (openPolicy) Proceed() error                { return nil }
func (openPolicy) Pace()                         {}
