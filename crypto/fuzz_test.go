package crypto_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

// Each target shows that a decoder takes one encoding for a value and returns an
// error for everything else. Seeds are in testdata/fuzz.

func FuzzParseSlot(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		slot, err := crypto.ParseSlot(b)
		if err != nil {
			return
		}
		require.Equal(t, b, slot.Marshal())
		again, err := crypto.ParseSlot(slot.Marshal())
		require.NoError(t, err)
		require.Equal(t, slot, again)
		_, err = slot.OpenWithKey(account, crypto.NewKey())
		require.ErrorIs(t, err, crypto.ErrWrongSecret)
	})
}

func FuzzParseToken(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		token, err := crypto.ParseToken([]byte(s))
		if err != nil {
			return
		}
		require.Equal(t, s, token.Export())
		again, err := crypto.ParseToken([]byte(token.Export()))
		require.NoError(t, err)
		require.Equal(t, token, again)
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		id, err := crypto.ParseIdentity(s)
		if err != nil {
			return
		}
		require.Equal(t, s, id.Export())
		id.Derive("x")
	})
}

func FuzzParseRecipient(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		r, err := crypto.ParseRecipient(s)
		if err != nil {
			return
		}
		require.Equal(t, s, r.String())
		_, err = crypto.SealTo(r, []byte("x"))
		require.NoError(t, err)
	})
}

// FuzzOpenSealed covers RecoverBodyKey and the reader of bodies too.
func FuzzOpenSealed(f *testing.F) {
	id, err := crypto.ParseIdentity(loadVectors(f).Identity)
	require.NoError(f, err)
	good := []byte(loadVectors(f).Record.Sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		plaintext, err := id.OpenSealed(b, 1<<20)
		if err != nil {
			require.Nil(t, plaintext)
			return
		}
		require.True(t, bytes.Equal(b, good), "only what was sealed opens")
	})
}
