package wire

import (
	"testing"

	"github.com/letterlock/letterlock/mailbox/message"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parse reads text with read and returns what the client would be told.
func parse(text string, read func(*Parser)) string {
	p := NewParser([]byte(text + "\r\n"))
	read(p)
	if err := p.End(); err != nil {
		return err.(*Error).Text
	}
	return ""
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"0": "", "4294967295": "", "00": "", "4294967296": "number is too large", "x": "expected a number", "": "expected a number",
		"1 2": "unexpected text after the command", "-1": "expected a number", "99999999999999999999999999": "number is too large",
	} {
		assert.Equal(t, want, parse(text, func(p *Parser) { p.Number() }), "%q", text)
	}
	for text, want := range map[string]uint64{"9223372036854775807": 1<<63 - 1, "0": 0} {
		p := NewParser([]byte(text))
		assert.Equal(t, want, p.Number64())
		require.NoError(t, p.End())
	}
	assert.Equal(t, "number is too large", parse("9223372036854775808", func(p *Parser) { p.Number64() }))
}

func TestStrings(t *testing.T) {
	for text, want := range map[string]string{
		`"a\"b\\c"`:                       `a"b\c`,
		`atom]`:                           "atom]",
		"{5}\r\nab\r\nc":                  "ab\r\nc",
		"{3+}\r\n\"\\(":                   `"\(`,
		`"é"`:                             "é",
		`""`:                              "",
		"{0}\r\n":                         "",
		"{2}\r\n\xff\xfe":                 "\xff\xfe",
		"{1}\r\nx":                        "x",
		"a!#$&'+,-./:;<=>?@^_`|}~[b":      "a!#$&'+,-./:;<=>?@^_`|}~[b",
		`"quoted (with) {12} * % inside"`: "quoted (with) {12} * % inside",
	} {
		p := NewParser([]byte(text + "\r\n"))
		assert.Equal(t, want, p.AString(), "%q", text)
		assert.NoError(t, p.End(), "%q", text)
	}
	for _, text := range []string{`"open`, `"a\b"`, "\"\xff\"", "{5}\r\nab", "{x}\r\nab", "{1\r\nx", "{1}\r\n\x00", "(", "%", "", " a", "{9999999999}\r\n"} {
		assert.NotEmpty(t, parse(text, func(p *Parser) { p.AString() }), "%q", text)
	}
}

func TestSets(t *testing.T) {
	for text, want := range map[string][]Range{
		"1": {{1, 1}}, "*": {{0, 0}}, "5:3": {{5, 3}}, "1:*": {{1, 0}}, "*:4": {{0, 4}},
		"1,3:5,4294967295": {{1, 1}, {3, 5}, {4294967295, 4294967295}},
	} {
		p := NewParser([]byte(text))
		assert.Equal(t, Set{Ranges: want}, p.Set(), "%q", text)
		assert.NoError(t, p.End())
	}
	for text, want := range map[string][]Range{"$": nil, "1,$": {{1, 1}}, "$,1": {{1, 1}}, "1,$,3:4": {{1, 1}, {3, 4}}} {
		p := NewParser([]byte(text))
		assert.Equal(t, Set{Ranges: want, Saved: true}, p.Set(), "%q", text)
		assert.NoError(t, p.End())
	}
	for _, text := range []string{"", "0", "1,", ",1", "1:", ":1", "1:2:3", "a", "1-2", "4294967296", "$,", "$1", "1,,$", "1 :2"} {
		assert.NotEmpty(t, parse(text, func(p *Parser) { p.Set() }), "%q", text)
	}
	for _, text := range []string{"*", "1:*", "$", "1,$"} {
		assert.NotEmpty(t, parse(text, func(p *Parser) { p.UIDs() }), "%q", text)
	}
}

