package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// DecodeHeader returns the text of an unfolded header value in UTF-8: the
// encoded-words in it are decoded (RFC 2047), from every charset that
// go-message/charset knows. It is lenient: a word that cannot be decoded stays
// as it is, neighbours of one charset and encoding are joined first because many
// mailers cut characters in two, and raw octets that are no UTF-8 are read as
// Windows-1252.
func DecodeHeader(s string) string {
	if !strings.Contains(s, "=?") {
		if utf8.ValidString(s) {
			return s
		}
		return decodeCharset("", []byte(s))
	}
	var out strings.Builder
	var pending []byte // decoded octets of the words so far, in charset
	charset := ""
	words := false // the last thing seen was an encoded-word
	flush := func() {
		out.WriteString(decodeCharset(charset, pending))
		pending = pending[:0]
	}
	for s != "" {
		if w, rest, ok := encodedWord(s); ok {
			if words && !strings.EqualFold(w.charset, charset) {
				flush()
			}
			charset, words, s = w.charset, true, rest
			pending = append(pending, w.text...)
			continue
		}
		n := strings.Index(s[1:], "=?") + 1
		if n == 0 {
			n = len(s)
		}
		between := s[:n]
		s = s[n:]
		if words && s != "" && strings.Trim(between, " \t\r\n") == "" {
			if _, _, ok := encodedWord(s); ok {
				continue // blanks between two words are not part of the text
			}
		}
		flush()
		words = false
		out.WriteString(decodeCharset("", []byte(between)))
	}
	flush()
	return out.String()
}

// maxWord is how long the text of an encoded-word may be. RFC 2047 section 2 says
// 75; mailers that never cut a subject exist.
const maxWord = 4 << 10

type word struct {
	charset string
	text    []byte
}

// encodedWord takes the encoded-word that s begins with.
func encodedWord(s string) (w word, rest string, ok bool) {
	if !strings.HasPrefix(s, "=?") {
		return w, s, false
	}
	charset, tail, ok1 := strings.Cut(s[2:], "?")
	enc, tail, ok2 := strings.Cut(tail, "?")
	text, _, ok3 := strings.Cut(tail[:min(len(tail), maxWord)], "?=")
	if !ok1 || !ok2 || !ok3 || charset == "" || strings.ContainsAny(charset, " \t=") || len(enc) != 1 {
		return w, s, false
	}
	switch enc {
	case "q", "Q":
		w.text = decodeQ(text)
	case "b", "B":
		if w.text, ok = decodeB(text); !ok {
			return w, s, false
		}
	default:
		return w, s, false
	}
	w.charset = cleanCharset(charset)
	return w, tail[len(text)+len("?="):], true
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
