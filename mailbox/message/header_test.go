package message

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const oddHeader = "From x Mon Nov 23 16:49:16 2026\r\n" +
	"Subject:  a\r\n\tfolded  \r\n  subject\r\n" +
	"no field\r\n" +
	" nor this\r\n" +
	"X-Empty:\r\n" +
	"to : b@example.org\n" +
	"X-Bare: a\rb\x00c\r\n" +
	"SUBJECT: second\r\n" +
	" \r\n" +
	"\r\n" +
	"Subject: body\r\n"

func TestHeaderFields(t *testing.T) {
	var got [][2]string
	for name, value := range ParseHeader([]byte(oddHeader)).Fields() {
		got = append(got, [2]string{name, value})
	}
	assert.Equal(t, [][2]string{
		{"Subject", "  a\r\n\tfolded  \r\n  subject"}, {"X-Empty", ""}, {"to", " b@example.org"},
		{"X-Bare", " a\rb\x00c"}, {"SUBJECT", " second\r\n "},
	}, got)
	for range ParseHeader([]byte(oddHeader)).Fields() {
		break // may be left early
	}
}

func TestHeaderGet(t *testing.T) {
	h := ParseHeader([]byte(oddHeader))
	assert.Equal(t, "a\tfolded    subject", h.Get("subject"))
	assert.Equal(t, "b@example.org", h.Get("TO"))
	assert.Equal(t, "a b c", h.Get("X-Bare"))
	assert.Empty(t, h.Get("x-empty"))
	assert.True(t, h.Has("x-empty"))
	assert.False(t, h.Has("Body"))
	assert.False(t, h.Has(""))
	var all []string
	for v := range h.Values("Subject") {
		all = append(all, v)
	}
	assert.Equal(t, []string{"a\tfolded    subject", "second"}, all)
	assert.Empty(t, Header{}.Get("Subject"))
}

func TestHeaderSelect(t *testing.T) {
	const subjects = "Subject:  a\r\n\tfolded  \r\n  subject\r\nSUBJECT: second\r\n \r\n"
	h := ParseHeader([]byte(oddHeader))
	assert.Equal(t, subjects+"\r\n", string(h.Select([]string{"subject", "nothing"}, false)))
	assert.Equal(t, "to : b@example.org\n\r\n", string(h.Select([]string{"To"}, false)))
	assert.Equal(t, "\r\n", string(h.Select(nil, false)))
	block, _, _ := strings.Cut(oddHeader, "Subject: body")
	assert.Equal(t, block, string(h.Select(nil, true)))
	assert.Equal(t, block, string(h.Select([]string{""}, true)))
	rest := "From x Mon Nov 23 16:49:16 2026\r\nno field\r\n nor this\r\nX-Empty:\r\nto : b@example.org\nX-Bare: a\rb\x00c\r\n\r\n"
	assert.Equal(t, rest, string(h.Select([]string{"SUBJECT"}, true)))

	assert.Equal(t, "A: 1\n\n", string(ParseHeader([]byte("A: 1\nB: 2\n\nbody")).Select([]string{"a"}, false)), "its own blank line")
	assert.Equal(t, "B: 2", string(ParseHeader([]byte("A: 1\nB: 2")).Select([]string{"b"}, false)), "no blank line, none made")
}

