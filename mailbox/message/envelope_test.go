package message

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var addressTests = []struct {
	in   string
	want []Address
}{
	{"", nil},
	{" , ,, (only a comment) ,", nil},
	{"a@b.example", []Address{{"", "", "a", "b.example"}}},
	{"Ann Example <ann@b.example>", []Address{{"Ann Example", "", "ann", "b.example"}}},
	{`"Example, Ann \"A\"" <ann@b.example>`, []Address{{`Example, Ann "A"`, "", "ann", "b.example"}}},
	{"A.  B. \"C D\" <a@b>, c@d", []Address{{"A. B. C D", "", "a", "b"}, {"", "", "c", "d"}}},
	{"=?utf-8?q?=C3=A9_x?= =?utf-8?q?y?= <e@x>", []Address{{"=?utf-8?q?=C3=A9_x?= =?utf-8?q?y?=", "", "e", "x"}}},
	{"Gr\u00fc\u00dfe <gr\u00fcn@b\u00fccher.example>", []Address{{"Grüße", "", "grün", "bücher.example"}}},
	{"a@b (Ann (the \\) first))", []Address{{"Ann (the ) first)", "", "a", "b"}}},
	{"(x) a (y) @ (z) b . c", []Address{{"z", "", "a", "b.c"}}},
	{"Name <a@b> (comment)", []Address{{"Name", "", "a", "b"}}},
	{"<@r.example,@s.example:a@b>", []Address{{"", "@r.example,@s.example", "a", "b"}}},
	{"N <@r.example:a@b>", []Address{{"N", "@r.example", "a", "b"}}},
	{"<@r.example>", []Address{{"", "", MissingMailbox, "r.example"}}},
	{`"a b"@c`, []Address{{"", "", "a b", "c"}}},
	{`""@c`, []Address{{"", "", MissingMailbox, "c"}}},
	{"a@[192.0.2.1], b@[IPv6:2001:db8::1]", []Address{{"", "", "a", "[192.0.2.1]"}, {"", "", "b", "[IPv6:2001:db8::1]"}}},
	{"root", []Address{{"", "", "root", MissingHost}}},
	{"root (Charlie)", []Address{{"Charlie", "", "root", MissingHost}}},
	{"Ann <ann>", []Address{{"Ann", "", "ann", MissingHost}}},
	{"Ann <>", []Address{{"Ann", "", MissingMailbox, MissingHost}}},
	{"<>", []Address{{"", "", MissingMailbox, MissingHost}}},
	{"@", nil},
	{"Ann <mailto:a@b>", []Address{{"Ann", "", "a", "b"}}},
	{"Big Ben ben@b.example", []Address{{"Big Ben", "", "ben", "b.example"}}},
	{"Big ben.q@b, x@y", []Address{{"Big", "", "ben.q", "b"}, {"", "", "x", "y"}}},
	{`"Big Ben" ben@b`, []Address{{"Big Ben", "", "ben", "b"}}},
	{`Big"ben"@b`, []Address{{"Big", "", "ben", "b"}}},
	{`Big ""@b`, []Address{{"Big", "", MissingMailbox, "b"}}},
	{"John Q. Public jqp@b", []Address{{"John Q. Public", "", "jqp", "b"}}},
	{"a . b@c", []Address{{"", "", "a.b", "c"}}},
	{`"a b"."c"@d`, []Address{{"", "", "a b.c", "d"}}},
	{"=?utf-8?Q?J=C3=B6rg?= joerg@a.example", []Address{{"=?utf-8?Q?J=C3=B6rg?=", "", "joerg", "a.example"}}},
	{"=?utf-8?Q?J=C3=B6rg?=joerg@a.example", []Address{{"=?utf-8?Q?J=C3=B6rg?=", "", "joerg", "a.example"}}},
	{"=?utf-8?Q?J=C3=B6rg?=@a.example", []Address{{"=?utf-8?Q?J=C3=B6rg?=", "", MissingMailbox, "a.example"}}},
	{"=?utf-8?Q?J=C3=B6rg?= System", []Address{{"=?utf-8?Q?J=C3=B6rg?= System", "", MissingMailbox, MissingHost}}},
	{"=?utf-8?Q?J=C3=B6rg=40x?=", []Address{{"=?utf-8?Q?J=C3=B6rg=40x?=", "", MissingMailbox, MissingHost}}},
	{"Mail Delivery System", []Address{{"Mail Delivery System", "", MissingMailbox, MissingHost}}},
	{"<Big Ben ben@b>", []Address{{"Big Ben", "", "ben", "b"}}},
	{"<Big Ben>", []Address{{"Big Ben", "", MissingMailbox, MissingHost}}},
	{"B <Big Ben ben@b>", []Address{{"B", "", "ben", "b"}}},
	{"a@", []Address{{"", "", "a", MissingHost}}},
	{"undisclosed-recipients:;", []Address{{Mailbox: "undisclosed-recipients"}, {}}},
	{"My Group: a@b, C <c@d>; e@f", []Address{{Mailbox: "My Group"}, {"", "", "a", "b"}, {"C", "", "c", "d"}, {}, {"", "", "e", "f"}}},
	{"g: a@b", []Address{{Mailbox: "g"}, {"", "", "a", "b"}, {}}},
	{"g: a@b, h: c@d;;", []Address{{Mailbox: "g"}, {"", "", "a", "b"}, {}, {Mailbox: "h"}, {"", "", "c", "d"}, {}}},
	{":;", []Address{{Mailbox: MissingMailbox}, {}}},
	{"a@b; c@d", []Address{{"", "", "a", "b"}, {"", "", "c", "d"}}},
	{"ann@b.example <ann@b.example>", []Address{{"ann@b.example", "", "ann", "b.example"}}},
	{"ann@b.example Ann", []Address{{"", "", "ann", "b.example"}}},
	{"<a@b", []Address{{"", "", "a", "b"}}},
	{"<a@b, c@d", []Address{{"", "", "a", "b"}, {"", "", "c", "d"}}},
	{`"no end <a@b>`, []Address{{"", "", "no end <a@b>", MissingHost}}},
	{"(no end <a@b>", nil},
	{"a@[no end, b@c", []Address{{"", "", "a", "[no"}, {"", "", "b", "c"}}},
	{"a>b@c", []Address{{"", "", "a", MissingHost}, {"", "", "b", "c"}}},
}

