// Package deflate compresses and decompresses a connection (RFC 4978, RFC 1951) with
// little memory for each idle one. It does no I/O beyond the reader and the writer
// that it is given.
package deflate

import (
	"errors"
	"io"
)

// A Reader decompresses. It returns all that can be decoded of what has come, and its
// window grows with what it has seen, up to the 32 KiB of the format.
//
// The standard library's reader does not fit: it returns what it has decoded at the
// end of certain blocks only, so clients that flush by Z_PARTIAL_FLUSH, which RFC 4978
// allows, would wait for ever; and it holds 44 KB from the start.
type Reader struct {
	src  io.Reader
	buf  []byte
	in   []byte // of buf, not taken yet
	bits uint64
	n    uint // how many bits are in bits
	err  error

	window []byte // the last bytes that were decoded, a ring once it is full
	at     int    // where the next one goes

	step   func(*Reader) error
	final  bool
	left   int // bytes of a stored block
	length int // bytes of a match that are still to be copied
	back   int // its distance

	lit, dist  huffman
	table      [320]uint8 // code lengths of a dynamic block
	have       int        // how many of them are read
	nlen, nsym int
	ncode      int
}

const (
	windowSize = 32 << 10
	bufferSize = 1 << 10
)

var (
	errMalformed = errors.New("compressed data is malformed")
	errHungry    = errors.New("more input is needed") // of a step; nothing was taken
)

// NewReader returns a Reader of what src compressed.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, step: (*Reader).header}
}

