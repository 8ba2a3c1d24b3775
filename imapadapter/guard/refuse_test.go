package guard

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evil is what a mail's own text must not be able to do.
const evil = "x9 DELETE INBOX\r\n"

// A literalKind writes a literal of a size as a client would: its header, and
// whether its bytes are on their way.
type literalKind struct {
	name   string
	header func(n int) string
	sync   bool
}

var literalKinds = []literalKind{
	{"sync", func(n int) string { return fmt.Sprintf("{%d}", n) }, true},
	{"nonsync", func(n int) string { return fmt.Sprintf("{%d+}", n) }, false},
	{"sync8", func(n int) string { return fmt.Sprintf("~{%d}", n) }, true},
	{"nonsync8", func(n int) string { return fmt.Sprintf("~{%d+}", n) }, false},
}

// TestRefusals sends every command that the engine or the guard refuses with
// every kind of literal, of sizes on both sides of every limit, at the place of
// the %s. Whoever refuses it, and whenever: the literal is never obeyed, the
// command has one answer, and the next command is understood.
func TestRefusals(t *testing.T) {
	shapes := []string{
		"DELETE %s junk", "DELETE junk %s", "DELETE(%s", "DELETE [%s", "DELETE x%s",
		"XYZZY %s", "NOOP %s", "CHECK %s", "CAPABILITY %s", "EXPUNGE %s", "CLOSE %s", "UNSELECT %s",
		"NAMESPACE %s", "STARTTLS %s", "IDLE %s", "UNAUTHENTICATE %s", "LOGOUT %s",
		"LOGIN %s", "LOGIN user %s", "AUTHENTICATE %s", "AUTHENTICATE PLAIN %s",
		"ENABLE %s", "CREATE %s (FOO", "CREATE junk (USE %s", "RENAME %s", "RENAME junk %s junk", "SUBSCRIBE %s junk",
		"UNSUBSCRIBE %s junk", "STATUS %s", "STATUS %s (JUNK)", "STATUS junk (%s)", "STATUS %s MESSAGES",
		"LIST %s", "LIST \"\" %s junk", "LIST (JUNK) \"\" %s", "LIST (%s) \"\" *", "LIST \"\" (%s", "LIST \"\" * RETURN (%s)",
		"LSUB \"\" %s junk", "SELECT %s junk", "EXAMINE %s junk", "SELECT %s (CONDSTORE)",
		"FETCH %s", "FETCH 1 %s", "FETCH 1 (%s)", "FETCH 1 BODY[%s]", "FETCH 1 BODY[HEADER.FIELDS (%s", "FETCH 1 BODY[HEADER.FIELDS %s]",
		"UID %s", "UID FETCH %s", "UID XYZZY %s", "UID EXPUNGE %s", "UID COPY 1 %s junk", "UID MOVE 1 %s junk",
		"STORE 1 FLAGS %s", "STORE 1 FLAGS (%s)", "STORE 1 %s", "COPY %s", "COPY 1 %s junk", "MOVE 1 %s junk",
		"SEARCH JUNK %s", "SEARCH TEXT %s JUNK", "SEARCH CHARSET %s", "SEARCH CHARSET KOI8-R TEXT %s", "SEARCH RETURN (%s) ALL",
		"SEARCH SINCE %s", "SEARCH HEADER %s", "SEARCH OR TEXT %s", "SEARCH NOT (TEXT %s", "SEARCH TEXT (%s)",
		"APPEND %s", "APPEND %s junk", "APPEND (INBOX) %s", "APPEND INBOX \"junk\" %s", "APPEND INBOX (\\Seen %s",
		"APPEND INBOX (\\Seen)%s", "APPEND INBOX JUNK %s", "APPEND INBOX JUNK (%s", "APPEND INBOX UTF8 %s", "APPEND INBOX UTF8(%s",
		"APPEND INBOX CATENATE (TEXT %s)", "APPEND \"open %s", "DELETE \"open %s", "DELETE \x01 %s", "DELETE \xff %s", "DELETE &bad; %s",
	}
	for _, shape := range shapes {
		t.Run(shape, func(t *testing.T) {
			for _, kind := range literalKinds {
				for _, size := range []int{1, len(evil), 4096, 4097, testAppendLimit, testAppendLimit + 1, 70000} {
					refuseOne(t, shape, kind, size)
				}
			}
		})
	}
}

