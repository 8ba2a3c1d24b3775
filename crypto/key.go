package crypto

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// Overhead is the number of bytes that [Key.Seal] adds to a plaintext: a nonce
// of 24 bytes in front and a tag of 16 behind.
const Overhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

const keySize = chacha20poly1305.KeySize

// ErrDecrypt is what errors.Is finds when sealed bytes did not open: they, or
// their associated data, are not what was sealed under this key. It does not say
// which, because nobody but the holder of the key could tell.
var ErrDecrypt = errors.New("crypto: message authentication failed")

// Key is a symmetric key of 32 bytes. It is immutable until [Key.Wipe]: copy it
// freely and use it from many goroutines. The zero Key is no key: Seal and Derive panic on it,
// Open fails, so that a field nobody filled in can never encrypt.
//
// Keys do not compare with ==; use [Key.Equal], which takes constant time.
type Key struct {
	_ [0]func() // no ==, which would compare addresses

	box *keyBox // nil in the zero Key
}

// keyBox keeps the bytes two pointers away from a Key. fmt prints an unexported
// field of somebody's struct without asking our methods, and for a verb like %s
// it follows one pointer; so it shows an address and no key.
type keyBox struct{ b *[keySize]byte }

// newKey returns the key of b, which must be 32 bytes, and keeps b.
func newKey(b []byte) Key {
	return Key{box: &keyBox{(*[keySize]byte)(b)}}
}

// NewKey returns a random key.
func NewKey() Key {
	b := make([]byte, keySize)
	rand.Read(b)
	return newKey(b)
}

// KeyFromBytes returns the key that [Key.Bytes] returned b for. It fails if b is
// not 32 bytes or is all zero. It keeps no reference to b.
func KeyFromBytes(b []byte) (Key, error) {
	if len(b) != keySize {
		return Key{}, fmt.Errorf("crypto: key of %d bytes, want %d", len(b), keySize)
	}
	if [keySize]byte(b) == [keySize]byte{} {
		return Key{}, errors.New("crypto: key of zeros only")
	}
	return newKey(slices.Clone(b)), nil
}

// Bytes returns a copy of the 32 bytes of k, or nil if k is the zero Key. With
// [Identity.Export] and [Token.Export] it is one of the three ways for a secret
// to leave this package.
func (k Key) Bytes() []byte {
	if k.IsZero() {
		return nil
	}
	return slices.Clone(k.secret())
}

// IsZero reports whether k is the zero Key, which is no key.
func (k Key) IsZero() bool { return k.box == nil || k.box.b == nil }

// Wipe overwrites the key, which every copy of it shares: all of them are the zero
// Key from then on. Nobody may use one meanwhile.
func (k Key) Wipe() {
	if !k.IsZero() {
		clear(k.box.b[:])
		k.box.b = nil
	}
}

// Equal reports whether k and other are the same key, in constant time. The zero
// Key equals only itself.
func (k Key) Equal(other Key) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() == other.IsZero()
	}
	return subtle.ConstantTimeCompare(k.secret(), other.secret()) == 1
}

// Derive returns the key that label names under k (HKDF-SHA256, RFC 5869). Keys
// of different labels tell nothing about each other or about k.
func (k Key) Derive(label string) Key {
	return expand(k.secret(), saltKey, label)
}

// Seal encrypts plaintext, authenticates it together with ad, and appends the
// result, which is [Overhead] bytes longer than plaintext, to dst. The nonce is
// random and of 192 bits, so one key may seal any number of messages. dst must
// not share memory with plaintext or ad.
func (k Key) Seal(dst, plaintext, ad []byte) []byte {
	var nonce [chacha20poly1305.NonceSizeX]byte
	rand.Read(nonce[:])
	return k.sealWith(dst, &nonce, plaintext, ad)
}

// MAC returns the HMAC-SHA256 (RFC 2104) of parts, one after the other, under k.
func (k Key) MAC(parts ...[]byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, k.secret())
	for _, p := range parts {
		h.Write(p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// CheckMAC reports whether mac is what [Key.MAC] returns, in constant time.
func (k Key) CheckMAC(mac []byte, parts ...[]byte) bool {
	want := k.MAC(parts...)
	return hmac.Equal(mac, want[:])
}

// sealWith is Seal under a given nonce; it is apart so that a test vector can
// fix the nonce.
func (k Key) sealWith(dst []byte, nonce *[chacha20poly1305.NonceSizeX]byte, plaintext, ad []byte) []byte {
	aead, err := chacha20poly1305.NewX(k.secret())
	if err != nil {
		panic("crypto: " + err.Error()) // only a key of another length fails
	}
	dst = slices.Grow(dst, Overhead+len(plaintext))
	dst = append(dst, nonce[:]...)
	return aead.Seal(dst, nonce[:], plaintext, ad)
}

// Open authenticates and decrypts what [Key.Seal] returned for the same ad, and
// appends the plaintext to dst. On failure, which matches [ErrDecrypt], it
// returns nil. dst must not share memory with sealed or ad.
func (k Key) Open(dst, sealed, ad []byte) ([]byte, error) {
	if k.IsZero() || len(sealed) < Overhead {
		return nil, ErrDecrypt
	}
	aead, err := chacha20poly1305.NewX(k.secret())
	if err != nil {
		panic("crypto: " + err.Error()) // only a key of another length fails
	}
	nonce, ciphertext := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plaintext, err := aead.Open(dst, nonce, ciphertext, ad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// secret returns the bytes of k themselves.
func (k Key) secret() []byte {
	if k.IsZero() {
		panic("crypto: use of the zero Key")
	}
	return k.box.b[:]
}

// Each derivation of the format has a salt of its own, so that no choice of
// labels can make two of them meet. docs/format-crypto.md draws the tree.
const (
	saltKey        = "letterlock/v1/key"
	saltIdentity   = "letterlock/v1/identity"
	saltToken      = "letterlock/v1/slot/token"
	saltSlotCommit = "letterlock/v1/slot/commit"
	saltSlotWrap   = "letterlock/v1/slot/wrap"

	saltServer       = "letterlock/v2/server"
	saltSlotPassword = "letterlock/v2/slot/password"
)

// expand is HKDF-SHA256 (RFC 5869) to one key. The secret must have the entropy
// of a key: passwords go through [Pool.Key].
func expand(secret []byte, salt, info string) Key {
	b, err := hkdf.Key(sha256.New, secret, []byte(salt), info, keySize)
	if err != nil {
		panic("crypto: " + err.Error()) // only lengths above 255 hashes fail
	}
	return newKey(b)
}
