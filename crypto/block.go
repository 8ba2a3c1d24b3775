package crypto

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// BlockOverhead is the number of bytes that [BlockSecret.Seal] adds to a plaintext.
const BlockOverhead = chacha20poly1305.Overhead

const blockInfo = "letterlock/v2/block"

// BlockSecret is the random secret of one sealed block. It lies in the reference
// to the block and nowhere else, so that deleting every reference erases the
// block, whoever keeps its ciphertext. A secret seals one plaintext, once. It
// prints as a placeholder; keep it in an exported field, as [FileKey].
type BlockSecret [16]byte

// NewBlockSecret returns a random secret.
func NewBlockSecret() (s BlockSecret) {
	rand.Read(s[:])
	return s
}

// Seal encrypts plaintext, authenticates it together with ad and appends the
// result to dst. Call it once for a secret: the nonce is fixed.
func (s BlockSecret) Seal(dst, plaintext, ad []byte) []byte {
	dst = slices.Grow(dst, len(plaintext)+BlockOverhead)
	return s.aead().Seal(dst, make([]byte, chacha20poly1305.NonceSize), plaintext, ad)
}

// Open appends to dst what Seal was given. On failure it returns nil and
// [ErrDecrypt].
func (s BlockSecret) Open(dst, sealed, ad []byte) ([]byte, error) {
	plaintext, err := s.aead().Open(dst, make([]byte, chacha20poly1305.NonceSize), sealed, ad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// aead returns the cipher of the block. The key is derived, and used for one
// message, so that a nonce of zeros is safe (RFC 8439 section 2.8).
func (s BlockSecret) aead() cipher.AEAD {
	key, err := hkdf.Key(sha256.New, s[:], nil, blockInfo, chacha20poly1305.KeySize)
	if err != nil {
		panic("crypto: " + err.Error()) // only lengths above 255 hashes fail
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic("crypto: " + err.Error()) // only a key of another length fails
	}
	return aead
}
