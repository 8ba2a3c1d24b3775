package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// before reads the identity that an identity followed; nil if it is the first.
func (s *Store) before(ctx context.Context, id eventlog.ID, identity *crypto.Identity) (*crypto.Identity, error) {
	object := keyring.RingName(layout.AccountPrefix(id), identity.Recipient())
	sealed, err := layout.ReadAll(ctx, s.blobs, object, keyring.MaxObject)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read retired identity: %w", err)
	}
	old, err := keyring.OpenRing(identity, object, sealed)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: %w: %w", object, eventlog.ErrCorrupt, err)
	}
	return old, nil
}

// chain reads all identities before one, newest first. Beside an error it returns
// those that it could read.
func (s *Store) chain(ctx context.Context, id eventlog.ID, identity *crypto.Identity) (all []*crypto.Identity, err error) {
	for at := identity; ; {
		old, err := s.before(ctx, id, at)
		if old == nil || err != nil {
			return all, err
		}
		all = append(all, old)
		at = old
	}
}

func wipeAll(all []*crypto.Identity) {
	for _, i := range all {
		i.Wipe()
	}
}

// claimant is who wants to open an account, and what the store says of it before the
// log is read.
type claimant struct {
	id       eventlog.ID
	name     string // may be empty
	identity *crypto.Identity
	slot     *crypto.SlotID     // of a password that it was opened with; nil if it was not
	before   []*crypto.Identity // identities that it follows, newest first
	broken   error              // why not all of these could be read
	looked   eventlog.Epoch     // of which said is; 0 if nothing was found
	said     keyring.Entry      // in the directory, or the claim
}

// wipe overwrites the identities.
func (c *claimant) wipe() {
	c.identity.Wipe()
	wipeAll(c.before)
}

// follows reports whether the identity came after one with a recipient.
func (c *claimant) follows(r *crypto.Recipient) bool {
	return slices.ContainsFunc(c.before, func(b *crypto.Identity) bool { return b.Recipient().Equal(r) })
}

// claimant takes identity over. It looks at the epoch at which the account was seen
// last, the first one as a rule: in that one there is no identity before.
func (s *Store) claimant(ctx context.Context, id eventlog.ID, identity *crypto.Identity, name string, slot *crypto.SlotID) (*claimant, error) {
	c := &claimant{id: id, name: name, identity: identity, slot: slot}
	likely := max(s.epochOf(id), 1)
	said, err := s.saidOf(ctx, c, likely)
	switch {
	case err == nil:
		c.looked, c.said = likely, said
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUnsigned) && !errors.Is(err, eventlog.ErrCorrupt):
		c.wipe()
		return nil, err
	}
	if c.looked == 1 && said.Recipient.Equal(identity.Recipient()) {
		return c, nil
	}
	c.before, err = s.chain(ctx, id, identity)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, eventlog.ErrCorrupt) {
		c.broken, err = fmt.Errorf("%w: %w", eventlog.ErrCorrupt, err), nil // or it is nobody's identity
	}
	if err != nil {
		c.wipe()
		return nil, err
	}
	return c, nil
}

// saidOf reads who writes to an account in an epoch: with a server key from the
// directory, if the account is opened by name.
func (s *Store) saidOf(ctx context.Context, c *claimant, e eventlog.Epoch) (keyring.Entry, error) {
	if s.trustsClaims(c) {
		r, err := s.claim(ctx, c.id, e, c.identity.Recipient())
		return keyring.Entry{Recipient: r}, err
	}
	said, _, err := s.entry(ctx, c.id, e, s.nameHashOf(c.name), c.identity.Recipient())
	return said, err
}

// trustsClaims reports whether only a claim can be read for who opens an account.
func (s *Store) trustsClaims(c *claimant) bool { return len(s.directory) == 0 || c.name == "" }

// settle compares what the store says of who writes to the account with what its log
// says, as mailGoes does, and says it anew if nothing does. An open log is closed, where there is a server key.
func (a *account) settle(ctx context.Context, c *claimant) error {
	s := a.store
	e, terms := a.log.Epoch()
	s.sawEpoch(a.id, e)
	said, err := a.mailGoes(ctx, c)
	if errors.Is(err, fs.ErrNotExist) {
		// The epoch began, and whoever began it was interrupted; or it was lost.
		if err := s.publish(ctx, a.id, e, a.identity, terms); err != nil {
			return err
		}
		said, err = a.mailGoes(ctx, c)
	}
	if errors.Is(err, fs.ErrNotExist) && s.trustsClaims(c) {
		return a.catchUp(ctx) // a change of identity took it away: the log says so
	}
	if errors.Is(err, fs.ErrNotExist) {
		// It may be somebody else's name.
		s.logger.Error("no server with the key led the name to the account: its mail is not accepted", "account", a.id)
		return nil
	}
	if err != nil || s.trustsClaims(c) || len(s.keys) == 0 {
		return err
	}
	if terms == eventlog.TermsOpen || said.Delivery.IsZero() {
		return a.closeEpoch(ctx, e)
	}
	return s.carryOver(ctx, a, e, said, s.nameHashOf(c.name))
}

