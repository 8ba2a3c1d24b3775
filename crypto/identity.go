package crypto

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
)

// The text of an identity is Bech32 (BIP 173): a prefix, 52 symbols for the seed
// of 32 bytes, six for a checksum.
const (
	identityPrefix = "AGE-SECRET-KEY-PQ-1"
	identityText   = len(identityPrefix) + (keySize*8+4)/5 + bech32Checksum
	bech32Checksum = 6
)

// errWiped reports a use after [Identity.Wipe].
var errWiped = errors.New("crypto: identity was wiped")

// Identity is the secret of one account: an age identity of the post-quantum
// hybrid kind (ML-KEM-768 with X25519), from which all other keys of the account
// derive. Its methods may be called from many goroutines.
type Identity struct {
	public *Recipient

	mu     sync.RWMutex // held for reading while the secret is in use
	secret *identitySecret
}

type identitySecret struct {
	age  *age.HybridIdentity
	seed Key // what age expands its keys from
}

// NewIdentity returns a random identity.
func NewIdentity() (*Identity, error) {
	a, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("crypto: new identity: %w", err)
	}
	return newIdentity(a, a.String())
}

// ParseIdentity reads the text that [Identity.Export] returned, which is also
// what age-keygen -pq prints: AGE-SECRET-KEY-PQ-1 and 58 more characters, in
// upper case, without spaces or a line end. No error repeats any part of s.
func ParseIdentity(s string) (*Identity, error) {
	a, err := age.ParseHybridIdentity(s)
	if err != nil || a.String() != s {
		return nil, fmt.Errorf("crypto: parse identity: not a well-formed %s... key", identityPrefix)
	}
	return newIdentity(a, s)
}

// newIdentity returns the identity that is a, and text as age writes it.
func newIdentity(a *age.HybridIdentity, text string) (*Identity, error) {
	// age keeps the seed to itself, but its text is that seed in the 32 symbols
	// of Bech32, which take five bits each in the order base32 does.
	if len(text) != identityText {
		return nil, fmt.Errorf("crypto: age identity of %d characters, want %d", len(text), identityText)
	}
	bech32 := base32.NewEncoding("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L").WithPadding(base32.NoPadding)
	b, err := bech32.DecodeString(text[len(identityPrefix) : len(text)-bech32Checksum])
	if err != nil {
		return nil, errors.New("crypto: age identity is not Bech32")
	}
	seed, err := KeyFromBytes(b)
	clear(b)
	if err != nil {
		return nil, fmt.Errorf("crypto: seed of identity: %w", err)
	}
	return &Identity{public: newRecipient(a.Recipient()), secret: &identitySecret{age: a, seed: seed}}, nil
}

// Export returns the secret itself as an age identity, AGE-SECRET-KEY-PQ-1...,
// or the empty string after [Identity.Wipe]. Whoever has it can read everything
// the account ever stored, with this library or, the bodies, with the age tool:
// it is the recovery key, to be shown to the account's owner and nobody else.
func (id *Identity) Export() string {
	id.mu.RLock()
	defer id.mu.RUnlock()
	if id.secret == nil {
		return ""
	}
	return id.secret.age.String()
}

// Recipient returns the public half of id. It outlives [Identity.Wipe].
func (id *Identity) Recipient() *Recipient { return id.public }

// Derive returns the account's key that label names (HKDF-SHA256 of the secret
// seed, RFC 5869): always the same for one identity and label. It panics after
// [Identity.Wipe], because a key derived from nothing would encrypt for everyone.
func (id *Identity) Derive(label string) Key {
	k, err := id.derive(label)
	if err != nil {
		panic(err.Error())
	}
	return k
}

// derive is Derive for callers that can return an error.
func (id *Identity) derive(label string) (Key, error) {
	id.mu.RLock()
	defer id.mu.RUnlock()
	if id.secret == nil {
		return Key{}, errWiped
	}
	return expand(id.secret.seed.secret(), saltIdentity, label), nil
}