func TestMailboxNames(t *testing.T) {
	for wire, name := range map[string]string{
		"INBOX": "INBOX", "a&-b": "a&b", "&ANw-ber": "Über", "~peter/mail/&U,BTFw-/&ZeVnLIqe-": "~peter/mail/台北/日本語",
		"&2D3eAA-": "😀", `"a b"`: "a b",
	} {
		p := NewParser([]byte(wire))
		assert.Equal(t, name, p.Mailbox(), "%q", wire)
		require.NoError(t, p.End(), "%q", wire)
		var e Encoder
		e.Mailbox(name)
		p = NewParser(e.B)
		assert.Equal(t, name, p.Mailbox(), "%q as %q", name, e.B)
		require.NoError(t, p.End())
	}
	for _, wire := range []string{"&", "&ANw", "&AN-", "&2D0-", "&2D3-", "&3gA-", "&AGE-", "&!!-", "&ANx-", "!#$&'+"} {
		assert.NotEmpty(t, parse(wire, func(p *Parser) { p.NewMailbox() }), "%q", wire)
		p := NewParser([]byte(wire))
		assert.Equal(t, wire, p.Mailbox(), "what is looked up stands for itself")
		require.NoError(t, p.End())
	}
	assert.NotEmpty(t, parse("\"\xff\"", func(p *Parser) { p.Mailbox() }))
	p := NewParser([]byte(`"&ANw-ber"`))
	p.UTF8 = true
	assert.Equal(t, "&ANw-ber", p.Mailbox(), "with UTF-8 an ampersand is one")
}

func TestEncodedStrings(t *testing.T) {
	for s, want := range map[string]string{
		"": `""`, `a"\b`: `"a\"\\b"`, "a\r\nb": "{4}\r\na\r\nb", "é": "{2}\r\né", "a\x00é": "{3}\r\naé", "tab\t": "\"tab\t\"",
	} {
		var e Encoder
		e.String(s)
		assert.Equal(t, want, string(e.B))
	}
	e := Encoder{UTF8: true}
	e.String("é")
	e.String("\xff")
	assert.Equal(t, "\"é\"{1}\r\n\xff", string(e.B))
}

func TestFlags(t *testing.T) {
	for text, want := range map[string][]string{
		"()": {}, "( )": {}, `(\Seen)`: {`\Seen`}, `(\Seen $x NonJunk)`: {`\Seen`, "$x", "NonJunk"},
		"( kw0)": {"kw0"}, `(\Seen  kw0 )`: {`\Seen`, "kw0"},
	} {
		p := NewParser([]byte(text + "\r\n"))
		assert.Equal(t, want, p.Flags(), "%q", text)
		assert.NoError(t, p.End(), "%q", text)
	}
	for _, text := range []string{"", "(", "( ", `(\)`, `(\Seen\Flagged)`, "(a(b))", `("a")`, "(a", "a)", "(a\t)"} {
		assert.NotEmpty(t, parse(text, func(p *Parser) { p.Flags() }), "%q", text)
	}
}

// RFC 9051 section 7.5.2: an absent field is NIL, an empty one is an empty string.
func TestEnvelopeOfEmptyFields(t *testing.T) {
	for header, want := range map[string]string{
		"Date:\r\nSubject: \r\nIn-Reply-To:\r\nMessage-ID:\r\n\r\n": `("" "" NIL NIL NIL NIL NIL NIL "" "")`,
		"\r\n": `(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)`,
		"From: Big Ben ben@b.example\r\nTo: x y\r\n\r\n": `(NIL NIL (("Big Ben" NIL "ben" "b.example")) (("Big Ben" NIL "ben" "b.example")) ` +
			`(("Big Ben" NIL "ben" "b.example")) (("x y" NIL "MISSING_MAILBOX" "MISSING_DOMAIN")) NIL NIL NIL NIL)`,
	} {
		e := &Encoder{}
		e.Envelope(message.ParseHeader([]byte(header)))
		if string(e.B) != want {
			t.Errorf("%q: %s, want %s", header, e.B, want)
		}
	}
}

// Raw octets are read in the charset of the message where the client wants UTF-8.
func TestEnvelopeUTF8(t *testing.T) {
	h := message.ParseHeader([]byte("Subject: \xf0\xd2\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n"))
	e := &Encoder{UTF8: true}
	e.Envelope(h)
	require.Equal(t, `(NIL "Пр" NIL NIL NIL NIL NIL NIL NIL NIL)`, string(e.B))
	e = &Encoder{UTF8: true}
	e.Envelope(h.WithCharset("windows-1251"))
	require.Contains(t, string(e.B), "рТ")
}
