//go:build clients

package e2e

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wiretap stands between a mail program and the server, so that a test sees what
// the program really asked for, and what it was answered.
type wiretap struct {
	address string // for the program, instead of the server's

	mu             sync.Mutex // protects what follows
	sent, answered bytes.Buffer
	open           map[net.Conn]struct{}
	closed         bool
}

// tap listens in front of an address until the test ends.
func tap(t *testing.T, address string) *wiretap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wiretap{address: ln.Addr().String(), open: map[net.Conn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			program, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.join(program, address) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		w.close()
		running.Wait()
	})
	return w
}

// join carries bytes both ways until both ways have ended.
func (w *wiretap) join(program net.Conn, address string) {
	defer program.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return // the program sees its connection end
	}
	defer server.Close()
	if !w.add(program, server) {
		return
	}
	var running sync.WaitGroup
	running.Go(func() { w.carry(server, program, &w.sent) })
	w.carry(program, server, &w.answered)
	running.Wait()
}

// carry keeps what it carries before it hands it on, so that a program that has
// an answer finds it kept.
func (w *wiretap) carry(to, from net.Conn, kept *bytes.Buffer) {
	block := make([]byte, 16<<10)
	for {
		n, err := from.Read(block)
		w.mu.Lock()
		kept.Write(block[:n])
		w.mu.Unlock()
		if _, werr := to.Write(block[:n]); err != nil || werr != nil {
			break
		}
	}
	_ = to.(*net.TCPConn).CloseWrite() // the other way may have ended it
	_, _ = io.Copy(io.Discard, from)
}

func (w *wiretap) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.open[c] = struct{}{}
	}
	return !w.closed
}

func (w *wiretap) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for c := range w.open {
		c.Close()
	}
}

// heard returns the lines that programs sent and were answered since the last
// call, without those that hold the password.
func (w *wiretap) heard() (sent, answered []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.sent.String()) {
		if !strings.Contains(line, password) {
			sent = append(sent, strings.TrimRight(line, "\r\n"))
		}
	}
	for line := range strings.Lines(w.answered.String()) {
		answered = append(answered, strings.TrimRight(line, "\r\n"))
	}
	w.sent.Reset()
	w.answered.Reset()
	return sent, answered
}

// matching returns the lines that contain a text.
func matching(lines []string, text string) []string {
	var out []string
	for _, line := range lines {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}
