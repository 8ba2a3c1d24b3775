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
//	version 1 | account ID (16) | name sealed under the name key, or nothing
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
// [Options.NameKey] ([ErrNoNameKey]); accounts that were made without that key,
// or with another one, are left out.
func (s *Store) Accounts(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if s.nameKey.IsZero() {
			yield("", ErrNoNameKey)
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
			name, err := s.nameKey.Open(nil, b[17:], []byte(info.Name))
			if err == nil && !yield(string(name), nil) {
				return
			}
		}
	}
}

// CreateAccount makes an account with an empty INBOX. It fails with
// [ErrAccountExists], [ErrBadName], or for an empty password.
func (s *Store) CreateAccount(ctx context.Context, name string, password []byte) (err error) {
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
	slot, err := crypto.NewPasswordSlot(ctx, identity, id, password, s.opts.Password, s.opts.Pool)
	if err != nil {
		return err
	}
	if err := s.create(ctx, id, identity, slot); err != nil {
		// Nothing found the account yet, so that nothing of it is missed.
		return errors.Join(err, s.erase(context.WithoutCancel(ctx), id, ""))
	}
	return s.claimName(ctx, name, id)
}

// create writes an account's objects, except for its name.
func (s *Store) create(ctx context.Context, id eventlog.ID, identity *crypto.Identity, slot *crypto.Slot) error {
	prefix := layout.AccountPrefix(id)
	put := func(object string, b []byte) error {
		if err := s.blobs.Create(ctx, object, bytes.NewReader(b)); err != nil {
			return fmt.Errorf("mailbox: create account: %w", err)
		}
		return nil
	}
	if err := put(prefix+layout.PublishedKey, []byte(identity.Recipient().String()+"\n")); err != nil {
		return err
	}
	if err := put(slotName(prefix, slot), slot.Marshal()); err != nil {
		return err
	}
	log, err := eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: prefix, ID: id, Keys: &eventlog.Keys{Identity: identity}, Now: s.opts.Now, Logger: s.logger,
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
		return errors.Join(err, s.erase(context.WithoutCancel(ctx), id, ""))
	}
	return err // the name may yet appear, and then the account must be whole
}

func (s *Store) published(ctx context.Context, prefix string) (*crypto.Recipient, error) {
	p, err := s.publication(ctx, prefix, nil)
	if err != nil {
		return nil, err
	}
	return p.recipient, nil
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
	who, err := s.identify(ctx, from, name, secret)
	if err != nil {
		return nil, err
	}
	a, err := s.attach(ctx, who.id, who.identity, who.name)
	if who.remembered != nil && (errors.Is(err, ErrRotated) || errors.Is(err, ErrSwappedKey)) {
		// The password may be that of the next identity too.
		s.verified.Forget(who.id, *who.remembered)
		if who, err = s.identify(ctx, from, name, secret); err != nil {
			return nil, err
		}
		a, err = s.attach(ctx, who.id, who.identity, who.name)
	}
	if err == nil {
		a.byToken = who.byToken
		s.sawLogin(who.id)
		if who.outdated != nil {
			a.account.renewPassword(ctx, who.outdated, secret)
		}
	}
	if errors.Is(err, ErrRotated) && who.byToken {
		return nil, ErrAuth // a token of the identity before is revoked
	}
	return a, err
}

// identified is an account that somebody has a secret of.
type identified struct {
	id       eventlog.ID
	name     string
	identity *crypto.Identity
	byToken  bool

	remembered *crypto.SlotID // that the password was known to open; nil if that was tried
	outdated   *crypto.Slot   // that the password opened, if its parameters are not today's
}

