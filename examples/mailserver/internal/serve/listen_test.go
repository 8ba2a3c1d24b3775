package serve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// fullListener has no room for a while.
type fullListener struct {
	until time.Time
	tries int
}

func (l *fullListener) Accept() (net.Conn, error) {
	l.tries++
	if time.Now().Before(l.until) {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	c, _ := net.Pipe()
	return c, nil
}
func (l *fullListener) Close() error   { return nil }
func (l *fullListener) Addr() net.Addr { return &net.TCPAddr{} }

// A process that can open no more files waits, and says so once a minute.
func TestAcceptWithoutFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		full := &fullListener{until: time.Now().Add(150 * time.Second)}
		l := &patientListener{Listener: full, protocol: "imap", logger: slog.New(slog.NewTextHandler(&log, nil)), closed: make(chan struct{})}
		c, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, c.Close())
		assert.Equal(t, 3, strings.Count(log.String(), "\n"), log.String())
		assert.Contains(t, log.String(), "LimitNOFILE")
		assert.Less(t, full.tries, 200)

		full.until = time.Now().Add(time.Hour)
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		assert.ErrorIs(t, <-ended, net.ErrClosed)
	})
}

// Whatever the process waits for, it ends.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		code := make(chan int, 1)
		ctx, stop := context.WithCancel(t.Context())
		unwatch := watchdog(ctx, 9*time.Second, logger, func(c int) { code <- c })
		begin := time.Now()
		time.Sleep(time.Hour)
		stop()
		assert.Equal(t, cli.ExitFailed, <-code)
		assert.Equal(t, time.Hour+9*time.Second, time.Since(begin))
		assert.Contains(t, log.String(), "did not end in time")
		unwatch()

		ctx, stop = context.WithCancel(t.Context())
		unwatch = watchdog(ctx, 9*time.Second, logger, func(int) { t.Error("it has ended") })
		stop()
		synctest.Wait()
		unwatch()
		time.Sleep(time.Minute)
	})
}

// A server that cannot listen makes nothing.
func TestNothingIsMadeBeforeListening(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	dir := t.TempDir()
	store := filepath.Join(dir, "typo")
	var errs bytes.Buffer
	p := cli.New([]cli.Command{Command()}, strings.NewReader(""), io.Discard, &errs)
	for _, args := range [][]string{
		{"-imap", ln.Addr().String(), "-lmtp", ""}, {"-imap", "127.0.0.1:0", "-lmtp", ln.Addr().String()},
		{"-imap", "127.0.0.1:0", "-lmtp", "", "-metrics", ln.Addr().String()},
	} {
		assert.Equal(t, cli.ExitFailed, p.Run(t.Context(), append([]string{"serve", "-store", store}, args...)))
		assert.Contains(t, errs.String(), "address already in use")
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, entries)
		errs.Reset()
	}

	for _, made := range []bool{true, false} {
		ctx, stop := context.WithCancel(t.Context())
		log := &stopAt{what: "serving", stop: stop}
		p := cli.New([]cli.Command{Command()}, strings.NewReader(""), io.Discard, log)
		assert.Equal(t, cli.ExitOK, p.Run(ctx, []string{"serve", "-store", store, "-imap", "127.0.0.1:0", "-lmtp", ""}), log.String())
		assert.Equal(t, made, strings.Contains(log.String(), "made a new store"), log.String())
	}
}

// stopAt is a log that stops the server at a word.
type stopAt struct {
	bytes.Buffer
	what string
	stop func()
}

func (s *stopAt) Write(b []byte) (int, error) {
	if strings.Contains(string(b), s.what) {
		s.stop()
	}
	return s.Buffer.Write(b)
}
