package mailbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// MaxAccountName bounds an account's name, in bytes.
const MaxAccountName = 255

// CanonicalAccount returns an account's name as it is looked up: in lower case and
// in Unicode's composed form (NFC), so that names that look alike are.
// It fails with [ErrBadName] for a name that is empty, longer than
// [MaxAccountName], not UTF-8, or has spaces or control characters.
func CanonicalAccount(name string) (string, error) {
	if name == "" || len(name) > MaxAccountName || !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: an account's name is 1 to %d bytes of UTF-8", ErrBadName, MaxAccountName)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", fmt.Errorf("%w: an account's name has no spaces or control characters", ErrBadName)
	}
	return norm.NFC.String(strings.ToLower(name)), nil
}

// An object under name/ says which account has the name:
//
//	version 1 | account ID (16) | name sealed with the server key, or nothing
const nameVersion = 1

// find returns the account that has a name.
func (s *Store) find(ctx context.Context, name string) (eventlog.ID, error) {
	if err := s.usable(); err != nil {
		return eventlog.ID{}, err
	}
	b, err := layout.ReadAll(ctx, s.blobs, s.nameHash(name), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		// A disk that is not mounted, or was replaced, must not look as if nobody
		// had an account: mail would be sent back.
		if err := s.stillThere(ctx); err != nil {
			return eventlog.ID{}, err
		}
		return eventlog.ID{}, ErrNoAccount
	}
	if err != nil {
		return eventlog.ID{}, fmt.Errorf("mailbox: look up account: %w", err)
	}
	return parseName(s.nameHash(name), b)
}

func parseName(object string, b []byte) (eventlog.ID, error) {
	if len(b) > 0 && b[0] > nameVersion {
		return eventlog.ID{}, fmt.Errorf("mailbox: %s: %w", object, eventlog.ErrNewerVersion)
	}
	if len(b) < 17 || b[0] != nameVersion {
		return eventlog.ID{}, fmt.Errorf("mailbox: %s: %w", object, eventlog.ErrCorrupt)
	}
	return eventlog.ID(b[1:17]), nil
}

// Lookup returns nil if there is an account of that name, and [ErrNoAccount] or
// [ErrBadName] if there is none. It needs no secret.
func (s *Store) Lookup(ctx context.Context, name string) error {
	name, err := CanonicalAccount(name)
	if err != nil {
		return err
	}
	_, err = s.find(ctx, name)
	return err
}

// Accounts yields the names of all accounts, in no order. It needs
// [Options.ServerKey] ([ErrServerKey]); accounts that were made without it, or with
// another one, are left out.
func (s *Store) Accounts(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if len(s.keys) == 0 {
			yield("", fmt.Errorf("mailbox: list accounts: %w", ErrServerKey))
			return
		}
		for info, err := range s.blobs.List(ctx, layout.NameFolder, "") {
			var b []byte
			if err == nil {
				b, err = layout.ReadAll(ctx, s.blobs, info.Name, 4096)
			}
			if err == nil {
				_, err = parseName(info.Name, b)
			}
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) && !yield("", err) {
					return
				}
				continue
			}
			name, by, err := s.sealedName(ctx, info.Name, b)
			if (err != nil || by >= 0) && !yield(name, err) {
				return
			}
		}
	}
}

// CreateAccount makes an account with an empty INBOX. It fails with
// [ErrAccountExists], [ErrBadName], or for an empty password.
func (s *Store) CreateAccount(ctx context.Context, name string, password []byte) (err error) {
	if err := s.needsKey(); err != nil {
		return err
	}
	if name, err = CanonicalAccount(name); err != nil {
		return err
	}
	if _, err := s.find(ctx, name); err == nil {
		return ErrAccountExists
	} else if !errors.Is(err, ErrNoAccount) {
		return err
	}
	identity, err := crypto.NewIdentity()
	if err != nil {
		return err
	}
	defer identity.Wipe()
	id := eventlog.ID(crypto.NewKey().Bytes()[:16])
	slot, err := crypto.NewPasswordSlot(ctx, identity, id, password, s.opts.Password, s.opts.Pool, s.keys...)
	if err != nil {
		return err
	}
	if err := s.create(ctx, id, name, identity, slot); err != nil {
		// Nothing found the account yet, so that nothing of it is missed.
		return errors.Join(err, s.erase(context.WithoutCancel(ctx), id, "", ""))
	}
	return s.claimName(ctx, name, id)
}

