package message

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// finds reports whether SEARCH BODY, or with header SEARCH TEXT, finds a needle.
func finds(t *testing.T, mail []byte, header bool, needle string) bool {
	t.Helper()
	found, _ := search(t, mail, header, needle)
	return found[0]
}

// Text in charsets that mail carries is found in the subject and the body, and shown in
// the preview, whatever the label looks like.
func TestMailCharsets(t *testing.T) {
	for _, c := range []struct{ label, base64, text string }{
		{"iso-2022-kr", "GyQpQw5IOEBHDyAOQE9BJA8=", "회의 일정"},
		{"csISO2022KR", "GyQpQw5IOEBHDyAOQE9BJA8=", "회의 일정"},
		{"cp932", "k/qWe4zq", "日本語"},
		{"x-sjis", "k/qWe4zq", "日本語"},
		{"cp950", "wWPF6aSkpOU=", "繁體中文"},
		{"cp949", "yLjAxw==", "회의"},
		{"latin9", "vXV2cmU=", "œuvre"},
		{"cp874", "4LfC", "เทย"},
		{"iso-2022-jp-2", "GyRCMnE1RBsoQg==", "会議"},
		{"iso-2022-jp-ms", "GyRCMnE1RBsoQg==", "会議"},
		{"iso-2022-cn", "GyQpQQ46OldWDw==", "汉字"},
		{"eucjp", "svG1xA==", "会議"},
		{"hz", "fns6OldWfn0=", "汉字"},
		{"utf-7", "R3IrQVB3QTN3LWU=", "Grüße"},
		{"unicode-1-1-utf-7", "R3IrQVB3QTN3LWU=", "Grüße"},
		{"utf-16", "RwByAPwA3wBlAA==", "Grüße"},
		{"utf-16", "AEcAcgD8AN8AZQ==", "Grüße"},
		{"utf-32", "AAD+/wAAAPw=", "ü"},
		{"x-mac-ce", "UJ9pbGmNiQ==", "Pěili"},
	} {
		raw, err := base64.StdEncoding.DecodeString(c.base64)
		require.NoError(t, err)
		if c.label == "x-mac-ce" {
			c.text = decodeCharset(c.label, raw)
			require.NotContains(t, c.text, "\ufffd")
		}
		mail := []byte("From: ann@a.example\r\nSubject: =?" + c.label + "?B?" + c.base64 + "?=\r\nContent-Type: text/plain; charset=\"" +
			c.label + "\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + c.base64 + "\r\n")
		m := scanAll(mail)
		require.Equal(t, c.text, DecodeHeader(ParseHeader(m.Header).Get("Subject")), c.label)
		require.Equal(t, c.text, m.Preview, c.label)
		require.True(t, finds(t, mail, false, c.text), "%s: body", c.label)
		require.True(t, finds(t, mail, true, "subject: "+c.text), "%s: header", c.label)
	}
	// What is no text of its charset is never lost.
	mail := []byte("Subject: x\r\nContent-Type: text/plain; charset=iso-2022-kr\r\n\r\nMeeting moved to Tuesday.\r\n")
	require.Equal(t, "Meeting moved to Tuesday.", scanAll(mail).Preview)
	// ISO-8859-1 is read as windows-1252.
	mail = []byte("Subject: =?iso-8859-1?Q?It=92s_5=80?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nIt=92s 5=80 only\r\n")
	require.Equal(t, "It’s 5€ only", scanAll(mail).Preview)
	require.True(t, finds(t, mail, true, "it’s 5€"))
}

// Raw octets in a header are read in the charset of the mail, that of the first text part
// if it has several.
func TestRawHeaders(t *testing.T) {
	for _, c := range []struct{ charset, raw, want string }{
		{"koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
		{"shift_jis", "\x93\xfa\x96{\x8c\xea", "日本語"},
		{"gb2312", "\xba\xba\xd7\xd6", "汉字"},
		{"iso-2022-jp", "\x1b$B2q5D\x1b(B", "会議"},
		{"hz-gb-2312", "~{::WV~}", "汉字"},
		{"", "\x1b$B2q5D\x1b(B", "会議"},
		{"", "caf\xe9", "café"},
		{"koi8-r", "caf\xc3\xa9", "café"},
		{"us-ascii", "Gr\xfc\xdfe", "Grüße"},
	} {
		head := "From: \"" + c.raw + "\" <a@b.example>\r\nSubject: " + c.raw + "\r\n"
		typ := "Content-Type: text/plain; charset=" + c.charset + "\r\n"
		if c.charset == "" {
			typ = ""
		}
		for _, mail := range []string{
			head + typ + "\r\nx\r\n",
			head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + typ + "\r\nx\r\n--b--\r\n",
		} {
			m := scanAll([]byte(mail))
			h := m.HeaderFields()
			require.Equal(t, c.want, h.Decode(h.Get("Subject")), "%s %q", c.charset, c.raw)
			kept, _, err := ReadHeader(m.Encode())
			require.NoError(t, err)
			require.Equal(t, c.want, kept.Decode(kept.Get("Subject")))
			require.True(t, finds(t, []byte(mail), true, c.want), "%s %q", c.charset, c.raw)
		}
		h := ParseHeader([]byte(head + typ + "\r\n"))
		require.Equal(t, c.want, h.Decode(h.Get("Subject")), "by the header alone")
		require.Equal(t, c.want, h.WithCharset(c.charset).Decode(h.Get("Subject")))
	}
}

func TestLongEncodedWord(t *testing.T) {
	text := strings.Repeat("wörter ", 900) + "zielwört"
	word := "=?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
	require.Greater(t, len(word), 8<<10)
	require.Equal(t, text, DecodeHeader(word))
	base, _ := BaseSubject(DecodeHeader("Re: " + word))
	require.True(t, strings.HasPrefix(base, "wörter wörter"))
	require.True(t, finds(t, []byte("Subject: "+word+"\r\n\r\nx\r\n"), true, "zielwört"))
	// Also in a header that was too long to keep.
	long := "Subject: " + word + "\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("y", 900)+"\r\n", 40) + "\r\nx\r\n"
	require.True(t, finds(t, []byte(long), true, "zielwört"))
}

// A header value is read once, however many words seem to begin in it.
func TestHostileWords(t *testing.T) {
	for _, piece := range []string{"=?", "=?a?q?", "x=?a?b?", "=?a?b?*?", "=?a?q?x?= ", "=?a?q?==?", "=?=?="} {
		began := time.Now()
		DecodeHeader(strings.Repeat(piece, 1<<20/len(piece)))
		require.Less(t, time.Since(began), 5*time.Second, piece)
	}
}

func TestDateZones(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Mon, 2 Nov 2020 10:00:00 +02:00", "2020-11-02T10:00:00+02:00"},
		{"Mon, 2 Nov 2020 10:00:00 -03:30", "2020-11-02T10:00:00-03:30"},
		{"Mon, 2 Nov 2020 10:00:00 GMT+02:00", "2020-11-02T10:00:00+02:00"},
		{"Mon, 2 Nov 2020 10:00:00 UTC-5", "2020-11-02T10:00:00-05:00"},
		{"Mon, 2 Nov 2020 10:00:00 +02", "2020-11-02T10:00:00+02:00"},
		{"Mon, 2 Nov 2020 10:00:00 +200", "2020-11-02T10:00:00+02:00"},
		{"Mon, 2 Nov 2020 10:00:00 (GMT+02:00)", "2020-11-02T10:00:00Z"},
		{"Mon, 2 Nov 2020 10:00:00 02:00", "2020-11-02T10:00:00Z"},
		{"Mon, 2 Nov 2020 10:00:00 +2:xx", "2020-11-02T10:00:00Z"},
		{"Mon, 2 Nov 2020 10:00:00 +99:99", "2020-11-02T10:00:00Z"},
		{"Mon, 2 Nov 2020 10:00:00 Pacific Standard Time", "2020-11-02T10:00:00Z"},
		{"Mon, 2 Nov 2020 10:00:00 %Z", "2020-11-02T10:00:00Z"},
		{"Mon, 2 Nov 2020 10:00:00 PM", "2020-11-02T22:00:00Z"},
		{"Mon, 2 Nov 2020 12:05:00 AM +0100", "2020-11-02T00:05:00+01:00"},
		{"2020-11-02 10:00:00 +0200", "2020-11-02T10:00:00+02:00"},
		{"2020-11-02T10:00:00Z", "2020-11-02T10:00:00Z"},
		{"2020-11-02T10:00:00.123-03:00", "2020-11-02T10:00:00-03:00"},
	} {
		want, err := time.Parse(time.RFC3339, c.want)
		require.NoError(t, err)
		got, ok := ParseDate(c.in)
		require.True(t, ok, c.in)
		require.Equal(t, want.Format(time.RFC3339), got.Format(time.RFC3339), c.in)
	}
}

func TestEmptyFields(t *testing.T) {
	for _, blank := range []string{"", " ", " \r\n ", "\t"} {
		e := ParseEnvelope(ParseHeader([]byte("Date:" + blank + "\r\nSubject:" + blank + "\r\nIn-Reply-To:" + blank + "\r\nMessage-ID:" + blank + "\r\n\r\n")))
		require.Equal(t, &Envelope{HasDate: true, HasSubject: true, HasInReplyTo: true, HasMessageID: true}, e, "%q", blank)
	}
}

// File names are found however they are written.
func TestFileNames(t *testing.T) {
	part := func(fields string) []byte {
		return []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + fields + "\r\n\r\nx\r\n--b--\r\n")
	}
	for fields, names := range map[string][]string{
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"long.pdf\"; filename*=utf-8''l%C3%B6ng.pdf": {"löng.pdf", "long.pdf"},
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''l%C3%B6ng.pdf; filename=\"long.pdf\"": {"löng.pdf", "long.pdf"},
		"Content-Type: application/pdf; name=n.pdf; name*0*=utf-8''l%C3%B6; name*1=ng.pdf":                                        {"löng.pdf", "n.pdf"},
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*1=yearly-; filename*2=report.pdf":             {"yearly-report.pdf", "report.pdf"},
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*0=yearly-; filename*2=report.pdf":             {"yearly-", "report.pdf"},
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*1*=utf-8''l%C3%B6; filename*2*=ng.pdf":        {"löng.pdf"},
	} {
		mail := part(fields)
		for _, name := range names {
			require.True(t, finds(t, mail, false, name), "%s in %s", name, fields)
		}
	}
	p := scanAll(part("Content-Disposition: attachment; filename*1=yearly-; filename*2=report.pdf")).Root.Children[0]
	require.Equal(t, []Param{{"filename*1", "yearly-"}, {"filename*2", "report.pdf"}}, p.DispositionParams)
	p = scanAll(part("Content-Disposition: attachment; filename*0=a; filename*1=b; filename*3=d")).Root.Children[0]
	require.Equal(t, []Param{{"filename", "ab"}, {"filename*3", "d"}}, p.DispositionParams)
	p = scanAll(part("Content-Type: x/y; name=plain; name*=utf-8''%C3%A9")).Root.Children[0]
	require.Equal(t, "é", p.Param("name"), "what RFC 2231 encoded counts more")
}

