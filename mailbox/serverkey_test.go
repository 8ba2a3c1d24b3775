package mailbox

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// openKeyed opens a store with options that a test completes.
func openKeyed(t testing.TB, blobs blob.Store, o Options) *Store {
	t.Helper()
	o.Password, o.PollInterval = cheap, -1
	s, err := Open(context.Background(), blobs, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func refuses(t testing.TB, blobs blob.Store, o Options) {
	t.Helper()
	o.Password, o.PollInterval = cheap, -1
	_, err := Open(context.Background(), blobs, o)
	require.ErrorIs(t, err, ErrServerKey)
}

func mailTo(t testing.TB, s *Store, name string, i int) error {
	t.Helper()
	return s.Deliver(context.Background(), []Recipient{{Account: name}}, strings.NewReader(mail(i)))[0]
}

// The life of a server key: first start, several servers, a deliverer, commands without
// it, and its replacement.
func TestServerKeyLife(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	key := crypto.NewServerKey()
	s := openKeyed(t, blobs, Options{ServerKey: key})
	a := newUser(t, s, "ann")
	token, err := a.AddToken(ctx, "phone")
	require.NoError(t, err)
	recovery, err := a.Recovery()
	require.NoError(t, err)
	require.NoError(t, mailTo(t, s, "ann", 0))
	before := names(t, blobs)

	// Without the key, or with another, nothing is opened and nothing written.
	refuses(t, blobs, Options{})
	refuses(t, blobs, Options{ServerKey: crypto.NewServerKey()})
	refuses(t, blobs, Options{DeliveryKey: crypto.NewServerKey().ForStore(s.salt).ForDelivery()})
	without := openKeyed(t, blobs, Options{WithoutServerKey: true})
	_, err = without.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrServerKey)
	require.NotErrorIs(t, err, ErrAuth)
	require.ErrorIs(t, mailTo(t, without, "ann", 1), ErrServerKey)
	require.ErrorIs(t, without.CreateAccount(ctx, "eve", []byte("x")), ErrServerKey)
	require.ErrorIs(t, without.RenameAccount(ctx, "ann", "eve"), ErrServerKey)
	require.ErrorIs(t, without.DeleteAccount(ctx, "ann"), ErrServerKey)
	id, err := crypto.ParseIdentity(recovery)
	require.NoError(t, err)
	b, err := without.OpenIdentity(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []string{mail(0)}, texts(t, b))
	_, err = b.RotateIdentity(ctx, []byte("x"))
	require.ErrorIs(t, err, ErrServerKey)
	require.ErrorIs(t, b.SetPassword(ctx, []byte("x")), ErrServerKey)
	_, err = without.Check(ctx, func(p Problem) { t.Errorf("%v", p) })
	require.NoError(t, err)
	require.Equal(t, before, names(t, blobs))
	require.NoError(t, b.Close())
	b, err = without.Login(ctx, "ann", []byte(token.Export()))
	require.NoError(t, err)
	require.NoError(t, b.Close())

	// One that only delivers.
	part, err := s.DeliveryKey()
	require.NoError(t, err)
	post := openKeyed(t, blobs, Options{DeliveryKey: part})
	require.NoError(t, mailTo(t, post, "ann", 1))
	_, err = post.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrServerKey)
	require.ErrorIs(t, post.CreateAccount(ctx, "eve", []byte("x")), ErrServerKey)
	require.Len(t, texts(t, login(t, s, "ann")), 2)

	// Another key takes its place.
	next := crypto.NewServerKey()
	_, err = AdoptServerKey(ctx, blobs, Options{ServerKey: next, OtherServerKey: key, Password: cheap, PollInterval: -1})
	require.NoError(t, err)
	both := openKeyed(t, blobs, Options{ServerKey: next, OtherServerKey: key})
	newUser(t, both, "bob")
	_, err = s.Rekey(ctx)
	require.ErrorIs(t, err, ErrServerKey)
	st, err := both.Rekey(ctx)
	require.NoError(t, err)
	require.Equal(t, KeyStatus{Slots: 1}, st)
	require.NoError(t, mailTo(t, both, "ann", 2))
	require.NoError(t, mailTo(t, s, "ann", 3), "who has the old key only")
	require.NoError(t, login(t, both, "ann").Close()) // its slot follows
	st, err = both.KeyStatus(ctx)
	require.NoError(t, err)
	require.True(t, st.Done())
	last := openKeyed(t, blobs, Options{ServerKey: next})
	require.Len(t, texts(t, login(t, last, "ann")), 4)
	require.NoError(t, mailTo(t, last, "ann", 4))
	require.NoError(t, mailTo(t, last, "bob", 4))
	listed := map[string]bool{}
	for name, err := range last.Accounts(ctx) {
		require.NoError(t, err)
		listed[name] = true
	}
	require.Equal(t, map[string]bool{"ann": true, "bob": true}, listed)
}

