// Package keyring has the names and bytes of an account's public keys and of the
// identities that it had before. It does no I/O.
//
// A deliverer finds what it needs to add mail, for one epoch of the account's log,
// below key/:
//
//	key/<epoch>                     the recipient
//	key/<epoch>-<key ID>-<name>     terms, recipient, and sealed the delivery key
//
// The first is a claim: whoever can write the store can write it. The second is an
// entry of the directory. It is sealed with a server key, for one name of the
// account, and so proves that a server with that key led the name to this account
// and recipient.
package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

const (
	labelRing   = "letterlock/v2/ring"
	ringVersion = 1
	// MaxObject is more than any object of this package has, in bytes.
	MaxObject = 4096
)

// NameHash tells names of accounts apart: the first half of the hash by which a name
// is looked up.
type NameHash [16]byte

// Name is the parsed name of an object below key/.
type Name struct {
	Epoch eventlog.Epoch
	Claim bool         // the recipient alone
	Key   crypto.KeyID // of an entry of the directory
	Hash  NameHash     // of one
}

// Object returns the name of the object in the store.
func (n Name) Object(prefix string) string {
	if n.Claim {
		return fmt.Sprintf("%s%s%010d", prefix, layout.KeyFolder, n.Epoch)
	}
	return fmt.Sprintf("%s%s%010d-%v-%x", prefix, layout.KeyFolder, n.Epoch, n.Key, n.Hash[:])
}

// ParseName reads what [Name.Object] wrote.
func ParseName(prefix, object string) (Name, bool) {
	var n Name
	rest, ok := strings.CutPrefix(object, prefix+layout.KeyFolder)
	parts := strings.Split(rest, "-")
	if !ok || len(parts) != 1 && len(parts) != 3 {
		return n, false
	}
	var epoch uint32
	if _, err := fmt.Sscanf(parts[0], "%d", &epoch); err != nil {
		return n, false
	}
	n.Epoch, n.Claim = eventlog.Epoch(epoch), len(parts) == 1
	if !n.Claim {
		key, err1 := hex.DecodeString(parts[1])
		hash, err2 := hex.DecodeString(parts[2])
		if err1 != nil || err2 != nil || len(key) != len(n.Key) || len(hash) != len(n.Hash) {
			return n, false
		}
		n.Key, n.Hash = crypto.KeyID(key), NameHash(hash)
	}
	return n, n.Epoch > 0 && n.Object(prefix) == object
}

var errMalformed = errors.New("malformed")

// EncodeClaim returns the bytes of a claim.
func EncodeClaim(r *crypto.Recipient) []byte { return []byte(r.String() + "\n") }

// DecodeClaim reads a claim. To parse a recipient costs more than to compare it:
// likely, if it is not nil, is returned if it is the one.
func DecodeClaim(b []byte, likely *crypto.Recipient) (*crypto.Recipient, error) {
	text, rest, ok := strings.Cut(string(b), "\n")
	if !ok || rest != "" {
		return nil, errMalformed
	}
	return parseRecipient(text, likely)
}

func parseRecipient(text string, likely *crypto.Recipient) (*crypto.Recipient, error) {
	if likely != nil && text == likely.String() {
		return likely, nil
	}
	return crypto.ParseRecipient(text)
}

// Entry is what the directory says of an account, for one epoch and name.
type Entry struct {
	Terms     eventlog.Terms
	Recipient *crypto.Recipient
	// Delivery is the key of the epoch's MACs. It is zero in an open epoch, and in an
	// entry that was written by who did not know it: then nobody can deliver.
	Delivery crypto.Key
}

// Seal returns the bytes of an entry under the name of its object.
func (e Entry) Seal(key crypto.DirectoryKey, object string) []byte {
	head := append([]byte{byte(e.Terms)}, EncodeClaim(e.Recipient)...)
	secret := e.Delivery.Bytes()
	defer clear(secret)
	return key.Key.Seal(head, secret, entryAD(object, head))
}

func entryAD(object string, head []byte) []byte {
	return append([]byte(object), head...)
}

// OpenEntry opens what [Entry.Seal] returned.
func OpenEntry(key crypto.DirectoryKey, object string, b []byte, likely *crypto.Recipient) (Entry, error) {
	end := bytes.IndexByte(b, '\n') + 1
	if end < 2 {
		return Entry{}, errMalformed
	}
	secret, err := key.Key.Open(nil, b[end:], entryAD(object, b[:end]))
	if err != nil {
		return Entry{}, err
	}
	defer clear(secret)
	e := Entry{Terms: eventlog.Terms(b[0])}
	if e.Recipient, err = parseRecipient(string(b[1:end-1]), likely); err != nil {
		return Entry{}, err
	}
	if len(secret) > 0 {
		if e.Delivery, err = crypto.KeyFromBytes(secret); err != nil {
			return Entry{}, err
		}
	}
	switch {
	case e.Terms == eventlog.TermsClosed, e.Terms == eventlog.TermsOpen && e.Delivery.IsZero():
		return e, nil
	}
	return Entry{}, errMalformed
}

// Equal reports whether two entries say the same.
func (e Entry) Equal(f Entry) bool {
	return e.Terms == f.Terms && e.Recipient.Equal(f.Recipient) && e.Delivery.Equal(f.Delivery)
}

// RingName returns the name of the object that holds the identity before the one of
// a recipient.
func RingName(prefix string, of *crypto.Recipient) string {
	sum := sha256.Sum256([]byte(of.String()))
	return fmt.Sprintf("%s%s%x", prefix, layout.RingFolder, sum[:16])
}

// SealRing returns the bytes of the object that holds the identity before next; nil
// says that next is the first.
func SealRing(next *crypto.Identity, object string, before *crypto.Identity) []byte {
	b := []byte{ringVersion}
	if before != nil {
		b = append(b, before.Export()...)
	}
	defer clear(b)
	key := next.Derive(labelRing)
	defer key.Wipe()
	return key.Seal(nil, b, []byte(object))
}

// OpenRing opens what [SealRing] returned: nil if the identity is the first.
func OpenRing(identity *crypto.Identity, object string, sealed []byte) (*crypto.Identity, error) {
	key := identity.Derive(labelRing)
	defer key.Wipe()
	b, err := key.Open(nil, sealed, []byte(object))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if len(b) == 0 || b[0] != ringVersion {
		return nil, errMalformed
	}
	if len(b) == 1 {
		return nil, nil
	}
	return crypto.ParseIdentity(string(b[1:]))
}

const recordText = "letterlock"

// RecordName returns the name of the object that says that a server key belongs to
// a store.
func RecordName(id crypto.KeyID) string { return fmt.Sprintf("store/key-%v", id) }

// RecordFolder is how the names of all records begin.
const RecordFolder = "store/key-"

// SealRecord returns the bytes of the object [RecordName].
func SealRecord(k *crypto.StoreKey) []byte {
	return k.Record.Seal(nil, []byte(recordText), []byte(RecordName(k.ID)))
}

// CheckRecord fails if the record of a key was not made with it.
func CheckRecord(k *crypto.StoreKey, b []byte) error {
	text, err := k.Record.Open(nil, b, []byte(RecordName(k.ID)))
	if err == nil && string(text) != recordText {
		err = errMalformed
	}
	return err
}
