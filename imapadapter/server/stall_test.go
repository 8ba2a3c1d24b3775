package server_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// TestClientThatDoesNotRead has a client stop reading in the middle of a literal: the
// connection ends, and no line is written into what is still to come of the literal.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPipeWorld(t)
		text := "Subject: x\r\n\r\n" + strings.Repeat("all of the text\r\n", 20000)
		_, err := w.account.Append(t.Context(), mailbox.Inbox, strings.NewReader(text), mailbox.AppendOptions{})
		require.NoError(t, err)
		conn := w.ln.dial(t, "127.0.0.1:1")
		cl := newClient(t, conn)
		cl.login()
		require.NoError(t, conn.SetDeadline(time.Time{}))
		cl.send("a FETCH 1 BODY.PEEK[]\r\n")
		cl.until("* 1 FETCH (BODY[] {")
		time.Sleep(2*time.Minute + time.Second/2) // when a goodbye would be on its way
		got, err := io.ReadAll(cl.r)
		require.NoError(t, err)
		assert.Less(t, len(got), len(text))
		assert.True(t, strings.HasPrefix(text, string(got)), "%q", got[max(0, len(got)-100):])
		cl.close()
	})
}
