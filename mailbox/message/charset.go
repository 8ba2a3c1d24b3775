package message

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"

	"github.com/letterlock/letterlock/mailbox/message/internal/charset"
)

// charsetReader returns r converted from a charset to UTF-8. US-ASCII, UTF-8, no
// charset and unknown ones are read alike: as UTF-8, and octets that are none as
// Windows-1252, which is what unlabelled text most often is.
func charsetReader(label string, r io.Reader) io.Reader {
	return transform.NewReader(r, charsetDecoder(label))
}

func charsetDecoder(label string) transform.Transformer {
	if name, ok := charset.Find(label); ok && name != charset.UTF8 {
		return name.NewDecoder()
	}
	return lenientUTF8{}
}

// decodeCharset is charsetReader for a short text.
func decodeCharset(label string, b []byte) string {
	if isUTF8(label) && utf8.Valid(b) {
		return string(b)
	}
	out, _, err := transform.Bytes(charsetDecoder(label), b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	return string(out)
}

// isUTF8 reports whether text of the charset is read as UTF-8.
func isUTF8(label string) bool {
	if label == "" {
		return true
	}
	name, ok := charset.Find(label)
	return !ok || name == charset.UTF8
}

// decodeRaw decodes text that was put into a header field without encoding it. It
// is UTF-8 where it can be, else in the charset of the message.
func decodeRaw(s, label string) string {
	switch {
	case plainRaw(s):
		return s
	case !utf8.ValidString(s):
		return decodeCharset(label, []byte(s))
	}
	name, _ := charset.Find(label)
	mark := name.Mark()
	if mark == "" { // Japanese mailers without MIME wrote ISO-2022-JP
		label, mark = "iso-2022-jp", "\x1b$"
	}
	if strings.Contains(s, mark) {
		return decodeCharset(label, []byte(s))
	}
	return s
}

// lenientUTF8 is a transformer that leaves UTF-8 as it is and reads every other
// octet as Windows-1252.
type lenientUTF8 struct{ transform.NopResetter }

func (lenientUTF8) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	tried := 0 // src is not plain up to here
	for nSrc < len(src) {
		// The common case by blocks, copied as they are.
		if n := min(len(src)-nSrc, len(dst)-nDst, 512); n > utf8.UTFMax && nSrc >= tried {
			block := src[nSrc : nSrc+n]
			for i := 0; i < utf8.UTFMax && !endsWhole(block); i++ {
				block = block[:len(block)-1]
			}
			if utf8.Valid(block) {
				nDst += copy(dst[nDst:], block)
				nSrc += len(block)
				continue
			}
			tried = nSrc + n
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && size <= 1 {
			if !atEOF && !utf8.FullRune(src[nSrc:]) {
				return nDst, nSrc, transform.ErrShortSrc
			}
			r, size = charmap.Windows1252.DecodeByte(src[nSrc]), 1
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}

// endsWhole reports whether b does not end inside of a rune.
func endsWhole(b []byte) bool {
	for i := 1; i <= utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			return utf8.FullRune(b[len(b)-i:])
		}
	}
	return true
}
