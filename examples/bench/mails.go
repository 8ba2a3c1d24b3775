package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"strings"
)

// sizes are those of the 100 mails of a published test set, in bytes: few large
// mails make most of the 23 MB.
var sizes = [...]int{
	669, 737, 911, 1197, 1280, 1391, 1536, 1607, 2487, 2615,
	3007, 3281, 3321, 3884, 3886, 3927, 3933, 3957, 3987, 4065,
	4102, 4104, 4127, 4194, 4233, 4352, 4794, 4804, 5255, 5808,
	6302, 6578, 6813, 10878, 10962, 11538, 14315, 14536, 16344, 17060,
	17277, 17413, 17570, 17741, 19489, 19581, 19590, 20106, 20549, 20822,
	20966, 21278, 21465, 21523, 22782, 23653, 23941, 24861, 25577, 26122,
	28181, 28247, 29273, 31220, 32553, 32629, 32797, 33754, 33864, 35086,
	36454, 37947, 39364, 40722, 41804, 42271, 43718, 44138, 44704, 45838,
	47047, 49034, 49847, 59164, 60376, 62307, 71315, 83298, 84954, 124050,
	137595, 184932, 289419, 525746, 695324, 2006073, 2446863, 3383940, 5502023, 6361558,
}

// needle stands in the text of each fifth mail, under whatever encoding the text
// has: in quoted-printable it is cut by the end of a line.
const needle = "zwiebelfisch"

const needleEvery = 5

// mail is a message with CR LF line ends.
type mail struct {
	kind string
	text []byte
}

// mailSet returns the 100 mails, the same ones in every run, small and large
// mixed.
func mailSet() []mail {
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(sizes))
	mails := make([]mail, len(sizes))
	for i, size := range sizes {
		at := order[i]
		mails[at] = compose(at, size)
	}
	return mails
}

// smallMail returns a mail of about 600 bytes, for folders of very many.
func smallMail(i int) mail { return compose(i*len(kinds), 700) }

// kinds are the shapes of mails; the sizes from which on they make sense.
var kinds = []struct {
	name  string
	least int
	body  func(*composer)
}{
	{"plain", 0, func(c *composer) { c.plain("7bit") }},
	{"quoted-printable", 0, func(c *composer) { c.plain("quoted-printable") }},
	{"8-bit", 0, func(c *composer) { c.plain("8bit") }},
	{"base64", 0, func(c *composer) { c.plain("base64") }},
	{"alternative", 3000, func(c *composer) { c.alternative(c.fill) }},
	{"related", 10000, (*composer).related},
	{"mixed", 10000, (*composer).mixed},
	{"nested", 5000, (*composer).nested},
}

// compose makes the mail at a place of the set, with exactly size bytes: the
// filling is found by trial, and what is left goes into a header field.
func compose(at, size int) mail {
	k := at % len(kinds)
	for kinds[k].least > size {
		k = (k + 1) % len(kinds)
	}
	if size > 100_000 {
		k = 5 + at%2 // images or attachments: nobody writes so much
	}
	draft := func(fill, pad int) []byte {
		c := &composer{at: at, fill: max(fill, 0), pad: pad, long: size > 3000, rng: rand.New(rand.NewPCG(uint64(at), 7))}
		c.header()
		kinds[k].body(c)
		return c.b.Bytes()
	}
	const spare = 24 // for the field that pads
	least := len(draft(0, 0))
	fill := size
	for text := draft(fill, 0); fill > 0 && len(text) > size-spare; text = draft(fill, 0) {
		ratio := float64(len(text)-least) / float64(fill)
		fill = min(fill-1, int(float64(size-spare-least)/max(ratio, 1)))
	}
	if left := size - len(draft(fill, 0)); left > 0 {
		return mail{kinds[k].name, draft(fill, left)}
	}
	return mail{kinds[k].name, draft(fill, 0)}
}

// composer writes one mail.
type composer struct {
	b    bytes.Buffer
	at   int // place in the set
	fill int // bytes of filling, before encoding
	pad  int // bytes of the field that pads
	long bool
	rng  *rand.Rand
	mark int // boundaries used
}

func (c *composer) line(format string, args ...any) {
	fmt.Fprintf(&c.b, format, args...)
	c.b.WriteString("\r\n")
}

var people = []string{"Anaïs Lefèvre", "Bob Miller", "Chloë Østergård", "Dmitri Orlov", "Eun-ji Kim", "Søren Dahl", "Grace Okafor", "山田 花子"}

func (c *composer) address(n int) string {
	name := people[n%len(people)]
	local := fmt.Sprintf("person%d@example.org", n%len(people))
	return mime.QEncoding.Encode("utf-8", name) + " <" + local + ">"
}

