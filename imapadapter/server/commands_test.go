package server_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClientCommands sends what mail programs were seen to send, one of each, to
// a mailbox that has the messages and folders that they name. All of it is
// answered OK.
func TestClientCommands(t *testing.T) {
	text, err := os.ReadFile("testdata/clientcommands.txt")
	require.NoError(t, err)
	w := newWorld(t, nil)
	mail, err := os.ReadFile("testdata/mail/nested.eml")
	require.NoError(t, err)
	for range 90 {
		w.put("INBOX", string(mail))
	}
	first := w.enter("")
	for _, folder := range []string{"Archive", "Drafts", "INBOX.Pourriel", "Sent", "Test", "Test.Coucou", "Trash"} {
		first.ok("CREATE " + folder)
	}
	n := 0
	p := w.enter("INBOX")
	for line := range strings.Lines(string(text)) {
		command := strings.TrimSuffix(line, "\n")
		if command[0] == '#' {
			continue
		}
		n++
		verb, rest, _ := strings.Cut(command, " ")
		switch verb {
		case "APPEND":
			command += fmt.Sprintf(" {%d+}\r\n%s", len(mail), mail)
		case "LOGIN":
			command = map[string]string{
				"atom":        fmt.Sprintf("LOGIN %s {%d+}\r\n%s", user, len(password), password),
				"quoted":      fmt.Sprintf("LOGIN %q %q", user, password),
				"quoted-atom": fmt.Sprintf("LOGIN %s %q", user, password),
			}[rest]
			w.dial().ok(command)
			continue
		case "IDLE":
			p.send("i IDLE\r\n")
			require.Equal(t, "+ idling", p.line())
			p.send("DONE\r\n")
			_, answer := p.until("i ")
			assert.Equal(t, "OK IDLE completed", answer)
			continue
		}
		_, answer := p.do(command)
		assert.True(t, strings.HasPrefix(answer, "OK "), "%s: %s", command, answer)
		if slices.Contains([]string{"LOGOUT", "CLOSE", "UNSELECT", "SELECT", "EXAMINE"}, verb) {
			p = w.enter("INBOX")
		}
	}
	assert.Equal(t, 240, n)
}

// TestLongCommands sends what the engine does not take: sets of many UIDs, and
// long literals with and without waiting.
func TestLongCommands(t *testing.T) {
	w := newWorld(t, nil)
	w.fill("INBOX", 20)
	p := w.enter("INBOX")
	var uids []string
	for i := range 90_000 {
		uids = append(uids, fmt.Sprint(2*i+1))
	}
	set := strings.Join(uids, ",")
	require.Greater(t, len(set), 500_000)
	assert.Len(t, p.ok("UID FETCH "+set+" UID"), 10)
	p.ok("UID STORE " + set + " +FLAGS.SILENT (\\Flagged)")
	assert.Equal(t, []string{"* SEARCH 1 3 5 7 9 11 13 15 17 19"}, p.ok("UID SEARCH UID "+set+" FLAGGED"))
	assert.Equal(t, []string{"* SEARCH"}, p.ok(fmt.Sprintf("SEARCH BODY {%d+}\r\n%s TEXT {3+}\r\nabc", 200_000, strings.Repeat("x", 200_000))))

	p.send("s SEARCH TEXT {100000}\r\n")
	require.Equal(t, "+ Ready for literal data", p.line())
	p.send(strings.Repeat("y", 100_000) + "\r\n")
	_, answer := p.until("s ")
	assert.Equal(t, "OK SEARCH completed", answer)

	// Beyond the limit there is an answer, and the connection goes on.
	_, answer = p.do("UID FETCH " + strings.Repeat("1,", 600_000) + "1 UID")
	assert.Equal(t, "BAD [TOOBIG] Commands are limited to 1048576 bytes", answer)
	_, answer = p.do(fmt.Sprintf("SEARCH TEXT {%d+}\r\n%s", 2<<20, strings.Repeat("z", 2<<20)))
	assert.Equal(t, "NO [TOOBIG] Literals are limited to 1048576 bytes for this command", answer)
	p.ok("NOOP")
}

