package mailbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// sampledAccounts is how many accounts a process looks at, before the first login
// to one that does not exist, to learn what password slots of this store cost.
const sampledAccounts = 8

// requester says for whom a key is derived.
func (s *Store) requester(from netip.Addr, id eventlog.ID) crypto.Requester {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id].login {
		return crypto.Requester{Recent: id, Address: from}
	}
	return crypto.Requester{Address: from}
}

// sawLogin notes that somebody logged in to an account.
func (s *Store) sawLogin(id eventlog.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[id]; !k.login {
		k.login = true
		s.remember(id, k)
	}
}

// nobody returns the account that a name which does not exist stands for: always
// the same one.
func (s *Store) nobody(ctx context.Context, name string) eventlog.ID {
	if s.sampled.CompareAndSwap(false, true) {
		if err := s.sampleSlots(ctx); err != nil {
			s.sampled.Store(false)
		}
	}
	sum := sha256.Sum256([]byte(s.nameHash(name)))
	return eventlog.ID(sum[:16])
}

// sampleSlots looks at the password slots of a few accounts.
func (s *Store) sampleSlots(ctx context.Context) error {
	var start [8]byte
	rand.Read(start[:])
	left := sampledAccounts
	for _, after := range []string{layout.AccountFolder + hex.EncodeToString(start[:]), ""} {
		for id, err := range s.accountIDsAfter(ctx, after) {
			if err == nil {
				err = s.sampleSlot(ctx, id)
			}
			if err != nil {
				return err
			}
			if left--; left <= 0 {
				return nil
			}
		}
	}
	return nil
}

func (s *Store) sampleSlot(ctx context.Context, id eventlog.ID) error {
	for info, err := range s.blobs.List(ctx, layout.AccountPrefix(id)+passwordSlots, "") {
		if err != nil {
			return err
		}
		slot, err := s.slot(ctx, info.Name)
		switch {
		case err == nil:
			s.passwords.Saw(id, slot.Params)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, eventlog.ErrCorrupt):
			return err
		}
		break
	}
	return nil
}

// renewPassword replaces the slot that a password opened by one with the
// parameters and the server key of today. That it failed is no reason to refuse the login.
func (a *account) renewPassword(ctx context.Context, old *crypto.Slot, password []byte) {
	if err := a.tryRenewPassword(ctx, old, password); err != nil {
		a.store.logger.Warn("password slot was not renewed", "object", slotName(a.prefix, old), "error", err)
	}
}

func (a *account) tryRenewPassword(ctx context.Context, old *crypto.Slot, password []byte) error {
	s := a.store
	if err := s.needsKey(); err != nil {
		return nil // it would need less than the old one
	}
	next, key, err := old.Renew(ctx, a.identity, a.id, password, s.opts.Password, s.opts.Pool, s.keys...)
	if err != nil {
		return err
	}
	err = s.blobs.Create(ctx, slotName(a.prefix, next), bytes.NewReader(next.Marshal()))
	if errors.Is(err, fs.ErrExist) {
		// Another process renews it, or was interrupted while it did.
		if next, err = s.slot(ctx, slotName(a.prefix, next)); err == nil {
			key, err = next.PasswordKey(ctx, crypto.Requester{Recent: a.id}, password, s.opts.Pool, s.keys...)
		}
		if err == nil {
			_, err = next.OpenWithKey(a.id, key)
		}
	}
	if err != nil {
		return err
	}
	superseded, err := a.superseded(ctx, old, next)
	if superseded {
		return s.blobs.Delete(ctx, slotName(a.prefix, next))
	}
	if err == nil {
		err = s.blobs.Delete(ctx, slotName(a.prefix, old))
	}
	if err != nil {
		return err
	}
	s.passwords.Saw(a.id, next.Params)
	s.verified.Forget(a.id, old.ID)
	s.verified.Remember(a.id, next.ID, password, key)
	return nil
}

// superseded reports whether the password, or the identity, was changed while a
// slot was renewed. Whoever changes it writes a slot of its own, deletes the old
// one and then its replacement (deleteSlots), which may have come too late for
// that. If there is no third slot, another process renewed the same one.
func (a *account) superseded(ctx context.Context, old, next *crypto.Slot) (bool, error) {
	names, err := a.store.slotNames(ctx, a.prefix+passwordSlots)
	if err != nil || slices.Contains(names, slotName(a.prefix, old)) {
		return false, err
	}
	return slices.ContainsFunc(names, func(name string) bool { return name != slotName(a.prefix, next) }), nil
}

// renewedLast orders slots so that one which was being replaced when a process was
// interrupted is tried before its replacement, and the renewal completed.
func renewedLast(names []string) {
	renewed := map[string]bool{}
	for _, name := range names {
		renewed[successor(name)] = true
	}
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case renewed[a] == renewed[b]:
			return 0
		case renewed[b]:
			return -1
		}
		return 1
	})
}

// successor returns the name of the slot that replaces the password slot with a
// name when it is renewed, or "" for other slots.
func successor(name string) string {
	prefix, text, _ := strings.Cut(name, passwordSlots)
	id, err := crypto.ParseSlotID(text)
	if err != nil {
		return ""
	}
	return prefix + passwordSlots + id.Successor().String()
}

// slotNames lists slots.
func (s *Store) slotNames(ctx context.Context, prefix string) (out []string, err error) {
	for info, err := range s.blobs.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: list slots: %w", err)
		}
		out = append(out, info.Name)
	}
	return out, nil
}

// deleteSlots deletes slots, and what another process may be replacing them by at
// this moment.
func (s *Store) deleteSlots(ctx context.Context, slots []string) error {
	if err := s.blobs.Delete(ctx, slots...); err != nil {
		return err
	}
	var renewed []string
	for _, name := range slots {
		if next := successor(name); next != "" {
			renewed = append(renewed, next)
		}
	}
	return s.blobs.Delete(ctx, renewed...)
}