// No part is lost from view because a boundary line is not as it should be.
func TestBoundaryLines(t *testing.T) {
	const two = "Content-Type: text/plain\r\n\r\none\r\n--foo\r\n\r\ntwo\r\n--foo--\r\n"
	for name, c := range map[string]struct {
		mail  string
		parts []string
	}{
		"ends in a space":            {"Content-Type: multipart/mixed; boundary=\"foo \"\r\n\r\n--foo \r\n\r\ninside\r\n--foo --\r\nepilogue", []string{"inside"}},
		"ends in a space, cut":       {"Content-Type: multipart/mixed; boundary=\"foo \"\r\n\r\n--foo\r\n\r\ninside\r\n--foo--\r\nepilogue", []string{"inside"}},
		"no space in the parameter":  {"Content-Type: multipart/mixed; boundary=\"foo\"\r\n\r\n--foo\r\n\r\ninside\r\n--foo --\r\n", []string{"inside\r\n--foo --\r\n"}},
		"text after the last":        {"Content-Type: multipart/mixed; boundary=foo\r\n\r\n--foo\r\n\r\ninside\r\n--foo--Scanned by gateway\r\n", []string{"inside"}},
		"another boundary":           {"Content-Type: multipart/mixed; boundary=foo\r\n\r\n--foo\r\n\r\ninside\r\n--foo_bar\r\n--foo---\r\n--foobar--\r\n--foo--\r\n", []string{"inside\r\n--foo_bar\r\n--foo---\r\n--foobar--"}},
		"blank line of a space":      {"Content-Type: multipart/mixed; boundary=foo\r\n \r\n--foo\r\n" + two, []string{"one", "two"}},
		"no blank line":              {"Content-Type: multipart/mixed;\r\n\tboundary=\"foo\"\r\n--foo\r\n" + two, []string{"one", "two"}},
		"no blank line, other field": {"Content-Type: multipart/mixed; boundary=foo\r\nSubject: x\r\n--foo\r\n" + two, []string{"one", "two"}},
		"no blank line in a part": {"Content-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\nContent-Type: multipart/alternative; boundary=foo\r\n--foo\r\n" +
			two + "--out\r\n\r\nthree\r\n--out--\r\n", []string{"one", "two", "three"}},
		"blank line of a space, text": {"Content-Type: multipart/mixed; boundary=foo\r\n\r\n--foo\r\nContent-Type: text/plain\r\n \t\r\none\r\n--foo\r\nContent-Type: " +
			"message/rfc822\r\n\r\nSubject: x\r\n \r\ntwo words\r\n--foo--\r\n", []string{"one", "two words"}},
		"blanks inside of a header": {"Subject: x\r\n \r\n y\r\n \r\nContent-Type: text/html\r\n \r\n\r\nbody", []string{"body"}},
		"no multipart":              {"Content-Type: text/plain; boundary=foo\r\n--foo\r\nSubject: x\r\n\r\nbody", []string{"body"}},
	} {
		mail := []byte(c.mail)
		for _, piece := range []int{len(mail), 1, 7} {
			m := scan(mail, func() int { return piece })
			requireSound(t, m, mail)
			var got []string
			var walk func(p *Part)
			walk = func(p *Part) {
				if len(p.Children) == 0 {
					got = append(got, string(mail[p.BodyOffset:p.end()]))
				}
				for _, c := range p.Children {
					walk(c)
				}
			}
			walk(m.Root)
			require.Equal(t, c.parts, got, name)
		}
	}
	// A header of lines that look like boundary lines is read once.
	began := time.Now()
	scanAll([]byte("Content-Type: multipart/mixed; boundary=foo\r\nSubject: " + strings.Repeat("s", 20000) + "\r\n" + strings.Repeat("--x\r\n", 200_000)))
	require.Less(t, time.Since(began), 5*time.Second)
}

