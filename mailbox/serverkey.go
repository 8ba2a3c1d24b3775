package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// useKeys derives the keys of the store, and makes sure that they are its keys.
// A store without any account takes the first key that it is opened with.
func (s *Store) useKeys(ctx context.Context, adopt bool) error {
	o := s.opts
	for _, k := range []crypto.ServerKey{o.ServerKey, o.OtherServerKey} {
		if !k.IsZero() {
			s.keys = append(s.keys, k.ForStore(s.salt))
		}
	}
	for _, k := range s.keys {
		s.directory = append(s.directory, k.ForDelivery())
	}
	for _, d := range []crypto.DirectoryKey{o.DeliveryKey, o.OtherDeliveryKey} {
		if !d.IsZero() {
			s.directory = append(s.directory, d)
		}
	}
	if o.ServerKey.IsZero() && !o.OtherServerKey.IsZero() || o.DeliveryKey.IsZero() && !o.OtherDeliveryKey.IsZero() {
		return errors.New("mailbox: open store: another key without the first")
	}
	records, err := s.keyRecords(ctx)
	if err != nil {
		return err
	}
	if len(s.directory) == 0 {
		if len(records) > 0 && !o.WithoutServerKey {
			return fmt.Errorf("mailbox: %s: the store has a server key: %w", records[0], ErrServerKey)
		}
		s.keyless = len(records) > 0
		return nil
	}
	return s.checkRecord(ctx, adopt, len(records) == 0)
}

// checkRecord makes sure that the first key belongs to the store.
func (s *Store) checkRecord(ctx context.Context, adopt, none bool) error {
	object := keyring.RecordName(s.directory[0].ID)
	b, err := layout.ReadAll(ctx, s.blobs, object, keyring.MaxObject)
	switch {
	case err == nil && len(s.keys) == 0:
		return nil // the delivery key alone does not open it
	case err == nil:
		if err := keyring.CheckRecord(s.keys[0], b); err != nil {
			return fmt.Errorf("mailbox: %s: %w: %w", object, ErrServerKey, err)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("mailbox: read server key: %w", err)
	}
	if !adopt && len(s.keys) > 0 && none {
		if adopt, err = s.empty(ctx); err != nil {
			return err
		}
	}
	if !adopt || len(s.keys) == 0 {
		return fmt.Errorf("mailbox: %s: the store does not have this server key: %w", object, ErrServerKey)
	}
	err = s.blobs.Create(ctx, object, bytes.NewReader(keyring.SealRecord(s.keys[0])))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("mailbox: write server key: %w", err)
	}
	return nil
}

// keyRecords lists which server keys the store has.
func (s *Store) keyRecords(ctx context.Context) ([]string, error) {
	var all []string
	for info, err := range s.blobs.List(ctx, keyring.RecordFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: look for server keys: %w", err)
		}
		all = append(all, info.Name)
	}
	return all, nil
}

// empty reports whether the store has no account and no name.
func (s *Store) empty(ctx context.Context) (bool, error) {
	for _, folder := range []string{layout.AccountFolder, layout.NameFolder} {
		for _, err := range s.blobs.List(ctx, folder, "") {
			if err != nil {
				return false, fmt.Errorf("mailbox: look for accounts: %w", err)
			}
			return false, nil
		}
	}
	return true, nil
}

// needsKey fails where the store has a server key and this process does not, or only
// the part that delivers.
func (s *Store) needsKey() error {
	if s.keyless || len(s.keys) == 0 && len(s.directory) > 0 {
		return fmt.Errorf("mailbox: the store has a server key: %w", ErrServerKey)
	}
	return nil
}

// DeliveryKey returns the part of the server key that a process needs which only
// delivers: see [Options.DeliveryKey]. With it and access to the store mail can be
// forged, but no password tested and no name listed.
func (s *Store) DeliveryKey() (crypto.DirectoryKey, error) {
	if len(s.keys) == 0 {
		return crypto.DirectoryKey{}, fmt.Errorf("mailbox: delivery key: %w", ErrServerKey)
	}
	return s.directory[0], nil
}

