package mailbox

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// heldBy returns how many bytes of heap each of n results of do keeps.
func heldBy(t testing.TB, n int, do func(i int) any) int64 {
	t.Helper()
	keep := make([]any, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keep {
		keep[i] = do(i)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(keep)
	return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / int64(n)
}

// newTokenUser makes an account that a token opens, which costs no derivation.
func newTokenUser(t testing.TB, s *Store, name string) crypto.Token {
	t.Helper()
	identity, err := crypto.NewIdentity()
	require.NoError(t, err)
	id := eventlog.ID(crypto.NewKey().Bytes()[:16])
	slot, token, err := crypto.NewTokenSlot(identity, id, "")
	require.NoError(t, err)
	require.NoError(t, s.create(context.Background(), id, name, identity, slot))
	require.NoError(t, s.claimName(context.Background(), name, id))
	return token
}

// What waits costs little: a session of an account that is open, and an account
// that is open.
func TestMemoryOfWhatIsIdle(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector's own memory hides the figures; the test without it asserts")
	}
	ctx := t.Context()
	s := openStore(t, memblob.New())
	s.opts.PollInterval = -1
	const n = 300
	tokens := make([]crypto.Token, n)
	for i := range tokens {
		tokens[i] = newTokenUser(t, s, fmt.Sprint("user", i))
	}
	type session struct {
		a *Account
		v *View
		w *Watch
	}
	open := func(i int) *session {
		a, err := s.Login(ctx, fmt.Sprint("user", i), []byte(tokens[i].Export()))
		require.NoError(t, err)
		t.Cleanup(func() { a.Close() })
		return &session{a, selectInbox(t, a), a.Watch()}
	}
	open(0)
	accounts := heldBy(t, n-1, func(i int) any { return open(i + 1) })
	sessions := heldBy(t, n, func(int) any { return open(0) })
	t.Logf("an open account holds %d bytes, another session of it %d", accounts, sessions)
	if raceEnabled {
		return
	}
	require.Less(t, accounts, int64(24<<10), "most of it are the post-quantum keys")
	require.Less(t, sessions, int64(2<<10))
}

// quickUser is newUser without a password.
func quickUser(t testing.TB, s *Store, name string) *Account {
	t.Helper()
	token := newTokenUser(t, s, name)
	a, err := s.Login(context.Background(), name, []byte(token.Export()))
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}