// OpenSealed returns what was sealed to id's recipient by [SealTo]. It fails,
// before it decrypts anything of the plaintext, if that is longer than max
// bytes. Bytes that are no age file to id, or were changed, match [ErrDecrypt].
//
// It costs one decapsulation (about 0.2 ms) whatever the bytes are, so a flood
// of junk is no worse than a flood of mail.
func (id *Identity) OpenSealed(sealed []byte, max int) ([]byte, error) {
	key, err := RecoverBodyKey(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, fmt.Errorf("crypto: open sealed record: %w", err)
	}
	size, err := key.PlaintextSize(int64(len(sealed)))
	if err != nil {
		return nil, fmt.Errorf("crypto: open sealed record: %w", err)
	}
	if size > int64(max) {
		return nil, fmt.Errorf("crypto: open sealed record: %d bytes, more than %d", size, max)
	}
	r, err := key.NewReader(bytes.NewReader(sealed[key.payload():]), size, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("crypto: open sealed record: %w", err)
	}
	// Copy reads to the end: filling a slice of size 0 would read nothing, and
	// take a record cut to its header for an empty one.
	plaintext := bytes.NewBuffer(make([]byte, 0, size))
	if _, err := io.Copy(plaintext, r); err != nil {
		return nil, fmt.Errorf("crypto: open sealed record: %w", err)
	}
	return plaintext.Bytes(), nil
}

// unwrap returns the file key of an age header.
func (id *Identity) unwrap(header []byte) ([]byte, error) {
	id.mu.RLock()
	defer id.mu.RUnlock()
	if id.secret == nil {
		return nil, errWiped
	}
	return age.DecryptHeader(header, id.secret.age)
}

// Wipe overwrites the secret seed and lets go of the rest of the secret: what
// age expanded from it can only be left to the garbage collector. It waits for
// calls in flight; after it Export returns nothing, Derive panics and the other
// methods fail. Wiping twice is wiping.
func (id *Identity) Wipe() {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.secret == nil {
		return
	}
	clear(id.secret.seed.secret())
	id.secret = nil
}

// Recipient is the public half of an [Identity]: enough to deliver mail to an
// account, not to read any. It is immutable and may be published.
type Recipient struct {
	age  *age.HybridRecipient
	text func() string
}

func newRecipient(a *age.HybridRecipient) *Recipient {
	return &Recipient{a, sync.OnceValue(a.String)}
}

// ParseRecipient reads the text of a recipient: age1pq1 and about 1,950 more
// characters, in lower case, without spaces or a line end.
func ParseRecipient(s string) (*Recipient, error) {
	a, err := age.ParseHybridRecipient(s)
	if err != nil || a.String() != s {
		return nil, errors.New("crypto: parse recipient: not a well-formed age1pq1... key")
	}
	return &Recipient{a, func() string { return s }}, nil
}

// String returns the public key as age writes it, age1pq1...
func (r *Recipient) String() string { return r.text() }

// Equal reports whether r and other are the same public key.
func (r *Recipient) Equal(other *Recipient) bool {
	return r != nil && other != nil && r.String() == other.String()
}

// SealTo returns plaintext as an age file that only the identity of r opens:
// [Identity.OpenSealed] or the age tool. It is about 1.7 KB longer than
// plaintext. It says nothing about who sealed it.
func SealTo(r *Recipient, plaintext []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := NewBodyWriter(&out, r)
	if err != nil {
		return nil, fmt.Errorf("crypto: seal record: %w", err)
	}
	out.Grow(int(w.Key().EncryptedSize(int64(len(plaintext)))) - out.Len())
	if _, err := w.Write(plaintext); err != nil {
		return nil, fmt.Errorf("crypto: seal record: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("crypto: seal record: %w", err)
	}
	return out.Bytes(), nil
}