// create writes an account's objects, except for its name.
func (s *Store) create(ctx context.Context, id eventlog.ID, name string, identity *crypto.Identity, slot *crypto.Slot) error {
	prefix := layout.AccountPrefix(id)
	put := func(object string, b []byte) error {
		if err := s.blobs.Create(ctx, object, bytes.NewReader(b)); err != nil {
			return fmt.Errorf("mailbox: create account: %w", err)
		}
		return nil
	}
	terms := eventlog.TermsOpen
	if len(s.keys) > 0 {
		terms = eventlog.TermsClosed
	}
	if err := s.publish(ctx, id, 1, identity, terms, s.nameHashOf(name)); err != nil {
		return err
	}
	ring := keyring.RingName(prefix, identity.Recipient())
	if err := put(ring, keyring.SealRing(identity, ring, nil)); err != nil {
		return err
	}
	if err := put(slotName(prefix, slot), slot.Marshal()); err != nil {
		return err
	}
	log, err := eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: prefix, ID: id, Keys: &eventlog.Keys{Identity: identity}, Terms: terms, Now: s.opts.Now, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	now := s.opts.Now().Unix()
	return log.Begin(ctx, state.EncodeEvent(&state.Genesis{UIDValidity: max(state.Seconds(now), 1), Time: now}))
}

// claimName gives an account its name, after all else: whoever finds the name
// finds a whole account.
func (s *Store) claimName(ctx context.Context, name string, id eventlog.ID) error {
	err := s.nameAccount(ctx, name, id)
	if errors.Is(err, ErrAccountExists) {
		return errors.Join(err, s.erase(context.WithoutCancel(ctx), id, "", ""))
	}
	return err // the name may yet appear, and then the account must be whole
}

// Slots of passwords and of tokens are told apart by name, so that a login with
// a password reads no token's slot.
const (
	passwordSlots = layout.SlotFolder + "p-"
	tokenSlots    = layout.SlotFolder + "t-"
)

func slotName(prefix string, slot *crypto.Slot) string {
	if slot.Kind == crypto.SlotToken {
		return prefix + tokenSlots + slot.ID.String()
	}
	return prefix + passwordSlots + slot.ID.String()
}

const (
	maxSlot = 4096 // bytes
	// maxPasswordSlots bounds the work that a wrong password can cause, whatever
	// objects somebody put into the store.
	maxPasswordSlots = 4
)

// Login opens an account with its password or the text of an app token. It fails
// with [ErrAuth] for a wrong name or secret, which both take the time of one
// password derivation and of as many reads, with [ErrSwappedKey] if mail is
// delivered to another key than the account's, and with [crypto.ErrBusy] if too
// many derivations wait. A token, or a password that was right lately, costs no
// derivation. What a token opened changes no secrets: [ErrByToken].
//
// secret stays the caller's, who should overwrite it afterwards: no copy of it is
// kept. Servers of many clients call [Store.LoginFrom].
func (s *Store) Login(ctx context.Context, name string, secret []byte) (*Account, error) {
	return s.LoginFrom(ctx, netip.Addr{}, name, secret)
}

// LoginFrom is like [Store.Login], for a client at an address. Where many derivations
// wait, those for accounts that were logged in to lately at this process and all
// others take turns, and of the others one of each address after the other (see
// [crypto.Requester]): clients that guess from few addresses delay nobody else.
// Clients with the zero Addr count as one address.
func (s *Store) LoginFrom(ctx context.Context, from netip.Addr, name string, secret []byte) (*Account, error) {
	ctx, end := s.opts.Observe.Start(ctx, observe.SpanLogin)
	a, err := s.login(ctx, from, name, secret)
	end(err != nil)
	return a, err
}

