package message

import (
	"encoding/binary"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Fold returns s in the form in which a [matcher] compares texts. Letters that
// differ only in case are equal, by Unicode simple case folding; each run of
// spaces, tabs and line ends is one space, so that a phrase is found where a line
// was broken inside of it. Octets that are no UTF-8 stay. Nothing is normalised:
// a letter with a combining accent is not the one precomposed character (RFC 5051
// would have it so).
func Fold(s string) string {
	b, _, _ := appendFold(make([]byte, 0, len(s)), []byte(s), false, true)
	return string(b)
}

// appendFold appends src to dst in folded form, which is never longer. space says
// that the text before ended with a space. Unless final is set, an incomplete
// rune at the end of src is left, and n is how much was consumed.
func appendFold(dst, src []byte, space, final bool) (out []byte, n int, endSpace bool) {
	dst = slices.Grow(dst, len(src))
	f := folder{table: foldTable(), dst: dst[:cap(dst)], n: len(dst), src: src, space: space}
	for f.i < len(src) {
		f.ascii()
		if !f.slow(final) {
			break
		}
	}
	return f.dst[:f.n], f.i, f.space
}

// folder folds src[i:] to dst[n:].
type folder struct {
	table    *[foldTableSize]uint16
	dst, src []byte
	n, i     int
	space    bool // the octet before src[i] is a space
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// ascii folds plain ASCII, eight octets at a time: none above 0x7f, no control (a
// line end or tab among them), no two spaces in a row.
func (f *folder) ascii() {
	dst, src := f.dst[f.n:], f.src[f.i:]
	n := 0
	before := uint64(0) // 0x80 if the octet before is a space
	if f.space {
		before = 0x80
	}
	for len(src)-n >= 8 && len(dst)-n >= 8 {
		x := binary.LittleEndian.Uint64(src[n:])
		spaces := ^((x ^ 0x20*ones) + 0x7f*ones) & highs
		if (x|(x-0x20*ones))&highs|spaces&(spaces<<8|before) != 0 {
			break
		}
		upper := (x + (0x80-'A')*ones) &^ (x + (0x80-'Z'-1)*ones) & highs
		binary.LittleEndian.PutUint64(dst[n:], x|upper>>2)
		before = spaces >> 56
		n += 8
	}
	f.n += n
	f.i += n
	f.space = before != 0
}

// slow folds at least the next eight octets one by one. It reports false if an
// incomplete rune is left.
func (f *folder) slow(final bool) bool {
	for stop := min(f.i+8, len(f.src)); f.i < stop; {
		c := f.src[f.i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if !f.space {
				f.put(' ')
			}
			f.space = true
			f.i++
			continue
		case 'A' <= c && c <= 'Z':
			f.put(c + 'a' - 'A')
			f.i++
		case c < utf8.RuneSelf:
			f.put(c)
			f.i++
		default:
			r, size := utf8.DecodeRune(f.src[f.i:])
			switch {
			case r != utf8.RuneError || size > 1:
				f.n += utf8.EncodeRune(f.dst[f.n:], f.rune(r))
			case !final && !utf8.FullRune(f.src[f.i:]):
				return false
			default:
				f.put(c)
			}
			f.i += size
		}
		f.space = false
	}
	return true
}

func (f *folder) put(c byte) {
	f.dst[f.n] = c
	f.n++
}

func (f *folder) rune(r rune) rune {
	switch {
	case r < foldTableSize:
		return rune(f.table[r])
	case 0x2e80 <= r && r < 0xa640 || 0xac00 <= r && r < 0xd7a4: // CJK, Hangul: no case
		return r
	}
	return foldRune(r)
}

// foldRune returns the one rune that stands for all that differ from r in case:
// the smallest of them, but a lower case letter in ASCII. Its encoding is never
// longer than that of r.
func foldRune(r rune) rune {
	low := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		low = min(low, f)
	}
	if 'A' <= low && low <= 'Z' {
		low += 'a' - 'A'
	}
	return low
}

// foldTableSize covers the alphabets with case that mail is written in: Latin,
// Greek, Cyrillic, Armenian, Georgian.
const foldTableSize = 0x2000

var foldTable = sync.OnceValue(func() *[foldTableSize]uint16 {
	t := new([foldTableSize]uint16)
	for r := range t {
		t[r] = uint16(foldRune(rune(r)))
	}
	return t
})