func refuseOne(t *testing.T, shape string, kind literalKind, size int) {
	e := newEngine(t, Options{AppendLimit: 60000})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	before, after, _ := strings.Cut(shape, "%s")
	body := (evil + strings.Repeat("x9 DELETE INBOX\r\n", size/len(evil)+1))[len(evil):][:size]
	what := fmt.Sprintf("%s with %s literal of %d", shape, kind.name, size)

	cl.send("a1 " + before + kind.header(size) + "\r\n")
	if !kind.sync {
		cl.send(body + after + "\r\n")
	}
	answers := 0
	for asked := false; ; {
		l := cl.line()
		switch {
		case strings.HasPrefix(l, "+ "):
			require.True(t, kind.sync && !asked, "%s: asked for", what)
			asked = true
			cl.send(body + after + "\r\n")
			continue
		case strings.HasPrefix(l, "a1 "):
			answers++
			if answers == 1 {
				cl.send("a2 NOOP\r\n")
			}
			continue
		case strings.HasPrefix(l, "* "):
			continue
		}
		require.True(t, l == "EOF" || strings.HasPrefix(l, "a2 "), "%s: %q", what, l)
		assert.Equal(t, 1, answers, "%s: answers before %q", what, l)
		break
	}
	for _, call := range e.seen.all() {
		assert.NotEqual(t, "DELETE INBOX", call, what)
	}
}

// TestLongLines checks that a line beyond the limit is refused and dropped, with
// the literals of its command, and that one without end ends the connection.
func TestLongLines(t *testing.T) {
	e := newEngine(t, Options{})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	set := strings.TrimSuffix(strings.Repeat("123456789,", maxEngineLine/10-5), ",")
	for _, more := range []int{0, 60000, 900000} {
		cl.send("a1 STORE " + set + " FLAGS (\\Seen)" + strings.Repeat(" ", more) + "\r\n")
		l := cl.line()
		if more == 0 {
			assert.Equal(t, "a1 OK STORE completed", l)
		}
		cl.send("a2 DELETE \"" + strings.Repeat("a", maxEngineLine+more) + "\" {17+}\r\n" + evil + " {17+}\r\n" + evil + "\r\n")
		assert.Equal(t, "a2 BAD [TOOBIG] Commands are limited to 51200 bytes", cl.line())
		cl.send("a3 DELETE {3+}\r\nfoo" + strings.Repeat("a", maxEngineLine) + "\r\n")
		assert.Equal(t, "a3 BAD [TOOBIG] Commands are limited to 51200 bytes", cl.line())
	}
	cl.send("a4 NOOP " + strings.Repeat("x", 1<<20+maxEngineLine+8192))
	assert.Equal(t, "* BAD [TOOBIG] Line without end", cl.line())
	assert.Equal(t, "* BYE Closing the connection", cl.line())
	assert.Equal(t, "EOF", cl.line())
	assert.Equal(t, []string{"LOGIN user secret", "SELECT INBOX", "STORE 9"}, e.seen.all())
}

// TestLineLimit finds the engine's own limit: a command of exactly MaxLine bytes
// is the engine's to answer, and it does so in full.
func TestLineLimit(t *testing.T) {
	e := newEngine(t, Options{})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	for _, literal := range []string{"", " {4096+}\r\n" + strings.Repeat("y", 4096)} {
		head, tail := "a1 SEARCH TEXT \"", "\"\r\n"
		if literal != "" {
			tail = "\" TEXT" + literal + "\r\n"
		}
		fill := maxEngineLine - len(head) - len(tail)
		if literal != "" {
			fill += 4096
		}
		cl.send(head + strings.Repeat("a", fill) + tail)
		assert.Equal(t, "* SEARCH", cl.line())
		assert.Equal(t, "a1 OK SEARCH completed", cl.line())
		cl.send(head + strings.Repeat("a", fill+1) + tail)
		assert.Equal(t, "a1 BAD [TOOBIG] Commands are limited to 51200 bytes", cl.line())
	}
	cl.quiet()
}

