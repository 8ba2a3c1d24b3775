package mailbox

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/blob/memblob"
)

// With a cache on disk, what was read before asks the store nothing, also by a
// process that has just begun, and a token that was revoked opens nothing.
func TestCacheOnDisk(t *testing.T) {
	ctx := t.Context()
	count, dir := blobtest.NewCounting(memblob.New(), nil), t.TempDir()
	cached := func() *Store {
		c, err := cacheblob.Open(count, dir, cacheblob.Options{Cacheable: Cacheable})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		s := openStore(t, c)
		s.opts.PollInterval = -1
		return s
	}
	s := cached()
	a := newUser(t, s, "ann")
	token, err := a.AddToken(ctx, "laptop")
	require.NoError(t, err)
	const n = 300
	for i := range n {
		addMail(t, a, i)
	}
	require.NoError(t, a.Close())
	require.NoError(t, s.Close()) // with a snapshot

	list := func(s *Store) (asked int) {
		a, err := s.Login(ctx, "ann", []byte(token.Export()))
		require.NoError(t, err)
		defer a.Close()
		v := selectInbox(t, a)
		defer v.Close()
		before := count.Total(blobtest.OpOpen).Calls
		for m, err := range v.Messages(ctx, All()) {
			require.NoError(t, err)
			_, err = m.Meta(ctx)
			require.NoError(t, err)
			r, err := m.Open(ctx, 0, -1)
			require.NoError(t, err)
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, mail(m.Index), string(text))
			require.NoError(t, r.Close())
		}
		return count.Total(blobtest.OpOpen).Calls - before
	}
	require.Greater(t, list(cached()), n)
	require.Zero(t, list(cached()))

	other := login(t, cached(), "ann")
	tokens, err := other.Tokens(ctx)
	require.NoError(t, err)
	require.NoError(t, other.RevokeToken(ctx, tokens[0].ID))
	_, err = cached().Login(ctx, "ann", []byte(token.Export()))
	require.ErrorIs(t, err, ErrAuth)
}

func TestCacheable(t *testing.T) {
	const account = "acct/00112233445566778899aabbccddeeff/"
	for _, name := range []string{"body/00", "pack/00"} {
		assert.True(t, Cacheable(account+name), name)
	}
	for _, name := range []string{
		"store/format", "name/00", "wake/00", "body/00", "acct/00", account + "log/0000000000000001", account + "snap/0000000000000001",
		account + "slot/p-00", account + "slot/t-00", account + "key/0001", account + "gc/00", account + "body",
	} {
		assert.False(t, Cacheable(name), name)
	}
	assert.False(t, Cacheable(strings.TrimSuffix(account, "/")))
}
