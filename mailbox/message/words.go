package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// DecodeHeader returns the text of an unfolded header value in UTF-8: the
// encoded-words in it are decoded (RFC 2047). It is lenient: a word that cannot be
// decoded stays as it is, neighbours of one charset are joined first because many
// mailers cut characters in two, and words may have any length. Raw octets that are
// no UTF-8 are read as Windows-1252; see [Header.Decode].
func DecodeHeader(s string) string { return decodeHeader(s, "") }

// decodeHeader is DecodeHeader that reads raw octets in the charset of a label.
func decodeHeader(s, label string) string {
	if !strings.Contains(s, "=?") {
		return decodeRaw(s, label)
	}
	d := wordDecoder{raw: label}
	for s != "" {
		w, rest, ok := encodedWord(s)
		if ok {
			d.word(w)
		} else {
			n := strings.Index(s[1:], "=?") + 1
			if n == 0 {
				n = len(s)
			}
			rest = s[n:]
			d.between(s[:n], rest)
		}
		s = rest
	}
	d.flush()
	return d.out.String()
}

// wordDecoder gathers the words of a header value.
type wordDecoder struct {
	out     strings.Builder
	raw     string // charset of what is no encoded-word
	charset string // of pending
	pending []byte // octets of the words so far
	words   bool   // the last thing seen was an encoded-word
}

func (d *wordDecoder) word(w word) {
	if d.words && !strings.EqualFold(w.charset, d.charset) {
		d.flush()
	}
	d.charset, d.words = w.charset, true
	d.pending = append(d.pending, w.text...)
}

// between takes what is no encoded-word. Blanks between two words are not part of
// the text.
func (d *wordDecoder) between(text, rest string) {
	if d.words && strings.Trim(text, " \t\r\n") == "" {
		if _, _, ok := encodedWord(rest); ok {
			return
		}
	}
	d.flush()
	d.words = false
	d.out.WriteString(decodeRaw(text, d.raw))
}

func (d *wordDecoder) flush() {
	if len(d.pending) > 0 {
		d.out.WriteString(decodeCharset(d.charset, d.pending))
		d.pending = d.pending[:0]
	}
}

type word struct {
	charset string
	text    []byte
}

// encodedWord takes the encoded-word that s begins with. Its text does not reach over
// the beginning of another, so that a header value is read once, whatever it holds.
func encodedWord(s string) (w word, rest string, ok bool) {
	n := encodedWordLen(s)
	if n == 0 {
		return w, s, false
	}
	charset, text, _ := strings.Cut(s[2:n-2], "?")
	enc, text := text[0], text[2:]
	switch enc {
	case 'q', 'Q':
		w.text = decodeQ(text)
	default:
		if w.text, ok = decodeB(text); !ok {
			return w, s, false
		}
	}
	w.charset = charset
	return w, s[n:], true
}

// maxCharset is the longest label of a charset with its language, in octets.
const maxCharset = 200

// encodedWordLen returns the length of the encoded-word that s begins with, 0 if it
// begins with none.
func encodedWordLen(s string) int {
	if !strings.HasPrefix(s, "=?") {
		return 0
	}
	charset, _, ok := strings.Cut(s[2:min(len(s), 2+maxCharset)], "?")
	at := len("=?") + len(charset) + len("?q?")
	if !ok || charset == "" || strings.ContainsAny(charset, " \t=") || len(s) < at || s[at-1] != '?' ||
		strings.IndexByte("qQbB", s[at-2]) < 0 {
		return 0
	}
	for i := at; i < len(s)-1; i++ {
		n := strings.IndexByte(s[i:], '?')
		if n < 0 {
			return 0
		}
		switch i += n; {
		case i+1 < len(s) && s[i+1] == '=':
			return i + len("?=")
		case i > at && s[i-1] == '=': // another word begins
			return 0
		}
	}
	return 0
}

func decodeQ(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(s):
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		b = append(b, c)
	}
	return b
}

// decodeB decodes base64 with or without its padding, and with blanks in it.
func decodeB(s string) ([]byte, bool) {
	s = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '=' {
			return -1
		}
		return r
	}, s)
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	return b, err == nil
}

// Charset returns the label of the charset that raw octets in the header of the
// message are read in, where they are no UTF-8: that of its first text part. It is
// empty if no part has one.
func (m *Message) Charset() string { return m.Root.rawCharset() }

func (p *Part) rawCharset() string {
	if p.Type == "text" {
		return p.Param("charset")
	}
	if p.IsMultipart() {
		for _, c := range p.Children {
			if label := c.rawCharset(); label != "" {
				return label
			}
		}
	}
	return ""
}

// HeaderFields returns the kept header block of the message, read in
// [Message.Charset].
func (m *Message) HeaderFields() Header { return m.Root.read(m.Header) }

// HeaderFields returns the kept header block of the root of an enclosed message, read
// in the charset of that message.
func (p *Part) HeaderFields() Header { return p.read(p.Header) }

func (p *Part) read(block []byte) Header {
	h := ParseHeader(block)
	if !plainRaw(h.fields) {
		h.charset = p.rawCharset()
	}
	return h
}

// WithCharset returns the same header, which [Header.Decode] reads in the charset of
// a label. Without it that is the charset that its own Content-Type names.
func (h Header) WithCharset(label string) Header {
	h.charset = label
	return h
}

// Decode is [DecodeHeader] for the text of one of the fields, which reads raw octets
// in the charset of the message if they are no UTF-8.
func (h Header) Decode(text string) string { return decodeHeader(text, h.label(text)) }

// label returns the charset that a text of the header is read in, if it needs one.
func (h Header) label(text string) string {
	if plainRaw(text) || h.charset != "" {
		return h.charset
	}
	p := &Part{}
	p.setType(h.Get("Content-Type"))
	return p.Param("charset")
}

// plainRaw reports whether raw text is read alike in every charset.
func plainRaw(s string) bool {
	return strings.IndexByte(s, 0x1b) < 0 && utf8.ValidString(s) && !strings.Contains(s, "~{")
}
