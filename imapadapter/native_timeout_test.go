package imapadapter

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// TestNativeTimeouts runs in virtual time. The engine waits in one Read for all
// that the session answers itself, so that none of its deadlines may count.
func TestNativeTimeouts(t *testing.T) {
	slow := append([]string{"a1 APPEND INBOX {9000+}\r\n"}, repeat("a", 500)...)
	for _, tt := range []struct {
		name   string
		send   []string // one after the other
		each   time.Duration
		within time.Duration // after which the connection is over
		last   string
	}{
		{"silent", nil, 0, 35 * time.Minute, "* BYE Timed out"},
		{"idle", []string{"a1 IDLE\r\n"}, 0, 35 * time.Minute, "* BYE Timed out"},
		{"busy for a day", repeat("a NOOP\r\n", 48), 30 * time.Minute, 24*time.Hour + 5*time.Minute, "* BYE Timed out"},
		{"idle for a day", repeat("a IDLE\r\nDONE\r\n", 48), 30 * time.Minute, 24*time.Hour + 5*time.Minute, "* BYE Timed out"},
		{"stalled message", []string{"a1 APPEND INBOX {4000+}\r\n", "a"}, 0, time.Minute, "a1 NO The message did not come in whole"},
		{"slow message", slow, time.Second, 5*time.Minute + time.Second, "a1 NO The message did not come in whole"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { nativeTimeOut(t, tt.send, tt.each, tt.within, tt.last) })
		})
	}
}

func nativeTimeOut(t *testing.T, send []string, each, within time.Duration, last string) {
	w := newFuzzWorld(t)
	conn := w.ln.dial(t, "127.0.0.1:1")
	cl := newClient(t, conn, whole)
	cl.until("* OK ")
	cl.send(nativeLogin)
	cl.until("l2 OK ")
	require.NoError(t, conn.SetDeadline(time.Time{}))
	begin := time.Now()
	var sender sync.WaitGroup
	sender.Go(func() {
		for _, s := range send {
			if _, err := conn.Write([]byte(s)); err != nil {
				return
			}
			time.Sleep(each)
		}
	})
	b, err := io.ReadAll(cl.r)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(b), "\r\n"), "\r\n")
	assert.Equal(t, last, lines[len(lines)-1])
	took := time.Since(begin)
	assert.LessOrEqual(t, took, within+2*time.Second)
	assert.GreaterOrEqual(t, took, within-2*time.Second)
	status, err := w.account.Status(t.Context(), mailbox.Inbox)
	require.NoError(t, err)
	assert.Zero(t, status.Messages)
	cl.close()
	sender.Wait()
}
