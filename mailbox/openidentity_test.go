package mailbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
)

// An identity opens its account, whatever the name of that was.
func TestOpenIdentity(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	for _, name := range []string{"ann", "bob", "cleo"} {
		newUser(t, s, name)
	}
	bob := login(t, s, "bob")
	require.NoError(t, bob.Create(ctx, "his"))
	recovery, err := bob.Recovery()
	require.NoError(t, err)
	id, err := crypto.ParseIdentity(recovery)
	require.NoError(t, err)
	a, err := s.OpenIdentity(ctx, id)
	require.NoError(t, err)
	defer a.Close()
	_, err = a.Status(ctx, "his")
	require.NoError(t, err)

	other, err := crypto.NewIdentity()
	require.NoError(t, err)
	_, err = s.OpenIdentity(ctx, other)
	require.ErrorIs(t, err, ErrNoAccount)
}
