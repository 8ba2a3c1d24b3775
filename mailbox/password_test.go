package mailbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
)

// dearer costs more than cheap, and less than the default.
var dearer = crypto.PasswordParams{Time: 1, Memory: 40 << 10, Threads: 1}

func openDearer(t testing.TB, blobs blob.Store) *Store {
	t.Helper()
	s, err := Open(context.Background(), blobs, Options{Password: dearer, PollInterval: -1, NoCollect: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// derived returns how much memory a failed login derived keys in, in KiB.
func derived(t testing.TB, s *Store, name string) int {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := s.Login(context.Background(), name, []byte("wrong"))
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrAuth)
	return int(after.TotalAlloc-before.TotalAlloc) >> 10 &^ 0x7ff // to 2 MiB
}

// When parameters were raised, a name that does not exist costs what accounts
// cost whose slots are from before, until those are renewed by a login.
func TestUnknownNameCostsWhatAccountsCost(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	for i := range 3 {
		newUser(t, openStore(t, blobs), fmt.Sprint("user", i))
	}
	s := openDearer(t, blobs)
	require.ErrorIs(t, func() error { _, err := s.Login(ctx, "nobody", []byte("wrong")); return err }(), ErrAuth)
	require.Equal(t, int(cheap.Memory), derived(t, s, "user0"))
	require.Equal(t, int(cheap.Memory), derived(t, s, "nobody"))

	for i := range 3 {
		a := login(t, s, fmt.Sprint("user", i))
		slots := accountObjects(t, blobs, a.account.prefix+passwordSlots)
		require.Len(t, slots, 1)
		slot, err := s.slot(ctx, slots[0])
		require.NoError(t, err)
		require.Equal(t, dearer, slot.Params)
		require.NoError(t, a.Close())
	}
	require.Equal(t, int(dearer.Memory), derived(t, s, "user0"))
	require.Equal(t, int(dearer.Memory), derived(t, s, "nobody"))

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	login(t, s, "user0")
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(dearer.Memory)<<9, "the password is remembered for the new slot")
	login(t, openDearer(t, blobs), "user0")
}

// A name that does not exist has one cost as long as the accounts have theirs, and
// as many names as accounts have each.
func TestUnknownNamesShareCosts(t *testing.T) {
	s := openDearer(t, memblob.New())
	for i := range byte(100) {
		p := cheap
		if i < 25 {
			p = dearer
		}
		s.passwords.Saw([16]byte{i}, p)
	}
	n := map[crypto.PasswordParams]int{}
	for i := range 1000 {
		id := s.nobody(t.Context(), fmt.Sprint("name", i))
		require.Equal(t, id, s.nobody(t.Context(), fmt.Sprint("name", i)))
		n[s.passwords.For(id)]++
	}
	require.Len(t, n, 2)
	require.InDelta(t, 250, n[dearer], 60)
}

// Whatever another process does to the password while a slot is renewed, and
// wherever the renewing process dies, the password that was set last opens the
// account and none before it does.
func TestRenewalMeetsOthers(t *testing.T) {
	ctx := t.Context()
	others := map[string]func(t *testing.T, blobs blob.Store) string{
		"sets a password": func(t *testing.T, blobs blob.Store) string {
			a := login(t, openStore(t, blobs), "ann")
			require.NoError(t, a.SetPassword(ctx, []byte("next")))
			require.NoError(t, a.Close())
			return "next"
		},
		"changes the identity": func(t *testing.T, blobs blob.Store) string {
			a := login(t, openStore(t, blobs), "ann")
			_, err := a.RotateIdentity(ctx, []byte("next"))
			require.NoError(t, err)
			return "next"
		},
		"renews": func(t *testing.T, blobs blob.Store) string {
			login(t, openDearer(t, blobs), "ann")
			return "secret of ann"
		},
		"fails": nil,
	}
	for name, other := range others {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				blobs := memblob.New()
				require.NoError(t, newUser(t, openStore(t, blobs), "ann").Close())
				faulty := blobtest.NewFaulty(blobs, nil)
				s := openDearer(t, faulty)
				a := login(t, openStore(t, blobs), "ann") // with the identity, and no renewal
				slots := accountObjects(t, blobs, a.account.prefix+passwordSlots)
				old, err := s.slot(ctx, slots[0])
				require.NoError(t, err)
				h, err := s.OpenAccount(ctx, "ann", a.account.identity)
				require.NoError(t, err)
				password, calls := "secret of ann", 0
				faulty.SetPlan(func(_ blobtest.Op, name string, _ int) (f blobtest.Fault) {
					if !strings.Contains(name, "slot/") {
						return f
					}
					if calls++; calls != n {
						return f
					}
					if other == nil {
						return blobtest.Fault{After: errors.New("connection reset")}
					}
					password = other(t, blobs)
					return f
				})
				err = h.account.tryRenewPassword(ctx, old, []byte("secret of ann"))
				faulty.SetPlan(nil)
				if calls < n {
					require.NoError(t, err)
					break
				}
				h.Close()
				a.Close()
				fresh := openDearer(t, blobs)
				for _, secret := range []string{"secret of ann", "next"} {
					b, err := fresh.Login(ctx, "ann", []byte(secret))
					if secret != password {
						require.Error(t, err, "call %d, %s", n, secret)
						continue
					}
					require.NoError(t, err, "call %d", n)
					require.NoError(t, b.Close())
				}
				require.Len(t, accountObjects(t, blobs, a.account.prefix+passwordSlots), 1, "call %d", n)
			}
		})
	}
}

// Those who use the server do not wait behind a crowd of guesses, and neither do
// those from elsewhere.
func TestLoginsBesideGuesses(t *testing.T) {
	blobs := memblob.New()
	newUser(t, openStore(t, blobs), "ann")
	newUser(t, openStore(t, blobs), "bob")
	s, err := Open(t.Context(), blobs, Options{
		Password: cheap, PollInterval: -1, NoCollect: true, Pool: crypto.NewPool(crypto.PoolOptions{Parallel: 1, MaxWait: time.Hour}),
	})
	require.NoError(t, err)
	defer s.Close()
	login(t, s, "ann")
	ctx, cancel := context.WithCancel(t.Context())
	guesses := make(chan error)
	const crowd = 60
	for range crowd {
		go func() {
			_, err := s.LoginFrom(ctx, netip.MustParseAddr("192.0.2.1"), "nobody", []byte("guess"))
			guesses <- err
		}()
	}
	for s.Pool().Stats().Waiting < crowd/2 {
		runtime.Gosched()
	}
	before := s.Pool().Stats().Started
	_, err = s.LoginFrom(ctx, netip.MustParseAddr("192.0.2.1"), "ann", []byte("wrong"))
	require.ErrorIs(t, err, ErrAuth)
	b, err := s.LoginFrom(ctx, netip.MustParseAddr("192.0.2.2"), "bob", []byte("secret of bob"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.LessOrEqual(t, s.Pool().Stats().Started-before, uint64(8))
	cancel()
	for range crowd {
		<-guesses
	}
}