// A store that had no key gets one: mail goes on, and is authenticated from the next
// login on.
func TestAdoptServerKey(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	plain := openKeyed(t, blobs, Options{})
	newUser(t, plain, "ann").Close()
	newUser(t, plain, "bob").Close()
	require.NoError(t, mailTo(t, plain, "ann", 0))
	key := crypto.NewServerKey()
	refuses(t, blobs, Options{ServerKey: key})
	for range 2 {
		rep, err := AdoptServerKey(ctx, blobs, Options{ServerKey: key, Password: cheap, PollInterval: -1})
		require.NoError(t, err)
		require.Equal(t, AdoptReport{Accounts: 2}, rep)
	}
	refuses(t, blobs, Options{})
	s := openKeyed(t, blobs, Options{ServerKey: key})
	require.NoError(t, mailTo(t, s, "ann", 1))
	a := login(t, s, "ann")
	e, terms := a.account.log.Epoch()
	require.EqualValues(t, 2, e)
	require.Equal(t, eventlog.TermsClosed, terms)
	require.NoError(t, mailTo(t, s, "ann", 2))
	require.Len(t, texts(t, a), 3)
	sound(t, s, a)
	slots, err := s.slotNames(ctx, a.account.prefix+passwordSlots)
	require.NoError(t, err)
	require.Len(t, slots, 1)
	slot, err := s.slot(ctx, slots[0])
	require.NoError(t, err)
	require.Equal(t, s.keys[0].ID, slot.KeyID, "the password needs the key now")

	// The key is lost: tokens and recovery identities open, and bring mail back.
	token, err := a.AddToken(ctx, "phone")
	require.NoError(t, err)
	again := crypto.NewServerKey()
	rep, err := AdoptServerKey(ctx, blobs, Options{ServerKey: again, Password: cheap, PollInterval: -1})
	require.NoError(t, err)
	require.Equal(t, AdoptReport{Accounts: 2, Waiting: 1}, rep)
	lost := openKeyed(t, blobs, Options{ServerKey: again})
	require.ErrorIs(t, mailTo(t, lost, "ann", 3), ErrUnsigned)
	require.NoError(t, mailTo(t, lost, "bob", 3))
	_, err = lost.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrServerKey)
	b, err := lost.Login(ctx, "ann", []byte(token.Export()))
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, mailTo(t, lost, "ann", 3))
	require.Len(t, texts(t, b), 4)
}

// keyed is a store with a server key, and accounts of ann and of a mallory who can
// write the store.
func keyed(t *testing.T) (s *Store, blobs *memblob.Store, key crypto.ServerKey) {
	t.Helper()
	blobs = memblob.New()
	key = crypto.NewServerKey()
	s = openKeyed(t, blobs, Options{ServerKey: key})
	newUser(t, s, "ann").Close()
	newUser(t, s, "mallory").Close()
	return s, blobs, key
}

// Attack A1: the recipient that is published is swapped, for a while; or the name is
// led to an account of the thief's, who logs in to it by that name.
func TestSwappedRecipientGetsNothing(t *testing.T) {
	ctx := t.Context()
	damages(t)
	s, blobs, key := keyed(t)
	ann, err := s.find(ctx, "ann")
	require.NoError(t, err)
	mallory, err := s.find(ctx, "mallory")
	require.NoError(t, err)
	thief, err := crypto.NewIdentity()
	require.NoError(t, err)

	fresh := func() *Store { return openKeyed(t, blobs, Options{ServerKey: key}) }
	entry := func(id eventlog.ID, name string) string {
		return keyring.Name{Epoch: 1, Key: s.keys[0].ID, Hash: s.nameHashOf(name)}.Object(layout.AccountPrefix(id))
	}
	was := bytesOf(t, blobs, entry(ann, "ann"))
	claim := keyring.Name{Epoch: 1, Claim: true}.Object(layout.AccountPrefix(ann))
	wasClaim := bytesOf(t, blobs, claim)
	put(t, blobs, claim, keyring.EncodeClaim(thief.Recipient()))
	require.NoError(t, mailTo(t, fresh(), "ann", 0), "nobody asks the claim")
	put(t, blobs, claim, wasClaim)

	head := append([]byte{byte(eventlog.TermsClosed)}, keyring.EncodeClaim(thief.Recipient())...)
	for _, forged := range [][]byte{
		append(head, was[len(head):]...), // with the true seal behind
		bytesOf(t, blobs, entry(mallory, "mallory")),
		nil,
	} {
		put(t, blobs, entry(ann, "ann"), forged)
		require.ErrorIs(t, mailTo(t, fresh(), "ann", 1), ErrUnsigned)
		_, err = fresh().Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, ErrSwappedKey)
	}
	require.NoError(t, blobs.Delete(ctx, entry(ann, "ann")))
	require.ErrorIs(t, mailTo(t, fresh(), "ann", 1), ErrUnsigned)
	put(t, blobs, entry(ann, "ann"), was)

	name := s.nameHash("ann")
	put(t, blobs, name, bytesOf(t, blobs, s.nameHash("mallory")))
	_, err = fresh().Login(ctx, "ann", []byte("secret of mallory"))
	require.NoError(t, err, "it is mallory's account")
	require.ErrorIs(t, mailTo(t, fresh(), "ann", 2), ErrUnsigned)
	require.ErrorIs(t, mailTo(t, s, "ann", 2), ErrUnsigned, "also who knows the account by its own name")
	require.NoError(t, mailTo(t, s, "mallory", 3))
	// Nor does a change of identity vouch for a name that somebody planted.
	put(t, blobs, entry(mallory, "ann"), was)
	b, err := fresh().Login(ctx, "mallory", []byte("secret of mallory"))
	require.NoError(t, err)
	_, err = b.RotateIdentity(ctx, []byte("new"))
	require.NoError(t, err)
	require.ErrorIs(t, mailTo(t, fresh(), "ann", 2), ErrUnsigned)
	require.NoError(t, mailTo(t, fresh(), "mallory", 4))
}

