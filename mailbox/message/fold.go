package message

import (
	"encoding/binary"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// FoldVersion names the rules of [Fold] and the versions of Unicode that it was built
// with. Text that was folded and kept is compared only with what the same version
// folds; who finds another version folds the text anew.
const FoldVersion = "2 " + unicode.Version + " " + norm.Version

// Fold returns s in the form in which a [matcher] compares texts: close to what Unicode
// calls NFKC_Casefold.
//
//   - Characters are in normalization form NFKC: a letter with a combining accent is the
//     one precomposed character, a wide or ligated letter the plain one.
//   - Letters that differ only in case are equal, by Unicode simple case folding.
//   - Each run of spaces, tabs, line ends and other white space is one space, so that a
//     phrase is found where a line was broken inside of it.
//   - Characters that are not shown, such as a soft hyphen, are left out.
//   - Octets that are no UTF-8 stay.
//
// The result depends on s alone. It has no line end, and no two spaces in a row.
func Fold(s string) string {
	b, _, _ := appendFold(make([]byte, 0, len(s)), []byte(s), false, true)
	return string(b)
}

// appendFold appends src to dst in folded form. space says that the text before ended
// with a space. Unless final is set, what may yet change at the end of src is left: an
// incomplete rune, and a letter that an accent may follow. n is how much was consumed.
func appendFold(dst, src []byte, space, final bool) (out []byte, n int, endSpace bool) {
	dst = slices.Grow(dst, len(src))
	f := folder{table: foldTable(), dst: dst, from: len(dst), before: space, src: src, space: space, closed: -1}
	for f.i < len(src) {
		f.ascii()
		if !f.slow(final) {
			break
		}
	}
	if !final && f.i == len(src) {
		f.takeBack()
	}
	return f.dst, f.i, f.space
}

// folder folds src[i:] to the end of dst.
type folder struct {
	table    *[foldTableSize]uint16
	dst, src []byte
	i        int
	space    bool // dst ends with a space
	from     int  // the length that dst had
	before   bool // whether it ended with a space
	closed   int  // where in src a segment ended although an accent follows
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// ascii folds plain ASCII, eight octets at a time: none above 0x7f, no control (a
// line end or tab among them), no two spaces in a row.
func (f *folder) ascii() {
	dst, src := f.dst[len(f.dst):cap(f.dst)], f.src[f.i:]
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
	f.dst = f.dst[:len(f.dst)+n]
	f.i += n
	f.space = before != 0
}

// slow folds at least the next eight octets one by one. It reports false if the rest
// of src is incomplete.
func (f *folder) slow(final bool) bool {
	for stop := min(f.i+8, len(f.src)); f.i < stop; {
		c := f.src[f.i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			f.blank()
			f.i++
			continue
		case 'A' <= c && c <= 'Z':
			f.dst = append(f.dst, c+'a'-'A')
			f.i++
		case c < utf8.RuneSelf:
			f.dst = append(f.dst, c)
			f.i++
		default:
			if !f.rune(final) {
				return false
			}
			continue
		}
		f.space = false
	}
	return true
}

func (f *folder) blank() {
	if !f.space {
		f.dst = append(f.dst, ' ')
	}
	f.space = true
}

// rune folds the next rune, which is not in ASCII, and what belongs to it.
func (f *folder) rune(final bool) bool {
	r, size := utf8.DecodeRune(f.src[f.i:])
	if r == utf8.RuneError && size <= 1 {
		if !final && !utf8.FullRune(f.src[f.i:]) {
			f.takeBack() // it may be an accent
			return false
		}
		f.dst = append(f.dst, f.src[f.i])
		f.space = false
		f.i++
		return true
	}
	class := f.class(r, f.src[f.i:])
	if class > combining {
		f.dst = utf8.AppendRune(f.dst, class)
		f.space = false
		f.i += size
		return true
	}
	if class == combining && f.closed != f.i {
		f.takeBack()
	}
	return f.segment(final)
}

// takeBack undoes the folding of the last rune if an accent may belong to it.
func (f *folder) takeBack() {
	if f.i == 0 || f.closed == f.i {
		return
	}
	r, size := utf8.DecodeLastRune(f.src[:f.i])
	folded := 1
	if r >= utf8.RuneSelf {
		class := f.class(r, f.src[f.i-size:])
		if r == utf8.RuneError && size == 1 || class <= combining {
			return
		}
		folded = utf8.RuneLen(class)
	} else if !isLetter(byte(r)) && (r < '<' || r > '>') {
		return
	}
	f.i -= size
	f.dst = f.dst[:len(f.dst)-folded]
	if f.space = f.before; len(f.dst) > f.from {
		f.space = f.dst[len(f.dst)-1] == ' '
	}
}

// maxSegment is how many runes are normalized together. Unicode Standard Annex 15
// section 13 lets 30 accents follow a letter.
const maxSegment = 32

// segment folds the next rune together with the accents behind it.
func (f *folder) segment(final bool) bool {
	end, runes := f.i, 0
	for end < len(f.src) {
		r, size := utf8.DecodeRune(f.src[end:])
		if r == utf8.RuneError && size <= 1 {
			if !final && !utf8.FullRune(f.src[end:]) {
				return false
			}
			break
		}
		if runes > 0 && (r < utf8.RuneSelf || f.class(r, f.src[end:]) != combining) || runes == maxSegment {
			break
		}
		end += size
		runes++
	}
	if end == len(f.src) && !final && runes < maxSegment {
		return false
	}
	if runes == maxSegment {
		f.closed = end
	}
	var mem [256]byte
	b := norm.NFKC.Append(mem[:0], f.src[f.i:end]...)
	var mem2 [256]byte
	b2 := mem2[:0]
	for _, r := range string(b) {
		b2 = utf8.AppendRune(b2, foldRune(r))
	}
	for _, r := range string(norm.NFKC.Append(mem[:0], b2...)) {
		switch {
		case isWhite(r):
			f.blank()
		case isHidden(r):
		default:
			f.dst = utf8.AppendRune(f.dst, r)
			f.space = false
		}
	}
	f.i = end
	return true
}

// What class returns besides folded runes.
const (
	special   = 0 // is to be normalized, is white space, or not shown
	combining = 1 // the same, and changes together with what is before it
)

// class returns the folded form of a rune that is alone a segment whatever is before
// it, or one of the constants above. text begins with the rune.
func (f *folder) class(r rune, text []byte) rune {
	switch {
	case r < foldTableSize:
		return rune(f.table[r])
	case 0x2018 <= r && r <= 0x2022, // quotation marks
		0x3001 <= r && r <= 0x3020, 0x3041 <= r && r <= 0x3096, 0x30a1 <= r && r <= 0x30fe, // CJK punctuation, kana
		0x3400 <= r && r <= 0x9fff, 0xac00 <= r && r <= 0xd7a3: // CJK, Hangul: no case
		return r
	}
	return classOf(r, text)
}

func classOf(r rune, text []byte) rune {
	p := norm.NFKC.Properties(text)
	switch {
	case !p.BoundaryBefore():
		return combining
	case p.Decomposition() != nil && !norm.NFKC.IsNormal(text[:utf8.RuneLen(r)]) || isWhite(r) || isHidden(r):
		return special
	}
	return foldRune(r)
}

// isWhite reports whether a character is shown as blank.
func isWhite(r rune) bool {
	return r == ' ' || r == '\t' || r == '\r' || r == '\n' || r >= utf8.RuneSelf && unicode.IsSpace(r)
}

// isHidden reports whether a character is not shown (Default_Ignorable_Code_Point,
// Unicode chapter 5.21).
func isHidden(r rune) bool {
	if r < 0xad {
		return false
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r) && (r < 0xfff9 || r > 0xfffb) &&
			(r < 0x13430 || r > 0x1345f)
}

// foldRune returns the one rune that stands for all that differ from r in case: the
// smallest that is in lower case, or else the smallest, of those that NFKC does not
// change.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	best := rune(-1)
	for f := unicode.SimpleFold(r); ; f = unicode.SimpleFold(f) {
		if stable(f) && (best < 0 || unicode.IsLower(f) && (!unicode.IsLower(best) || f < best) ||
			f < best && !unicode.IsLower(best)) {
			best = f
		}
		if f == r {
			break
		}
	}
	if best < 0 {
		return r
	}
	return best
}

// stable reports whether a rune stays what it is when text is normalized.
func stable(r rune) bool {
	var mem [utf8.UTFMax]byte
	b := utf8.AppendRune(mem[:0], r)
	return norm.NFKC.IsNormal(b) && norm.NFKC.Properties(b).BoundaryBefore()
}

// foldTableSize covers the alphabets with case that mail is written in: Latin,
// Greek, Cyrillic, Armenian, Georgian.
const foldTableSize = 0x2000

// foldTable has the class of each rune below foldTableSize.
var foldTable = sync.OnceValue(func() *[foldTableSize]uint16 {
	t := new([foldTableSize]uint16)
	var text []byte
	for r := range t {
		text = utf8.AppendRune(text[:0], rune(r))
		t[r] = uint16(classOf(rune(r), text))
	}
	return t
})