func (s *Store) login(ctx context.Context, from netip.Addr, name string, secret []byte) (*Account, error) {
	refused := map[crypto.SlotID]bool{}
	var last error
	for {
		who, err := s.identify(ctx, from, name, secret, refused)
		if last != nil && errors.Is(err, ErrAuth) {
			return nil, last // nothing else opens
		}
		if err != nil {
			return nil, err
		}
		c, err := s.claimant(ctx, who.id, who.identity, who.name, who.slot)
		if err != nil {
			return nil, err
		}
		a, err := s.attach(ctx, c)
		if err == nil {
			a.byToken = who.byToken
			s.sawLogin(who.id)
			if who.outdated != nil {
				a.account.renewPassword(ctx, who.outdated, secret)
			}
			return a, nil
		}
		notNow := errors.Is(err, eventlog.ErrNotInEffect)
		if who.byToken && (notNow || errors.Is(err, ErrRotated)) {
			return nil, ErrAuth // a token of another identity is revoked, or not valid yet
		}
		if who.slot == nil || !notNow && !errors.Is(err, ErrRotated) && !errors.Is(err, ErrSwappedKey) {
			return nil, err
		}
		// A change of identity that was interrupted leaves slots of both: the password may
		// be that of the other one too.
		if last = err; notNow {
			last = ErrAuth
		}
		s.verified.Forget(who.id, *who.slot)
		refused[*who.slot] = true
	}
}

// identified is an account that somebody has a secret of.
type identified struct {
	id       eventlog.ID
	name     string
	identity *crypto.Identity
	byToken  bool

	slot     *crypto.SlotID // that the password opened
	outdated *crypto.Slot   // the same, if its parameters or server key are not today's
}

// identify opens a slot of the account with a name, but none of those refused.
func (s *Store) identify(ctx context.Context, from netip.Addr, name string, secret []byte, refused map[crypto.SlotID]bool) (who identified, err error) {
	who.name, err = CanonicalAccount(name)
	if err == nil {
		who.id, err = s.find(ctx, who.name)
	}
	token, notToken := crypto.ParseToken(secret)
	who.byToken = notToken == nil
	if errors.Is(err, ErrNoAccount) || errors.Is(err, ErrBadName) {
		// A stranger cannot tell by the clock: find read one object more than for a
		// name that exists, and that is what a missing token's slot costs.
		if who.byToken {
			return who, ErrAuth
		}
		// And this is an account that nothing opens.
		who.id, err = s.nobody(ctx, cmp.Or(who.name, name)), nil
	}
	if err != nil {
		return who, err
	}
	if who.byToken {
		who.identity, err = s.openToken(ctx, who.id, token)
	} else {
		err = s.openPassword(ctx, &who, s.requester(from, who.id), secret, refused)
	}
	if errors.Is(err, crypto.ErrWrongSecret) {
		err = ErrAuth
	}
	return who, err
}

func (s *Store) openToken(ctx context.Context, id eventlog.ID, token crypto.Token) (*crypto.Identity, error) {
	slot, err := s.slot(ctx, layout.AccountPrefix(id)+tokenSlots+token.Slot().String())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, crypto.ErrWrongSecret // revoked
	}
	if err != nil {
		return nil, err
	}
	return slot.OpenToken(id, token)
}

// openPassword opens a slot of the account who.id.
func (s *Store) openPassword(ctx context.Context, who *identified, asks crypto.Requester, password []byte, refused map[crypto.SlotID]bool) error {
	prefix := layout.AccountPrefix(who.id) + passwordSlots
	if slotID, key, ok := s.verified.Lookup(who.id, password); ok && !refused[slotID] {
		slot, err := s.slot(ctx, prefix+slotID.String())
		if err == nil {
			who.slot = &slotID
			who.identity, err = slot.OpenWithKey(who.id, key)
			return err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.verified.Forget(who.id, slotID) // the password was changed
	}
	err := s.findPassword(ctx, who, asks, password, refused)
	if errors.Is(err, fs.ErrNotExist) { // a slot was deleted since they were listed: another has come
		err = s.findPassword(ctx, who, asks, password, refused)
	}
	return err
}

func (s *Store) findPassword(ctx context.Context, who *identified, asks crypto.Requester, password []byte, refused map[crypto.SlotID]bool) error {
	var names []string
	for info, err := range s.blobs.List(ctx, layout.AccountPrefix(who.id)+passwordSlots, "") {
		if err != nil {
			return fmt.Errorf("mailbox: list slots: %w", err)
		}
		if names = append(names, info.Name); len(names) == maxPasswordSlots {
			break
		}
	}
	if len(names) == 0 { // only tokens and the recovery identity open it, or it does not exist
		return s.passwords.Dummy(ctx, asks, who.id, password, s.opts.Pool)
	}
	renewedLast(names)
	return s.tryPassword(ctx, who, asks, names, password, refused)
}

// tryPassword opens the first slot that a password opens.
func (s *Store) tryPassword(ctx context.Context, who *identified, asks crypto.Requester, names []string, password []byte, refused map[crypto.SlotID]bool) error {
	id := who.id
	failed := crypto.ErrWrongSecret
	for _, name := range names {
		slot, err := s.slot(ctx, name)
		if err != nil {
			failed = err
			continue
		}
		if refused[slot.ID] {
			continue
		}
		s.passwords.Saw(id, slot.Params)
		key, err := slot.PasswordKey(ctx, asks, password, s.opts.Pool, s.keys...)
		if err != nil {
			return err
		}
		who.identity, err = slot.OpenWithKey(id, key)
		if errors.Is(err, crypto.ErrWrongSecret) {
			continue
		}
		if err != nil {
			failed = err
			continue
		}
		who.slot = &slot.ID
		if slot.Params != s.passwords.Today() || slot.KeyID != s.slotKey() {
			who.outdated = slot
		}
		s.verified.Remember(id, slot.ID, password, key)
		return nil
	}
	return failed
}

// slotKey returns the server key that new password slots need.
func (s *Store) slotKey() crypto.KeyID {
	if len(s.keys) == 0 {
		return crypto.KeyID{}
	}
	return s.keys[0].ID
}

func (s *Store) slot(ctx context.Context, object string) (*crypto.Slot, error) {
	b, err := layout.ReadAll(ctx, s.blobs, object, maxSlot)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read slot: %w", err)
	}
	slot, err := crypto.ParseSlot(b)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: %w: %w", object, eventlog.ErrCorrupt, err)
	}
	if !strings.HasSuffix(object, slot.ID.String()) {
		return nil, fmt.Errorf("mailbox: %s: slot of another name: %w", object, eventlog.ErrCorrupt)
	}
	return slot, nil
}