func TestCRCRLF(t *testing.T) {
	mail := []byte("From: ann@a.example\r\r\nSubject: dbl\r\r\n folded\r\r\n\r\r\nbody here\r\r\n")
	m := scanAll(mail)
	requireSound(t, m, mail)
	require.Equal(t, "body here\r\r\n", string(mail[m.Root.BodyOffset:]))
	h := ParseHeader(m.Header)
	require.Equal(t, "dbl folded", h.Get("Subject"))
	require.Equal(t, "ann@a.example", h.Get("From"))
	require.Equal(t, "body here", m.Preview)
	require.Equal(t, "a b", Unfold(" a\r\r\n b\r\r\n"))
	require.Equal(t, "a b", Unfold("a\rb"), "a CR that ends no line")
}

func TestBase64Footer(t *testing.T) {
	mail := []byte("Content-Transfer-Encoding: base64\r\n\r\nVGV4dC4=\r\n\r\n____\r\nlist mailing list\r\n")
	m := scanAll(mail)
	require.Equal(t, "Text.", m.Preview)
	require.Equal(t, "Text.", decode(t, "base64", string(mail[m.Root.BodyOffset:])))
}

// What Unicode calls equivalent is found, whichever form the mail and the question have.
func TestSearchEquivalent(t *testing.T) {
	for _, c := range []struct{ text, needle string }{
		{"Cafe\u0301", "Café"}, {"Café", "cafe\u0301"}, {"foo\u00a0bar", "foo bar"}, {"foo bar", "FOO\u00a0BAR"}, {"ｗｉｄｅ", "wide"},
		{"ｶﾞ", "ガ"}, {"oﬃce", "office"}, {"wel\u00adcome", "welcome"}, {"\u1112\u116c", "회"}, {"foo\u3000\r\n bar", "foo bar"},
	} {
		mail := []byte("Subject: =?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte(c.text)) + "?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + c.text + "\r\n")
		require.True(t, finds(t, mail, false, c.needle), "%q in %q", c.needle, c.text)
		require.True(t, finds(t, mail, true, "subject: "+c.needle), "%q in %q", c.needle, c.text)
	}
	require.False(t, finds(t, []byte("Subject: x\r\n\r\nCafe\u0301\r\n"), false, "cafe"), "another word")
}

