package mailbox

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox/message"
)

// TestBodyStream: a body is the same whether a store reads it or has it written,
// and whatever was in the memory that it uses.
func TestBodyStream(t *testing.T) {
	identity, err := crypto.NewIdentity()
	require.NoError(t, err)
	open := func(text string, mem *bodyMemory, wrap func(io.Reader) io.Reader) *bodyStream {
		b := &bodyStream{
			bodyMemory: mem, src: wrap(strings.NewReader(text)), scan: message.NewScanner(), max: 1 << 30, now: time.Now,
		}
		b.seal, err = crypto.NewBodyWriter(b, identity.Recipient())
		require.NoError(t, err)
		return b
	}
	plain := func(sealed []byte) string {
		b, err := identity.OpenSealed(sealed, 1<<20)
		require.NoError(t, err)
		return string(b)
	}
	whole := func(r io.Reader) io.Reader { return r }
	mem := new(bodyMemory)
	for _, size := range []int{0, 1, gathered - 2048, gathered, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 300_000} {
		text := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
		for _, wrap := range []func(io.Reader) io.Reader{whole, iotest.HalfReader, iotest.DataErrReader} {
			read, err := io.ReadAll(struct{ io.Reader }{open(text, mem, wrap)})
			require.NoError(t, err)
			require.Equal(t, text, plain(read), "%d bytes", size)
			mem.recycle()
			var wrote bytes.Buffer
			n, err := open(text, mem, wrap).WriteTo(&wrote)
			require.NoError(t, err)
			require.EqualValues(t, wrote.Len(), n)
			require.Len(t, read, wrote.Len())
			require.Equal(t, text, plain(wrote.Bytes()), "%d bytes", size)
			mem.recycle()
			require.LessOrEqual(t, mem.sealed.Cap(), maxSealed)
			require.Equal(t, [len(mem.plain)]byte{}, mem.plain, "nothing of a message stays in memory")
		}
	}

	full := errors.New("full")
	for _, after := range []int{0, 1} {
		writes := 0
		w := writerFunc(func(p []byte) (int, error) {
			if writes++; writes > after {
				return 0, full
			}
			return len(p), nil
		})
		_, err = open(strings.Repeat("x", 200_000), new(bodyMemory), whole).WriteTo(w)
		require.ErrorIs(t, err, full)
	}
	broken := errors.New("broken")
	_, err = open("x", new(bodyMemory), func(io.Reader) io.Reader { return iotest.ErrReader(broken) }).WriteTo(io.Discard)
	require.ErrorIs(t, err, broken)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
