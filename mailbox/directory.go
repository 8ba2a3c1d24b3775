package mailbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// What a deliverer needs to add to an account, and who says so: see package keyring.
// Without a server key the claim of an epoch is taken as it is. With one only entries
// of the directory count, which only a server with the key can have written. Who
// writes an entry for a name vouches that the name is this account's: the server that
// makes the account or gives it the name, and the operator who adopts a store. A
// change of epoch carries over names that were vouched for; a login vouches for none,
// because whoever can write the store can lead any name to an account of their own and
// log in to that.

// nameHashOf returns what entries of the directory know a name by.
func (s *Store) nameHashOf(name string) keyring.NameHash {
	return hashOfObject(s.nameHash(name))
}

// hashOfObject does it for the object that a name is looked up by.
func hashOfObject(object string) (h keyring.NameHash) {
	b, err := hex.DecodeString(strings.TrimPrefix(object, layout.NameFolder))
	if err == nil {
		copy(h[:], b)
	}
	return h
}

// claim reads the recipient that is published for an epoch, by whomever.
func (s *Store) claim(ctx context.Context, id eventlog.ID, e eventlog.Epoch, likely *crypto.Recipient) (*crypto.Recipient, error) {
	object := keyring.Name{Epoch: e, Claim: true}.Object(layout.AccountPrefix(id))
	b, err := layout.ReadAll(ctx, s.blobs, object, keyring.MaxObject)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read delivery key: %w", err)
	}
	r, err := keyring.DecodeClaim(b, likely)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: %w: %w", object, eventlog.ErrCorrupt, err)
	}
	return r, nil
}

// entry reads what the directory says of a name of an account, under the first of
// the server keys for which there is something. It fails with fs.ErrNotExist if there
// is nothing, and with ErrUnsigned if a key of ours did not write it.
func (s *Store) entry(ctx context.Context, id eventlog.ID, e eventlog.Epoch, name keyring.NameHash, likely *crypto.Recipient) (entry keyring.Entry, by crypto.KeyID, err error) {
	err = fs.ErrNotExist
	for _, key := range s.directory {
		entry, err = s.entryUnder(ctx, id, keyring.Name{Epoch: e, Key: key.ID, Hash: name}, likely)
		if !errors.Is(err, fs.ErrNotExist) {
			return entry, key.ID, err
		}
	}
	return entry, by, err
}

func (s *Store) entryUnder(ctx context.Context, id eventlog.ID, n keyring.Name, likely *crypto.Recipient) (keyring.Entry, error) {
	at := slices.IndexFunc(s.directory, func(k crypto.DirectoryKey) bool { return k.ID == n.Key })
	if at < 0 {
		return keyring.Entry{}, fmt.Errorf("mailbox: server key %v: %w", n.Key, ErrServerKey)
	}
	object := n.Object(layout.AccountPrefix(id))
	b, err := layout.ReadAll(ctx, s.blobs, object, keyring.MaxObject)
	if err != nil {
		return keyring.Entry{}, fmt.Errorf("mailbox: read directory: %w", err)
	}
	entry, err := keyring.OpenEntry(s.directory[at], object, b, likely)
	if err != nil {
		s.logger.Error("an entry of the directory was not written with the server key", "object", object)
		return entry, fmt.Errorf("mailbox: %s: %w: %w", object, ErrUnsigned, err)
	}
	return entry, nil
}

// deliveryFor returns what adds mail for a name to an account in an epoch.
func (s *Store) deliveryFor(ctx context.Context, id eventlog.ID, e eventlog.Epoch, name keyring.NameHash) (eventlog.Delivery, error) {
	if len(s.directory) == 0 {
		r, err := s.claim(ctx, id, e, nil)
		return eventlog.Delivery{Recipient: r}, err
	}
	entry, _, err := s.entry(ctx, id, e, name, nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("mailbox: %s: no server with the key led the name here: %w", layout.AccountPrefix(id)+layout.KeyFolder, ErrUnsigned)
	}
	if err == nil && entry.Terms == eventlog.TermsClosed && entry.Delivery.IsZero() {
		err = fmt.Errorf("mailbox: %s: the account must log in before it gets mail: %w", layout.AccountPrefix(id)+layout.KeyFolder, ErrUnsigned)
	}
	return eventlog.Delivery{Recipient: entry.Recipient, Key: entry.Delivery}, err
}

// keyNames lists what is below key/ of an account.
func (s *Store) keyNames(ctx context.Context, id eventlog.ID) ([]keyring.Name, error) {
	var all []keyring.Name
	for info, err := range s.blobs.List(ctx, layout.AccountPrefix(id)+layout.KeyFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: list keys: %w", err)
		}
		if n, ok := keyring.ParseName(layout.AccountPrefix(id), info.Name); ok {
			all = append(all, n)
		}
	}
	return all, nil
}

