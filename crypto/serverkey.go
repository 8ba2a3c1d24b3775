package crypto

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// ErrServerKey is what errors.Is finds when something was sealed with a server key
// that the caller does not have.
var ErrServerKey = errors.New("crypto: another server key is needed")

// Labels of the keys that derive from a server key and a store's salt.
const (
	labelKeyID     = "id"
	labelKeyRecord = "record"
	labelDirectory = "directory"
	labelSlots     = "slots"
	labelNames     = "names"
)

// KeyID tells server keys apart. It is public. The zero KeyID is no key's.
type KeyID [4]byte

// String returns 8 lower-case hexadecimal digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ServerKey is the one secret of a mail server beside its configuration, never in
// a store. [ServerKey.ForStore] derives what a store needs of it. The zero
// ServerKey is no key.
type ServerKey struct{ secret Key }

// NewServerKey returns a random key.
func NewServerKey() ServerKey { return ServerKey{NewKey()} }

// ParseServerKey reads the 64 hexadecimal digits that [ServerKey.Export] returned.
// No error repeats any part of s.
func ParseServerKey(s string) (ServerKey, error) {
	b, err := hex.DecodeString(s)
	defer clear(b)
	if err != nil || strings.ToLower(s) != s {
		return ServerKey{}, errors.New("crypto: parse server key: want 64 lower-case hexadecimal digits")
	}
	key, err := KeyFromBytes(b)
	if err != nil {
		return ServerKey{}, errors.New("crypto: parse server key: want 64 lower-case hexadecimal digits")
	}
	return ServerKey{key}, nil
}

// Export returns the secret itself, or the empty string if k is the zero
// ServerKey.
func (k ServerKey) Export() string { return hex.EncodeToString(k.secret.Bytes()) }

// IsZero reports whether k is no key.
func (k ServerKey) IsZero() bool { return k.secret.IsZero() }

// ForStore returns the keys of the store with a salt. It panics for the zero
// ServerKey.
func (k ServerKey) ForStore(salt []byte) *StoreKey {
	s := expand(k.secret.secret(), saltServer, string(salt))
	defer s.Wipe()
	id := s.Derive(labelKeyID)
	defer id.Wipe()
	return &StoreKey{
		ID:        KeyID(id.secret()[:len(KeyID{})]),
		Record:    s.Derive(labelKeyRecord),
		Directory: s.Derive(labelDirectory),
		Names:     s.Derive(labelNames),
		pepper:    s.Derive(labelSlots),
	}
}

// StoreKey is what a server key gives for one store.
type StoreKey struct {
	ID        KeyID
	Record    Key // seals the record that the key belongs to the store
	Directory Key // seals recipients: all that a deliverer needs
	Names     Key // seals names of accounts
	pepper    Key // of password slots
}

// DirectoryKey is the part of a [StoreKey] that delivers: with it recipients can
// be read and written, but no password tested and no name listed.
type DirectoryKey struct {
	ID  KeyID
	Key Key
}

// ForDelivery returns the part of k that delivers.
func (k *StoreKey) ForDelivery() DirectoryKey { return DirectoryKey{k.ID, k.Directory} }

// Export returns d as text: lldeliver1 and base32. It is a secret.
func (d DirectoryKey) Export() string {
	if d.IsZero() {
		return ""
	}
	b := append(d.ID[:len(d.ID):len(d.ID)], d.Key.secret()...)
	defer clear(b)
	b = appendCRC(b)
	return directoryPrefix + tokenBase32.EncodeToString(b)
}

// IsZero reports whether d is no key.
func (d DirectoryKey) IsZero() bool { return d.Key.IsZero() }

const directoryPrefix = "lldeliver1"

// ParseDirectoryKey reads what [DirectoryKey.Export] returned. No error repeats any
// part of s.
func ParseDirectoryKey(s string) (DirectoryKey, error) {
	bad := func(why string) (DirectoryKey, error) {
		return DirectoryKey{}, fmt.Errorf("crypto: parse delivery key: %s", why)
	}
	encoded, ok := strings.CutPrefix(s, directoryPrefix)
	if !ok {
		return bad("does not begin with " + directoryPrefix)
	}
	b, err := tokenBase32.DecodeString(encoded)
	if err != nil || len(b) != len(KeyID{})+keySize+crc32.Size {
		var where base32.CorruptInputError
		if errors.As(err, &where) {
			return bad("character out of a-z and 2-7")
		}
		return bad("wrong length")
	}
	defer clear(b)
	var d DirectoryKey
	copy(d.ID[:], b)
	if d.Key, err = KeyFromBytes(b[len(d.ID) : len(d.ID)+keySize]); err != nil {
		return bad("no secret")
	}
	if d.Export() != s {
		return bad("wrong checksum, a typing error")
	}
	return d, nil
}

// peppered returns the slot key of a password slot that was made with k.
func (k *StoreKey) peppered(derived Key, slot SlotID) Key {
	secret := append(derived.Bytes(), k.pepper.secret()...)
	defer clear(secret)
	return expand(secret, saltSlotPassword, string(slot[:]))
}