// stillGetsMail is the part of settle for an account that is open.
func (a *account) stillGetsMail(ctx context.Context, c *claimant) error {
	if err := a.enter(); err != nil {
		return err // another call found that it was removed, or has another identity
	}
	defer a.leave()
	_, err := a.mailGoes(ctx, c)
	if errors.Is(err, fs.ErrNotExist) && a.store.trustsClaims(c) {
		return a.catchUp(ctx) // as in settle
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// mailGoes returns what the store says of who gets the account's mail. It fails with
// ErrSwappedKey if that is not this identity.
func (a *account) mailGoes(ctx context.Context, c *claimant) (said keyring.Entry, err error) {
	s := a.store
	e, terms := a.log.Epoch()
	said = c.said
	if c.looked != e {
		said, err = s.saidOf(ctx, c, e)
	}
	if errors.Is(err, ErrUnsigned) || err == nil && !said.Recipient.Equal(a.recipient) {
		return said, s.swapped(a.prefix)
	}
	if err != nil || s.trustsClaims(c) || said.Delivery.IsZero() {
		return said, err
	}
	due := eventlog.DeliveryKey(a.identity, e)
	defer due.Wipe()
	if said.Terms != terms || !said.Delivery.Equal(due) {
		return said, s.swapped(a.prefix)
	}
	return said, nil
}

// carryOver makes the directory say under our first key what it says under another.
func (s *Store) carryOver(ctx context.Context, a *account, e eventlog.Epoch, said keyring.Entry, name keyring.NameHash) error {
	if len(s.directory) < 2 {
		return nil
	}
	return s.publishEntry(ctx, a.id, s.directory[0], keyring.Name{Epoch: e, Key: s.directory[0].ID, Hash: name}, said)
}

// closeEpoch begins a closed epoch with the same identity.
func (a *account) closeEpoch(ctx context.Context, e eventlog.Epoch) error {
	_, err := a.committer.Rekey(ctx, eventlog.Rekeying{Epoch: e + 1, Terms: eventlog.TermsClosed}, anyState)
	if errors.Is(err, eventlog.ErrConflict) {
		return nil // another login did it, or changed the identity: the next look tells
	}
	if err != nil {
		return fmt.Errorf("mailbox: close the log: %w", err)
	}
	a.store.waker.Publish(a.id)
	a.store.sawEpoch(a.id, e+1)
	if err := a.store.publish(ctx, a.id, e+1, a.identity, eventlog.TermsClosed); err != nil {
		return err
	}
	return a.store.unpublish(ctx, a.id, e+1)
}

func (s *Store) swapped(prefix string) error {
	s.logger.Error("mail is delivered to another key than the account's", "folder", prefix+layout.KeyFolder)
	return fmt.Errorf("mailbox: %s: %w", prefix+layout.KeyFolder, ErrSwappedKey)
}

// epochOf returns the epoch in which an account was seen last; 0 if it was not.
func (s *Store) epochOf(id eventlog.ID) eventlog.Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id].epoch
}

func (s *Store) sawEpoch(id eventlog.ID, e eventlog.Epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[id]; k.epoch != e {
		k.epoch = e
		s.remember(id, k)
	}
}

// explain turns what ended the use of an account into an error of this package, and
// ends the account's sessions in this process.
func (a *account) explain(err error) error {
	why := error(nil)
	switch {
	case errors.Is(err, eventlog.ErrRekeyed), errors.Is(err, eventlog.ErrNotInEffect) && a.loaded.Load():
		why = ErrRotated
	case errors.Is(err, eventlog.ErrEnded):
		why = ErrGone
	default:
		return err
	}
	a.store.inBackground(func() { a.store.expelThis(a) })
	return fmt.Errorf("mailbox: %s: %w: %w", a.prefix, why, err)
}

// Retired returns the identities that the account had before, newest first: with
// them the age tool opens the bodies of their time. It fails with [ErrByToken].
func (h *Account) Retired() ([]string, error) {
	a, err := h.useSecrets()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	var out []string
	for _, i := range a.before {
		out = append(out, i.Export())
	}
	return out, nil
}
