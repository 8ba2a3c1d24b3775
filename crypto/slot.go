package crypto

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrWrongSecret is what errors.Is finds when a password or token does not open
// a slot: because it is not the slot's, or because the slot belongs to another
// account.
var ErrWrongSecret = errors.New("crypto: wrong password or token")

// saltSuccessor is hashed with the ID of a slot that is renewed.
const saltSuccessor = "letterlock/v1/slot/successor"

// slotLabelKey is the label of the identity's key that seals labels of slots.
const slotLabelKey = "slot label"

// MaxLabel is the longest label of a token slot, in bytes of UTF-8.
const MaxLabel = 127

// SlotID names a slot, in the store and inside a token. It is random and public.
type SlotID [16]byte

// String returns id as 32 lower-case hexadecimal digits.
func (id SlotID) String() string { return hex.EncodeToString(id[:]) }

// ParseSlotID reads what [SlotID.String] returned.
func ParseSlotID(s string) (SlotID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(SlotID{}) || strings.ToLower(s) != s {
		return SlotID{}, fmt.Errorf("crypto: parse slot id: want %d lower-case hexadecimal digits", 2*len(SlotID{}))
	}
	return SlotID(b), nil
}

// Successor returns the ID of the slot that [Slot.Renew] makes of the one with id.
func (id SlotID) Successor() SlotID {
	sum := sha256.Sum256(append([]byte(saltSuccessor), id[:]...))
	return SlotID(sum[:len(id)])
}

// SlotKind says what opens a slot.
type SlotKind uint8

// The kinds of slots. The values are part of the format.
const (
	SlotPassword SlotKind = 1
	SlotToken    SlotKind = 2
)

// String returns "password" or "token".
func (k SlotKind) String() string {
	switch k {
	case SlotPassword:
		return "password"
	case SlotToken:
		return "token"
	}
	return fmt.Sprintf("SlotKind(%d)", uint8(k))
}

// Slot is one way into an account: its identity, wrapped under a key that comes
// from a password or a token. A slot is public as far as the password is strong;
// it is stored as an object of its own ([Slot.Marshal]), created when a password
// or token is set and deleted when it is revoked, never changed.
//
// All fields are authenticated: a slot that was altered, or is opened for
// another account, does not open. Methods may be called from many goroutines.
type Slot struct {
	Kind    SlotKind
	ID      SlotID
	Created time.Time      // UTC, whole seconds
	Params  PasswordParams // of a password slot
	Salt    [16]byte       // of a password slot
	KeyID   KeyID          // of a password slot: the server key that it also needs; zero if none

	commit [keySize]byte // tells a wrong key from a damaged slot
	label  []byte        // of a token slot: sealed, of one length
	sealed []byte        // the text of the identity, sealed
}

// NewPasswordSlot makes a slot that password opens. The zero p means
// [DefaultPasswordParams], a nil pool [DefaultPool]. Where keys are given the slot
// opens only with the first of them. It costs one derivation and fails like
// [Pool.Key], and for an empty password.
//
// The derivation queues as one for an account that was logged in to lately.
func NewPasswordSlot(ctx context.Context, id *Identity, account [16]byte, password []byte, p PasswordParams, pool *Pool, keys ...*StoreKey) (*Slot, error) {
	s := newSlot(SlotPassword)
	s.Params = p.orDefault()
	_, err := s.setPassword(ctx, id, account, password, pool, keys)
	return s, err
}

// Renew makes the slot that replaces s, a password slot whose Params or server key
// are out of date, for the same password. Its ID follows from that of s ([SlotID.Successor]),
// so that whoever deletes s, because the password is changed at the same time, can
// delete the replacement too. It also returns the key of the new slot. It fails
// like [NewPasswordSlot].
func (s *Slot) Renew(ctx context.Context, id *Identity, account [16]byte, password []byte, p PasswordParams, pool *Pool, keys ...*StoreKey) (*Slot, Key, error) {
	next := newSlot(SlotPassword)
	next.ID = s.ID.Successor()
	next.Params = p.orDefault()
	key, err := next.setPassword(ctx, id, account, password, pool, keys)
	return next, key, err
}

