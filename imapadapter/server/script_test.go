package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// TestScripts runs the conversations in testdata/scripts, each in a world of its
// own. A line of a script is one of
//
//	# a comment
//	@ mail MAILBOX FILE [FLAG...]  put testdata/mail/FILE into a mailbox
//	@ fill MAILBOX N               put N small messages into a mailbox
//	@ quota STORAGE MESSAGES       limit what the account may hold
//	@ login [N]                    connect session N (1 if not given) and log in
//	@ open [N]                     connect it
//	C: text                        session 1 sends a line; C2: for session 2
//	C| text                        sends text without a line end, \r \n \t \0 \\ escaped
//	S: text                        session 1 gets this line, where ... is any text
//	S: EOF                         the server closed the connection
//
// A session that is logged in again after its connection ended gets a new one. At
// the end of a script all lines that came must have been expected.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/scripts/*.txt", (*world).dial)
}

// TestHostile runs the conversations in testdata/hostile: clients that make
// mistakes, or mean harm. Every later change must pass them.
func TestHostile(t *testing.T) {
	runScripts(t, "testdata/hostile/*.txt", (*world).dial)
}

func runScripts(t *testing.T, pattern string, dial func(*world) *peer) {
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			s := &script{w: newWorld(t, nil), dial: dial, peers: map[string]*peer{}}
			for i, line := range strings.Split(string(text), "\n") {
				s.at = fmt.Sprintf("%s:%d", file, i+1)
				s.run(strings.TrimSuffix(line, "\r"))
			}
			require.Positive(t, s.expected, "a script that expects nothing tests nothing")
			for n, p := range s.peers {
				s.ends(n, p)
			}
		})
	}
}

type script struct {
	w        *world
	dial     func(*world) *peer
	peers    map[string]*peer
	at       string
	expected int
}

func (s *script) run(line string) {
	t := s.w.t
	t.Helper()
	if line == "" || line[0] == '#' {
		return
	}
	if text, ok := strings.CutPrefix(line, "@ "); ok {
		s.command(strings.Fields(text))
		return
	}
	head, text, ok := strings.Cut(line, " ")
	n := strings.Trim(head, "CS:|")
	require.True(t, ok && len(head) == len(n)+2, "%s: what is %q?", s.at, line)
	p := s.peers[n]
	require.NotNil(t, p, "%s: session %q is not open", s.at, n)
	switch {
	case head[0] == 'C' && strings.HasSuffix(head, ":"):
		p.send(text + "\r\n")
	case head[0] == 'C':
		p.send(strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t", `\0`, "\x00", `\\`, `\`).Replace(text))
	default:
		s.expected++
		got := p.line()
		require.True(t, glob(text, got), "%s:\nwant %s\ngot  %s", s.at, text, got)
	}
}

func (s *script) command(args []string) {
	t := s.w.t
	t.Helper()
	n := ""
	if len(args) > 1 && args[1] != "1" {
		n = args[1]
	}
	switch args[0] {
	case "open":
		s.peers[n] = s.dial(s.w)
	case "login":
		s.peers[n] = s.dial(s.w).login()
	case "mail":
		mail, err := os.ReadFile(filepath.Join("testdata/mail", args[2]))
		require.NoError(t, err, s.at)
		s.w.put(args[1], string(mail), args[3:]...)
	case "quota":
		var q mailbox.Quota
		_, err := fmt.Sscan(strings.Join(args[1:], " "), &q.Storage, &q.Messages)
		require.NoError(t, err, s.at)
		require.NoError(t, s.w.store.SetQuota(t.Context(), user, q), s.at)
	case "fill":
		var k int
		_, err := fmt.Sscan(args[2], &k)
		require.NoError(t, err, s.at)
		s.w.fill(args[1], k)
	default:
		require.Fail(t, "unknown command", "%s: %q", s.at, args)
	}
}

// ends checks that a session has nothing more to say.
func (s *script) ends(n string, p *peer) {
	if p.ended {
		return
	}
	p.send("end LOGOUT\r\n")
	assert.Equal(s.w.t, "* BYE Logging out", p.line(), "%s: session %q has more to say", s.at, n)
	assert.Equal(s.w.t, "end OK LOGOUT completed", p.line())
}

// glob reports whether text matches a pattern in which "..." is any text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "...")
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	if len(parts) == 1 {
		return rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
