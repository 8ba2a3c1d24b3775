package guard

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSessions plays the files of testdata/sessions against the engine, each in
// several splits of what the client sends. In a file
//
//	#      begins a comment
//	C:     is a line that the client sends
//	C|     is sent as it is after Go's unquoting, without a line end
//	S:     is a line that must come; three dots at its end stand for any text
//	S: EOF is the end of the connection
//	=      is a call that the session must see, in this order, and no other
//	@      sets an option: login (begin after a login and SELECT INBOX), remote
//	       (the client is not on this machine), tls (STARTTLS is offered),
//	       whole (what is sent in one piece is not split)
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/sessions/*.txt")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	splits := map[string]func([]byte) [][]byte{"whole": whole, "bytewise": bytewise, "random": randomly(1)}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for name, split := range splits {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+name, func(t *testing.T) {
				playSession(t, string(text), split)
			})
		}
	}
}

func randomly(seed uint64) func([]byte) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func(b []byte) [][]byte {
		var pieces [][]byte
		for len(b) > 0 {
			n := 1 + rng.IntN(min(len(b), 30))
			pieces = append(pieces, b[:n])
			b = b[n:]
		}
		return pieces
	}
}

func playSession(t *testing.T, text string, split func([]byte) [][]byte) {
	e := newEngine(t, Options{})
	from, login := "127.0.0.1:1000", false
	lines := strings.Split(text, "\n")
	for _, l := range lines {
		switch l {
		case "@ login":
			login = true
		case "@ remote":
			from = "192.0.2.7:1000"
		case "@ tls":
			e.options.TLSConfig, _ = testTLS()
		case "@ whole":
			split = whole
		}
	}
	cl := newClient(t, e.dialPipe(from), split)
	defer cl.close()
	calls, steps := []string{}, 0
	if login {
		cl.login()
		calls = append(calls, e.seen.all()...)
	}
	for i, l := range lines {
		kind, rest := l, ""
		if len(l) > 2 {
			kind, rest = l[:2], strings.TrimPrefix(l[2:], " ")
		}
		switch kind {
		case "C:":
			cl.send(rest + "\r\n")
		case "C|":
			raw, err := strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
			require.NoError(t, err, "line %d", i+1)
			cl.send(raw)
		case "S:":
			steps++
			got := cl.line()
			if want, open := strings.CutSuffix(rest, "..."); open {
				require.True(t, strings.HasPrefix(got, want), "line %d: got %q, want %q", i+1, got, rest)
			} else {
				require.Equal(t, rest, got, "line %d", i+1)
			}
		case "= ":
			calls = append(calls, rest)
		default:
			require.True(t, l == "" || l[0] == '#' || l[0] == '@', "line %d: %q", i+1, l)
		}
	}
	require.NotZero(t, steps)
	cl.quiet()
	require.Equal(t, calls, e.seen.all())
}

// login brings the client to the selected state.
func (cl *client) login() {
	cl.until("* OK [CAPABILITY ")
	cl.send("l1 LOGIN user secret\r\nl2 SELECT INBOX\r\n")
	cl.until("l1 OK ")
	cl.until("l2 OK ")
}

// quiet checks that nothing was said that was not expected: a NOOP, unless the
// connection has ended, is answered next.
func (cl *client) quiet() {
	cl.send("quiet NOOP\r\n")
	got := cl.line()
	require.Contains(cl.t, []string{"quiet OK NOOP completed", "EOF"}, got)
}
