//go:build clients

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// marionette is a connection to the remote control of a Mozilla program: each
// message is its length, a colon, and JSON.
type marionette struct {
	conn net.Conn
	in   *bufio.Reader
	last int
}

func dialMarionette(t *testing.T, port string) *marionette {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*patience)))
	m := &marionette{conn: conn, in: bufio.NewReader(conn)}
	_, err = m.receive() // its greeting
	require.NoError(t, err)
	return m
}

func (m *marionette) receive() (json.RawMessage, error) {
	length, err := m.in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(length[:len(length)-1])
	if err != nil {
		return nil, err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(m.in, text)
	return text, err
}

// do gives a command and stores its result's value.
func (m *marionette) do(t *testing.T, value any, name string, params map[string]any) {
	t.Helper()
	m.last++
	text, err := json.Marshal([]any{0, m.last, name, params})
	require.NoError(t, err)
	_, err = fmt.Fprintf(m.conn, "%d:%s", len(text), text)
	require.NoError(t, err)
	text, err = m.receive()
	require.NoError(t, err, name)
	var answer [4]json.RawMessage // 1, the command's number, an error or null, a result
	require.NoError(t, json.Unmarshal(text, &answer))
	require.Equal(t, "null", string(answer[2]), name)
	if value == nil {
		return
	}
	require.NoError(t, json.Unmarshal(answer[3], &struct{ Value any }{value}))
}