// AdoptReport says what [AdoptServerKey] did.
type AdoptReport struct {
	Accounts int // whose names are vouched for now
	Waiting  int // of these, that get no mail until they log in, because an earlier key was lost
}

// AdoptServerKey makes o.ServerKey a key of a store that has accounts already: it
// takes the names and published recipients as they are now for right. Use it once, on
// a store that had no server key, or whose key was lost, or that is to get another
// one; then o.OtherServerKey is the one that it has. Mail for an account is
// authenticated from its next login on. It may be run again.
func AdoptServerKey(ctx context.Context, blobs blob.Store, o Options) (AdoptReport, error) {
	var rep AdoptReport
	s, err := open(ctx, blobs, o, true)
	if err != nil {
		return rep, err
	}
	defer s.Close()
	if len(s.keys) == 0 {
		return rep, fmt.Errorf("mailbox: adopt: %w", ErrServerKey)
	}
	for info, err := range s.blobs.List(ctx, layout.NameFolder, "") {
		if err != nil {
			return rep, fmt.Errorf("mailbox: adopt: %w", err)
		}
		waits, err := s.adopt(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, eventlog.ErrEnded) {
			continue // it is being removed
		}
		if err != nil {
			return rep, fmt.Errorf("mailbox: adopt %s: %w", info.Name, err)
		}
		rep.Accounts++
		if waits {
			rep.Waiting++
		}
	}
	return rep, nil
}

// adopt vouches for one name. It reports whether the account must log in before it
// gets mail.
func (s *Store) adopt(ctx context.Context, object string) (waits bool, err error) {
	b, err := layout.ReadAll(ctx, s.blobs, object, 4096)
	if err != nil {
		return false, err
	}
	id, err := parseName(object, b)
	if err != nil {
		return false, err
	}
	last, err := s.lastEntry(ctx, id)
	if err != nil {
		return false, err
	}
	n := keyring.Name{Epoch: last.Epoch, Key: s.directory[0].ID, Hash: hashOfObject(object)}
	say, by, err := s.entry(ctx, id, n.Epoch, n.Hash, nil)
	if errors.Is(err, fs.ErrNotExist) {
		say.Terms = last.Terms
		say.Recipient, err = s.claim(ctx, id, n.Epoch, nil)
	}
	if err == nil && by != n.Key {
		err = s.publishEntry(ctx, id, s.directory[0], n, say)
	}
	return say.Terms == eventlog.TermsClosed && say.Delivery.IsZero(), err
}

// lastEntry returns what the last entry of a log says in the clear.
func (s *Store) lastEntry(ctx context.Context, id eventlog.ID) (last eventlog.EntryInfo, err error) {
	log, err := eventlog.New(eventlog.Config{Store: s.blobs, Prefix: layout.AccountPrefix(id), ID: id})
	if err != nil {
		return last, err
	}
	head, err := log.FindHead(ctx)
	if err != nil {
		return last, err
	}
	for last, err := range log.List(ctx, head.Pos-1) {
		return last, err
	}
	return last, fs.ErrNotExist
}

// KeyStatus is how much of a store needs a server key other than the first.
type KeyStatus struct {
	Entries int // of the directory, which have none of the first key beside them
	Slots   int // of passwords: those who have them must log in once
	Names   int // which only another key lists
}

// Done reports whether the other key can be dropped.
func (k KeyStatus) Done() bool { return k == KeyStatus{} }

// KeyStatus counts what needs another server key than the first.
func (s *Store) KeyStatus(ctx context.Context) (KeyStatus, error) {
	return s.rekey(ctx, false)
}

