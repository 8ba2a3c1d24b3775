package server_test

import (
	"log/slog"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/imapadapter/server"
)

// An operator sees that somebody guesses passwords, and from where, but no name.
func TestFailedLoginsAreLogged(t *testing.T) {
	book := &logBook{}
	w := newWorld(t, nil, func(o *server.Options) { o.Logger = slog.New(slog.NewJSONHandler(book, nil)) })
	c, err := imapclient.DialInsecure(w.addr, nil)
	require.NoError(t, err)
	defer c.Close()
	require.Error(t, c.Login(user, "a guess").Wait())
	require.Error(t, c.Login("nobody", "a guess").Wait())
	text := book.String()
	assert.Contains(t, text, "imap login failed")
	assert.Contains(t, text, `"remote":"127.0.0.1:`)
	assert.Contains(t, text, `"failures":2`)
	for _, secret := range []string{user, "alice", "nobody", "guess"} {
		assert.NotContains(t, text, secret)
	}
}