func TestDate(t *testing.T) {
	utc := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
		return d
	}
	tests := []struct{ in, want string }{
		{"Mon, 23 Nov 2026 16:49:16 +0000", "2026-11-23T16:49:16Z"},
		{"23 Nov 2026 16:49:16 -0530", "2026-11-23T16:49:16-05:30"},
		{"Mon, 23 Nov 2026 16:49 +0100 (CET)", "2026-11-23T16:49:00+01:00"},
		{"Mon,23  nov 2026 16:49:16+0100", "2026-11-23T16:49:16+01:00"},
		{"Mon, 23 (day (of month)) Nov 2026 16:49:16 PST", "2026-11-23T16:49:16-08:00"},
		{"Mon, 23 Nov 2026 16:49:16 CEST", "2026-11-23T16:49:16+02:00"},
		{"Mon, 23 Nov 2026 16:49:16", "2026-11-23T16:49:16Z"},
		{"Mon, 23 Nov 2026 16:49:16 GMT+0200", "2026-11-23T16:49:16+02:00"},
		{"Mon, 23 Nov 2026 16:49:16 XYZ", "2026-11-23T16:49:16Z"},
		{"Mon, 23 Nov 2026 16:49:16 +9999", "2026-11-23T16:49:16Z"},
		{"Fri, 21 Nov 97 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Fri, 21 Nov 26 09:55:06 -0600", "2026-11-21T09:55:06-06:00"},
		{"Fri, 21 Nov 126 09:55:06 -0600", "2026-11-21T09:55:06-06:00"},
		{"Mon Nov 23 16:49:16 2026", "2026-11-23T16:49:16Z"},
		{"Mon Nov  3 16:49:16 EST 2026", "2026-11-03T16:49:16-05:00"},
		{"23-Nov-2026 16:49:16 -0500", "2026-11-23T16:49:16-05:00"},
		{"Monday, 23 November 2026 16:49:16.123 Z", "2026-11-23T16:49:16Z"},
		{"Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59Z"},
		{"23 Nov 2026", "2026-11-23T00:00:00Z"},
		{"\t 23 Nov\t2026 16:49:16 UT", "2026-11-23T16:49:16Z"},
	}
	for _, tt := range tests {
		got, ok := ParseHeader([]byte("Date: " + tt.in + "\r\n\r\n")).Date()
		if assert.True(t, ok, tt.in) {
			assert.True(t, utc(tt.want).Equal(got), "%s: %s", tt.in, got)
			assert.Equal(t, utc(tt.want).Format("2006-01-02 15:04"), got.Format("2006-01-02 15:04"), "%s: in its own zone", tt.in)
		}
	}
	for _, in := range []string{"", "yesterday", "Nov 2026", "31 Feb 2026 00:00:00 +0000", "23 Nov 2026 25:00:00", "23 Nov 2026 16:61",
		"23 Nov 2026 1:2:3:4", "32 Nov 2026", "23 Nov", "()", "(", ":", "23 Nov 99999999999999999999"} {
		_, ok := ParseHeader([]byte("Date: " + in + "\r\n\r\n")).Date()
		assert.False(t, ok, "%q", in)
	}
}

func TestDecodeHeader(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"", ""},
		{"=?utf-8?q?=C3=A9t=C3=A9?=", "été"},
		{"=?UTF-8?B?w6l0w6k=?= end", "été end"},
		{"=?utf-8?b?w6l0w6k?=", "été"},
		{"=?iso-8859-1?Q?caf=E9_au_lait?=", "café au lait"},
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?windows-1251?Q?=CF=F0=E8?=", "При"},
		{"=?utf-8*en?q?a?=", "a"},
		{"a =?utf-8?q?b?= c", "a b c"},
		{"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?= \t =?iso-8859-1?q?=E9?= c", "aé c"},
		{"=?utf-8?b?w6k=?= =?utf-8?q?_x?=", "é x"},
		{"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"}, // a character cut in two
		{"=?utf-8?q?a b?=", "a b"},
		{"=?utf-8?q?100=?=", "100="},
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?utf-8?b?***?= x", "=?utf-8?b?***?= x"},
		{"=?utf-8?q?no end", "=?utf-8?q?no end"},
		{"=?utf-8?q?a?= =?no word", "a =?no word"},
		{"=?no-such-charset?q?caf=C3=A9?=", "café"},
		{"=?us-ascii?q?caf=E9?=", "café"},
		{"=?", "=?"},
		{"caf\xe9", "café"},
		{"caf\xe9 =?utf-8?q?=C3=A9?=", "café é"},
		{"raw é", "raw é"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, DecodeHeader(tt.in), "%q", tt.in)
	}
}
