package pages

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// TestBodyDamagedOnTheWay: a chunk that does not decrypt is read again, from where
// the reading stands, before the body is called damaged.
func TestBodyDamagedOnTheWay(t *testing.T) {
	const name = "acct/1/body/1"
	identity, err := crypto.NewIdentity()
	require.NoError(t, err)
	text := strings.Repeat("0123456789abcdef", 20_000)
	var sealed bytes.Buffer
	w, err := crypto.NewBodyWriter(&sealed, identity.Recipient())
	require.NoError(t, err)
	_, err = io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	key, err := crypto.RecoverBodyKey(bytes.NewReader(sealed.Bytes()), identity)
	require.NoError(t, err)
	mem := memblob.New()
	require.NoError(t, mem.Create(t.Context(), name, bytes.NewReader(sealed.Bytes())))
	wire := blobtest.NewFlipping(mem)
	size := int64(len(text))

	read := func(off, n int64) (string, error) {
		r, err := OpenBody(t.Context(), wire, name, key, size, off, n)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, r.Close())
		return string(got), err
	}
	for _, noticed := range []bool{false, true} {
		if noticed {
			wire.Notice()
		}
		for _, at := range []int64{0, 70_000, 200_000, 1 << 30} {
			for _, r := range []struct{ off, n int64 }{{0, -1}, {0, size}, {100_000, 150_000}, {size - 10, 100}} {
				wire.Flip(at, nil)
				got, err := read(r.off, r.n)
				require.NoError(t, err, "%d in %+v", at, r)
				want := text[r.off:]
				if r.n >= 0 {
					want = want[:min(r.n, int64(len(want)))]
				}
				require.True(t, want == got)
				require.Equal(t, 1, wire.Flipped())
			}
		}
	}

	// What is damaged in the store is damaged the second time, too.
	bad := bytes.Clone(sealed.Bytes())
	bad[len(bad)-100_000] ^= 1
	require.NoError(t, mem.Delete(t.Context(), name))
	require.NoError(t, mem.Create(t.Context(), name, bytes.NewReader(bad)))
	got, err := read(0, -1)
	require.ErrorIs(t, err, eventlog.ErrCorrupt)
	require.ErrorContains(t, err, name)
	require.True(t, strings.HasPrefix(text, got))
	require.NotEmpty(t, got)
}
