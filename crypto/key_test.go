package crypto_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/letterlock/letterlock/crypto"
)

func TestKeySealOpen(t *testing.T) {
	k := crypto.NewKey()
	for _, size := range []int{0, 1, 63, 64, 65, 1 << 20} {
		plaintext, ad := pattern(size), []byte("position 7")
		sealed := k.Seal([]byte("front"), plaintext, ad)
		require.Equal(t, "front", string(sealed[:5]), "Seal appends")
		sealed = sealed[5:]
		require.Len(t, sealed, size+crypto.Overhead)

		got, err := k.Open([]byte("front"), sealed, ad)
		require.NoError(t, err)
		require.Equal(t, "front", string(got[:5]), "Open appends")
		require.True(t, bytes.Equal(plaintext, got[5:]))
	}
}

func TestKeySealIsXChaCha20Poly1305(t *testing.T) {
	k := crypto.NewKey()
	sealed := k.Seal(nil, []byte("text"), []byte("ad"))
	aead, err := chacha20poly1305.NewX(k.Bytes())
	require.NoError(t, err)
	got, err := aead.Open(nil, sealed[:24], sealed[24:], []byte("ad"))
	require.NoError(t, err)
	assert.Equal(t, "text", string(got))
}

func TestKeyOpenRefuses(t *testing.T) {
	k := crypto.NewKey()
	sealed := k.Seal(nil, []byte("plaintext"), []byte("ad"))
	refused := func(k crypto.Key, sealed, ad []byte, what string, args ...any) {
		t.Helper()
		got, err := k.Open(nil, sealed, ad)
		require.ErrorIs(t, err, crypto.ErrDecrypt, append([]any{what}, args...)...)
		require.Nil(t, got)
	}
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			refused(k, changed, []byte("ad"), "bit %d of byte %d", bit, i)
		}
		refused(k, sealed[:i], []byte("ad"), "first %d bytes", i)
	}
	refused(k, append(bytes.Clone(sealed), 0), []byte("ad"), "a byte more")
	refused(k, sealed, []byte("Ad"), "other ad")
	refused(k, sealed, nil, "no ad")
	refused(crypto.NewKey(), sealed, []byte("ad"), "other key")
	refused(k.Derive("x"), sealed, []byte("ad"), "derived key")
	refused(crypto.Key{}, sealed, []byte("ad"), "zero key")
}

func TestKeySealNeverRepeats(t *testing.T) {
	k := crypto.NewKey()
	seen := map[string]bool{}
	for range 1000 {
		nonce := string(k.Seal(nil, nil, nil)[:24])
		require.False(t, seen[nonce])
		seen[nonce] = true
	}
}

func TestKeyDerive(t *testing.T) {
	k := crypto.NewKey()
	assert.True(t, k.Derive("log").Equal(k.Derive("log")))
	for _, label := range []string{"", "Log", "log ", "log\x00", "page"} {
		assert.False(t, k.Derive("log").Equal(k.Derive(label)), "%q", label)
	}
	assert.False(t, k.Derive("").Equal(k))
	assert.False(t, k.Derive("a").Derive("b").Equal(k.Derive("ab")))
	assert.False(t, k.Derive("log").Equal(crypto.NewKey().Derive("log")))
}

func TestKeyBytes(t *testing.T) {
	k := crypto.NewKey()
	b := k.Bytes()
	same, err := crypto.KeyFromBytes(b)
	require.NoError(t, err)
	assert.True(t, k.Equal(same))
	clear(b)
	assert.True(t, k.Equal(same), "neither shares memory with the bytes")
	assert.False(t, k.IsZero())

	for _, b := range [][]byte{nil, {}, make([]byte, 31), make([]byte, 33), make([]byte, 32)} {
		_, err := crypto.KeyFromBytes(b)
		assert.Error(t, err, "%d bytes", len(b))
	}
}

func TestZeroKeyNeverEncrypts(t *testing.T) {
	var k crypto.Key
	assert.True(t, k.IsZero())
	assert.Nil(t, k.Bytes())
	assert.True(t, k.Equal(crypto.Key{}))
	assert.False(t, k.Equal(crypto.NewKey()))
	assert.False(t, crypto.NewKey().Equal(k))
	assert.Panics(t, func() { k.Seal(nil, []byte("x"), nil) })
	assert.Panics(t, func() { k.Derive("x") })
}

func TestKeyConcurrent(t *testing.T) {
	k := crypto.NewKey()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := k.Derive("a").Open(nil, k.Derive("a").Seal(nil, []byte("x"), nil), nil)
				assert.NoError(t, err)
				assert.Equal(t, "x", string(got))
			}
		})
	}
	wg.Wait()
}

// pattern returns n bytes that repeat nowhere near a chunk's length, so that a
// chunk in the wrong place shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}
