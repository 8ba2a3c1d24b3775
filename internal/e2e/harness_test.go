package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

// mailserver is the program under test, built once.
var mailserver string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "letterlock-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mailserver = filepath.Join(dir, "mailserver")
	if runtime.GOOS == "windows" {
		mailserver += ".exe"
	}
	out, err := exec.Command("go", "build", raceFlag, "-o", mailserver, "../../examples/mailserver").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build of the mail server: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// command runs a command of the program to its end. in is its standard input.
func command(t testing.TB, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), mailserver, args...)
	c.Stdin = strings.NewReader(in)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	if c.ProcessState == nil {
		require.NoError(t, err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

// must runs a command of the program, which has to succeed.
func must(t testing.TB, in string, args ...string) string {
	t.Helper()
	out, errs, code := command(t, in, args...)
	require.Zero(t, code, "%v: %s", args, errs)
	return out
}

// newStore makes a store with one account, ann, and returns its folder.
func newStore(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mail")
	must(t, password+"\n", "account", "add", "ann", "-store", dir)
	return dir
}

// serverKey reads the key that the program made beside a store.
func serverKey(t testing.TB, store string) crypto.ServerKey {
	t.Helper()
	text, err := os.ReadFile(store + ".serverkey")
	require.NoError(t, err)
	key, err := crypto.ParseServerKey(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return key
}

const password = "correct horse battery staple"

// checked asserts that a store has no damage and that ann's account is whole.
func checked(t testing.TB, dir string) {
	t.Helper()
	out, errs, code := command(t, password+"\n", "check", "-store", dir, "-account", "ann")
	assert.Zero(t, code, "%s%s", out, errs)
}

// server is a running "mailserver serve".
type server struct {
	imap, imaps, lmtp, metrics string // addresses

	cmd   *exec.Cmd
	ended chan struct{}
	out   *bytes.Buffer // standard output, whole once ended is closed

	mu  sync.Mutex // protects what follows
	log bytes.Buffer
}

// start starts a server on a folder and waits until it listens. It has IMAP and
// LMTP at free ports of loopback unless args say other things.
func start(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "-store", dir, "-log-format", "json", "-imap", "127.0.0.1:0", "-lmtp", "127.0.0.1:0"}, args...)
	s := &server{cmd: exec.Command(mailserver, args...), ended: make(chan struct{}), out: &bytes.Buffer{}}
	s.cmd.Stdout = s.out
	pr, pw := io.Pipe()
	s.cmd.Stderr = pw
	require.NoError(t, s.cmd.Start())
	ready := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { s.follow(pr, ready) })
	go func() {
		_ = s.cmd.Wait() // ProcessState tells
		_ = pw.Close()
		reading.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended if all went well
		<-s.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", strings.Join(args, " "), s.logged())
		}
	})
	select {
	case <-ready:
	case <-s.ended:
		require.FailNow(t, "the server did not start", "%s", s.logged())
	case <-time.After(patience):
		require.FailNow(t, "the server does not listen", "%s", s.logged())
	}
	return s
}

// follow reads the server's log to its end. It closes ready when the server said
// that it serves.
func (s *server) follow(r io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.mu.Lock()
		s.log.Write(lines.Bytes())
		s.log.WriteByte('\n')
		s.mu.Unlock()
		var line struct{ Msg, Protocol, Address string }
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Msg == "serving":
			close(ready)
		case line.Protocol == "imap":
			s.imap = line.Address
		case line.Protocol == "imaps":
			s.imaps = line.Address
		case line.Protocol == "lmtp":
			s.lmtp = line.Address
		case line.Protocol == "metrics":
			s.metrics = line.Address
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line too long
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// stop ends the server by SIGTERM and waits for it.
func (s *server) stop(t testing.TB) {
	t.Helper()
	begin := time.Now()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	s.wait(t)
	assert.Zero(t, s.cmd.ProcessState.ExitCode(), "%s", s.logged())
	assert.Less(t, time.Since(begin), 20*time.Second, "bounded by -stop-timeout and a last snapshot")
}

// kill ends the server by SIGKILL and waits for it.
func (s *server) kill(t testing.TB) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	s.wait(t)
}

func (s *server) wait(t testing.TB) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		require.FailNow(t, "the server does not end")
	}
}

// eventually waits until something is so, and looks often.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	require.Eventually(t, so, patience, 10*time.Millisecond, what)
}
