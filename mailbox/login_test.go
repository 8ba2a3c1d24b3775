package mailbox

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
)

// A password verified lately, and a token, cost no derivation; a wrong secret
// costs the same reads and derivations whether the name exists or not.
func TestWhatLoginsCost(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	s := openStore(t, count)
	s.opts.PollInterval = -1
	a := newUser(t, s, "ann")
	token, err := a.AddToken(ctx, "")
	require.NoError(t, err)
	revoked, err := a.AddToken(ctx, "")
	require.NoError(t, err)
	require.NoError(t, a.RevokeToken(ctx, revoked.Slot().String()))
	type cost struct{ opens, lists, derivations int }
	of := func(name, secret string) cost {
		var before, after runtime.MemStats
		count.Reset()
		runtime.ReadMemStats(&before)
		if b, err := s.Login(ctx, name, []byte(secret)); err == nil {
			b.Close()
		} else {
			require.ErrorIs(t, err, ErrAuth)
		}
		runtime.ReadMemStats(&after)
		// A derivation fills its memory, and nothing else here takes as much.
		grown := float64(after.TotalAlloc-before.TotalAlloc) / float64(uint64(cheap.Memory)<<10)
		return cost{count.Total(blobtest.OpOpen).Calls, count.Total(blobtest.OpList).Calls, int(grown + 0.25)}
	}
	of("nobody", "wrong") // the first looks what slots of this store cost
	wrong := of("ann", "wrong")
	require.Equal(t, 1, wrong.derivations)
	require.Equal(t, wrong, of("nobody", "wrong"))
	require.Equal(t, of("ann", revoked.Export()), of("nobody", revoked.Export()))
	require.Zero(t, of("nobody", revoked.Export()).derivations)
	of("ann", "secret of ann")
	require.Zero(t, of("ann", "secret of ann").derivations)
	require.Zero(t, of("ann", token.Export()).derivations)
}

// accountObjects returns the names of an account's objects of one kind.
func accountObjects(t *testing.T, blobs blob.Store, prefix string) (out []string) {
	t.Helper()
	for info, err := range blobs.List(t.Context(), prefix, "") {
		require.NoError(t, err)
		out = append(out, info.Name)
	}
	return out
}

func replace(t *testing.T, blobs blob.Store, name string, content []byte) {
	t.Helper()
	require.NoError(t, blobs.Delete(t.Context(), name))
	require.NoError(t, blobs.Create(t.Context(), name, bytes.NewReader(content)))
}

// What the store's owner can plant in it opens nothing, and does not go unnoticed
// by the account's user, whether the account is open or not.
func TestPlantedObjects(t *testing.T) {
	ctx := t.Context()
	for _, open := range []bool{false, true} {
		blobs := memblob.New()
		s := openStore(t, blobs)
		a := newUser(t, s, "ann")
		eve := newUser(t, s, "eve")
		prefix, id := a.account.prefix, a.account.id
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
		require.NoError(t, err)
		if !open {
			require.NoError(t, a.Close())
		}

		// Eve's own slot, moved to Ann's account.
		slots := accountObjects(t, blobs, eve.account.prefix+passwordSlots)
		require.Len(t, slots, 1)
		r, err := blobs.Open(ctx, slots[0], 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		moved := prefix + strings.TrimPrefix(slots[0], eve.account.prefix)
		require.NoError(t, blobs.Create(ctx, moved, bytes.NewReader(b)))
		_, err = s.Login(ctx, "ann", []byte("secret of eve"))
		require.ErrorIs(t, err, ErrAuth)
		require.NoError(t, blobs.Delete(ctx, moved))

		// A slot for Ann's account that wraps another identity under a password
		// that Eve knows; then also its published key.
		other, err := crypto.NewIdentity()
		require.NoError(t, err)
		slot, err := crypto.NewPasswordSlot(ctx, other, id, []byte("known"), cheap, nil)
		require.NoError(t, err)
		require.NoError(t, blobs.Create(ctx, slotName(prefix, slot), bytes.NewReader(slot.Marshal())))
		_, err = s.Login(ctx, "ann", []byte("known"))
		require.ErrorIs(t, err, ErrSwappedKey)
		require.NoError(t, login(t, s, "ann").Close())
		replace(t, blobs, keyring.Name{Epoch: 1, Claim: true}.Object(prefix), keyring.EncodeClaim(other.Recipient()))
		_, err = s.Login(ctx, "ann", []byte("known"))
		require.Error(t, err)
		if open {
			require.ErrorIs(t, err, ErrSwappedKey)
		} else {
			require.ErrorIs(t, err, eventlog.ErrCorrupt, "the log is not the identity's")
		}
		_, err = s.Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, ErrSwappedKey, "her mail goes to another key")

		// Ann's name made to lead to Eve's account.
		object := s.nameHash("ann")
		replace(t, blobs, object, append([]byte{nameVersion}, eve.account.id[:]...))
		_, err = s.Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, ErrAuth)
	}
}

