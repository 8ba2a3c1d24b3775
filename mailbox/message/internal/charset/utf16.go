package charset

import (
	"bytes"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	utf "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// A byte order mark is removed, and counts more than the order that the label names.
var (
	utf16be = utf.UTF16(utf.BigEndian, utf.UseBOM)
	utf16le = utf.UTF16(utf.LittleEndian, utf.UseBOM)
	utf32be = utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	utf32le = utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
)

// guess chooses a decoder by the beginning of the text.
type guess struct {
	pick   func(begin []byte) transform.Transformer
	chosen transform.Transformer
}

// guessed is how many octets a guess is made of.
const guessed = 512

func (g *guess) Reset() { g.chosen = nil }

func (g *guess) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	if g.chosen == nil {
		if len(src) < guessed && !atEOF {
			return 0, 0, transform.ErrShortSrc
		}
		g.chosen = g.pick(src[:min(len(src), guessed)])
	}
	nDst, nSrc, err = g.chosen.Transform(dst, src, atEOF)
	if err == transform.ErrShortSrc && atEOF { // a character that was cut off
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], replacement)
		return nDst, len(src), nil
	}
	return nDst, nSrc, err
}

// pickUTF16 finds the byte order of text without a mark. If it cannot be told, it is
// big-endian (RFC 2781 section 4.3).
func pickUTF16(begin []byte) transform.Transformer {
	if looksASCII(begin) { // programs exist that name the charset that they read and not what they sent
		return utf.UTF8.NewDecoder().Transformer
	}
	if !bytes.HasPrefix(begin, []byte{0xfe, 0xff}) && likeness(begin, 1) > likeness(begin, 0) {
		return utf16le.NewDecoder().Transformer
	}
	return utf16be.NewDecoder().Transformer
}

// looksASCII reports whether a text is most likely no UTF-16 at all: it is long, and all
// of it is printable ASCII.
func looksASCII(text []byte) bool {
	for _, c := range text {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return len(text) >= 32
}

// likeness says how much like text UTF-16 is that has its high octets at the given
// place: it has spaces and ends of lines, characters that are assigned, and high
// octets that are much alike, because its letters are of one alphabet.
func likeness(text []byte, high int) int {
	score := 0
	for i := 0; i+1 < len(text); i += 2 {
		r := rune(text[i+high])<<8 | rune(text[i+1-high])
		switch {
		case r == ' ' || r == '\r' || r == '\n' || 0x3000 <= r && r <= 0x3002:
			score += 4
		case ' ' < r && r < 0x7f:
			score += 2
		case !unicode.IsPrint(r) && !utf16.IsSurrogate(r):
			score -= 4
		}
		if i > 0 && text[i+high] == text[i-2+high] {
			score++
		}
	}
	return score
}

func pickUTF32BE([]byte) transform.Transformer { return utf32be.NewDecoder().Transformer }
func pickUTF32LE([]byte) transform.Transformer { return utf32le.NewDecoder().Transformer }

// pickUTF32 finds the byte order of text without a mark: the highest octet of every
// character is zero.
func pickUTF32(begin []byte) transform.Transformer {
	if len(begin) >= 4 && begin[0] != 0 && begin[3] == 0 {
		return pickUTF32LE(begin)
	}
	return pickUTF32BE(begin)
}