// Attack A2: a delivery that who can write the store forges is passed over.
func TestForgedMailIsPassedOver(t *testing.T) {
	ctx := t.Context()
	damages(t)
	s, blobs, key := keyed(t)
	require.NoError(t, mailTo(t, s, "ann", 0))
	id, err := s.find(ctx, "ann")
	require.NoError(t, err)
	// The forger takes a delivery that is well formed from a store of their own.
	forged := openKeyed(t, blobs.Clone(), Options{ServerKey: key})
	forged.directory, forged.keys = nil, nil // and has no key
	require.NoError(t, mailTo(t, forged, "ann", 7))
	for _, folder := range []string{eventlog.EntryFolder(layout.AccountPrefix(id)), layout.AccountPrefix(id) + layout.BodyFolder} {
		for info, err := range forged.blobs.List(ctx, folder, "") {
			require.NoError(t, err)
			b, err := layout.ReadAll(ctx, forged.blobs, info.Name, 1<<20)
			require.NoError(t, err)
			_ = blobs.Create(ctx, info.Name, bytes.NewReader(b))
		}
	}
	fresh := openKeyed(t, blobs, Options{ServerKey: key})
	require.ErrorIs(t, mailTo(t, fresh, "ann", 1), ErrUnsigned)
	a := login(t, fresh, "ann")
	require.Equal(t, []string{mail(0)}, texts(t, a))
	add(t, a, 2)
	require.NoError(t, mailTo(t, fresh, "ann", 3), "the owner's entry vouches for what is before")
	require.Equal(t, []string{mail(0), mail(2), mail(3)}, texts(t, a))
}

// A change of identity, of name and a removal keep what the key says true.
func TestServerKeyThroughChanges(t *testing.T) {
	ctx := t.Context()
	s, blobs, key := keyed(t)
	a := login(t, s, "ann")
	_, err := a.RotateIdentity(ctx, []byte("new"))
	require.NoError(t, err)
	other := openKeyed(t, blobs, Options{ServerKey: key})
	require.NoError(t, mailTo(t, other, "ann", 0))
	require.NoError(t, mailTo(t, s, "ann", 1))
	require.NoError(t, s.RenameAccount(ctx, "ann", "anna"))
	require.ErrorIs(t, mailTo(t, other, "ann", 2), ErrNoAccount)
	require.NoError(t, mailTo(t, other, "anna", 2))
	b, err := other.Login(ctx, "anna", []byte("new"))
	require.NoError(t, err)
	require.Len(t, texts(t, b), 3)
	sound(t, other, b)
	_, err = b.RotateIdentity(ctx, []byte("newer"))
	require.NoError(t, err)
	require.NoError(t, mailTo(t, s, "anna", 3))
	c, err := s.Login(ctx, "anna", []byte("newer"))
	require.NoError(t, err)
	require.Len(t, texts(t, c), 4)

	require.NoError(t, other.DeleteAccount(ctx, "anna"))
	_, err = c.Append(ctx, Inbox, strings.NewReader(mail(4)), AppendOptions{})
	require.ErrorIs(t, err, ErrGone)
	require.ErrorIs(t, mailTo(t, s, "anna", 4), ErrNoAccount)
}
