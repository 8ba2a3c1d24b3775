package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A disk that fails every third call of a kind, by the hand of strace: what was
// taken is there, what was refused is there at most once, others go on, and when
// the disk is well again so is the server.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "strace, which injects the errors")
		t.Skip("there is no strace to inject errors with")
	}
	// Not write, which answers to clients and the log go through too.
	for _, call := range []string{"fsync", "linkat", "pread64"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			x := newTrouble(t, t.TempDir())
			var said bytes.Buffer
			tracer := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+call,
				"-e", "inject="+call+":error=EIO:when=2+3", "-p", strconv.Itoa(x.s.cmd.Process.Pid))
			tracer.Stderr = &said
			require.NoError(t, tracer.Start())
			ended := make(chan struct{})
			go func() {
				_ = tracer.Wait() // its output says why
				close(ended)
			}()
			defer tracer.Process.Kill()
			failed := 0
			for n := 0; failed < 12; n++ {
				select {
				case <-ended:
					if strings.Contains(said.String(), "not permitted") {
						require.Empty(t, os.Getenv("CI"), "processes that may be traced: %s", said.String())
						t.Skipf("processes may not be traced here: %s", said.String())
					}
					t.Fatalf("strace ended: %s", said.String())
				default:
				}
				require.Less(t, n, 2000, "the disk does not fail")
				failed += x.round()
			}
			require.NoError(t, tracer.Process.Signal(syscall.SIGINT)) // it lets go of the server
			<-ended
			x.maybe = true
			x.whole()
		})
	}
}

// round tries to change and to read, and returns how much failed.
func (x *trouble) round() (failed int) {
	for _, err := range []error{
		x.deliver(100),
		x.append(100),
		x.c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$during"}}, nil).Close(),
		x.c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsDel, Flags: []imap.Flag{"$during"}}, nil).Close(),
	} {
		if err != nil {
			failed++
			assert.NotContains(x.t, err.Error(), x.dir)
		}
	}
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := x.c.Fetch(imap.UIDSetNum(1), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		failed++
	} else if assert.Len(x.t, msgs, 1) {
		text := string(msgs[0].FindBodySection(section))
		if strings.Contains(text, "The text of mail-") {
			return failed
		}
		failed++ // it says NIL, and not other bytes
		assert.Empty(x.t, text)
	}
	return failed
}
