package serve

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// A service manager is told when mail is served, and when that ends.
func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("", "ll") // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "notify")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer ln.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	told := func() string {
		require.NoError(t, ln.SetReadDeadline(time.Now().Add(30*time.Second)))
		b := make([]byte, 100)
		n, err := ln.Read(b)
		require.NoError(t, err)
		return string(b[:n])
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int)
	var out, errs bytes.Buffer
	p := cli.New([]cli.Command{Command()}, strings.NewReader(""), &out, &errs)
	store := filepath.Join(t.TempDir(), "mail")
	go func() { ended <- p.Run(ctx, []string{"serve", "-store", store, "-imap", "127.0.0.1:0", "-lmtp", ""}) }()
	assert.Equal(t, "READY=1", told())
	stop()
	assert.Equal(t, "STOPPING=1", told())
	assert.Equal(t, cli.ExitOK, <-ended, "%s", &errs)

	// Whoever is not there any more is no reason to fail.
	t.Setenv("NOTIFY_SOCKET", "@letterlock-nobody-listens")
	var log bytes.Buffer
	notify(slog.New(slog.NewTextHandler(&log, nil)), "READY=1")
	assert.Contains(t, log.String(), "could not be notified")
}
