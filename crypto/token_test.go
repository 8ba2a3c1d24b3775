package crypto_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

const base32Digits = "abcdefghijklmnopqrstuvwxyz234567"

func newToken(t testing.TB) crypto.Token {
	t.Helper()
	_, token, err := crypto.NewTokenSlot(newIdentity(t), [16]byte{}, "")
	require.NoError(t, err)
	return token
}

func TestTokenText(t *testing.T) {
	token := newToken(t)
	text := token.Export()
	assert.True(t, strings.HasPrefix(text, crypto.TokenPrefix))
	assert.Len(t, text, 88)
	assert.Equal(t, strings.ToLower(text), text)

	same, err := crypto.ParseToken([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, token.Slot(), same.Slot())
	assert.Equal(t, text, same.Export())
	assert.NotEqual(t, text, newToken(t).Export())
	assert.Empty(t, crypto.Token{}.Export())
}

// Every wrong character and every two neighbours in the wrong order are told
// from a revoked token.
func TestTokenTypingErrors(t *testing.T) {
	good := newToken(t).Export()
	tried := 0
	refused := func(s string) {
		t.Helper()
		tried++
		_, err := crypto.ParseToken([]byte(s))
		require.Error(t, err)
		require.NotContains(t, err.Error(), s[min(len(s), 40):])
	}
	for i := len(crypto.TokenPrefix); i < len(good); i++ {
		for _, c := range base32Digits {
			if s := good[:i] + string(c) + good[i+1:]; s != good {
				refused(s)
			}
		}
		if i+1 < len(good) && good[i] != good[i+1] {
			refused(good[:i] + string(good[i+1]) + string(good[i]) + good[i+2:])
		}
		refused(good[:i] + good[i+1:])
	}
	assert.Greater(t, tried, 2000)
}

func TestParseTokenRefuses(t *testing.T) {
	good := newToken(t).Export()
	for _, s := range []string{
		"", "llt1", "hunter2", "llt2" + good[4:], strings.ToUpper(good), " " + good, good + " ", good + "\n",
		good[:50] + "\n" + good[51:], good + "a", "llt1" + strings.Repeat("a", 84), good[:50] + "1" + good[51:],
	} {
		_, err := crypto.ParseToken([]byte(s))
		assert.Error(t, err, "%q", s)
	}
}

func TestSlotIDText(t *testing.T) {
	id := newToken(t).Slot()
	same, err := crypto.ParseSlotID(id.String())
	require.NoError(t, err)
	assert.Equal(t, id, same)
	for _, s := range []string{"", "00", id.String() + "0", id.String()[:31] + "g", strings.Repeat("AB", 16), id.String()[:31]} {
		_, err := crypto.ParseSlotID(s)
		assert.Error(t, err, "%q", s)
	}
}