// OpenAccount opens an account with its identity, the recovery key: all passwords
// and tokens may be lost. It fails with [ErrNoAccount], or with [ErrSwappedKey]
// if the identity is not the one that mail is delivered to.
func (s *Store) OpenAccount(ctx context.Context, name string, identity *crypto.Identity) (*Account, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return nil, err
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.openBy(ctx, id, identity, name)
}

// openBy opens an account with an identity that stays the caller's.
func (s *Store) openBy(ctx context.Context, id eventlog.ID, identity *crypto.Identity, name string) (*Account, error) {
	own, err := crypto.ParseIdentity(identity.Export())
	if err != nil {
		return nil, err
	}
	c, err := s.claimant(ctx, id, own, name, nil)
	if err != nil {
		return nil, err
	}
	return s.attach(ctx, c)
}

// OpenIdentity opens the account that an identity is of, whatever its name: all
// that is left may be the store and the identity. It costs two requests for each
// account, and fails with [ErrNoAccount] if the identity is of none. The handle has no
// name. It needs no server key.
func (s *Store) OpenIdentity(ctx context.Context, identity *crypto.Identity) (*Account, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	mine := identity.Recipient()
	for id, err := range s.accountIDs(ctx) {
		if err != nil {
			return nil, err
		}
		claims, err := s.claims(ctx, id, mine)
		if err != nil && ctx.Err() == nil {
			continue // what a failed attempt left, or damage of another account
		}
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(claims, mine.Equal) {
			return s.openBy(ctx, id, identity, "")
		}
	}
	return nil, ErrNoAccount
}

// accountIDs yields which accounts have objects, with one listing for each.
func (s *Store) accountIDs(ctx context.Context) iter.Seq2[eventlog.ID, error] {
	return s.accountIDsAfter(ctx, "")
}

// accountIDsAfter yields accounts whose objects come after a name.
func (s *Store) accountIDsAfter(ctx context.Context, after string) iter.Seq2[eventlog.ID, error] {
	return func(yield func(eventlog.ID, error) bool) {
		after := after
		for {
			name := ""
			for info, err := range s.blobs.List(ctx, layout.AccountFolder, after) {
				if err != nil {
					yield(eventlog.ID{}, fmt.Errorf("mailbox: list accounts: %w", err))
					return
				}
				name = info.Name
				break
			}
			if name == "" {
				return
			}
			hexID, _, _ := strings.Cut(strings.TrimPrefix(name, layout.AccountFolder), "/")
			after = layout.AccountFolder + hexID + "0" // the byte after "/"
			var id eventlog.ID
			if n, err := hex.Decode(id[:], []byte(hexID)); err != nil || n != len(id) {
				continue
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}
