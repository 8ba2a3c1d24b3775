package mailbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// An account's identity is changed in this order:
//
//  1. The event begin-rekey. Of several changes at a time the one that began last can
//     take effect.
//  2. A snapshot under the next identity; ring/ with the identity before; a slot.
//  3. The log's Rekey entry. That is the moment of effect: before it nothing changed,
//     and the change can be done again, with the old password; after it the next
//     identity opens the account, and the one before does not.
//  4. What the directory says of the new epoch, and a snapshot in it. Then the old
//     slots go, and what the directory says of the epoch before. If this is
//     interrupted a login completes it; until then mail for the account waits.
//
// Nothing is published before the moment of effect: a process that was suspended
// there, and overtaken, would lead mail to an identity that nobody has.

// RotateIdentity gives the account a new identity: what is to be done when the old
// one, or a password or token together with a copy of the store, may have come to
// others. New mail, entries, snapshots and secrets are sealed under the new one;
// what is there stays as it is, and readable: the old identity is kept, sealed
// under the new one. So who has the old one can go on reading what they could read
// until now, and nothing that comes.
//
// password becomes the account's password; it may be the one it has. All tokens
// are revoked: nobody but their devices has the secrets that the new identity would
// have to be sealed under. All sessions, in every process, end with [ErrRotated] or
// [ErrClosed] and must log in again.
//
// It returns the new recovery identity, as [Account.Recovery] does, also beside an
// error if the account has the new identity by then. If it returns none the account
// has its old identity; call it again. It fails with [ErrByToken], and with
// [ErrRotating] if another change was faster.
func (h *Account) RotateIdentity(ctx context.Context, password []byte) (recovery string, err error) {
	a, err := h.useSecrets()
	if err != nil {
		return "", err
	}
	next, err := a.rotate(ctx, password)
	a.leave()
	if next != nil {
		defer next.Wipe()
		recovery = next.Export()
		a.store.expel(a.id)
	}
	if err != nil {
		err = fmt.Errorf("mailbox: change identity: %w", err)
	}
	return recovery, err
}

// rotation is a change of identity that this process is about to make.
type rotation struct {
	id    []byte
	rival atomic.Bool // another began after it
}

// saw notes what other changes began.
func (r *rotation) saw(e eventlog.Entry) {
	if e.Kind != eventlog.Owned {
		return
	}
	for _, record := range e.Records {
		events, err := state.RecordEvents(e.Kind, record)
		if err != nil {
			continue // whoever applies it says so
		}
		for _, e := range events {
			if begun, ok := e.(*state.BeginRekey); ok {
				r.rival.Store(!bytes.Equal(begun.ID, r.id))
			}
		}
	}
}

// rotate returns the next identity if the account has it, or may have it.
func (a *account) rotate(ctx context.Context, password []byte) (*crypto.Identity, error) {
	s := a.store
	if err := s.needsKey(); err != nil {
		return nil, err
	}
	r := &rotation{id: make([]byte, 16)}
	rand.Read(r.id)
	if !a.rotation.CompareAndSwap(nil, r) {
		return nil, ErrRotating
	}
	defer a.rotation.Store(nil)
	if err := a.catchUp(ctx); err != nil {
		return nil, err
	}
	next, err := crypto.NewIdentity()
	if err != nil {
		return nil, err
	}
	slot, err := crypto.NewPasswordSlot(ctx, next, a.id, password, s.opts.Password, s.opts.Pool, s.keys...)
	if err != nil {
		return nil, err
	}
	old, err := s.slotNames(ctx, a.prefix+layout.SlotFolder)
	if err == nil {
		err = a.takeOver(ctx, r, next, slot)
	}
	if err != nil && !errors.Is(err, ErrUnknownOutcome) {
		next.Wipe()
		ring := keyring.RingName(a.prefix, next.Recipient())
		return nil, errors.Join(err, s.blobs.Delete(context.WithoutCancel(ctx), slotName(a.prefix, slot), ring))
	}
	if err == nil {
		err = s.completeRotation(ctx, a.id, next, slot, old)
	}
	return next, err
}

