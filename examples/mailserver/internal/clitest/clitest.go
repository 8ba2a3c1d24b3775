// Package clitest runs commands of the program in tests.
package clitest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/demo"
	"github.com/letterlock/letterlock/mailbox"
)

// Cheap makes password derivations cost as little as is allowed.
var Cheap = crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}

// Ran is the outcome of a run of the program.
type Ran struct {
	Code     int
	Out, Err string
}

// Runners returns two functions that run the program with some commands, as main does.
// The first returns the outcome. The second requires success without a word on
// standard error, and returns the standard output.
func Runners(commands ...[]cli.Command) (invoke func(t *testing.T, stdin string, args ...string) Ran, ok func(t *testing.T, stdin string, args ...string) string) {
	invoke = func(t *testing.T, stdin string, args ...string) Ran {
		t.Helper()
		var out, err bytes.Buffer
		p := cli.New(slices.Concat(commands...), strings.NewReader(stdin), &out, &err)
		p.PasswordCost = Cheap
		code := p.Run(t.Context(), args)
		return Ran{code, out.String(), err.String()}
	}
	ok = func(t *testing.T, stdin string, args ...string) string {
		t.Helper()
		r := invoke(t, stdin, args...)
		require.Equal(t, cli.ExitOK, r.Code, "%v: %s", args, r.Err)
		require.Empty(t, r.Err, "%v", args)
		return r.Out
	}
	return invoke, ok
}

// ServerKey reads the server key that the program made beside a store.
func ServerKey(t *testing.T, store string) crypto.ServerKey {
	t.Helper()
	text, err := os.ReadFile(store + ".serverkey")
	require.NoError(t, err)
	key, err := crypto.ParseServerKey(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return key
}

// DemoStore makes a store with the demo's account and mails in ./mail, and
// returns the password.
func DemoStore(t *testing.T) string {
	t.Helper()
	t.Chdir(t.TempDir())
	blobs, err := diskblob.Open("mail", nil)
	require.NoError(t, err)
	s, err := mailbox.Open(t.Context(), blobs, mailbox.Options{Password: Cheap})
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, demo.Start(t.Context(), &text, s, "mail.demo-password", nil))
	require.NoError(t, s.Close())
	password, err := os.ReadFile("mail.demo-password")
	require.NoError(t, err)
	require.Contains(t, text.String(), strings.TrimSpace(string(password)))
	return string(password)
}
