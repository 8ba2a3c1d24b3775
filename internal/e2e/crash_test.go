package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// load is LMTP clients that deliver one mail after the other until their server
// goes away.
type load struct {
	mu    sync.Mutex
	sent  map[string]bool // by ID: whether the server answered 250
	work  sync.WaitGroup
	taken atomic.Int64
	tag   string
	next  atomic.Int64
}

const loadClients = 4

// begin starts the clients.
func (l *load) begin(ctx context.Context, address string) {
	if l.sent == nil {
		l.sent = map[string]bool{}
	}
	for range loadClients {
		l.work.Go(func() { l.run(ctx, address) })
	}
}

// run is one client. It ends with the first error, which is the server's end.
func (l *load) run(ctx context.Context, address string) {
	c, err := dialLMTP(ctx, address)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		id := fmt.Sprintf("%s-%d", l.tag, l.next.Add(1))
		l.note(id, false)
		// Some are long, so that the end comes also in the middle of one.
		text := append(mail(id), strings.Repeat("and so on\r\n", int(l.next.Load()%7)*5000)...)
		if _, err := deliver(c, text, "ann@example.org"); err != nil {
			return
		}
		l.note(id, true)
		l.taken.Add(1)
	}
}

func (l *load) note(id string, taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[id] = taken
}

// there asserts that every mail that was taken is there once, that no other is
// there twice, and that each has its own place.
func (l *load) there(t *testing.T, got []seen) {
	t.Helper()
	require.NotEmpty(t, l.sent)
	times := map[string]int{}
	for i, m := range got {
		times[m.ID]++
		if i > 0 {
			assert.Greater(t, m.UID, got[i-1].UID)
		}
	}
	for id, taken := range l.sent {
		if n := times[id]; taken && n != 1 || n > 1 {
			assert.Fail(t, "mail lost or doubled", "%s, acknowledged %t, is there %d times", id, taken, n)
		}
		delete(times, id)
	}
	assert.Empty(t, times, "nobody sent these")
}

// A server that is killed while mail comes in has all that it said 250 for, once.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	l := &load{tag: "kill"}
	for round := range 3 {
		s := start(t, dir)
		before := l.taken.Load()
		l.begin(t.Context(), s.lmtp)
		eventually(t, "the load runs", func() bool { return l.taken.Load() >= before+20 })
		// An account that is open in the server when it dies.
		c := dial(t, s.imap, nil)
		_, _, err := appendMail(c, "INBOX", mail(fmt.Sprintf("appended-%d", round)))
		require.NoError(t, err)
		l.note(fmt.Sprintf("appended-%d", round), true)
		s.kill(t)
		l.work.Wait()
	}
	s := start(t, dir)
	got, _ := list(t, dial(t, s.imap, nil), "INBOX")
	l.there(t, got)
	s.stop(t)
	checked(t, dir)
}

// A server that is told to end while mail comes in loses nothing, says goodbye,
// and ends in time.
func TestStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	l := &load{tag: "stop"}

	idle, err := net.Dial("tcp", s.imap)
	require.NoError(t, err)
	defer idle.Close()
	_, err = fmt.Fprintf(idle, "a LOGIN ann %q\r\nb SELECT INBOX\r\nc IDLE\r\n", password)
	require.NoError(t, err)
	c := dial(t, s.imap, nil)
	l.begin(t.Context(), s.lmtp)
	eventually(t, "the load runs", func() bool { return l.taken.Load() >= 20 })

	// One client is in the middle of a message that it never ends.
	stuck, err := net.Dial("tcp", s.lmtp)
	require.NoError(t, err)
	defer stuck.Close()
	_, err = io.WriteString(stuck, "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: never")
	require.NoError(t, err)
	var work sync.WaitGroup
	work.Go(func() { appendUntilEnd(c, l) })
	eventually(t, "appends run", func() bool { return l.has("append-1") })

	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	l.work.Wait()
	work.Wait()
	require.NoError(t, idle.SetReadDeadline(time.Now().Add(patience)))
	assert.Contains(t, drained(idle), "* BYE ")
	require.NoError(t, stuck.SetReadDeadline(time.Now().Add(patience)))
	said := drained(stuck)
	assert.True(t, strings.Contains(said, "\r\n421 ") || strings.Contains(said, "\r\n451 "), said)
	s.wait(t)
	assert.Zero(t, s.cmd.ProcessState.ExitCode())

	s = start(t, dir)
	got, _ := list(t, dial(t, s.imap, nil), "INBOX")
	l.there(t, got)
	s.stop(t)
	checked(t, dir)
}

// appendUntilEnd appends messages until the server goes away.
func appendUntilEnd(c *imapclient.Client, l *load) {
	for n := 1; ; n++ {
		id := fmt.Sprintf("append-%d", n)
		l.note(id, false)
		if _, _, err := appendMail(c, "INBOX", mail(id)); err != nil {
			return
		}
		l.note(id, true)
	}
}

func (l *load) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[id]
}
