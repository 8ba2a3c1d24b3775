package server_test

import (
	"bufio"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// deflated is a client's end of a compressed connection.
type deflated struct {
	net.Conn
	w *flate.Writer
}

func (d *deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}

// compress has the connection compressed (RFC 4978).
func (p *peer) compress() {
	p.t.Helper()
	_, answer := p.do("COMPRESS DEFLATE")
	require.Equal(p.t, "OK DEFLATE active", answer)
	w, err := flate.NewWriter(p.c, 6)
	require.NoError(p.t, err)
	p.br = bufio.NewReader(flate.NewReader(p.br))
	p.c = &deflated{p.c, w}
}

// All that goes over a connection goes over a compressed one: short answers at
// once, long ones whole, messages in, words to a client that idles, the goodbye.
func TestCompress(t *testing.T) {
	w := newWorld(t, nil)
	body := strings.Repeat("a line that is much like the others\r\n", 20_000)
	w.put("INBOX", "Subject: long\r\n\r\n"+body)
	p := w.enter("INBOX")
	require.Contains(t, p.ok("CAPABILITY")[0], " COMPRESS=DEFLATE")
	p.no2("COMPRESS LZ4", "NO No such compression mechanism")
	p.compress()
	require.NotContains(t, p.ok("CAPABILITY")[0], "COMPRESS=DEFLATE")
	p.no2("COMPRESS DEFLATE", "NO [COMPRESSIONACTIVE] DEFLATE is active")
	for range 3 {
		lines := p.ok("FETCH 1 BODY.PEEK[TEXT]")
		require.Len(t, lines, 20_002)
	}
	p.send(fmt.Sprintf("m1 APPEND INBOX {%d}\r\n", len(body)))
	require.Equal(t, "+ Ready for literal data", p.line())
	p.send(body + "\r\n")
	_, answer := p.until("m1 ")
	require.True(t, strings.HasPrefix(answer, "OK [APPENDUID "), answer)

	p.send("i1 IDLE\r\n")
	require.Equal(t, "+ idling", p.line())
	w.put("INBOX", "Subject: news\r\n\r\n")
	require.Equal(t, "* 3 EXISTS", p.line())
	require.Equal(t, "* 3 RECENT", p.line())
	p.send("DONE\r\n")
	require.Equal(t, "i1 OK IDLE completed", p.line())
	p.send("a1 NOOP\r\na2 NOOP\r\n") // two in one packet
	require.Equal(t, "a1 OK NOOP completed", p.line())
	require.Equal(t, "a2 OK NOOP completed", p.line())
	p.send("bye LOGOUT\r\n")
	require.Equal(t, "* BYE Logging out", p.line())
	require.Equal(t, "bye OK LOGOUT completed", p.line())
	_, err := p.br.ReadByte()
	require.Error(t, err)
}

// no2 sends a command that must be answered so.
func (p *peer) no2(command, want string) {
	p.t.Helper()
	_, answer := p.do(command)
	require.Equal(p.t, want, answer)
}

// Bytes that follow COMPRESS before its answer may be from either side of it.
func TestCompressAlone(t *testing.T) {
	w := newWorld(t, nil)
	p := w.dial()
	p.send("a1 COMPRESS DEFLATE\r\n")
	require.Equal(t, "a1 BAD [CLIENTBUG] This command is only valid in the authenticated state", p.line())
	p.ok(fmt.Sprintf("LOGIN %s %q", user, password))
	p.send("a2 COMPRESS DEFLATE\r\na3 NOOP\r\n")
	require.Equal(t, "a2 BAD [CLIENTBUG] Nothing may follow COMPRESS", p.line())
	require.Equal(t, "* BYE Closing the connection", p.line())
	require.Equal(t, "EOF", p.line())
}

// What is no deflate stream ends the connection, and nothing else.
func TestCompressGarbage(t *testing.T) {
	w := newWorld(t, nil)
	p := w.enter("")
	_, answer := p.do("COMPRESS DEFLATE")
	require.Equal(t, "OK DEFLATE active", answer)
	p.send(strings.Repeat("\xff", 100))
	_, _ = io.Copy(io.Discard, p.br) // to the end, which may be a reset
	w.enter("").ok("NOOP")
}

// A server that ends says goodbye through the compressor.
func TestCompressShutdown(t *testing.T) {
	w := newWorld(t, nil)
	p := w.enter("INBOX")
	p.compress()
	p.ok("NOOP")
	require.NoError(t, w.server.Shutdown(t.Context()))
	require.Equal(t, "* BYE Server is shutting down", p.line())
}

// What an idle connection holds more when it is compressed: the window of what the
// client said, no compressor.
func TestCompressMemory(t *testing.T) {
	const n = 100
	w := newWorld(t, nil)
	idle := func(compressed bool) int64 {
		heap := func() int64 {
			for range 3 {
				runtime.GC()
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapInuse)
		}
		peers := make([]*peer, n)
		for i := range peers {
			peers[i] = w.enter("INBOX")
		}
		before := heap()
		for _, p := range peers {
			if compressed {
				_, answer := p.do("COMPRESS DEFLATE")
				require.Equal(t, "OK DEFLATE active", answer)
				w, _ := flate.NewWriter(p.c, flate.HuffmanOnly)
				_, _ = w.Write([]byte("a NOOP\r\n"))
				require.NoError(t, w.Flush())
				b := make([]byte, 256)
				_, err := p.br.Read(b)
				require.NoError(t, err)
			}
		}
		grown := heap() - before
		for _, p := range peers {
			_ = p.c.Close()
		}
		return grown / n
	}
	plain, packed := idle(false), idle(true)
	t.Logf("an idle connection: %d bytes more with COMPRESS", packed-plain)
	require.Less(t, packed-plain, int64(32<<10))
}
