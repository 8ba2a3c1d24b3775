package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFlagsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"more"}, {"-run", "("}, {"-idle", "0"}, {"-scale", "x"}, {"-servers", "sendmail"}, {"-address", "127.0.0.1:1", "-accounts", "ann"},
		{"-render", "/nonexistent.json"},
	} {
		require.Error(t, run(t.Context(), append(args, "-dir", t.TempDir(), "-out", filepath.Join(t.TempDir(), "x")), io.Discard), "%v", args)
	}
}

func TestNeedsRunToo(t *testing.T) {
	o, err := parseFlags([]string{"-run", "^copy$"}, io.Discard)
	require.NoError(t, err)
	var names []string
	for _, w := range selectWorkloads(o.workloads) {
		names = append(names, w.name)
	}
	assert.Equal(t, []string{"fill", "copy"}, names)
}

// TestRun runs some of the workloads on the example server.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(t.TempDir(), "of", "its", "own", "bench") // folders that are to be made
	require.NoError(t, run(t.Context(), []string{"-quick", "-run", "copy|search|notify|commands", "-dir", dir, "-out", out}, testWriter{t}))
	r, err := readReport(out + ".json")
	require.NoError(t, err)
	require.Len(t, r.Servers, 1)
	require.Empty(t, r.Servers[0].Failed)
	require.Len(t, r.Servers[0].Workloads, 6, "append and fill too")
	for _, w := range r.Servers[0].Workloads {
		assert.Empty(t, w.Failed, w.Workload)
		assert.Empty(t, w.Skipped, w.Workload)
		assert.NotEmpty(t, w.Measures, w.Workload)
		assert.NotEmpty(t, w.Samples, w.Workload)
	}
	found, ok := r.Servers[0].measure("search", "TEXT, mails found")
	require.True(t, ok)
	assert.EqualValues(t, 20, found.Value)
	for _, w := range r.Servers[0].Workloads {
		assert.Empty(t, w.Refused, "commands that real clients send")
	}
	leftNothing(t, dir)
}

// TestInterrupted ends a run by its context while a workload is at work.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := run(ctx, []string{"-quick", "-run", "idle", "-dir", dir, "-out", filepath.Join(t.TempDir(), "x")}, writerFunc(func(b []byte) {
		if strings.Contains(string(b), "IDLE") {
			cancel()
		}
	}))
	require.ErrorIs(t, err, context.Canceled)
	leftNothing(t, dir)
}

// leftNothing asserts that a run left no file in a folder, and no process that
// was started with one.
func leftNothing(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	require.NotEmpty(t, lines)
	for _, line := range lines {
		b, _ := os.ReadFile(line) // none if the process ended
		assert.NotContains(t, string(b), dir)
	}
}

// TestBadServer runs all workloads on a server that refuses everything, and on
// none: the run goes on to its end and says what did not work.
func TestBadServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { refuseAll(ln) })
	t.Cleanup(func() {
		require.NoError(t, ln.Close())
		serving.Wait()
	})
	out := filepath.Join(t.TempDir(), "bench")
	require.NoError(t, run(t.Context(), []string{"-quick", "-address", ln.Addr().String(), "-accounts", "ann:x,bob:x,cy:x", "-out", out}, io.Discard))
	r, err := readReport(out + ".json")
	require.NoError(t, err)
	require.Len(t, r.Servers[0].Workloads, len(workloads()))
	for _, w := range r.Servers[0].Workloads {
		assert.NotEmpty(t, w.Failed+w.Skipped, w.Workload)
	}
	assert.NotEmpty(t, r.Servers[0].Workloads[1].Skipped, "there is no LMTP address")
}

// refuseAll is an IMAP server that says NO to everything.
func refuseAll(ln net.Listener) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() {
			defer c.Close()
			fmt.Fprint(c, "* OK ready\r\n")
			for lines := bufio.NewScanner(c); lines.Scan(); {
				tag, _, _ := strings.Cut(lines.Text(), " ")
				fmt.Fprintf(c, "%s NO\r\n", tag)
			}
		})
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

type testWriter struct{ testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.Logf("%s", strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}
