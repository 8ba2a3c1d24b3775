package crypto_test

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

func newIdentity(t testing.TB) *crypto.Identity {
	t.Helper()
	id, err := crypto.NewIdentity()
	require.NoError(t, err)
	return id
}

func TestIdentityExport(t *testing.T) {
	id := newIdentity(t)
	text := id.Export()
	assert.True(t, strings.HasPrefix(text, "AGE-SECRET-KEY-PQ-1"))

	same, err := crypto.ParseIdentity(text)
	require.NoError(t, err)
	assert.Equal(t, text, same.Export())
	assert.True(t, id.Recipient().Equal(same.Recipient()))
	assert.True(t, id.Derive("log").Equal(same.Derive("log")))

	other := newIdentity(t)
	assert.NotEqual(t, text, other.Export())
	assert.False(t, id.Recipient().Equal(other.Recipient()))
	assert.False(t, id.Recipient().Equal(nil))
	assert.False(t, id.Derive("log").Equal(other.Derive("log")))
	assert.False(t, id.Derive("log").Equal(id.Derive("page")))
}

// A key file as age-keygen writes it, with our export in it, must serve.
func TestIdentityIsAnAgeIdentity(t *testing.T) {
	id := newIdentity(t)
	ids, err := age.ParseIdentities(strings.NewReader("# recovery key\n" + id.Export() + "\n"))
	require.NoError(t, err)
	sealed, err := crypto.SealTo(id.Recipient(), []byte("entry"))
	require.NoError(t, err)
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "entry", string(got))
}

func TestParseIdentityRefuses(t *testing.T) {
	good := newIdentity(t).Export()
	classic, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	last := good[len(good)-1]
	for name, s := range map[string]string{
		"empty":         "",
		"password":      "hunter2-hunter2",
		"with a one":    "hunter1qqqqqqqqqqq",
		"lower case":    strings.ToLower(good),
		"space behind":  good + " ",
		"line end":      good + "\n",
		"cut":           good[:len(good)-1],
		"typing error":  good[:len(good)-1] + string(map[bool]byte{true: 'Q', false: 'P'}[last == 'P']),
		"classic":       classic.String(),
		"the recipient": newIdentity(t).Recipient().String(),
		"not ASCII":     good[:30] + "é" + good[32:],
	} {
		_, err := crypto.ParseIdentity(s)
		if assert.Error(t, err, name) && s != "" {
			assert.NotContains(t, err.Error(), s, name)
			assert.NotContains(t, err.Error(), s[:min(len(s), 7)]+s[min(len(s), 7):min(len(s), 25)], name)
		}
	}
}

func TestRecipientText(t *testing.T) {
	r := newIdentity(t).Recipient()
	assert.True(t, strings.HasPrefix(r.String(), "age1pq1"))
	same, err := crypto.ParseRecipient(r.String())
	require.NoError(t, err)
	assert.True(t, r.Equal(same))
	assert.Equal(t, r.String(), same.String())

	for _, s := range []string{"", "age1pq1", strings.ToUpper(r.String()), r.String() + "\n", r.String()[:1000], r.String()[1:]} {
		_, err := crypto.ParseRecipient(s)
		if assert.Error(t, err) {
			assert.Less(t, len(err.Error()), 100, "the text is not repeated")
		}
	}
}

func TestSealTo(t *testing.T) {
	id := newIdentity(t)
	for _, size := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 300000} {
		plaintext := pattern(size)
		sealed, err := crypto.SealTo(id.Recipient(), plaintext)
		require.NoError(t, err)
		got, err := id.OpenSealed(sealed, size)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got))

		if size > 0 {
			_, err = id.OpenSealed(sealed, size-1)
			require.Error(t, err, "longer than max")
			require.NotErrorIs(t, err, crypto.ErrDecrypt)
		}
	}
	a, err := crypto.SealTo(id.Recipient(), []byte("x"))
	require.NoError(t, err)
	b, err := crypto.SealTo(id.Recipient(), []byte("x"))
	require.NoError(t, err)
	assert.NotEqual(t, a, b)
}

func TestOpenSealedRefuses(t *testing.T) {
	id := newIdentity(t)
	sealed, err := crypto.SealTo(id.Recipient(), []byte("an entry"))
	require.NoError(t, err)

	_, err = newIdentity(t).OpenSealed(sealed, 100)
	require.ErrorIs(t, err, crypto.ErrDecrypt, "other identity")
	for i := range sealed {
		if i%7 != 0 && i > 60 && i < len(sealed)-120 {
			continue // the stanza's argument is long and all alike
		}
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		_, err := id.OpenSealed(changed, 100)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "byte %d changed", i)
		_, err = id.OpenSealed(sealed[:i], 100)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "cut at %d", i)
	}
	_, err = id.OpenSealed(append(bytes.Clone(sealed), 0), 100)
	require.ErrorIs(t, err, crypto.ErrDecrypt, "a byte more")

	classic, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	var other bytes.Buffer
	w, err := age.Encrypt(&other, classic.Recipient())
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, err = id.OpenSealed(other.Bytes(), 100)
	require.ErrorIs(t, err, crypto.ErrDecrypt, "sealed to a classic recipient")
}

// What a sender wrote must not reach a log by way of an error.
func TestOpenSealedErrorRepeatsNothing(t *testing.T) {
	id := newIdentity(t)
	for _, junk := range []string{
		"age-encryption.org/v1\n-> subject-of-a-mail\n",
		"subject-of-a-mail",
		"age-encryption.org/v1\n-> " + strings.Repeat("subject-of-a-mail", 1000) + "\n",
	} {
		_, err := id.OpenSealed([]byte(junk), 100)
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		assert.NotContains(t, err.Error(), "subject-of-a-mail")
	}
}

func TestIdentityWipe(t *testing.T) {
	id := newIdentity(t)
	account := [16]byte{1}
	public := id.Recipient().String()
	sealed, err := crypto.SealTo(id.Recipient(), []byte("x"))
	require.NoError(t, err)
	slot, _, err := crypto.NewTokenSlot(id, account, "phone")
	require.NoError(t, err)

	id.Wipe()
	id.Wipe()
	assert.Empty(t, id.Export())
	assert.Equal(t, public, id.Recipient().String())
	assert.Panics(t, func() { id.Derive("log") })
	_, err = id.OpenSealed(sealed, 100)
	assert.Error(t, err)
	assert.NotErrorIs(t, err, crypto.ErrDecrypt, "the bytes are not to blame")
	_, err = crypto.NewPasswordSlot(t.Context(), id, account, []byte("pw"), cheap, nil)
	assert.Error(t, err)
	_, _, err = crypto.NewTokenSlot(id, account, "phone")
	assert.Error(t, err)
	_, err = slot.Label(id)
	assert.Error(t, err)
}

func TestIdentityConcurrentWipe(t *testing.T) {
	id := newIdentity(t)
	want := id.Derive("log")
	sealed, err := crypto.SealTo(id.Recipient(), []byte("x"))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			defer func() { recover() }() // Derive after Wipe
			for {
				assert.True(t, want.Equal(id.Derive("log")), "never a key of a half-wiped seed")
			}
		})
		wg.Go(func() {
			for {
				got, err := id.OpenSealed(sealed, 10)
				if err != nil {
					return
				}
				assert.Equal(t, "x", string(got))
			}
		})
	}
	id.Wipe()
	wg.Wait()
}