// Read decodes until p is full, or until it has something and would have to wait
// for more.
func (f *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if f.length > 0 {
			n += f.copyMatch(p[n:])
			continue
		}
		if f.err != nil {
			break
		}
		before := f.at
		err := f.step(f)
		switch {
		case err == errHungry && n > 0:
			return n, nil
		case err == errHungry:
			f.fill()
		case err != nil:
			f.err = err
		case f.at != before: // one byte
			p[n] = f.window[f.at-1]
			n++
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, f.err
}

// fill waits for more input.
func (f *Reader) fill() {
	if f.buf == nil {
		f.buf = make([]byte, bufferSize)
	}
	n, err := f.src.Read(f.buf)
	f.in = f.buf[:n]
	if n == 0 && err != nil {
		f.err = err
	}
}

// put appends a byte to the window.
func (f *Reader) put(b byte) {
	if len(f.window) < windowSize {
		f.window = append(f.window, b)
		f.at = len(f.window)
		return
	}
	if f.at == windowSize {
		f.at = 0
	}
	f.window[f.at] = b
	f.at++
}

// copyMatch copies what it can of the match at work.
func (f *Reader) copyMatch(p []byte) int {
	n := min(f.length, len(p))
	for i := range n {
		from := f.at - f.back
		if from < 0 {
			from += windowSize
		}
		p[i] = f.window[from]
		f.put(p[i])
	}
	f.length -= n
	return n
}

// need makes k bits ready, at most 56.
func (f *Reader) need(k uint) bool {
	for f.n <= 56 && len(f.in) > 0 {
		f.bits |= uint64(f.in[0]) << f.n
		f.in = f.in[1:]
		f.n += 8
	}
	return f.n >= k
}

func (f *Reader) take(k uint) int {
	v := int(f.bits & (1<<k - 1))
	f.bits >>= k
	f.n -= k
	return v
}

// header reads the header of a block (RFC 1951 section 3.2.3).
func (f *Reader) header() error {
	if f.final {
		return io.EOF
	}
	if !f.need(3) {
		return errHungry
	}
	f.final = f.take(1) == 1
	switch f.take(2) {
	case 0:
		f.take(f.n % 8)
		f.step = (*Reader).stored
	case 1:
		f.fixed()
		f.step = (*Reader).symbol
	case 2:
		f.step = (*Reader).counts
	default:
		return errMalformed
	}
	return nil
}

// stored reads the length of a block that is not compressed.
func (f *Reader) stored() error {
	if !f.need(32) {
		return errHungry
	}
	n := f.take(16)
	if f.take(16) != n^0xffff {
		return errMalformed
	}
	f.left, f.step = n, (*Reader).storedByte
	return nil
}

func (f *Reader) storedByte() error {
	if f.left == 0 {
		f.step = (*Reader).header
		return nil
	}
	if !f.need(8) {
		return errHungry
	}
	f.left--
	f.put(byte(f.take(8)))
	return nil
}

// fixed prepares the codes of section 3.2.6.
func (f *Reader) fixed() {
	t := f.table[:288]
	for i := range t {
		switch {
		case i < 144:
			t[i] = 8
		case i < 256:
			t[i] = 9
		case i < 280:
			t[i] = 7
		default:
			t[i] = 8
		}
	}
	f.lit.make(t)
	for i := range 30 {
		t[i] = 5
	}
	f.dist.make(t[:30])
}

// counts begins a block with codes of its own (section 3.2.7).
func (f *Reader) counts() error {
	if !f.need(14) {
		return errHungry
	}
	f.nlen, f.nsym, f.ncode = f.take(5)+257, f.take(5)+1, f.take(4)+4
	if f.nlen > 286 || f.nsym > 30 {
		return errMalformed
	}
	clear(f.table[:])
	f.have, f.step = 0, (*Reader).codeLength
	return nil
}

var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codeLength reads the lengths of the codes in which the lengths are written.
func (f *Reader) codeLength() error {
	if f.have == f.ncode {
		if !f.lit.make(f.table[:19]) {
			return errMalformed
		}
		f.have, f.step = 0, (*Reader).symbolLength
		return nil
	}
	if !f.need(3) {
		return errHungry
	}
	f.table[codeOrder[f.have]] = uint8(f.take(3))
	f.have++
	return nil
}

// symbolLength reads the length of the next code, or several alike.
func (f *Reader) symbolLength() error {
	total := f.nlen + f.nsym
	if f.have == total {
		if f.table[256] == 0 || !f.lit.make(f.table[:f.nlen]) || !f.dist.make(f.table[f.nlen:total]) {
			return errMalformed
		}
		f.step = (*Reader).symbol
		return nil
	}
	f.need(14)
	sym, used, err := f.lit.decode(f.bits, f.n)
	if err != nil {
		return err
	}
	value, base, extra := uint8(sym), 1, uint(0)
	switch sym {
	case 16:
		if f.have == 0 {
			return errMalformed
		}
		value, base, extra = f.table[f.have-1], 3, 2
	case 17:
		value, base, extra = 0, 3, 3
	case 18:
		value, base, extra = 0, 11, 7
	}
	if used+extra > f.n {
		return errHungry
	}
	f.take(used)
	repeat := base + f.take(extra)
	if f.have+repeat > total {
		return errMalformed
	}
	for range repeat {
		f.table[f.have] = value
		f.have++
	}
	return nil
}

var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// symbol reads a byte, a match or the end of the block. Nothing is taken of the
// input before all of it is there.
func (f *Reader) symbol() error {
	f.need(48)
	sym, used, err := f.lit.decode(f.bits, f.n)
	switch {
	case err != nil:
		return err
	case sym < 256:
		f.take(used)
		f.put(byte(sym))
		return nil
	case sym == 256:
		f.take(used)
		f.step = (*Reader).header
		return nil
	case sym > 285:
		return errMalformed
	}
	extra := uint(lengthExtra[sym-257])
	if used+extra > f.n {
		return errHungry
	}
	rest := f.bits >> used
	length := int(lengthBase[sym-257]) + int(rest&(1<<extra-1))
	used += extra
	d, usedDist, err := f.dist.decode(f.bits>>used, f.n-used)
	switch {
	case err != nil:
		return err
	case d > 29:
		return errMalformed
	}
	used += usedDist
	extra = uint(distExtra[d])
	if used+extra > f.n {
		return errHungry
	}
	back := int(distBase[d]) + int(f.bits>>used&(1<<extra-1))
	if back > len(f.window) {
		return errMalformed
	}
	f.take(used + extra)
	f.length, f.back = length, back
	return nil
}

// huffman is a canonical code: how many codes there are of each length, and the
// symbols in the order of their codes.
type huffman struct {
	count  [16]uint16
	symbol [288]uint16
}

// make prepares the code of the given lengths. It reports false if there are more
// codes than fit.
func (h *huffman) make(lengths []uint8) bool {
	h.count = [16]uint16{}
	for _, l := range lengths {
		h.count[l]++
	}
	h.count[0] = 0
	left := 1
	for l := 1; l < 16; l++ {
		if left = left<<1 - int(h.count[l]); left < 0 {
			return false
		}
	}
	var next [16]uint16
	for l := 1; l < 15; l++ {
		next[l+1] = next[l] + h.count[l]
	}
	for s, l := range lengths {
		if l != 0 {
			h.symbol[next[l]] = uint16(s)
			next[l]++
		}
	}
	return true
}

// decode finds the symbol that n bits begin with, and the length of its code.
func (h *huffman) decode(bits uint64, n uint) (sym int, used uint, err error) {
	code, first, index := 0, 0, 0
	for l := uint(1); l < 16; l++ {
		if l > n {
			return 0, 0, errHungry
		}
		code |= int(bits & 1)
		bits >>= 1
		count := int(h.count[l])
		if code-first < count {
			return int(h.symbol[index+code-first]), l, nil
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0, errMalformed
}
