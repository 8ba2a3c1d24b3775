package guard

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// countedConn notes what is written, and in how many writes.
type countedConn struct {
	net.Conn
	said   bytes.Buffer
	writes int
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes++
	return c.said.Write(p)
}

// The engine flushes each of the many short responses to a command. They are
// written together, all of them and in order, and none is kept when it is over.
func TestShortResponsesAreWrittenTogether(t *testing.T) {
	for name, gathered := range map[string]bool{"FETCH": true, "UID STORE": true, "IDLE": false, "NOOP": false} {
		client, server := net.Pipe()
		defer client.Close()
		raw := &countedConn{Conn: server}
		var o Options
		o.setDefaults()
		c := newConn(raw, &o, func() {})
		c.responses.greetingSent = true
		c.responses.begin("a1", name)
		var want bytes.Buffer
		say := func(line string) {
			want.WriteString(line)
			n, err := c.Write([]byte(line))
			require.NoError(t, err)
			require.Equal(t, len(line), n)
		}
		for i := range 1000 {
			say(fmt.Sprintf("* %d FETCH (FLAGS (\\Seen))\r\n", i+1))
			if !gathered {
				require.Equal(t, i+1, raw.writes, "%s is told at once", name)
			}
		}
		say("* 1 FETCH (BODY[] {9000}\r\n")
		say(string(bytes.Repeat([]byte("x"), 9000)))
		say(")\r\n")
		say("a1 OK completed\r\n")
		require.Equal(t, want.String(), raw.said.String(), name)
		if gathered {
			require.Less(t, raw.writes, 10, name)
		}
		c.responses.begin("a2", "FETCH")
		say("* 1 FETCH (UID 1)\r\n")
		require.NoError(t, c.Close())
		require.Equal(t, want.String(), raw.said.String(), "what was said is written before the end")
	}
}
