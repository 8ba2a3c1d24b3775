package charset

import "golang.org/x/text/encoding/korean"

// johab decodes Johab (KS X 1001 annex 3): a Hangul syllable is three times five
// bits, all else is a row of KS X 1001.
type johab struct{ stateless }

func (johab) step(src []byte, final bool) (r rune, n int) {
	c := src[0]
	if c < 0x80 {
		if c == '\\' {
			return '₩', 1
		}
		return rune(c), 1
	}
	n, ok := pair(src, final)
	if !ok {
		return replacement, n
	}
	d := src[1]
	if d < 0x31 {
		return replacement, 1
	}
	if 0x84 <= c && c <= 0xd3 {
		return hangul(uint(c)<<8 | uint(d)), 2
	}
	return johabSymbol(c, d), 2
}

// johabParts has the number of the jamo for each code of five bits: 0 for the code
// of no jamo, -1 for codes that are not used.
var johabParts = [3][32]int8{
	{-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
	{-1, -1, 0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8, 9, 10, 11, -1, -1, 12, 13, 14, 15, 16, 17, -1, -1, 18, 19, 20, 21, -1, -1},
	{-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, -1, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, -1, -1},
}

var (
	initials = []rune("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ")
	finals   = []rune("ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
)

func hangul(code uint) rune {
	l, v, t := johabParts[0][code>>10&31], johabParts[1][code>>5&31], johabParts[2][code&31]
	switch {
	case l < 0 || v < 0 || t < 0:
	case l > 0 && v > 0:
		return 0xac00 + (rune(l-1)*21+rune(v-1))*28 + rune(t)
	case l > 0 && t == 0:
		return initials[l-1]
	case l == 0 && v > 0 && t == 0:
		return 'ㅏ' + rune(v-1)
	case l == 0 && v == 0 && t > 0:
		return finals[t-1]
	}
	return replacement
}

// johabSymbol decodes symbols and hanja: each first octet has two rows of KS X 1001.
func johabSymbol(c, d byte) rune {
	var row byte
	switch {
	case 0xd9 <= c && c <= 0xde:
		row = 0xa1 + (c-0xd9)*2
	case 0xe0 <= c && c <= 0xf9:
		row = 0xca + (c-0xe0)*2
	default:
		return replacement
	}
	at := int(d) - 0x31
	if d >= 0x91 {
		at = int(d) - 0x43
	} else if d > 0x7e {
		return replacement
	}
	if at >= 94 {
		row, at = row+1, at-94
	}
	if at >= 94 {
		return replacement
	}
	return decodeOne(korean.EUCKR, row, byte(0xa1+at))
}