// TestManyLiterals checks the bound on the literals of one command together.
func TestManyLiterals(t *testing.T) {
	e := newEngine(t, Options{})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	one := " TEXT {4096+}\r\n" + strings.Repeat("y", 4096)
	cl.send("a1 SEARCH" + strings.Repeat(one, 16) + "\r\n")
	assert.Equal(t, "* SEARCH", cl.line())
	assert.Equal(t, "a1 OK SEARCH completed", cl.line())
	cl.send("a2 SEARCH" + strings.Repeat(one, 40) + "\r\n")
	assert.Equal(t, "a2 NO [TOOBIG] Literals are limited to 65536 bytes in one command", cl.line())
	cl.quiet()
}

// TestTooManyRefusals checks that a client that is refused again and again is
// cut off, and that one sound command starts the count anew.
func TestTooManyRefusals(t *testing.T) {
	e := newEngine(t, Options{})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	for range maxRefusals - 1 {
		cl.send("what\r\n")
		require.Equal(t, "what BAD [CLIENTBUG] Syntax error: no command", cl.line())
	}
	cl.quiet()
	for range maxRefusals {
		cl.send("what\r\n")
		require.Equal(t, "what BAD [CLIENTBUG] Syntax error: no command", cl.line())
	}
	assert.Equal(t, "* BYE Closing the connection", cl.line())
	assert.Equal(t, "EOF", cl.line())
}

// TestTooManyEmptyLines checks that empty lines do not keep a connection alive.
func TestTooManyEmptyLines(t *testing.T) {
	e := newEngine(t, Options{})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	cl.send(strings.Repeat("\r\n", 100-1))
	cl.quiet()
	cl.send(strings.Repeat("\r\n", 100))
	assert.Equal(t, "* BAD Too many empty lines", cl.line())
	assert.Equal(t, "* BYE Closing the connection", cl.line())
	assert.Equal(t, "EOF", cl.line())
}

// TestMessageCutShort checks that the session sees an error, and not an end,
// when the connection does not outlive a message or the line behind it.
func TestMessageCutShort(t *testing.T) {
	for _, sent := range []string{"", "h", "hell", "hello", "hello\r"} {
		e := newEngine(t, Options{})
		outcome := make(chan error, 1)
		e.session = func() imapserver.Session { return cutSession{recorderSession{e.seen}, outcome} }
		cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
		cl.login()
		cl.send("a1 APPEND INBOX {5+}\r\n" + sent)
		cl.hangUp()
		select {
		case err := <-outcome:
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "after %q", sent)
		case <-time.After(5 * time.Second):
			require.Fail(t, "the session was not told")
		}
	}
}

// TestSessionAnswersEarly checks a session that fails without reading the
// message, which the engine then reads to its end.
func TestSessionAnswersEarly(t *testing.T) {
	e := newEngine(t, Options{})
	e.seen.appendErr = errNoMailbox
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.login()
	body := strings.Repeat(evil, 500)
	cl.send(fmt.Sprintf("a1 APPEND INBOX {%d+}\r\n%s\r\na2 NOOP\r\n", len(body), body))
	assert.Equal(t, "a1 NO [NONEXISTENT] no such {5}", cl.line())
	assert.Equal(t, "a2 OK NOOP completed", cl.line())
	assert.Equal(t, []string{"LOGIN user secret", "SELECT INBOX"}, e.seen.all())
}

// TestEngineNeedsGuard sends some of it to the engine alone, which obeys it: the
// other tests would prove little if it did not. It fails when an update of the
// engine mends one of them, and the guard can do less.
func TestEngineNeedsGuard(t *testing.T) {
	for name, sent := range map[string]string{
		"date":       "a1 APPEND INBOX \"no date\" {17+}\r\n" + evil + "\r\n",
		"extension":  "a1 APPEND INBOX JUNK {17+}\r\n" + evil + "\r\n",
		"limit":      "a1 APPEND INBOX {17000+}\r\n" + strings.Repeat(evil, 1000) + "\r\n",
		"unknown":    "a1 XYZZY {17+}\r\n" + evil + "\r\n",
		"argument":   "a1 DELETE {5100+}\r\n" + strings.Repeat(evil, 300) + "\r\n",
		"CR":         "a1 NOOP \r\r" + evil,
		"long line":  "a1 NOOP " + strings.Repeat("x", maxEngineLine+100) + evil,
		"empty line": "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, Options{})
			e.bare = true
			conn := e.dialTCP()
			cl := newClient(t, conn, whole)
			cl.login()
			cl.send(sent + "a9 DELETE last\r\n")
			for {
				_, err := cl.r.ReadString('\n')
				if err != nil || slices.ContainsFunc(e.seen.all(), func(s string) bool { return s == "DELETE INBOX" }) {
					break
				}
			}
			cl.close()
			if name == "empty line" {
				assert.NotContains(t, e.seen.all(), "DELETE last")
				return
			}
			assert.Contains(t, e.seen.all(), "DELETE INBOX")
		})
	}
}

