package charset

import (
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// set is a coded character set that an escape sequence can designate.
type set uint8

const (
	ascii set = iota
	roman     // of JIS X 0201
	katakana
	latin1 // the upper half of ISO 8859-1
	greek  // of ISO 8859-7
	// The sets from here on have two octets a character.
	jisx0208
	jisx0212
	gb2312
	ksx1001
	cns1 // CNS 11643 plane 1
	cns2
	unknown // two octets; decoded to nothing that can be read
)

// sets94 and sets94x94 are the sets by the final octet of their escape sequence
// (ISO-IR; RFC 1468, 1554, 1557, 1922, 2237). Those of JIS X 0213 have the characters
// of JIS X 0208 in the same places.
var (
	sets94    = map[byte]set{'B': ascii, 'J': roman, 'H': roman, 'I': katakana}
	sets96    = map[byte]set{'A': latin1, 'F': greek}
	sets94x94 = map[byte]set{
		'@': jisx0208, 'A': gb2312, 'B': jisx0208, 'C': ksx1001, 'D': jisx0212, 'E': gb2312, 'G': cns1, 'H': cns2,
		'O': jisx0208, 'Q': jisx0208,
	}
)

// variant is what distinguishes the members of the family.
type variant struct {
	g1    set // what SO selects before it was designated
	eight set // what octets above 0x7f are, which the standards forbid
}

var (
	jp = variant{g1: katakana, eight: katakana}
	kr = variant{g1: ksx1001, eight: ksx1001}
	cn = variant{g1: gb2312, eight: gb2312}
)

// iso2022 decodes ISO-2022-JP with all its extensions, ISO-2022-KR and ISO-2022-CN
// in one: escape sequences designate character sets to G0 to G3, SO and SI shift
// between G1 and G0, SS2 and SS3 shift to G2 and G3 for one character.
type iso2022 struct {
	variant
	g      [4]set
	shift  int // 1 after SO, else 0
	single int // 2 or 3 after SS2 or SS3, else 0
}

func newISO2022(v variant) *iso2022 {
	s := &iso2022{variant: v}
	s.reset()
	return s
}

func (s *iso2022) reset() {
	s.g = [4]set{ascii, s.g1, unknown, unknown}
	s.shift, s.single = 0, 0
}

func (s *iso2022) step(src []byte, final bool) (r rune, n int) {
	c := src[0]
	switch {
	case c == 0x1b:
		return s.escape(src, final)
	case c == 0x0e:
		s.shift = 1
		return none, 1
	case c == 0x0f:
		s.shift = 0
		return none, 1
	case c == '\n': // a line begins unshifted (RFC 1557 section 2, RFC 1922 section 3.1)
		s.shift, s.single = 0, 0
		return '\n', 1
	case c <= ' ' || c == 0x7f:
		return rune(c), 1
	}
	g := s.g[s.shift]
	if s.single > 0 {
		g = s.g[s.single]
	}
	if c >= 0x80 {
		g = s.eight
	}
	if g < jisx0208 {
		s.single = 0
		return g.one(c & 0x7f), 1
	}
	n, ok := pair(src, final)
	if n > 0 {
		s.single = 0
	}
	if !ok {
		return replacement, n
	}
	if d := src[1]; (d^c)&0x80 != 0 || d&0x7f <= ' ' || d == 0x7f {
		return replacement, 1
	}
	return g.two(c&0x7f, src[1]&0x7f), 2
}

// escape reads an escape sequence. One that is not known is passed over up to its
// final octet.
func (s *iso2022) escape(src []byte, final bool) (r rune, n int) {
	n = 1
	for n < len(src) && ' ' <= src[n] && src[n] <= '/' {
		n++
	}
	if n == len(src) || n > 4 {
		if final || n > 4 {
			return none, n
		}
		return none, 0
	}
	last := src[n]
	middle := string(src[1:n])
	n++
	switch middle {
	case "":
		switch last {
		case 'N':
			s.single = 2
		case 'O':
			s.single = 3
		}
	case "$":
		s.designate(0, sets94x94, last, unknown)
	case "$(", "$)", "$*", "$+":
		s.designate(int(middle[1]-'('), sets94x94, last, unknown)
	case "(", ")", "*", "+":
		s.designate(int(middle[0]-'('), sets94, last, ascii)
	case "-", ".", "/":
		s.designate(int(middle[0]-'-')+1, sets96, last, latin1)
	}
	return none, n
}

// designate puts a set into G0 to G3. One that is not known is read as another of its
// size.
func (s *iso2022) designate(g int, sets map[byte]set, last byte, instead set) {
	to, ok := sets[last]
	if !ok {
		to = instead
	}
	s.g[g] = to
}

// one decodes a character of a set with one octet a character, without its high bit.
func (g set) one(c byte) rune {
	switch g {
	case roman:
		switch c {
		case '\\':
			return '¥'
		case '~':
			return '‾'
		}
	case katakana:
		if c > 0x5f {
			return replacement
		}
		return 0xff61 + rune(c-0x21)
	case latin1:
		return rune(c | 0x80)
	case greek:
		return charmap.ISO8859_7.DecodeByte(c | 0x80)
	}
	return rune(c)
}

// two decodes a character of a set with two octets a character, without their high
// bits.
func (g set) two(c, d byte) rune {
	a, b := c|0x80, d|0x80
	switch g {
	case jisx0208:
		return decodeOne(japanese.EUCJP, a, b)
	case jisx0212:
		return decodeOne(japanese.EUCJP, 0x8f, a, b)
	case gb2312:
		return decodeOne(simplifiedchinese.GB18030, a, b)
	case ksx1001:
		return decodeOne(korean.EUCKR, a, b)
	case cns1, cns2:
		return cns11643(g, c, d)
	}
	return replacement
}