// claims returns the recipients that are published for an account: one, and during a
// change of its identity two.
func (s *Store) claims(ctx context.Context, id eventlog.ID, likely *crypto.Recipient) ([]*crypto.Recipient, error) {
	names, err := s.keyNames(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []*crypto.Recipient
	for _, n := range names {
		if !n.Claim {
			continue
		}
		r, err := s.claim(ctx, id, n.Epoch, likely)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("mailbox: %s: %w", layout.AccountPrefix(id)+layout.KeyFolder, fs.ErrNotExist)
	}
	return all, nil
}

// vouched returns the names that entries of two epochs, one and the one before, say
// are the account's.
func (s *Store) vouched(ctx context.Context, id eventlog.ID, e eventlog.Epoch) ([]keyring.NameHash, error) {
	all := map[keyring.NameHash]bool{}
	names, err := s.keyNames(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.Claim || n.Epoch > e || n.Epoch+1 < e || all[n.Hash] {
			continue
		}
		switch _, err := s.entryUnder(ctx, id, n, nil); {
		case err == nil:
			all[n.Hash] = true
		case !errors.Is(err, ErrUnsigned) && !errors.Is(err, ErrServerKey) && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return slices.Collect(maps.Keys(all)), nil
}

// publish says who writes to an account in an epoch, for all names that are vouched
// for, and more. The epoch has begun, and the caller has its identity: what others said
// of it is replaced.
func (s *Store) publish(ctx context.Context, id eventlog.ID, e eventlog.Epoch, identity *crypto.Identity, t eventlog.Terms, more ...keyring.NameHash) error {
	prefix := layout.AccountPrefix(id)
	say := keyring.Entry{Terms: t, Recipient: identity.Recipient()}
	claim := keyring.Name{Epoch: e, Claim: true}.Object(prefix)
	err := s.replace(ctx, claim, keyring.EncodeClaim(say.Recipient), func(there []byte) bool {
		r, err := keyring.DecodeClaim(there, say.Recipient)
		return err == nil && r.Equal(say.Recipient)
	})
	if err != nil || len(s.directory) == 0 {
		return err
	}
	if t == eventlog.TermsClosed {
		say.Delivery = eventlog.DeliveryKey(identity, e)
		defer say.Delivery.Wipe()
	}
	names, err := s.vouched(ctx, id, e)
	if err != nil {
		return err
	}
	for _, name := range append(names, more...) {
		for _, key := range s.directory {
			if err := s.publishEntry(ctx, id, key, keyring.Name{Epoch: e, Key: key.ID, Hash: name}, say); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) publishEntry(ctx context.Context, id eventlog.ID, key crypto.DirectoryKey, n keyring.Name, say keyring.Entry) error {
	object := n.Object(layout.AccountPrefix(id))
	return s.replace(ctx, object, say.Seal(key, object), func(there []byte) bool {
		said, err := keyring.OpenEntry(key, object, there, say.Recipient)
		return err == nil && said.Equal(say)
	})
}

// replace creates an object, in the place of one that does not say the same.
func (s *Store) replace(ctx context.Context, object string, b []byte, same func(there []byte) bool) error {
	for range replaceTries {
		err := s.blobs.Create(ctx, object, bytes.NewReader(b))
		if err == nil {
			return nil
		}
		there, behind := layout.ReadAll(ctx, s.blobs, object, keyring.MaxObject)
		switch {
		case behind == nil && same(there):
			return nil
		case behind == nil:
			behind = s.blobs.Delete(ctx, object)
		case errors.Is(behind, fs.ErrNotExist) && errors.Is(err, fs.ErrExist):
			behind = nil // it went meanwhile
		default:
			behind = err
		}
		if behind != nil {
			return fmt.Errorf("mailbox: publish %s: %w", object, behind)
		}
	}
	return fmt.Errorf("mailbox: publish %s: %w", object, fs.ErrExist)
}

// replaceTries bounds how often others may put back what is replaced.
const replaceTries = 4

// unpublish deletes what is said of the epochs before one.
func (s *Store) unpublish(ctx context.Context, id eventlog.ID, before eventlog.Epoch) error {
	names, err := s.keyNames(ctx, id)
	if err != nil {
		return err
	}
	var old []string
	for _, n := range names {
		if n.Epoch < before {
			old = append(old, n.Object(layout.AccountPrefix(id)))
		}
	}
	return s.blobs.Delete(ctx, old...)
}

// vouchAs makes the directory say of a new name what it says of one that the account
// has. It needs no key of the account.
func (s *Store) vouchAs(ctx context.Context, id eventlog.ID, from, to keyring.NameHash) error {
	if len(s.directory) == 0 {
		return nil
	}
	names, err := s.keyNames(ctx, id)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n.Claim || n.Hash != from {
			continue
		}
		said, err := s.entryUnder(ctx, id, n, nil)
		if errors.Is(err, ErrUnsigned) || errors.Is(err, ErrServerKey) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, key := range s.directory {
			if err == nil {
				err = s.publishEntry(ctx, id, key, keyring.Name{Epoch: n.Epoch, Key: key.ID, Hash: to}, said)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unvouch deletes what the directory says of a name.
func (s *Store) unvouch(ctx context.Context, id eventlog.ID, name keyring.NameHash) error {
	names, err := s.keyNames(ctx, id)
	if err != nil {
		return err
	}
	var gone []string
	for _, n := range names {
		if !n.Claim && n.Hash == name {
			gone = append(gone, n.Object(layout.AccountPrefix(id)))
		}
	}
	return s.blobs.Delete(ctx, gone...)
}