// setPassword wraps id under a password, with a new salt.
func (s *Slot) setPassword(ctx context.Context, id *Identity, account [16]byte, password []byte, pool *Pool, keys []*StoreKey) (Key, error) {
	if len(password) == 0 {
		return Key{}, errors.New("crypto: new password slot: empty password")
	}
	rand.Read(s.Salt[:])
	if len(keys) > 0 {
		s.KeyID = keys[0].ID
	}
	key, err := s.PasswordKey(ctx, Requester{Recent: account}, password, pool, keys...)
	if err != nil {
		return Key{}, fmt.Errorf("crypto: new password slot: %w", err)
	}
	return key, s.wrap(id, account, key)
}

// NewTokenSlot makes a slot and the random token that opens it. The label, at
// most [MaxLabel] bytes of UTF-8, is for the account's owner to know the token
// by; it is kept encrypted, and in a fixed length.
func NewTokenSlot(id *Identity, account [16]byte, label string) (*Slot, Token, error) {
	if len(label) > MaxLabel || !utf8.ValidString(label) {
		return nil, Token{}, fmt.Errorf("crypto: new token slot: label is not UTF-8 of at most %d bytes", MaxLabel)
	}
	s := newSlot(SlotToken)
	t := Token{slot: s.ID, secret: NewKey()}
	if err := s.sealLabel(id, label); err != nil {
		return nil, Token{}, fmt.Errorf("crypto: new token slot: %w", err)
	}
	if err := s.wrap(id, account, t.slotKey()); err != nil {
		return nil, Token{}, err
	}
	return s, t, nil
}

func newSlot(kind SlotKind) *Slot {
	s := &Slot{Kind: kind, Created: time.Unix(time.Now().Unix(), 0).UTC()}
	rand.Read(s.ID[:])
	return s
}

// PasswordKey derives the slot key of a password: the one costly step, and the
// one that knows nothing about being right. A nil pool means [DefaultPool]. It
// fails like [Pool.Key], with [ErrWrongSecret] if s is no password slot, and with
// [ErrServerKey], before it derives anything, if the server key that the slot needs
// is not among keys.
func (s *Slot) PasswordKey(ctx context.Context, who Requester, password []byte, pool *Pool, keys ...*StoreKey) (Key, error) {
	if s.Kind != SlotPassword {
		return Key{}, fmt.Errorf("crypto: slot %v takes no password: %w", s.ID, ErrWrongSecret)
	}
	at := slices.IndexFunc(keys, func(k *StoreKey) bool { return k.ID == s.KeyID })
	if at < 0 && s.KeyID != (KeyID{}) {
		return Key{}, fmt.Errorf("crypto: slot %v: server key %v: %w", s.ID, s.KeyID, ErrServerKey)
	}
	if pool == nil {
		pool = DefaultPool()
	}
	key, err := pool.Key(ctx, who, password, s.Salt[:], s.Params)
	if err != nil || at < 0 {
		return key, err
	}
	defer key.Wipe()
	return keys[at].peppered(key, s.ID), nil
}

// OpenPassword returns the identity of account. It fails with [ErrWrongSecret]
// if that is not the password, with [ErrDecrypt] if it is and the slot is
// damaged, and like [Pool.Key]. A nil pool means [DefaultPool].
func (s *Slot) OpenPassword(ctx context.Context, who Requester, account [16]byte, password []byte, pool *Pool, keys ...*StoreKey) (*Identity, error) {
	key, err := s.PasswordKey(ctx, who, password, pool, keys...)
	if err != nil {
		return nil, err
	}
	return s.OpenWithKey(account, key)
}