// TestSyntaxErrors sends commands with mistakes. Each is told apart from others,
// with BAD, and the connection goes on.
func TestSyntaxErrors(t *testing.T) {
	w := newWorld(t, nil)
	w.fill("INBOX", 2)
	p := w.enter("INBOX")
	for _, c := range []struct{ command, text string }{
		{"SELECT", "expected a space"},
		{"SELECT INBOX (", "expected a word"},
		{"SELECT INBOX (BOGUS)", "expected CONDSTORE or QRESYNC"},
		{"SELECT \"\xff\"", "quoted string is not UTF-8"},
		{"STATUS INBOX", "expected a space"},
		{"STATUS INBOX ()", "expected a word"},
		{"STATUS INBOX (BOGUS)", "expected an item of STATUS"},
		{"FETCH", "expected a space"},
		{"FETCH x FLAGS", "malformed set of messages"},
		{"FETCH 1:2: FLAGS", "expected a space"},
		{"FETCH 1 ()", "expected a word"},
		{"FETCH 1 BOGUS", "expected an item of FETCH"},
		{"FETCH 1 (FLAGS ALL)", "a macro of FETCH stands alone"},
		{"FETCH 1 (FLAGS  UID)", "expected a word"},
		{"FETCH 1 BODY[", "expected a word"},
		{"FETCH 1 BODY[BOGUS]", "expected a section"},
		{"FETCH 1 BODY[1.]", "expected a part"},
		{"FETCH 1 BODY[MIME]", "BODY[MIME] needs a part number"},
		{"FETCH 1 BODY[HEADER.FIELDS]", "expected a space"},
		{"FETCH 1 BODY[HEADER.FIELDS ()]", "expected a string"},
		{"FETCH 1 BODY[]<1>", "expected ."},
		{"FETCH 1 BINARY[TEXT]", "expected a part"},
		{"FETCH 1 FLAGS (BOGUS 1)", "expected a modifier of FETCH"},
		{"FETCH 1 FLAGS (CHANGEDSINCE x)", "expected a number"},
		{"FETCH 1 FLAGS (PARTIAL 1:-2)", "expected a number"},
		{"FETCH 1 FLAGS x", "expected ("},
		{"STORE 1 FLAG (\\Seen)", "expected FLAGS or FLAGS.SILENT"},
		{"STORE 1 +FLAGS (\\Seen", "expected a space between flags"},
		{"STORE 1 +FLAGS", "expected a space"},
		{"STORE 1 (BOGUS 1) FLAGS ()", "expected UNCHANGEDSINCE"},
		{"SEARCH", "expected a space"},
		{"SEARCH BOGUS", "unknown search key"},
		{"SEARCH SINCE yesterday", "malformed date"},
		{"SEARCH SINCE 31-Feb-2024", "malformed date"},
		{"SEARCH NOT", "expected a space"},
		{"SEARCH OR SEEN", "expected a space"},
		{"SEARCH (SEEN", "expected )"},
		{"SEARCH RETURN (BOGUS) ALL", "expected a return option of SEARCH"},
		{"SEARCH RETURN (ALL PARTIAL 1:2) ALL", "ALL and PARTIAL exclude each other"},
		{"SEARCH RETURN (RELEVANCY) ALL", "RELEVANCY needs FUZZY"},
		{"SEARCH LARGER -1", "expected a number"},
		{"SEARCH YOUNGER 0", "expected a number above 0"},
		{"SEARCH MODSEQ \"/bogus\" all 1", "unknown entry in MODSEQ"},
		{"SEARCH " + strings.Repeat("(", 100) + "SEEN", "nested too deep"},
		{"SEARCH " + strings.Repeat("SEEN ", 1200) + "SEEN", "too many search keys"},
		{"STORE 1 FLAGS (" + strings.Repeat("f ", 300) + "g)", "too many flags"},
		{"STORE 1 FLAGS " + strings.Repeat("f ", 300) + "g", "too many flags"},
		{"FETCH 1 BODY[HEADER.FIELDS (" + strings.Repeat("f ", 1500) + "g)]", "list is too long"},
		{"FETCH 1 (" + strings.Repeat("BODY[HEADER.FIELDS ("+strings.Repeat("f ", 500)+"g)] ", 3) + "UID)", "too many header fields"},
		{"LIST \"\" (" + strings.Repeat("% ", 1500) + "%)", "list is too long"},
		{"COPY 1", "expected a space"},
		{"UID EXPUNGE", "expected a space"},
		{"EXPUNGE 1", "unexpected text after the command"},
		{"LIST \"\"", "expected a space"},
		{"LIST (RECURSIVEMATCH) \"\" *", "RECURSIVEMATCH needs SUBSCRIBED"},
		{"LIST \"\" * RETURN (BOGUS)", "expected a return option of LIST"},
		{"CREATE x (BOGUS)", "expected USE"},
		{"ENABLE", "expected a space"},
		{"APPEND INBOX", "expected a space"},
		{"APPEND INBOX \"1-Jan-2024\" {1+}\r\nx", "malformed time"},
		{"APPEND INBOX \"99-Jan-2024 00:00:00 +0000\" {1+}\r\nx", "malformed date"},
		{"APPEND INBOX UTF8 ({1+}\r\nx", "expected a literal8"},
		{"NAMESPACE x", "unexpected text after the command"},
		{"IDLE x", "unexpected text after the command"},
	} {
		lines, answer := p.do(c.command)
		assert.Empty(t, lines, "%.100s", c.command)
		assert.Equal(t, "BAD [CLIENTBUG] Syntax error: "+c.text, answer, "%.100s", c.command)
	}
	p.ok("NOOP")
}
