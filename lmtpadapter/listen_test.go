package lmtpadapter

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp.sock")

	// What a killed process leaves.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	require.FileExists(t, path)

	ln, err := Listen(t.Context(), "unix:"+path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o660), info.Mode().Perm())

	_, err = Listen(t.Context(), "unix:"+path)
	require.ErrorIs(t, err, syscall.EADDRINUSE, "somebody listens there")

	store := newFakeStore("alice@example.org")
	s := startOn(t, Options{}, store, ln)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	k := newTalk(t, c)
	k.envelope("alice@example.org")
	k.do("DATA", "354 ")
	k.do("hi\r\n.", "250 ")
	k.do("QUIT", "221 ")
	require.Len(t, store.got(), 1)
	assert.Contains(t, store.got()[0].prefix, "Received: from client.example.net\r\n")

	require.NoError(t, s.Close())
	assert.NoFileExists(t, path)
}

func TestListenLeavesOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	_, err := Listen(t.Context(), "unix:"+path)
	require.Error(t, err)
	assert.FileExists(t, path)
}

func TestListenTCP(t *testing.T) {
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	_, err = Listen(t.Context(), "127.0.0.1:not-a-port")
	require.Error(t, err)
}
