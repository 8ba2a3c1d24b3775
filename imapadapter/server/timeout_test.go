package server_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

func repeat(s string, n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = s
	}
	return l
}

// TestTimeouts runs in virtual time.
func TestTimeouts(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name   string
		login  bool
		send   []string // one after the other
		each   time.Duration
		within time.Duration // after which the connection is over
		last   string        // the last line before
	}{
		{"silent before login", false, nil, 0, time.Minute, "* BYE Timed out"},
		{"busy before login", false, repeat("a NOOP\r\n", 100), time.Second, time.Minute, "* BYE Timed out"},
		{"slow before login", false, repeat("a", 60), time.Second, time.Minute, "* BYE Timed out"},
		{"blank before login", false, repeat("\r\n", 60), time.Second, time.Minute, "* BYE Timed out"},
		{"silent in AUTHENTICATE", false, []string{"a AUTHENTICATE PLAIN\r\n"}, 0, time.Minute, "* BYE Timed out"},
		{"silent", true, nil, 0, 35 * time.Minute, "* BYE Timed out"},
		{"idle", true, []string{"a1 IDLE\r\n"}, 0, 35 * time.Minute, "* BYE Timed out"},
		{"busy for a day", true, repeat("a NOOP\r\n", 48), 30 * time.Minute, day + 5*time.Minute, "* BYE Timed out"},
		{"idle for a day", true, repeat("a IDLE\r\nDONE\r\n", 48), 30 * time.Minute, day + 5*time.Minute, "* BYE Timed out"},
		{"slow command", true, repeat("a", 100), time.Second, time.Minute, "* BYE Timed out"},
		{"slow literal", true, append([]string{"a1 DELETE {4000+}\r\n"}, repeat("a", 100)...), time.Second, time.Minute, "* BYE Timed out"},
		{"literal that does not come", true, []string{"a1 DELETE {4000}\r\n"}, 0, time.Minute, "* BYE Timed out"},
		{"slow drop", true, []string{"a1 DELETE {2000000+}\r\n", "a"}, 0, time.Minute, "* BYE Timed out"},
		{"slow end of IDLE", true, append([]string{"a1 IDLE\r\n"}, repeat("D", 100)...), time.Second, time.Minute, "* BYE Timed out"},
		{"stalled message", true, []string{"a1 APPEND INBOX {4000+}\r\n", "a"}, 0, time.Minute, "a1 NO The message did not come in whole"},
		{"slow message", true, append([]string{"a1 APPEND INBOX {9000+}\r\n"}, repeat("a", 500)...), time.Second, 5*time.Minute + time.Second, "a1 NO The message did not come in whole"},
		{"no end of message", true, []string{"a1 APPEND INBOX {1+}\r\n", "a"}, 0, time.Minute, "a1 NO The message did not come in whole"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { timeOut(t, tt.login, tt.send, tt.each, tt.within, tt.last) })
		})
	}
}

func timeOut(t *testing.T, login bool, send []string, each, within time.Duration, last string) {
	w := newPipeWorld(t)
	conn := w.ln.dial(t, "127.0.0.1:1")
	cl := newClient(t, conn)
	if login {
		cl.login()
	} else {
		cl.until("* OK ")
	}
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

// TestSlowMessage uploads 20 MB in fifteen minutes, which is slow and steady.
func TestSlowMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPipeWorld(t, func(o *server.Options) { o.AppendLimit = 0 })
		conn := w.ln.dial(t, "127.0.0.1:1")
		cl := newClient(t, conn)
		cl.login()
		require.NoError(t, conn.SetDeadline(time.Time{}))
		chunk := strings.Repeat("a", 22222)
		cl.send(fmt.Sprintf("a1 APPEND INBOX {%d+}\r\n", 900*len(chunk)))
		for range 900 {
			time.Sleep(time.Second)
			_, err := io.WriteString(conn, chunk)
			require.NoError(t, err)
		}
		cl.send("\r\n")
		cl.until("a1 OK [APPENDUID ")
		cl.close()
	})
}
