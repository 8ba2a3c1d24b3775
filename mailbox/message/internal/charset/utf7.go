package charset

import (
	"strings"
	"unicode/utf16"
)

// utf7 decodes UTF-7 (RFC 2152): ASCII with runs of UTF-16 in base64, each between
// "+" and an octet that is no base64.
type utf7 struct {
	shifted bool // inside of a run
	empty   bool // nothing of the run has come
	acc     uint32
	bits    uint
	high    rune // the first half of a surrogate pair, or 0
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func (u *utf7) reset() { *u = utf7{} }

func (u *utf7) step(src []byte, _ bool) (r rune, n int) {
	c := src[0]
	switch {
	case !u.shifted && c == '+':
		*u = utf7{shifted: true, empty: true}
		return none, 1
	case !u.shifted && c < 0x80:
		return rune(c), 1
	case !u.shifted:
		return replacement, 1
	}
	if v := strings.IndexByte(base64Alphabet, c); v >= 0 {
		return u.take(uint32(v)), 1
	}
	empty := u.empty
	u.reset()
	switch {
	case c == '-' && empty:
		return '+', 1
	case c == '-':
		return none, 1
	case c < 0x80:
		return rune(c), 1
	}
	return replacement, 1
}

// take adds six bits, and returns a character if one is complete.
func (u *utf7) take(v uint32) rune {
	u.empty = false
	u.acc = u.acc<<6 | v
	if u.bits += 6; u.bits < 16 {
		return none
	}
	u.bits -= 16
	unit := rune(u.acc >> u.bits & 0xffff)
	high := u.high
	u.high = 0
	switch {
	case !utf16.IsSurrogate(unit):
		return unit
	case high != 0:
		return utf16.DecodeRune(high, unit)
	}
	u.high = unit
	return none
}
