package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readers are all that reads a command.
var readers = map[string]func(*Parser){
	"APPEND":  func(p *Parser) { p.Append() },
	"COPY":    func(p *Parser) { p.SetAndMailbox() },
	"CREATE":  func(p *Parser) { p.Create() },
	"ENABLE":  func(p *Parser) { p.Enable() },
	"FETCH":   func(p *Parser) { p.Fetch() },
	"ID":      func(p *Parser) { p.ID() },
	"LIST":    func(p *Parser) { p.ListArgs() },
	"SEARCH":  func(p *Parser) { p.Search() },
	"SELECT":  func(p *Parser) { p.Select() },
	"NOTIFY":  func(p *Parser) { p.Notify() },
	"QUOTA":   func(p *Parser) { p.Quota() },
	"REPLACE": func(p *Parser) { p.Replace() },
	"SORT":    func(p *Parser) { p.Sort() },
	"THREAD":  func(p *Parser) { p.Thread() },
	"STATUS":  func(p *Parser) { p.SP(); p.Mailbox(); p.SP(); p.StatusItems() },
	"STORE":   func(p *Parser) { p.Store() },
}

// seeds are arguments of commands, sound and not.
var seeds = []string{
	" INBOX (\\Seen $x) \"01-Jan-2020 10:00:00 +0200\" {17+}", " {5+}\r\nInbox UTF8 (~{9+}", " 1:*,3 &ANw-ber", " Sent (USE (\\Sent))",
	" CONDSTORE UTF8=ACCEPT", " 1:5,$ ALL", " $ (UID FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From {2+}\r\nTo)]<0.10> BINARY.SIZE[1]) (CHANGEDSINCE 7 VANISHED)",
	" (\"name\" \"x\" \"os\" NIL)", " NIL", " (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX %*) RETURN (STATUS (MESSAGES HIGHESTMODSEQ) CHILDREN)",
	" RETURN (MIN PARTIAL -1:-5 SAVE) CHARSET UTF-8 OR (NOT 1:3 FUZZY TEXT \"a b\") HEADER x {3+}\r\nabc MODSEQ \"/flags/\\\\draft\" all 620162338",
	" SENTSINCE 1-Feb-1994 UNKEYWORD $x YOUNGER 5 LARGER 0 UID $ SAVEDON \"3-Mar-2024\"", " INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1:3 5,7:8)) CONDSTORE)",
	" SET STATUS (selected-delayed (MessageNew (UID BODY[]) MessageExpunge)) (subtree (a \"b\") NONE)", " \"\" (STORAGE 512)", " 4 {6+}\r\nDrafts (\\Seen) {9+}",
	" RETURN (MIN PARTIAL 1:5) (REVERSE DATE CC) UTF-8 ALL", " REFERENCES US-ASCII UNSEEN", " 1 (PREVIEW (LAZY) THREADID)",
	" x (UNSEEN MAILBOXID)", " 1,2 (UNCHANGEDSINCE 320162338) -FLAGS.SILENT (\\Deleted)", " 1 FLAGS a b \\c", "", " ", " (", " \"", " {", " {9999999999}", " {3}\r\nab",
	" ((((((((((((((((SEEN", " NOT NOT NOT NOT SEEN", " \"\\", " \x00", " 4294967296", " 1:2:3", " BODY[", " (BODY[])<", " &AGE-",
}

// FuzzParser reads any text as any command. It ends, and what it takes is not
// more than what was sent.
func FuzzParser(f *testing.F) {
	for _, s := range seeds {
		for name := range readers {
			f.Add(name, []byte(s), false)
			f.Add(name, []byte(s), true)
		}
	}
	f.Fuzz(func(t *testing.T, name string, text []byte, utf8 bool) {
		read := readers[name]
		if read == nil {
			return
		}
		p := NewParser(append(text, '\r', '\n'))
		p.UTF8 = utf8
		read(p)
		if err := p.End(); err != nil {
			require.NotEmpty(t, err.(*Error).Text)
			require.True(t, p.Failed())
		}
		require.LessOrEqual(t, p.i, len(text)+2)
		require.Zero(t, p.Peek()*b2i(p.Failed()), "after a mistake nothing is read")
	})
}

func b2i(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// FuzzStrings reads what the encoder wrote.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "a", "a b", "\"\\", "\r\n", "é", "\xff", "a\x00b", "INBOX", "~peter/&-", "NIL", "{3}"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, utf8 bool) {
		e := Encoder{UTF8: utf8}
		e.String(s)
		e.Text(" ")
		e.AString(s)
		p := NewParser(append(e.B, '\r', '\n'))
		got := p.String()
		p.SP()
		also := p.AString()
		require.NoError(t, p.End(), "%q", e.B)
		want := ""
		for i := range len(s) {
			if s[i] != 0 {
				want += s[i : i+1]
			}
		}
		assert.Equal(t, want, got)
		assert.Equal(t, want, also)
	})
}

// FuzzMailboxName reads a name, and reads what is written of it as the same.
func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{"INBOX", "&ANw-ber", "\"a b\"", "&-", "&2D3eAA-", "{3+}\r\na/b", "&AGE-", "\"é\""} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, utf8 bool) {
		p := NewParser(append(text, '\r', '\n'))
		p.UTF8 = utf8
		name := p.Mailbox()
		if p.End() != nil {
			return
		}
		e := Encoder{UTF8: utf8}
		e.Mailbox(name)
		again := NewParser(append(e.B, '\r', '\n'))
		again.UTF8 = utf8
		got := again.Mailbox()
		require.NoError(t, again.End(), "%q", e.B)
		if got == "INBOX" {
			require.Len(t, name, 5)
			return
		}
		require.Equal(t, name, got)
	})
}

// TestPartialOf takes runs of results one by one.
func TestPartialOf(t *testing.T) {
	all := []Range{{1, 3}, {5, 5}, {8, 10}} // 1 2 3 5 8 9 10
	for _, c := range []struct {
		first, last int64
		want        []Range
	}{
		{1, 7, all}, {1, 100, all}, {2, 4, []Range{{2, 3}, {5, 5}}}, {4, 2, []Range{{2, 3}, {5, 5}}}, {7, 9, []Range{{10, 10}}},
		{8, 9, nil}, {-1, -1, []Range{{10, 10}}}, {-3, -4, []Range{{5, 5}, {8, 8}}}, {-100, -7, []Range{{1, 1}}}, {-100, -8, nil},
		{1 << 32, 1<<32 + 5, nil}, {-(1 << 32), -1, all},
	} {
		r := PartialRange{c.first, c.last}
		assert.Equal(t, c.want, r.Of(all), "%d:%d", c.first, c.last)
	}
}
