package server_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evil is what a mail's own text must not be able to do.
const evil = "x9 DELETE victim\r\n"

// literalKind writes a literal of a size as a client would: its header, and whether its
// bytes are on their way.
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

// oneLine removes line ends.
func oneLine(b []byte) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(string(b))
}

// FuzzLiteral puts a literal that reads like a command at the end of any line, after a
// login and before one. The command has at most one answer, and the literal is never
// obeyed.
func FuzzLiteral(f *testing.F) {
	w := newPipeWorld(f)
	for _, head := range []string{
		"DELETE ", "DELETE junk", "DELETE \"", "DELETE \"\\\"", "XYZZY ", "STATUS ", "SEARCH TEXT ", "SEARCH HEADER ", "SEARCH CHARSET x TEXT ",
		"FETCH 1 BODY[HEADER.FIELDS (", "UID STORE 1 FLAGS ", "COPY 1 ", "SELECT ", "ID (\"name\" ", "LIST \"\" (", "CREATE ", "APPEND INBOX ",
		"APPEND INBOX (", "APPEND INBOX \"junk\" ", "APPEND INBOX UTF8 (~", "APPEND INBOX (\\Seen) ", "REPLACE 1 INBOX ", "UID REPLACE 1 ",
		"SORT (DATE) UTF-8 TEXT ", "THREAD REFERENCES ", "NOTIFY SET (MAILBOXES (", "APPEND ", "IDLE ", "NOOP ", "ENABLE ", "EXAMINE INBOX (",
		"LOGIN x ", "AUTHENTICATE PLAIN ", "UID ", "DELETE &bad; ", "LOGOUT ", "STARTTLS ", "UNAUTHENTICATE ", "{5} ", "{5+}", "\x00 ", "~",
	} {
		for kind := range uint8(4) {
			f.Add([]byte(head), kind, uint32(17), []byte(" junk"), uint64(1), true)
			f.Add([]byte(head), kind, uint32(5000), []byte(")"), uint64(2), kind%2 == 0)
		}
		f.Add([]byte(head), uint8(1), uint32(1<<20+1), []byte(" x"), uint64(3), true)
	}
	f.Fuzz(func(t *testing.T, head []byte, kind uint8, size uint32, tail []byte, seed uint64, login bool) {
		if bytes.Contains(bytes.ToLower(head), []byte("victim")) {
			return
		}
		size = min(size, 3<<20)
		k := literalKinds[int(kind)%len(literalKinds)]
		body := strings.Repeat(evil, int(size)/len(evil)+1)[:size]
		line := "a1 " + oneLine(head) + k.header(int(size)) + "\r\n"
		rest := body + oneLine(tail) + "\r\n"
		if login {
			line = pipeLogin + line
		}
		stage := 0
		said := w.run(t, seed, func(said string) string {
			stage++
			switch {
			case stage == 1 && k.sync:
				return line
			case stage == 1:
				return line + rest
			case stage == 2 && k.sync && strings.Contains(said, "\r\n+ ") && !strings.Contains(said, "\r\na1 "):
				return rest
			case stage <= 3 && strings.Contains(said, "\r\na1 "):
				stage = 3
				return "a2 NOOP\r\n"
			}
			return ""
		})
		_, err := w.account.Status(t.Context(), "victim")
		assert.NoError(t, err, "the text of a literal was obeyed")
		lines, whole := answers(said, "a1")
		assert.True(t, whole, "%q", said)
		assert.LessOrEqual(t, len(lines), 1, "%q", said)
	})
}

// FuzzLine sends one line that announces no literal. It has exactly one answer, and the
// next command has its own.
func FuzzLine(f *testing.F) {
	w := newPipeWorld(f)
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		for i, m := range regexp.MustCompile(`(?m)^C\d?: \w+ (.*)$`).FindAllSubmatch(text, -1) {
			f.Add(m[1], uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte, seed uint64) {
		text := oneLine(line)
		word, _, _ := strings.Cut(strings.ToUpper(text), " ")
		switch {
		case strings.Contains(text, "{"), strings.HasSuffix(strings.TrimRight(text, " "), "}"):
			return // a literal, or what could be one
		case word == "IDLE", word == "AUTHENTICATE", word == "LOGOUT", word == "UNAUTHENTICATE", word == "COMPRESS":
			return
		}
		stage := 0
		said := w.run(t, seed, func(string) string {
			switch stage++; stage {
			case 1:
				return pipeLogin + "a1 " + text + "\r\n"
			case 2:
				return "a2 NOOP\r\n"
			}
			return ""
		})
		lines, _ := answers(said, "a1")
		require.Len(t, lines, 1, "%q: %q", text, said)
		_, after, _ := strings.Cut(said, lines[0]+"\r\n")
		assert.Contains(t, after, "a2 OK NOOP completed\r\n", "%q: %q", text, said)
	})
}

// FuzzSession sends any bytes, in any splits: all that is said is whole lines, and the
// session ends.
func FuzzSession(f *testing.F) {
	w := newPipeWorld(f)
	for i, s := range []string{
		"a IDLE\r\nDONE\r\nb NOOP\r\n", "a IDLE\r\nb NOOP\r\n", "a IDLE\r\n", "a APPEND INBOX {3+}\r\nabc\r\nb NOOP\r\n", "a APPEND INBOX {3+}\r\nabcd\r\n",
		"a APPEND INBOX {3+}\r\nabc {3+}\r\ndef {0+}\r\n\r\nb NOOP\r\n", "a NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge MailboxName))\r\nb CREATE x\r\nc NOOP\r\n",
		"a COMPRESS DEFLATE\r\n", "a REPLACE 1 INBOX {3+}\r\nabc {3+}\r\nabc\r\n", "a APPEND INBOX {30+}\r\nabc", "a FETCH 1:* (FULL BODY[])\r\n", "a ENABLE QRESYNC UIDONLY\r\nb UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)\r\n",
		"a SEARCH RETURN (SAVE) ALL\r\nb MOVE $ victim\r\nc UID EXPUNGE $\r\n", "a SELECT INBOX (QRESYNC (1 1 1:4294967295 (1:4294967295 1:4294967295)))\r\n",
		"a UNAUTHENTICATE\r\nb AUTHENTICATE PLAIN\r\nAHVzZXIAc2VjcmV0\r\nc NOOP\r\n", "a UNAUTHENTICATE\r\nb AUTHENTICATE OAUTHBEARER\r\n\r\n=\r\nc NOOP\r\n",
		"a NOOP\nb NOOP\r\n", "\r\n\r\na DELETE {3}\r\nfoo", "a AUTHENTICATE PLAIN \"x {5+}\"\r\n", "a STARTTLS\r\nb NOOP\r\n", "a LOGOUT\r\nb NOOP\r\n",
	} {
		f.Add([]byte(s), uint64(i), true)
		f.Add([]byte(s), uint64(i), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, login bool) {
		stage := 0
		w.run(t, seed, func(string) string {
			if stage++; stage > 1 {
				return ""
			}
			if login {
				return pipeLogin + string(b)
			}
			return string(b)
		})
	})
}
