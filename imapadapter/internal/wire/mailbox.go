package wire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7 is the base64 of RFC 3501 section 5.1.3.
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// Mailbox takes the name of a mailbox and returns it in UTF-8. Malformed UTF-7 stands for
// itself: it names a mailbox that does not exist, or one with an ampersand in its name.
func (p *Parser) Mailbox() string {
	return p.mailbox(p.AString(), false)
}

// NewMailbox takes the name of a mailbox that is to be created. Malformed UTF-7 is an
// error, so a name is created in one spelling only (RFC 3501 section 5.1.3).
func (p *Parser) NewMailbox() string {
	return p.mailbox(p.AString(), true)
}

// Pattern takes a mailbox name with wildcards, as LIST has it.
func (p *Parser) Pattern() string {
	if c := p.Peek(); c == '"' || c == '{' {
		return p.mailbox(p.String(), false)
	}
	return p.mailbox(p.run("a pattern", func(b byte) bool { return astringChar(b) || b == '*' || b == '%' }), false)
}

func (p *Parser) mailbox(name string, strict bool) string {
	if p.err != nil {
		return ""
	}
	if !ascii(name) {
		// Some clients send UTF-8 without having enabled it.
		if !utf8.ValidString(name) {
			p.Fail("mailbox name is not UTF-8")
			return ""
		}
		return name
	}
	if p.UTF8 || !strings.Contains(name, "&") {
		return name
	}
	s, ok := decodeUTF7(name)
	switch {
	case ok:
		return s
	case strict:
		p.Fail("malformed UTF-7 in a mailbox name")
	}
	return name
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// decodeUTF7 decodes modified UTF-7. What could have been written otherwise is
// refused: one name has one spelling.
func decodeUTF7(s string) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "&")
		b.WriteString(before)
		if !found {
			break
		}
		coded, rest, closed := strings.Cut(after, "-")
		if !closed {
			return "", false
		}
		if coded == "" {
			b.WriteByte('&')
		} else if !decodeUTF16(&b, coded) {
			return "", false
		}
		s = rest
	}
	return b.String(), true
}

func decodeUTF16(b *strings.Builder, coded string) bool {
	raw, err := utf7.Strict().DecodeString(coded)
	if err != nil || len(raw)%2 != 0 {
		return false
	}
	for i := 0; i < len(raw); i += 2 {
		r := rune(raw[i])<<8 | rune(raw[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i >= len(raw) {
				return false
			}
			if r = utf16.DecodeRune(r, rune(raw[i])<<8|rune(raw[i+1])); r == utf8.RuneError {
				return false
			}
		}
		if ' ' <= r && r < 0x7f {
			return false // it has to be written as itself
		}
		b.WriteRune(r)
	}
	return true
}

// encodeUTF7 writes a name in modified UTF-7.
func encodeUTF7(name string) string {
	if ascii(name) && !strings.Contains(name, "&") {
		return name
	}
	var b strings.Builder
	var wide []byte
	flush := func() {
		if len(wide) > 0 {
			b.WriteString("&" + utf7.EncodeToString(wide) + "-")
			wide = wide[:0]
		}
	}
	for _, r := range name {
		switch {
		case r == '&':
			flush()
			b.WriteString("&-")
		case ' ' <= r && r < 0x7f:
			flush()
			b.WriteRune(r)
		default:
			for _, u := range utf16.Encode([]rune{r}) {
				wide = append(wide, byte(u>>8), byte(u))
			}
		}
	}
	flush()
	return b.String()
}