// identify opens a slot of the account with a name.
func (s *Store) identify(ctx context.Context, from netip.Addr, name string, secret []byte) (who identified, err error) {
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
		err = s.openPassword(ctx, &who, s.requester(from, who.id), secret)
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
func (s *Store) openPassword(ctx context.Context, who *identified, asks crypto.Requester, password []byte) error {
	prefix := layout.AccountPrefix(who.id) + passwordSlots
	if slotID, key, ok := s.verified.Lookup(who.id, password); ok {
		slot, err := s.slot(ctx, prefix+slotID.String())
		if err == nil {
			who.remembered = &slotID
			who.identity, err = slot.OpenWithKey(who.id, key)
			return err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.verified.Forget(who.id, slotID) // the password was changed
	}
	err := s.findPassword(ctx, who, asks, password)
	if errors.Is(err, fs.ErrNotExist) { // a slot was deleted since they were listed: another has come
		err = s.findPassword(ctx, who, asks, password)
	}
	return err
}

func (s *Store) findPassword(ctx context.Context, who *identified, asks crypto.Requester, password []byte) error {
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
	return s.tryPassword(ctx, who, asks, names, password)
}

// tryPassword opens the slots that a password opens. A change of identity that was
// interrupted leaves several: if one has the identity that is to come it is
// returned, for the login is to complete the change; else the one in effect.
func (s *Store) tryPassword(ctx context.Context, who *identified, asks crypto.Requester, names []string, password []byte) (err error) {
	id := who.id
	var found *crypto.Identity
	failed := crypto.ErrWrongSecret
	var wanted []*crypto.Recipient
	if len(names) > 1 {
		if wanted, err = s.wanted(ctx, layout.AccountPrefix(id)); err != nil {
			return err
		}
	}
	best := 0 // place of found in wanted
	for _, name := range names {
		slot, err := s.slot(ctx, name)
		if err != nil {
			failed = err
			continue
		}
		s.passwords.Saw(id, slot.Params)
		key, err := slot.PasswordKey(ctx, asks, password, s.opts.Pool)
		if err != nil {
			if found != nil {
				found.Wipe()
			}
			return err
		}
		identity, err := slot.OpenWithKey(id, key)
		if err != nil {
			if !errors.Is(err, crypto.ErrWrongSecret) {
				failed = err
			}
			continue
		}
		place := slices.IndexFunc(wanted, identity.Recipient().Equal)
		if place < 0 {
			place = len(wanted)
		}
		if found != nil && place >= best {
			identity.Wipe()
			continue
		}
		if found != nil {
			found.Wipe()
		}
		who.outdated = nil
		if slot.Params != s.passwords.Today() {
			who.outdated = slot
		}
		if found, best = identity, place; place < max(len(wanted), 1) {
			s.verified.Remember(id, slot.ID, password, key)
		}
		if place == 0 {
			break
		}
	}
	if found == nil {
		return failed
	}
	who.identity = found
	return nil
}

// wanted returns the recipients of the identities that a login may open the account
// with, the best first: one that is to come, and the one in effect.
func (s *Store) wanted(ctx context.Context, prefix string) ([]*crypto.Recipient, error) {
	p, err := s.publication(ctx, prefix, nil)
	if err != nil {
		return nil, err
	}
	next, err := s.readPublication(ctx, prefix, p.number+1, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return []*crypto.Recipient{p.recipient}, nil
	}
	if err != nil {
		return nil, err
	}
	return []*crypto.Recipient{next.recipient, p.recipient}, nil
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
	own, err := crypto.ParseIdentity(identity.Export()) // the caller keeps theirs
	if err != nil {
		return nil, err
	}
	return s.attach(ctx, id, own, name)
}

// OpenIdentity opens the account that an identity is of, whatever its name: all
// that is left may be the store and the identity. It reads one object of each
// account, and fails with [ErrNoAccount] if the identity is of none. The handle
// has no name.
func (s *Store) OpenIdentity(ctx context.Context, identity *crypto.Identity) (*Account, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	for id, err := range s.accountIDs(ctx) {
		if err != nil {
			return nil, err
		}
		recipient, err := s.published(ctx, layout.AccountPrefix(id))
		if err != nil && ctx.Err() == nil {
			continue // what a failed attempt left, or damage of another account
		}
		if err != nil {
			return nil, err
		}
		if recipient.Equal(identity.Recipient()) {
			own, err := crypto.ParseIdentity(identity.Export()) // the caller keeps theirs
			if err != nil {
				return nil, err
			}
			return s.attach(ctx, id, own, "")
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
