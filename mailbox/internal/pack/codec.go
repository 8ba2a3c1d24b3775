package pack

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

func (c Codec) compress(data []byte) []byte {
	if c == Zstd {
		return encoder.EncodeAll(data, nil)
	}
	var out bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	_, _ = w.Write(data) // memory does not fail
	_ = w.Close()
	return out.Bytes()
}

// expand fills out with what packed stands for. It reports false if that is more or
// less, or nothing.
func (c Codec) expand(out, packed []byte) bool {
	switch c {
	case Zstd:
		// More than the buffer holds is an error.
		got, err := decoder.DecodeAll(packed, out[:0:len(out)])
		return err == nil && len(got) == len(out)
	case Flate:
		r := inflaters.Get().(io.ReadCloser)
		defer inflaters.Put(r)
		_ = r.(flate.Resetter).Reset(bytes.NewReader(packed), nil) // it never fails
		if _, err := io.ReadFull(r, out); err != nil {
			return false
		}
		n, err := r.Read(make([]byte, 1))
		return n == 0 && err == io.EOF
	}
	return false
}

var (
	deflaters = sync.Pool{New: func() any {
		w, err := flate.NewWriter(nil, flate.DefaultCompression)
		if err != nil {
			panic("pack: " + err.Error()) // only a bad level fails
		}
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
)

// Both are safe for concurrent use and hold their buffers. They are made when the
// program starts: their channels must belong to no test's bubble.
var (
	encoder = newEncoder()
	decoder = newDecoder()
)

func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic("pack: " + err.Error()) // only bad options fail
	}
	e.EncodeAll(nil, nil) // makes what is made at the first use
	return e
}

func newDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxBlock), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("pack: " + err.Error()) // only bad options fail
	}
	return d
}
