package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// useSecrets is use for what changes or shows secrets. Who holds a token of a
// device must not be able to keep the account when the token is revoked.
func (h *Account) useSecrets() (*account, error) {
	if h.byToken {
		return nil, ErrByToken
	}
	return h.use()
}

// SetPassword replaces the account's password. Nothing is re-encrypted: one slot
// is added, then the others are deleted. Sessions and tokens go on. It fails with
// [ErrByToken], and with [ErrRotated] if the account has another identity now.
func (h *Account) SetPassword(ctx context.Context, password []byte) error {
	a, err := h.useSecrets()
	if err != nil {
		return err
	}
	defer a.leave()
	ctx = blob.Freeing(ctx) // a password that leaked must not wait for a larger disk
	s := a.store
	if err := s.needsKey(); err != nil {
		return err
	}
	slot, err := crypto.NewPasswordSlot(ctx, a.identity, a.id, password, s.opts.Password, s.opts.Pool, s.keys...)
	if err != nil {
		return err
	}
	old, err := s.slotNames(ctx, a.prefix+passwordSlots)
	if err != nil {
		return err
	}
	err = s.blobs.Create(ctx, slotName(a.prefix, slot), bytes.NewReader(slot.Marshal()))
	if err == nil {
		err = a.catchUp(ctx) // does the account still have this identity?
	}
	if err != nil {
		// It may be there all the same; a login looks at few slots only.
		if err := s.blobs.Delete(context.WithoutCancel(ctx), slotName(a.prefix, slot)); err != nil {
			s.logger.Warn("slot of a password that was not set stays behind", "object", slotName(a.prefix, slot), "error", err)
		}
		return fmt.Errorf("mailbox: set password: %w", err)
	}
	if err := s.deleteSlots(ctx, old); err != nil {
		return fmt.Errorf("mailbox: set password: old one still valid: %w", err)
	}
	return nil
}

// TokenInfo describes an app token.
type TokenInfo struct {
	ID      string // for RevokeToken
	Label   string
	Created time.Time // UTC, whole seconds
}

// AddToken makes a token for a device or program. label, for the user to tell
// tokens apart, is at most 127 bytes of UTF-8 and kept encrypted. It fails with
// [ErrByToken].
func (h *Account) AddToken(ctx context.Context, label string) (crypto.Token, error) {
	a, err := h.useSecrets()
	if err != nil {
		return crypto.Token{}, err
	}
	defer a.leave()
	slot, token, err := crypto.NewTokenSlot(a.identity, a.id, label)
	if err != nil {
		return crypto.Token{}, err
	}
	if err := a.store.blobs.Create(ctx, slotName(a.prefix, slot), bytes.NewReader(slot.Marshal())); err != nil {
		return crypto.Token{}, fmt.Errorf("mailbox: add token: %w", err)
	}
	return token, nil
}

// Tokens lists the account's tokens, oldest first.
func (h *Account) Tokens(ctx context.Context) ([]TokenInfo, error) {
	a, err := h.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	var out []TokenInfo
	for info, err := range a.store.blobs.List(ctx, a.prefix+tokenSlots, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: list tokens: %w", err)
		}
		slot, err := a.store.slot(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		label, err := slot.Label(a.identity)
		if err != nil && a.labelBefore(slot) {
			continue // revoked by a change of identity, which was interrupted
		}
		if err != nil {
			return nil, fmt.Errorf("mailbox: %s: %w: %w", info.Name, eventlog.ErrCorrupt, err)
		}
		out = append(out, TokenInfo{ID: slot.ID.String(), Label: label, Created: slot.Created})
	}
	slices.SortStableFunc(out, func(a, b TokenInfo) int { return a.Created.Compare(b.Created) })
	return out, nil
}

// RevokeToken makes a token open nothing any more. Sessions that it opened go
// on until they end. It fails with [ErrNoToken] or [ErrByToken].
func (h *Account) RevokeToken(ctx context.Context, id string) error {
	a, err := h.useSecrets()
	if err != nil {
		return err
	}
	defer a.leave()
	slotID, err := crypto.ParseSlotID(id)
	if err != nil {
		return ErrNoToken
	}
	name := a.prefix + tokenSlots + slotID.String()
	if _, err := a.store.blobs.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) {
		return ErrNoToken
	} else if err != nil {
		return fmt.Errorf("mailbox: revoke token: %w", err)
	}
	if err := a.store.blobs.Delete(ctx, name); err != nil {
		return fmt.Errorf("mailbox: revoke token: %w", err)
	}
	return nil
}

// Recovery returns the account's identity as text, AGE-SECRET-KEY-PQ-1...: it
// opens the account when all else is lost, and every body with the age tool. It
// is the secret of secrets; keep it on paper. It fails with [ErrByToken].
func (h *Account) Recovery() (string, error) {
	a, err := h.useSecrets()
	if err != nil {
		return "", err
	}
	defer a.leave()
	return a.identity.Export(), nil
}

// labelBefore reports whether a slot is of an identity that the account had before.
func (a *account) labelBefore(slot *crypto.Slot) bool {
	for _, i := range a.before {
		if _, err := slot.Label(i); err == nil {
			return true
		}
	}
	return false
}
