package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSortArguments(t *testing.T) {
	p := NewParser([]byte(" RETURN (MIN PARTIAL 1:5) (REVERSE date Subject) utf-8 unseen from x\r\n"))
	s := p.Sort()
	require.NoError(t, p.End())
	require.Equal(t, []SortKey{{"DATE", true}, {"SUBJECT", false}}, s.Keys)
	require.Equal(t, &SearchReturn{Min: true, Partial: &PartialRange{1, 5}}, s.Return)
	require.Equal(t, "UTF-8", s.Charset)
	require.Equal(t, "AND", s.Key.Name)
	for _, bad := range []string{
		"", " ", " (DATE)", " (DATE) UTF-8", " () UTF-8 ALL", " (REVERSE) UTF-8 ALL", " (REVERSE REVERSE DATE) UTF-8 ALL", " (DATE  CC) UTF-8 ALL",
		" (BODY) UTF-8 ALL", " DATE UTF-8 ALL", " RETURN (SAVE) (DATE) UTF-8 ALL", " (" + strings.Repeat("DATE ", maxSortKeys) + "DATE) UTF-8 ALL",
	} {
		assert.NotEmpty(t, parse(bad, func(p *Parser) { p.Sort() }), "%q", bad)
	}
}

func TestThreadArguments(t *testing.T) {
	p := NewParser([]byte(" references US-ASCII ALL\r\n"))
	th := p.Thread()
	require.NoError(t, p.End())
	require.Equal(t, "REFERENCES", th.Algorithm)
	for _, bad := range []string{"", " REFERENCES", " REFERENCES UTF-8", " REFS UTF-8 ALL", " REFERENCES UTF-8 ALL x"} {
		assert.NotEmpty(t, parse(bad, func(p *Parser) { p.Thread() }), "%q", bad)
	}
}

func TestPreviewItem(t *testing.T) {
	for text, want := range map[string]Fetch{
		" 1 PREVIEW":                             {Preview: true},
		" 1 PREVIEW (LAZY)":                      {Preview: true, PreviewLazy: true},
		" 1 (PREVIEW (lazy) UID)":                {Preview: true, PreviewLazy: true, UID: true},
		" 1 (PREVIEW)":                           {Preview: true},
		" 1 PREVIEW (VANISHED CHANGEDSINCE 1)":   {Preview: true, Vanished: true},
		" 1 (PREVIEW (LAZY)) (CHANGEDSINCE 100)": {Preview: true, PreviewLazy: true},
	} {
		p := NewParser([]byte(text + "\r\n"))
		f := p.Fetch()
		require.NoError(t, p.End(), text)
		f.Set, f.ChangedSince = Set{}, nil
		assert.Equal(t, &want, f, text)
	}
	assert.NotEmpty(t, parse(" 1 (PREVIEW (EAGER))", func(p *Parser) { p.Fetch() }))
}

func TestQuotaAndReplaceArguments(t *testing.T) {
	p := NewParser([]byte(" \"\" (STORAGE 512 MESSAGE 10)\r\n"))
	root, limits := p.Quota()
	require.NoError(t, p.End())
	require.Empty(t, root)
	require.Equal(t, map[string]uint64{"STORAGE": 512, "MESSAGE": 10}, limits)
	p = NewParser([]byte(" 4 {6+}\r\nDrafts (\\Seen) {312}\r\n"))
	r := p.Replace()
	require.NoError(t, p.End())
	require.Equal(t, &Replace{Number: 4, Mailbox: "Drafts", Message: AppendMessage{Flags: []string{`\Seen`}}}, r)
	p = NewParser([]byte(" * INBOX {3}\r\n")) // seq-number, RFC 8508 section 5
	require.Zero(t, p.Replace().Number)
	require.NoError(t, p.End())
	for _, bad := range []string{" 0 INBOX {3}", " 1:2 INBOX {3}", " 1 {3}", " 1 INBOX", ""} {
		assert.NotEmpty(t, parse(bad, func(p *Parser) { p.Replace() }), "%q", bad)
	}
}