// Rekey seals with the first server key what is sealed with the other one only, but
// password slots, which follow at logins. It returns what is left.
func (s *Store) Rekey(ctx context.Context) (KeyStatus, error) {
	if len(s.keys) < 2 {
		return KeyStatus{}, fmt.Errorf("mailbox: rekey: needs both server keys: %w", ErrServerKey)
	}
	if _, err := s.rekey(ctx, true); err != nil {
		return KeyStatus{}, err
	}
	return s.rekey(ctx, false)
}

func (s *Store) rekey(ctx context.Context, write bool) (st KeyStatus, err error) {
	if len(s.keys) == 0 {
		return st, fmt.Errorf("mailbox: rekey: %w", ErrServerKey)
	}
	for id, err := range s.accountIDs(ctx) {
		if err == nil {
			err = s.rekeyAccount(ctx, id, write, &st)
		}
		if err != nil {
			return st, err
		}
	}
	return st, s.rekeyNames(ctx, write, &st)
}

func (s *Store) rekeyAccount(ctx context.Context, id eventlog.ID, write bool, st *KeyStatus) error {
	names, err := s.keyNames(ctx, id)
	if err != nil {
		return err
	}
	ours := map[keyring.Name]bool{}
	for _, n := range names {
		ours[n] = true
	}
	for _, n := range names {
		own := keyring.Name{Epoch: n.Epoch, Key: s.keys[0].ID, Hash: n.Hash}
		if n.Claim || ours[own] {
			continue
		}
		ours[own] = true
		st.Entries++
		if !write {
			continue
		}
		said, err := s.entryUnder(ctx, id, n, nil)
		if err == nil {
			err = s.publishEntry(ctx, id, s.directory[0], own, said)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUnsigned) && !errors.Is(err, ErrServerKey) {
			return err
		}
	}
	if write {
		return nil
	}
	slots, err := s.slotNames(ctx, layout.AccountPrefix(id)+passwordSlots)
	if err != nil {
		return err
	}
	for _, name := range slots {
		slot, err := s.slot(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if slot.KeyID != s.keys[0].ID {
			st.Slots++
		}
	}
	return nil
}

// Names of accounts are sealed in the object by which they are looked up, or, where
// another key sealed that, beside it:
//
//	store/name-<key ID>-<hash>
const listedFolder = "store/name-"

func (s *Store) listedName(object string, key crypto.KeyID) string {
	return fmt.Sprintf("%s%v-%s", listedFolder, key, strings.TrimPrefix(object, layout.NameFolder))
}

// sealedName opens the name that an object stands for, and returns which of the keys
// did, or -1.
func (s *Store) sealedName(ctx context.Context, object string, b []byte) (string, int, error) {
	for i, k := range s.keys {
		if name, err := k.Names.Open(nil, b[17:], []byte(object)); err == nil {
			return string(name), i, nil
		}
		b, err := layout.ReadAll(ctx, s.blobs, s.listedName(object, k.ID), 4096)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", -1, err
		}
		if name, err := k.Names.Open(nil, b, []byte(object)); err == nil {
			return string(name), i, nil
		}
	}
	return "", -1, nil
}

func (s *Store) rekeyNames(ctx context.Context, write bool, st *KeyStatus) error {
	for info, err := range s.blobs.List(ctx, layout.NameFolder, "") {
		if err != nil {
			return fmt.Errorf("mailbox: rekey names: %w", err)
		}
		b, err := layout.ReadAll(ctx, s.blobs, info.Name, 4096)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = parseName(info.Name, b)
		}
		if err != nil {
			return err
		}
		name, by, err := s.sealedName(ctx, info.Name, b)
		if err != nil {
			return err
		}
		if by <= 0 {
			continue // listed by the first key, or by none that is here
		}
		st.Names++
		if write {
			object := s.listedName(info.Name, s.keys[0].ID)
			sealed := s.keys[0].Names.Seal(nil, []byte(name), []byte(info.Name))
			if err := s.blobs.Create(ctx, object, bytes.NewReader(sealed)); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("mailbox: rekey names: %w", err)
			}
		}
	}
	return nil
}