// takeOver does what comes up to and with the moment of effect.
func (a *account) takeOver(ctx context.Context, r *rotation, next *crypto.Identity, slot *crypto.Slot) error {
	s := a.store
	began := s.opts.Now()
	err := a.commit(ctx, func(context.Context, *state.Account, ModSeq) (state.Event, error) {
		return &state.BeginRekey{ID: r.id}, nil
	})
	if err != nil {
		return err
	}
	e, terms := a.log.Epoch()
	if len(s.keys) > 0 {
		terms = eventlog.TermsClosed
	}
	if err := a.snapshotFor(ctx, began, next); err != nil {
		return err
	}
	ring := keyring.RingName(a.prefix, next.Recipient())
	if err := s.blobs.Create(ctx, ring, bytes.NewReader(keyring.SealRing(next, ring, a.identity))); err != nil {
		return err
	}
	if err := s.blobs.Create(ctx, slotName(a.prefix, slot), bytes.NewReader(slot.Marshal())); err != nil {
		return err
	}
	_, err = a.committer.Rekey(ctx, eventlog.Rekeying{Epoch: e + 1, Next: next, Terms: terms}, func(*state.Account) error {
		if r.rival.Load() {
			return ErrRotating
		}
		if s.stoodStill(began) {
			return errStoodStill // what the snapshot follows may be about to be trimmed
		}
		return nil
	})
	if errors.Is(err, eventlog.ErrConflict) {
		return ErrRotating
	}
	if err == nil {
		s.waker.Publish(a.id)
	}
	return a.explain(err)
}

func anyState(*state.Account) error { return nil }

// snapshotFor writes the state for the identity that is to come.
func (a *account) snapshotFor(ctx context.Context, began time.Time, next *crypto.Identity) error {
	for try := 0; ; try++ {
		s, head := a.committer.State()
		stored, _, err := a.pages.Write(ctx, s, pages.Rewrite{})
		if err != nil {
			return err
		}
		if a.store.stoodStill(began) {
			return errStoodStill
		}
		err = a.log.WriteSnapshotFor(ctx, head, next, state.EncodeSnapshot(stored))
		if !errors.Is(err, fs.ErrExist) || try == snapshotTries {
			return err
		}
		if err := a.fence(ctx); err != nil { // another has the position
			return err
		}
	}
}

// fencedSnapshot writes a snapshot behind an entry of its own, so that no other has
// its position.
func (a *account) fencedSnapshot(ctx context.Context) error {
	began := a.store.opts.Now()
	if err := a.fence(ctx); err != nil {
		return err
	}
	return a.writeSnapshot(ctx, began, pages.Rewrite{})
}

// snapshotTries bounds how often a snapshot for the next identity meets another at its
// position.
const snapshotTries = 8

// completeRotation does what comes after the moment of effect.
func (s *Store) completeRotation(ctx context.Context, id eventlog.ID, identity *crypto.Identity, slot *crypto.Slot, old []string) error {
	own, err := crypto.ParseIdentity(identity.Export())
	if err != nil {
		return err
	}
	before, err := s.chain(ctx, id, own)
	if err != nil {
		own.Wipe()
		wipeAll(before)
		return err
	}
	a, err := newAccount(s, id, own, before...)
	if err != nil {
		own.Wipe()
		wipeAll(before)
		return err
	}
	defer a.close()
	if err := a.open(ctx); err != nil {
		return a.explain(err) // the identity may have been changed again
	}
	if err := a.complete(ctx); err != nil {
		return err
	}
	// Whoever set a password meanwhile may have taken it for an old one.
	err = s.blobs.Create(ctx, slotName(a.prefix, slot), bytes.NewReader(slot.Marshal()))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.deleteSlots(ctx, old)
}

// complete begins the account anew in its epoch.
func (a *account) complete(ctx context.Context) error {
	s := a.store
	e, terms := a.log.Epoch()
	if err := s.publish(ctx, a.id, e, a.identity, terms); err != nil {
		return err
	}
	if err := a.fencedSnapshot(ctx); err != nil {
		return err
	}
	return s.unpublish(ctx, a.id, e)
}

// completeInterrupted does what a change of identity left undone, if the account was
// opened from what that had prepared. slot is the one that was logged in by, if it was
// a password's.
func (a *account) completeInterrupted(ctx context.Context, slot *crypto.SlotID) error {
	if !a.interrupted || len(a.before) == 0 {
		return nil
	}
	if err := a.complete(ctx); err != nil {
		return a.explain(err)
	}
	var old []string
	names, err := a.store.slotNames(ctx, a.prefix+layout.SlotFolder)
	if err != nil {
		return err
	}
	for _, name := range names {
		mine, err := a.ownSlot(ctx, name, slot)
		if err != nil {
			return err
		}
		if !mine {
			old = append(old, name)
		}
	}
	a.interrupted = false
	return a.store.deleteSlots(ctx, old)
}

// ownSlot reports whether a slot may be of the account's identity: of a password it
// is known only of the one that was logged in by.
func (a *account) ownSlot(ctx context.Context, name string, by *crypto.SlotID) (bool, error) {
	slot, err := a.store.slot(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	if slot.Kind == crypto.SlotToken {
		_, err := slot.Label(a.identity)
		return err == nil, nil
	}
	// One that is being renewed has a successor of the same identity.
	return by == nil || slot.ID == *by || slot.ID == by.Successor() || slot.ID.Successor() == *by, nil
}