// TestDropLimits checks how much is read and dropped before the connection is:
// of one literal, and of all that belong to one command.
func TestDropLimits(t *testing.T) {
	tests := []struct {
		login bool
		sizes []int
		told  []string // after the answer
	}{
		{false, []int{maxPreAuthDrop}, nil},
		{false, []int{maxPreAuthDrop + 1}, []string{"* BYE Closing the connection"}},
		{false, []int{maxPreAuthDrop / 2, maxPreAuthDrop / 2}, nil},
		{false, []int{maxPreAuthDrop / 2, maxPreAuthDrop/2 + 1}, []string{"* BAD [TOOBIG] Too much to skip", "* BYE Closing the connection"}},
		{true, []int{100000}, nil},
		{true, []int{100001}, []string{"* BYE Closing the connection"}},
		{true, []int{50001, 50000}, []string{"* BAD [TOOBIG] Too much to skip", "* BYE Closing the connection"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.login, tt.sizes), func(t *testing.T) {
			e := newEngine(t, Options{AppendLimit: 50000})
			cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
			defer cl.close()
			if tt.login {
				cl.login()
			} else {
				cl.until("* OK ")
			}
			cl.send("a1 DELETE")
			for _, n := range tt.sizes {
				cl.send(fmt.Sprintf(" {%d+}\r\n%s", n, strings.Repeat("y", n)))
			}
			cl.send("\r\n")
			assert.Equal(t, "a1 NO [TOOBIG] Literals are limited to 4096 bytes for this command", cl.line())
			for _, l := range tt.told {
				assert.Equal(t, l, cl.line())
			}
			if tt.told == nil {
				cl.send("a2 NOOP\r\n")
				assert.Equal(t, "a2 OK NOOP completed", cl.line())
			} else {
				assert.Equal(t, "EOF", cl.line())
			}
		})
	}
}

// TestLongSASLResponse checks a response that the engine would read in two
// parts, the second as a command.
func TestLongSASLResponse(t *testing.T) {
	e := newEngine(t, Options{})
	cl := newClient(t, e.dialPipe("127.0.0.1:1"), whole)
	defer cl.close()
	cl.until("* OK ")
	for _, n := range []int{4096, 8192, maxEngineLine + 4, 500000} {
		cl.send("a1 AUTHENTICATE PLAIN\r\n")
		cl.until("+ ")
		cl.send(strings.Repeat("A", n) + "\r\na2 NOOP\r\n")
		assert.Equal(t, "a1 BAD AUTHENTICATE cancelled", cl.line(), n)
		assert.Equal(t, "a2 OK NOOP completed", cl.line(), n)
	}
	cl.send("a1 AUTHENTICATE PLAIN\r\n")
	cl.until("+ ")
	cl.send(strings.Repeat("A", maxSASLLine/4*4) + "\r\na2 NOOP\r\n")
	assert.Contains(t, cl.line(), "a1 NO ", "the longest response is the mechanism's to judge")
	assert.Equal(t, "a2 OK NOOP completed", cl.line())
}

// TestConnectionEndsInAuthenticate checks that the exchange is cancelled, not
// left to the engine's parser.
func TestConnectionEndsInAuthenticate(t *testing.T) {
	calls, said, logged := runScript(t, 1, func(said string) string {
		if strings.Contains(said, "\r\n+ ") || said == "" {
			return ""
		}
		return "a1 AUTHENTICATE PLAIN\r\n"
	})
	assert.Contains(t, said, "a1 BAD AUTHENTICATE cancelled\r\n")
	assert.Empty(t, calls)
	assert.Empty(t, logged)
}