func (c *composer) header() {
	date := fmt.Sprintf("%s, %02d Feb 2024 %02d:%02d:00 +0100", []string{"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}[c.at%7], c.at%28+1, c.at%24, c.at%60)
	if c.long {
		c.line("Return-Path: <person%d@example.org>", c.at%len(people))
		for hop := range 3 {
			c.line("Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\r\n\tby relay%d.example.net (Postfix) with ESMTPS id %08X\r\n\tfor <reader@example.com>; %s", hop, hop, hop+10, hop, c.rng.Uint32(), date)
		}
		c.line("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail;\r\n\th=from:to:subject:date:message-id; bh=%s;\r\n\tb=%s", c.random(32), c.random(48))
		c.line("References: <%d.a@example.org>\r\n <%d.b@example.org>", c.at, c.at)
		c.line("In-Reply-To: <%d.b@example.org>", c.at)
		c.line("List-Unsubscribe: <mailto:leave@example.org>")
	}
	c.line("Message-ID: <%d.%08x@example.org>", c.at, c.rng.Uint32())
	c.line("Date: %s", date)
	c.line("From: %s", c.address(c.at))
	c.line("To: %s", c.address(c.at+1))
	if c.long {
		c.line("Cc: %s,\r\n %s", c.address(c.at+2), c.address(c.at+3))
	}
	subject := []string{"Lunch on Friday", "Déjà vu: la réunion", "Re: Grüße aus Köln", "報告書について"}[c.at%4]
	c.line("Subject: %s", mime.BEncoding.Encode("utf-8", subject))
	c.line("MIME-Version: 1.0")
	if c.pad >= len("X-Token: \r\n") {
		c.line("X-Token: %s", strings.Repeat("t", c.pad-len("X-Token: \r\n")))
	}
}

func (c *composer) random(n int) string {
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(c.rng.Uint32())
	}
	return base64.StdEncoding.EncodeToString(raw)
}

var ascii = strings.Fields("the letter was folded and sealed with wax before it went by ship over the cold sea to a town where nobody waited")

var accented = strings.Fields("voilà la façade près du café où l’élève naïf goûta des crêpes brûlées über größere Straßen 手紙 は 封 を された")

// prose returns about n bytes of text in lines, and the needle in each fifth mail.
func (c *composer) prose(n int, words []string) string {
	var b strings.Builder
	column := 0
	for b.Len() < n {
		w := words[c.rng.IntN(len(words))]
		b.WriteString(w)
		if column += len(w) + 1; column > 66 {
			b.WriteString("\r\n")
			column = 0
			continue
		}
		b.WriteByte(' ')
	}
	if c.at%needleEvery == 0 {
		b.WriteString("\r\n" + needle)
	}
	return b.String() + "\r\n"
}

// part writes the fields of a text part and its text.
func (c *composer) part(subtype, encoding, text string) {
	charset := "utf-8"
	if encoding == "7bit" {
		charset = "us-ascii"
	}
	c.line("Content-Type: text/%s; charset=%s", subtype, charset)
	c.line("Content-Transfer-Encoding: %s\r\n", encoding)
	switch encoding {
	case "quoted-printable":
		c.quoted(text)
	case "base64":
		c.base64([]byte(text))
	default:
		c.b.WriteString(text)
	}
}

// quoted writes text in quoted-printable, with the needle cut in two.
func (c *composer) quoted(text string) {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
	half := len(needle) / 2
	c.b.WriteString(strings.Replace(b.String(), needle, needle[:half]+"=\r\n"+needle[half:], 1))
}

func (c *composer) base64(raw []byte) {
	text := base64.StdEncoding.EncodeToString(raw)
	for len(text) > 76 {
		c.line("%s", text[:76])
		text = text[76:]
	}
	c.line("%s", text)
}

func (c *composer) plain(encoding string) {
	words := accented
	if encoding == "7bit" {
		words = ascii
	}
	c.part("plain", encoding, c.prose(c.fill, words))
}

// multipart writes parts between boundaries.
func (c *composer) multipart(subtype string, parts ...func()) {
	c.mark++
	boundary := fmt.Sprintf("=_%d_%d", c.at, c.mark)
	c.line("Content-Type: multipart/%s; boundary=\"%s\"\r\n", subtype, boundary)
	for _, p := range parts {
		c.line("--%s", boundary)
		p()
		c.line("")
	}
	c.line("--%s--", boundary)
}

func (c *composer) alternative(fill int) {
	c.multipart("alternative",
		func() { c.part("plain", "quoted-printable", c.prose(fill/3, accented)) },
		func() {
			c.part("html", "quoted-printable", "<html><body><p style=\"margin:0\">"+c.prose(fill*2/3, accented)+"</p></body></html>\r\n")
		})
}

// raw is what compressed files look like.
func (c *composer) raw(n int) []byte {
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(c.rng.Uint32())
	}
	return raw
}

func (c *composer) file(disposition, contentType, name string, n int) {
	c.line("Content-Type: %s; name=\"%s\"", contentType, name)
	c.line("Content-Transfer-Encoding: base64")
	c.line("Content-Disposition: %s; filename=\"%s\"", disposition, name)
	if disposition == "inline" {
		c.line("Content-ID: <%s@example.org>", name)
	}
	c.line("")
	c.base64(c.raw(n))
}

func (c *composer) related() {
	text := min(c.fill/4, 20_000)
	c.multipart("related",
		func() { c.alternative(text) },
		func() { c.file("inline", "image/png", "logo.png", (c.fill-text)/3) },
		func() { c.file("inline", "image/jpeg", "photo.jpg", (c.fill-text)*2/3) })
}

func (c *composer) mixed() {
	text := min(c.fill/4, 20_000)
	c.multipart("mixed",
		func() { c.alternative(text) },
		func() { c.file("attachment", "application/pdf", "rapport.pdf", c.fill-text) })
}

// nested is a mail that was forwarded as an attachment.
func (c *composer) nested() {
	c.multipart("mixed",
		func() { c.part("plain", "7bit", c.prose(c.fill/4, ascii)) },
		func() {
			c.line("Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n")
			inner := &composer{at: c.at, fill: c.fill * 3 / 4, rng: c.rng}
			inner.header()
			inner.plain("quoted-printable")
			c.b.Write(inner.b.Bytes())
		})
}
