package message

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
)

func repeat(s string, size int) string { return strings.Repeat(s, size/len(s)) }

const benchText = "The quick brown fox jumps over the lazy dog, and goes on with his day as he did.\r\n"

func BenchmarkScan(b *testing.B) {
	const size = 4 << 20
	mixed := "Content-Type: multipart/mixed; boundary=\"=_boundary\"\r\n\r\n--=_boundary\r\n\r\ntext\r\n--=_boundary\r\n" +
		"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	mails := []struct{ name, mail string }{
		{"attachment", mixed + repeat(strings.Repeat("QUJD", 19)+"\r\n", size) + "--=_boundary--\r\n"},
		{"text in multipart", mixed + repeat(benchText, size)},
		{"plain text", "Subject: x\r\n\r\n" + repeat(benchText, size)},
		{"hyphens", mixed + repeat("--not a boundary\r\n", size)},
		{"small mail", "Received: " + repeat("by example.org with ESMTP;\r\n ", 1200) + "\r\nSubject: x\r\n\r\n" + repeat(benchText, 800)},
	}
	for _, m := range mails {
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.mail)))
			mail := []byte(m.mail)
			for b.Loop() {
				s := NewScanner()
				for p := mail; len(p) > 0; {
					n := min(len(p), 64<<10)
					_, _ = s.Write(p[:n])
					p = p[n:]
				}
				s.Close()
			}
		})
	}
}

func BenchmarkMatcher(b *testing.B) {
	for _, t := range []struct{ name, text string }{
		{"ascii", benchText},
		{"indented html", "    <td   class=\"x\">\r\n\t\t<p>Text</p>\r\n"},
		{"german", "Der K\u00e4se liegt im K\u00fchlschrank, und die Stra\u00dfe ist voll.\r\n"},
		{"russian", "Съешь же ещё этих мягких французских булок, да выпей чаю.\r\n"},
		{"japanese", "いろはにほへとちりぬるを日本語の文章です。\r\n"},
		{"base64", strings.Repeat("QUJD", 19) + "\r\n"},
	} {
		for _, needles := range [][]string{{"needle"}, {"needle", "fox hunts", "evening", "of"}} {
			b.Run(fmt.Sprintf("%s/%d", t.name, len(needles)), func(b *testing.B) {
				text := []byte(repeat(t.text, 1<<20))
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					m := newMatcher(needles)
					for i := 0; i < len(text); i += blockSize {
						_, _ = m.Write(text[i:min(i+blockSize, len(text))])
					}
				}
			})
		}
	}
}

func BenchmarkText(b *testing.B) {
	enc := base64.StdEncoding.EncodeToString([]byte(repeat(benchText, 1<<20)))
	var lines strings.Builder
	for ; len(enc) > 76; enc = enc[76:] {
		lines.WriteString(enc[:76] + "\r\n")
	}
	for _, t := range []struct{ name, encoding, charset, body string }{
		{"base64", "base64", "utf-8", lines.String()},
		{"quoted-printable", "quoted-printable", "utf-8", repeat("Der K=C3=A4se liegt im K=C3=BChlschrank, und=\r\n so fort.\r\n", 1<<20)},
		{"8bit", "8bit", "utf-8", repeat(benchText, 1<<20)},
		{"8bit latin-1 unlabelled", "8bit", "", repeat("Der K\xe4se liegt im K\xfchlschrank.\r\n", 1<<20)},
		{"8bit iso-8859-1", "8bit", "iso-8859-1", repeat("Der K\xe4se liegt im K\xfchlschrank.\r\n", 1<<20)},
	} {
		b.Run(t.name, func(b *testing.B) {
			p := &Part{Type: "text", Encoding: t.encoding, Params: []Param{{"charset", t.charset}}}
			buf := make([]byte, blockSize)
			b.SetBytes(int64(len(t.body)))
			for b.Loop() {
				for r := p.Text(strings.NewReader(t.body)); ; {
					if _, err := r.Read(buf); err == io.EOF {
						break
					}
				}
			}
		})
	}
}

const benchHeader = "Return-Path: <a@example.org>\r\nReceived: from mx.example.org (mx.example.org [192.0.2.1])\r\n" +
	"\tby mail.example.org with ESMTPS id 1234;\r\n\tMon, 23 Nov 2026 16:49:16 +0000\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=x;\r\n\th=from:to:subject:date; bh=abc=;\r\n\tb=" +
	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\n" +
	"From: =?utf-8?q?J=C3=B6rg_Example?= <joerg@example.org>\r\nTo: \"Ann Example\" <ann@example.org>,\r\n Bob <bob@example.org>\r\n" +
	"Cc: a@example.org, b@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Bremen\r\n" +
	"Date: Mon, 23 Nov 2026 16:49:16 +0000\r\nMessage-ID: <1234567890@example.org>\r\nIn-Reply-To: <0987654321@example.org>\r\n" +
	"References: <1@example.org> <0987654321@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"

func BenchmarkEnvelope(b *testing.B) {
	b.SetBytes(int64(len(benchHeader)))
	b.ReportAllocs()
	for b.Loop() {
		ParseEnvelope(ParseHeader([]byte(benchHeader)))
	}
}

func BenchmarkEncode(b *testing.B) {
	m := scanAll([]byte(benchHeader + benchText))
	b.ReportAllocs()
	for b.Loop() {
		m.Encode()
	}
}

func BenchmarkDecode(b *testing.B) {
	stored := scanAll([]byte(benchHeader + benchText)).Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearchText(b *testing.B) {
	mail := []byte(benchHeader + repeat(benchText, 64<<10))
	m, s := scanAll(mail), &store{mail: mail}
	b.SetBytes(int64(len(mail)))
	b.ReportAllocs()
	for b.Loop() {
		s.reads = s.reads[:0]
		if _, err := m.SearchText(b.Context(), true, s.open, []string{"needle"}); err != nil {
			b.Fatal(err)
		}
	}
}