// OpenToken is like [Slot.OpenPassword] with a token. Deriving the slot key is a
// few hashes; most of its tenth of a millisecond goes into what age computes
// from any identity.
func (s *Slot) OpenToken(account [16]byte, t Token) (*Identity, error) {
	if s.Kind != SlotToken || t.slot != s.ID || t.secret.IsZero() {
		return nil, fmt.Errorf("crypto: open slot %v: %w", s.ID, ErrWrongSecret)
	}
	return s.OpenWithKey(account, t.slotKey())
}

// OpenWithKey is like [Slot.OpenPassword] with the key that [Slot.PasswordKey]
// returned for the password, which [Verified] remembers.
func (s *Slot) OpenWithKey(account [16]byte, key Key) (*Identity, error) {
	if key.IsZero() {
		return nil, fmt.Errorf("crypto: open slot %v: %w", s.ID, ErrWrongSecret)
	}
	commit := s.commitment(account, key)
	if subtle.ConstantTimeCompare(commit[:], s.commit[:]) != 1 {
		return nil, fmt.Errorf("crypto: open slot %v: %w", s.ID, ErrWrongSecret)
	}
	text, err := s.wrapKey(account, key).Open(nil, s.sealed, s.head(account))
	if err != nil {
		return nil, fmt.Errorf("crypto: open slot %v: %w", s.ID, err)
	}
	id, err := ParseIdentity(string(text))
	clear(text)
	if err != nil {
		return nil, fmt.Errorf("crypto: open slot %v: %w", s.ID, err)
	}
	return id, nil
}

// wrap seals id into s, whose other fields are set.
func (s *Slot) wrap(id *Identity, account [16]byte, key Key) error {
	text := []byte(id.Export())
	defer clear(text)
	if len(text) != identityText {
		return fmt.Errorf("crypto: new slot: %w", errWiped)
	}
	s.commit = s.commitment(account, key)
	s.sealed = s.wrapKey(account, key).Seal(nil, text, s.head(account))
	return nil
}

// commitment is a value that only this key yields. XChaCha20-Poly1305 alone
// admits sealed bytes that open under many chosen keys: a store's owner could
// plant such a slot and learn from each login which passwords it was not.
func (s *Slot) commitment(account [16]byte, key Key) [keySize]byte {
	return [keySize]byte(expand(key.secret(), saltSlotCommit, string(account[:])+string(s.ID[:])).secret())
}

func (s *Slot) wrapKey(account [16]byte, key Key) Key {
	return expand(key.secret(), saltSlotWrap, string(account[:])+string(s.ID[:]))
}

// head is what the wrapped identity is authenticated together with: the account
// and all of the slot before it.
func (s *Slot) head(account [16]byte) []byte {
	return s.appendHead(account[:])
}

// Label returns the label of a token slot; a password slot has none. id must be
// the identity in the slot; otherwise the error matches [ErrDecrypt].
func (s *Slot) Label(id *Identity) (string, error) {
	if s.Kind != SlotToken {
		return "", nil
	}
	key, err := id.derive(slotLabelKey)
	if err != nil {
		return "", err
	}
	block, err := key.Open(nil, s.label, s.ID[:])
	if err != nil {
		return "", fmt.Errorf("crypto: label of slot %v: %w", s.ID, err)
	}
	n := min(int(block[0]), MaxLabel)
	label := string(block[1 : 1+n])
	if !utf8.ValidString(label) || !bytes.Equal(block, labelBlock(label)) {
		return "", fmt.Errorf("crypto: label of slot %v is malformed", s.ID)
	}
	return label, nil
}

func (s *Slot) sealLabel(id *Identity, label string) error {
	key, err := id.derive(slotLabelKey)
	if err != nil {
		return err
	}
	s.label = key.Seal(nil, labelBlock(label), s.ID[:])
	return nil
}

// labelBlock pads a label, so that its sealed length tells nothing.
func labelBlock(label string) []byte {
	block := make([]byte, 1+MaxLabel)
	block[0] = byte(len(label))
	copy(block[1:], label)
	return block
}
