package message

import (
	"encoding/binary"
	"errors"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// reader reads the MessagePack that an encoder writes: integers that are not negative,
// strings, binary, arrays and booleans, each in its shortest form. It remembers the
// first error, after which it yields zeros, and allocates nothing.
type reader struct {
	b   []byte
	at  int
	err error
}

// maxNumber is the greatest number that is read, so that sums of a few do not overflow.
const maxNumber = 1 << 60

var (
	errEnds     = errors.New("ends too early")
	errForm     = errors.New("not the shortest encoding of what is wanted")
	errTooMany  = errors.New("array of too many elements")
	errTooLong  = errors.New("string too long")
	errTooLarge = errors.New("number too large")
)

func (r *reader) failed(err error) {
	if r.err == nil {
		r.err = err
	}
}

// code reads the octet that a value begins with.
func (r *reader) code() byte {
	if r.err != nil || r.at == len(r.b) {
		r.failed(errEnds)
		return msgpcode.Nil
	}
	r.at++
	return r.b[r.at-1]
}

// uint reads a number of 1, 2, 4 or 8 octets, which must not be less than least.
func (r *reader) uint(size int, least uint64) uint64 {
	if r.err != nil || len(r.b)-r.at < size {
		r.failed(errEnds)
		return 0
	}
	var mem [8]byte
	copy(mem[8-size:], r.b[r.at:r.at+size])
	r.at += size
	n := binary.BigEndian.Uint64(mem[:])
	if n < least {
		r.failed(errForm)
		return 0
	}
	return n
}

func (r *reader) number() int64 {
	var n uint64
	switch c := r.code(); c {
	case msgpcode.Uint8:
		n = r.uint(1, 1<<7)
	case msgpcode.Uint16:
		n = r.uint(2, 1<<8)
	case msgpcode.Uint32:
		n = r.uint(4, 1<<16)
	case msgpcode.Uint64:
		n = r.uint(8, 1<<32)
	default:
		if c > msgpcode.PosFixedNumHigh {
			r.failed(errForm)
		}
		n = uint64(c)
	}
	if n > maxNumber {
		r.failed(errTooLarge)
	}
	if r.err != nil {
		return 0
	}
	return int64(n)
}

func (r *reader) bool() bool {
	c := r.code()
	if c != msgpcode.False && c != msgpcode.True {
		r.failed(errForm)
	}
	return r.err == nil && c == msgpcode.True
}

func (r *reader) array(most int) int {
	var n uint64
	switch c := r.code(); {
	case msgpcode.IsFixedArray(c):
		n = uint64(c & msgpcode.FixedArrayMask)
	case c == msgpcode.Array16:
		n = r.uint(2, 1<<4)
	case c == msgpcode.Array32:
		n = r.uint(4, 1<<16)
	default:
		r.failed(errForm)
	}
	if n > uint64(most) {
		r.failed(errTooMany)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// rawStr returns a string, which is a part of b.
func (r *reader) rawStr(most int) []byte {
	var n uint64
	switch c := r.code(); {
	case msgpcode.IsFixedString(c):
		n = uint64(c & msgpcode.FixedStrMask)
	case c == msgpcode.Str8:
		n = r.uint(1, 1<<5)
	case c == msgpcode.Str16:
		n = r.uint(2, 1<<8)
	case c == msgpcode.Str32:
		n = r.uint(4, 1<<16)
	default:
		r.failed(errForm)
	}
	return r.octets(n, most)
}

// bin returns binary, which is a part of b.
func (r *reader) bin(most int) []byte {
	var n uint64
	switch r.code() {
	case msgpcode.Bin8:
		n = r.uint(1, 0)
	case msgpcode.Bin16:
		n = r.uint(2, 1<<8)
	case msgpcode.Bin32:
		n = r.uint(4, 1<<16)
	default:
		r.failed(errForm)
	}
	return r.octets(n, most)
}

func (r *reader) octets(n uint64, most int) []byte {
	if n > uint64(most) {
		r.failed(errTooLong)
	}
	if r.err == nil && n > uint64(len(r.b)-r.at) {
		r.failed(errEnds)
	}
	if r.err != nil {
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}