func TestPreviewBehindStyle(t *testing.T) {
	for _, size := range []int{100, 4 << 10, 40 << 10, 500 << 10} {
		style := "<html><head><style>" + strings.Repeat(".c{color:red}\r\n", size/15) + "</style></head><body><p>Visible text</p></body></html>\r\n"
		mail := "From: a@b\r\nContent-Type: text/html\r\n\r\n" + style
		require.Equal(t, "Visible text", scanAll([]byte(mail)).Preview, "%d", size)
		enc := base64.StdEncoding.EncodeToString([]byte(style))
		mail = "From: a@b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		for ; len(enc) > 76; enc = enc[76:] {
			mail += enc[:76] + "\r\n"
		}
		require.Equal(t, "Visible text", scanAll([]byte(mail+enc)).Preview, "%d in base64", size)
	}
	require.Equal(t, "Seen", scanAll([]byte("Content-Type: text/html\r\n\r\n<head><title>x</title><meta><body>Seen")).Preview, "a head without an end")
	require.Equal(t, "Seen", scanAll([]byte("Content-Type: text/html\r\n\r\n<!--"+strings.Repeat(" x -> y --", 9000)+"-->Seen")).Preview)
}

// SEARCH TEXT skips the values of signatures; SEARCH HEADER finds them. Addresses are
// found as they are meant.
func TestSearchHeaders(t *testing.T) {
	mail := []byte("DKIM-Signature: v=1; b=signed\r\nX-Google-DKIM-Signature: b=signed\r\nARC-Seal: i=1; b=sealed\r\n" +
		"Authentication-Results: mx; dkim=passed\r\nReceived-SPF: passed\r\nARC-Authentication-Results: i=1; passed\r\n" +
		"X-Archive: signed off\r\nFrom: user (a comment)@ (another)\r\n a.example . org\r\nTo: t@b (Tina\r\n Test), \"u\"@b\r\nCc: J. Doe <j@b>\r\n\r\nx\r\n")
	for needle, want := range map[string]bool{
		"b=signed": false, "sealed": false, "passed": false, "dkim-signature:": true, "arc-seal": true, "signed off": true,
		"user@a.example.org": true, "user (a comment)@": true, "t@b": true, "Tina Test <t@b>": true, "u@b": true, "J. Doe <j@b>": true,
	} {
		require.Equal(t, want, finds(t, mail, true, needle), needle)
		cut := []byte(strings.Repeat("X-Filler: "+strings.Repeat("y", 900)+"\r\n", 40) + string(mail))
		require.Equal(t, want, finds(t, cut, true, needle), "%s in a long header", needle)
	}
	var texts []string
	h := ParseHeader(mail)
	for s := range h.SearchTexts("dkim-signature") {
		texts = append(texts, s)
	}
	for s := range h.SearchTexts("from") {
		texts = append(texts, s)
	}
	require.Equal(t, []string{"v=1; b=signed", "user (a comment)@ (another) a.example . org", "another <user@a.example.org>"}, texts)
	long := []byte("DKIM-Signature: " + strings.Repeat("b=signed\r\n ", 10000) + "\r\nSubject: seen\r\n\r\nx\r\n")
	require.False(t, finds(t, long, true, "signed"))
	require.True(t, finds(t, long, true, "subject: seen"))
}
