package crypto_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

func TestServerKeyText(t *testing.T) {
	k := crypto.NewServerKey()
	again, err := crypto.ParseServerKey(k.Export())
	require.NoError(t, err)
	assert.Equal(t, k.Export(), again.Export())
	for _, bad := range []string{"", k.Export()[1:], k.Export() + "00", strings.Repeat("0", 64), strings.Repeat("AB", 32), " " + k.Export()} {
		_, err := crypto.ParseServerKey(bad)
		require.Error(t, err)
		if len(bad) > 8 {
			assert.NotContains(t, err.Error(), bad[4:])
		}
	}
	assert.True(t, crypto.ServerKey{}.IsZero())
	assert.Empty(t, crypto.ServerKey{}.Export())
}

// A server key gives each store other keys, and the part for deliverers tells
// nothing else.
func TestStoreKey(t *testing.T) {
	k := crypto.NewServerKey()
	a, b := k.ForStore([]byte("one")), k.ForStore([]byte("two"))
	assert.NotEqual(t, a.ID, b.ID)
	assert.False(t, a.Directory.Equal(b.Directory))
	assert.True(t, a.Names.Equal(k.ForStore([]byte("one")).Names))

	d := a.ForDelivery()
	text := d.Export()
	again, err := crypto.ParseDirectoryKey(text)
	require.NoError(t, err)
	assert.Equal(t, text, again.Export())
	assert.Empty(t, crypto.DirectoryKey{}.Export())
	for i := range text {
		for _, c := range []string{"", "a", "b", "=", "A"} {
			bad := text[:i] + c + text[i+1:]
			if bad == text {
				continue
			}
			_, err := crypto.ParseDirectoryKey(bad)
			require.Error(t, err, "%d", i)
		}
	}
}

// A slot made with a server key needs the password and the key.
func TestPepperedSlot(t *testing.T) {
	id := newIdentity(t)
	k := crypto.NewServerKey().ForStore(nil)
	slot, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte("pw"), cheap, nil, k)
	require.NoError(t, err)
	assert.Equal(t, k.ID, slot.KeyID)
	_, err = slot.OpenPassword(t.Context(), crypto.Requester{Recent: account}, account, []byte("no"), nil, k)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)
	got, err := slot.OpenPassword(t.Context(), crypto.Requester{Recent: account}, account, []byte("pw"), nil, k)
	require.NoError(t, err)
	assert.Equal(t, id.Export(), got.Export())

	// The same slot without the key's ID: the password alone is not enough.
	bare := *slot
	bare.KeyID = crypto.KeyID{}
	_, err = bare.OpenPassword(t.Context(), crypto.Requester{Recent: account}, account, []byte("pw"), nil, k)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)

	// A slot without a key opens beside keys.
	plain, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte("pw"), cheap, nil)
	require.NoError(t, err)
	_, err = plain.OpenPassword(t.Context(), crypto.Requester{Recent: account}, account, []byte("pw"), nil, k)
	assert.NoError(t, err)
}