func TestParseAddresses(t *testing.T) {
	for _, tt := range addressTests {
		assert.Equal(t, tt.want, ParseAddresses(tt.in), "%q", tt.in)
	}
}

func TestParseAddressesLimit(t *testing.T) {
	list := ParseAddresses("g:" + strings.Repeat("a@b,", 3*MaxAddresses))
	assert.LessOrEqual(t, len(list), MaxAddresses)
	assert.Greater(t, len(list), MaxAddresses-5)
	assert.True(t, list[len(list)-1].IsGroupEnd())
	for _, hostile := range []string{"(", "<", "\"", "[", "@", ":", ";", "<@", ",<@,:", "a:b;", "\\", "((", "<a@b <"} {
		requireAddresses(t, ParseAddresses(strings.Repeat(hostile, 100_000/len(hostile))))
	}
}

func TestParseEnvelope(t *testing.T) {
	e := ParseEnvelope(ParseHeader([]byte("date: Mon, 23 Nov 2026\r\n 16:49:16 +0000\r\nSubject: =?utf-8?q?=C3=A9?=\r\n\tx\r\n" +
		"From: Ann <a@b>,\r\n c@d\r\nFrom: second@b\r\nSender:\r\nTo: t1@b\r\nTO: t2@b\r\nCc: c1@b\r\nBcc: b1@b\r\nTo: t3@b\r\n" +
		"In-Reply-To: <1@x>\r\n <2@x>\r\nMessage-Id: <m@x>\r\nMessage-Id: <n@x>\r\n\r\nTo: body@b\r\n")))
	addr := func(list ...string) (out []Address) {
		for _, m := range list {
			out = append(out, Address{Mailbox: m, Host: "b"})
		}
		return out
	}
	from := []Address{{"Ann", "", "a", "b"}, {"", "", "c", "d"}}
	assert.Equal(t, &Envelope{
		Date: "Mon, 23 Nov 2026 16:49:16 +0000", Subject: "=?utf-8?q?=C3=A9?=\tx",
		From: from, Sender: from, ReplyTo: from, To: addr("t1", "t2", "t3"), Cc: addr("c1"), Bcc: addr("b1"),
		InReplyTo: "<1@x> <2@x>", MessageID: "<m@x>",
		HasDate: true, HasSubject: true, HasInReplyTo: true, HasMessageID: true,
	}, e)

	e = ParseEnvelope(ParseHeader([]byte("From: a@b\r\nSender: s@b\r\nReply-To: r@b\r\n")))
	assert.Equal(t, addr("s"), e.Sender)
	assert.Equal(t, addr("r"), e.ReplyTo)
	assert.Equal(t, &Envelope{}, ParseEnvelope(Header{}))
}

// requireAddresses checks what is promised of every address list.
func requireAddresses(t testing.TB, list []Address) {
	t.Helper()
	require.LessOrEqual(t, len(list), MaxAddresses)
	group := false
	for _, a := range list {
		switch {
		case a.IsGroupStart():
			require.False(t, group, "groups do not nest")
			group = true
		case a.IsGroupEnd():
			require.True(t, group)
			group = false
		default:
			require.NotEmpty(t, a.Mailbox)
		}
		if a.Host == "" {
			require.Empty(t, a.Name+a.Route, "a mark has no name")
		}
		for _, s := range []string{a.Name, a.Route, a.Mailbox, a.Host} {
			require.False(t, strings.ContainsAny(s, "\n\x00"), "an IMAP string cannot hold it")
		}
	}
	require.False(t, group, "a group that is not ended")
}

func FuzzEnvelope(f *testing.F) {
	for _, tt := range addressTests {
		f.Add([]byte("From: " + tt.in + "\r\n\r\n"))
	}
	f.Add([]byte(oddHeader))
	for _, mail := range corpus(f) {
		if len(mail) < 4<<10 {
			f.Add(mail)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h := ParseHeader(raw)
		e := ParseEnvelope(h)
		for _, list := range [][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
			requireAddresses(t, list)
		}
		for _, s := range []string{e.Date, e.Subject, e.InReplyTo, e.MessageID} {
			require.False(t, strings.ContainsAny(s, "\r\n\x00"))
		}
		require.True(t, utf8.ValidString(DecodeHeader(e.Subject)))
		h.Date()
		require.True(t, strings.HasPrefix(string(raw), string(h.Select(nil, true))), "a prefix of what it was made of")
		with, without := h.Select([]string{"from", "to"}, false), h.Select([]string{"FROM", "TO"}, true)
		require.Equal(t, len(h.fields)+2*len(h.blank), len(with)+len(without))
	})
}
