package charset

import (
	"unicode/utf8"

	"golang.org/x/text/transform"
)

const (
	replacement = utf8.RuneError
	none        = -1 // a step that yields no character
)

// stepper decodes a charset step by step.
type stepper interface {
	// step reads the beginning of src, which is not empty, and returns a character,
	// or none, and how many octets it took. It takes none if it needs more; it must
	// take some if final is set.
	step(src []byte, final bool) (r rune, n int)
	// reset puts back the state of the beginning of a text.
	reset()
}

// decoder makes a transform.Transformer of a stepper.
type decoder struct{ stepper }

func (d *decoder) Reset() { d.reset() }

func (d *decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		r, n := d.step(src[nSrc:], atEOF)
		if n == 0 {
			return nDst, nSrc, transform.ErrShortSrc
		}
		nSrc += n
		if r != none {
			nDst += utf8.EncodeRune(dst[nDst:], r)
		}
	}
	return nDst, nSrc, nil
}

// stateless is a part of steppers that keep no state.
type stateless struct{}

func (stateless) reset() {}

// pair returns the two octets of a character that begins src. ok is not set if the
// second is missing; n is then what a step is to take.
func pair(src []byte, final bool) (n int, ok bool) {
	switch {
	case len(src) >= 2:
		return 2, true
	case final:
		return 1, false
	}
	return 0, false
}
