package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// TestCommandEndsWithItsConnection closes a connection while its command waits for the
// store. The command is cancelled within a second, in plain text, through TLS and through
// DEFLATE, and also if the client has sent more behind the command.
func TestCommandEndsWithItsConnection(t *testing.T) {
	for name, more := range map[string]string{"alone": "", "pipelined": "b NOOP\r\nc NOOP\r\n"} {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, compressed), func(t *testing.T) {
				faulty := blobtest.NewFaulty(memblob.New(), nil)
				w := newWorld(t, faulty)
				w.put("INBOX", long(1000))
				p := w.enter("INBOX")
				if compressed {
					p.compress()
				}
				hold, waits := make(chan struct{}), make(chan struct{}, 1)
				defer close(hold)
				faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
					if op != blobtest.OpOpen {
						return blobtest.Fault{}
					}
					select {
					case waits <- struct{}{}:
					default: // a command behind the one that waits
					}
					return blobtest.Fault{Hold: hold}
				})
				p.send("a SEARCH TEXT nowhere\r\n" + more)
				<-waits
				began := time.Now()
				require.NoError(t, p.c.Close())
				require.Eventually(t, func() bool { return w.atWorkIn("(*request).search(") == 0 }, 10*time.Second, 10*time.Millisecond)
				assert.Less(t, time.Since(began), time.Second)
				faulty.SetPlan(nil)
			})
		}
	}
}

// TestCommandsBehindALongOne sends commands while another one is at work for long, and
// waits: what was read ahead is executed, in order, and nothing of it is lost.
func TestCommandsBehindALongOne(t *testing.T) {
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty)
	w.put("INBOX", long(1000))
	p := w.enter("INBOX")
	hold, waits := make(chan struct{}), make(chan struct{}, 1)
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if op != blobtest.OpOpen {
			return blobtest.Fault{}
		}
		select {
		case waits <- struct{}{}:
		default:
		}
		return blobtest.Fault{Hold: hold}
	})
	p.send("a SEARCH TEXT nowhere\r\n")
	<-waits
	faulty.SetPlan(nil)
	var sent strings.Builder
	for i := range 300 {
		fmt.Fprintf(&sent, "b%d NOOP\r\n", i)
	}
	text := sent.String()
	for len(text) > 0 { // in pieces that end anywhere
		n := min(len(text), 700)
		p.send(text[:n])
		text = text[n:]
		require.Eventually(t, func() bool { return w.atWorkIn("(*conn).watch(") == 1 || len(text) < 700 }, 10*time.Second, time.Millisecond)
	}
	close(hold)
	_, answer := p.until("a ")
	require.Equal(t, "OK SEARCH completed", answer)
	for i := range 300 {
		require.Equal(t, fmt.Sprintf("b%d OK NOOP completed", i), p.line())
	}
	p.send("i IDLE\r\n")
	require.Equal(t, "+ idling", p.line())
	w.fill("INBOX", 1)
	require.Equal(t, "* 2 EXISTS", p.line())
	require.Equal(t, "* 2 RECENT", p.line())
	p.send("DONE\r\n")
	require.Equal(t, "i OK IDLE completed", p.line())
}