// However the making of an account ends, its name leads to a whole account or is
// free.
func TestCreateAccountWithTrouble(t *testing.T) {
	ctx := t.Context()
	trouble := errors.New("connection reset")
	for _, fault := range []blobtest.Fault{{After: trouble}, {Before: trouble}} {
		for n := 1; ; n++ {
			faulty := blobtest.NewFaulty(memblob.New(), nil)
			s := openStore(t, faulty)
			reached := false
			named := false
			faulty.SetPlan(func(op blobtest.Op, name string, i int) blobtest.Fault {
				if op == blobtest.OpCreate && i == n {
					reached = true
					named = strings.HasPrefix(name, "name/")
					return fault
				}
				if named && op == blobtest.OpOpen { // nor can it be looked at
					return blobtest.Fault{Before: trouble}
				}
				return blobtest.Fault{}
			})
			err := s.CreateAccount(ctx, "ann", []byte("secret of ann"))
			if !reached {
				require.NoError(t, err)
				break
			}
			faulty.SetPlan(nil)
			if err != nil {
				err = s.CreateAccount(ctx, "ann", []byte("secret of ann"))
				if !errors.Is(err, ErrAccountExists) {
					require.NoError(t, err)
				}
			}
			a := login(t, s, "ann")
			_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
			require.NoError(t, err)
		}
	}
	s := openStore(t, memblob.New())
	require.NoError(t, s.CreateAccount(ctx, "ann", []byte("x")))
	before := names(t, s.blobs.(*memblob.Store))
	id := eventlog.ID{1}
	require.ErrorIs(t, s.claimName(ctx, "ann", id), ErrAccountExists)
	require.Equal(t, before, names(t, s.blobs.(*memblob.Store)))
}

// A password that could not be set is not a slot more for each try.
func TestSetPasswordWithTrouble(t *testing.T) {
	ctx := t.Context()
	trouble := errors.New("connection reset")
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	s := openStore(t, faulty)
	a := newUser(t, s, "ann")
	faulty.SetPlan(blobtest.Every(blobtest.OpCreate, blobtest.Fault{After: trouble}))
	for range maxPasswordSlots + 1 {
		require.ErrorIs(t, a.SetPassword(ctx, []byte("new")), trouble)
	}
	faulty.SetPlan(nil)
	require.Len(t, accountObjects(t, faulty, a.account.prefix+passwordSlots), 1)
	require.NoError(t, login(t, s, "ann").Close())
}

// A process remembers a bounded number of accounts, and those that are open.
func TestKnownAccountsAreBounded(t *testing.T) {
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	head := s.seenHead(a.account.id)
	require.NotZero(t, head)
	for i := range maxKnown + 100 {
		s.saw(eventlog.ID{1, byte(i), byte(i >> 8), byte(i >> 16)}, eventlog.Head{Pos: 1})
	}
	require.Len(t, s.known, maxKnown)
	require.Equal(t, head, s.seenHead(a.account.id))
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"grace":       {Grace: 1},
		"max message": {MaxMessage: 1 << 32},
	} {
		_, err := Open(t.Context(), memblob.New(), o)
		require.Error(t, err, name)
	}
}

// A log that lost its end is refused by a process that saw it, also if it only
// looked.
func TestRolledBackLogIsRefused(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	writer, reader := openStore(t, blobs), openStore(t, blobs)
	a := newUser(t, writer, "ann")
	for i := range 3 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, a.Close())
	require.NoError(t, login(t, reader, "ann").Close())
	entries := accountObjects(t, blobs, a.account.prefix+"log/")
	require.NoError(t, blobs.Delete(ctx, entries[len(entries)-1]))
	for _, s := range []*Store{writer, reader} {
		_, err := s.Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, eventlog.ErrRolledBack)
		require.ErrorIs(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0], eventlog.ErrRolledBack)
	}
}
