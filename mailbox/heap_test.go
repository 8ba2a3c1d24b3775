package mailbox

import (
	"bytes"
	"encoding/base32"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
)

// masked is a secret that a dump of the heap does not show.
type masked []byte

func mask(b []byte) masked {
	m := make(masked, len(b))
	for i := range b {
		m[i] = b[i] ^ 0xa5
	}
	clear(b)
	return m
}

// in reports whether the secret is in a masked dump.
func (m masked) in(dump []byte) bool { return bytes.Contains(dump, m) }

// heapDump returns all live objects of the heap, masked.
func heapDump(t *testing.T) []byte {
	t.Helper()
	for range 3 { // sync.Pools let go after two
		runtime.GC()
	}
	f, err := os.CreateTemp(t.TempDir(), "heap")
	require.NoError(t, err)
	defer f.Close()
	debug.WriteHeapDump(f.Fd())
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	return mask(b)
}

// secretsOf returns the keys of an open account. What it makes on the way is
// garbage when it returns, or cleared.
func secretsOf(t *testing.T, a *Account) map[string]masked {
	t.Helper()
	recovery, err := a.Recovery()
	require.NoError(t, err)
	const prefix = "AGE-SECRET-KEY-PQ-1"
	seed, err := base32.NewEncoding("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L").WithPadding(base32.NoPadding).
		DecodeString(recovery[len(prefix) : len(recovery)-6])
	require.NoError(t, err)
	out := map[string]masked{"text of the identity": mask([]byte(strings.Clone(recovery))), "seed of the identity": mask(seed)}
	for _, label := range []string{"letterlock/v1/log", "letterlock/v1/snapshot", "letterlock/v1/object"} {
		key := a.account.identity.Derive(label)
		out[label] = mask(key.Bytes())
		key.Wipe()
	}
	return out
}

// After the last handle of an account was closed, no live object of the heap holds
// its identity or a key that was derived from it, even if the handle is kept; and
// when that is dropped, no key of a message.
func TestLogoutLeavesNoKeyOnTheHeap(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps what is dead")
	}
	ctx := t.Context()
	s := openStore(t, memblob.New())
	require.NoError(t, s.CreateAccount(ctx, "ann", []byte("secret of ann")))
	var kept *Account
	secrets := map[string]masked{}
	body := make(chan masked, 1)
	done := make(chan struct{})
	go func() { // on a stack that ends
		defer close(done)
		a, err := s.Login(ctx, "ann", []byte("secret of ann"))
		require.NoError(t, err)
		add(t, a, 1)
		require.NoError(t, snapshotNow(ctx, a.account))
		_, err = a.AddToken(ctx, "phone")
		require.NoError(t, err)
		require.Len(t, texts(t, a), 1)
		file := rowOf(t, a, a.account.state().ByName(Inbox), 1).Body.Key.File
		body <- mask(bytes.Clone(file[:]))
		secrets = secretsOf(t, a)
		kept = a
	}()
	<-done
	dump := heapDump(t)
	file := <-body
	require.True(t, secrets["letterlock/v1/log"].in(dump), "the dump shows what is there")
	require.True(t, secrets["seed of the identity"].in(dump))
	require.True(t, file.in(dump))

	require.NoError(t, kept.Close())
	s.retiring.Wait()
	dump = heapDump(t)
	for name, secret := range secrets {
		require.False(t, secret.in(dump), "%s, with the handle kept", name)
	}
	runtime.KeepAlive(kept)
	kept = nil
	require.False(t, file.in(heapDump(t)), "the key of a message")
	runtime.KeepAlive(s)
}
