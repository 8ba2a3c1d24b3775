package crypto_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

func BenchmarkKeySeal(b *testing.B) {
	for _, size := range []int{256, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k, plaintext := crypto.NewKey(), pattern(size)
			dst := make([]byte, 0, size+crypto.Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				k.Seal(dst, plaintext, nil)
			}
		})
	}
}

func BenchmarkKeyOpen(b *testing.B) {
	for _, size := range []int{256, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := crypto.NewKey()
			sealed := k.Seal(nil, pattern(size), nil)
			dst := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(dst, sealed, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDerive(b *testing.B) {
	id := newIdentity(b)
	b.ReportAllocs()
	for b.Loop() {
		id.Derive("log")
	}
}

func BenchmarkBodyWriter(b *testing.B) {
	r := newIdentity(b).Recipient()
	for _, size := range []int{4 << 10, 236 << 10, 16 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			plaintext := pattern(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w, err := crypto.NewBodyWriter(io.Discard, r)
				require.NoError(b, err)
				_, err = w.Write(plaintext)
				require.NoError(b, err)
				require.NoError(b, w.Close())
			}
		})
	}
}

func BenchmarkBodyReader(b *testing.B) {
	const size = 16 << 20
	file, k := writeBody(b, newIdentity(b).Recipient(), pattern(size))
	for name, n := range map[string]int64{"64KiB": 64 << 10, "full": -1} {
		b.Run(name, func(b *testing.B) {
			off := int64(0)
			if n > 0 {
				off = 5 * chunk
			}
			srcOff, srcLen := k.Span(size, off, n)
			b.ReportAllocs()
			for b.Loop() {
				r, err := k.NewReader(bytes.NewReader(file[srcOff:srcOff+srcLen]), size, off, n)
				require.NoError(b, err)
				got, err := io.Copy(io.Discard, r)
				require.NoError(b, err)
				b.SetBytes(got)
			}
		})
	}
}

func BenchmarkSealTo(b *testing.B) {
	r := newIdentity(b).Recipient()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := crypto.SealTo(r, []byte("a sealed entry")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSealed(b *testing.B) {
	id := newIdentity(b)
	sealed, err := crypto.SealTo(id.Recipient(), []byte("a sealed entry"))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := id.OpenSealed(sealed, 1000); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTokenLogin is all the cryptography of a login by token.
func BenchmarkTokenLogin(b *testing.B) {
	slot, token, err := crypto.NewTokenSlot(newIdentity(b), account, "phone")
	require.NoError(b, err)
	stored, text := slot.Marshal(), token.Export()
	b.ReportAllocs()
	for b.Loop() {
		token, err := crypto.ParseToken([]byte(text))
		require.NoError(b, err)
		slot, err := crypto.ParseSlot(stored)
		require.NoError(b, err)
		_, err = slot.OpenToken(account, token)
		require.NoError(b, err)
	}
}

// BenchmarkVerifiedLogin is the same for a password verified lately.
func BenchmarkVerifiedLogin(b *testing.B) {
	pw := []byte("pw")
	slot, err := crypto.NewPasswordSlot(b.Context(), newIdentity(b), account, pw, cheap, nil)
	require.NoError(b, err)
	key, err := slot.PasswordKey(b.Context(), crypto.Requester{}, pw, nil)
	require.NoError(b, err)
	v := crypto.NewVerified(crypto.VerifiedOptions{})
	v.Remember(account, slot.ID, pw, key)
	stored := slot.Marshal()
	b.ReportAllocs()
	for b.Loop() {
		_, key, ok := v.Lookup(account, pw)
		require.True(b, ok)
		slot, err := crypto.ParseSlot(stored)
		require.NoError(b, err)
		_, err = slot.OpenWithKey(account, key)
		require.NoError(b, err)
	}
}

func BenchmarkPasswordDefault(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, err := crypto.DefaultPool().Key(b.Context(), crypto.Requester{}, []byte("pw"), make([]byte, 16), crypto.PasswordParams{})
		require.NoError(b, err)
	}
}
