package deflate

import (
	"compress/flate"
	"io"
	"sync"
)

// A Writer compresses. The compressor, some 600 KB, is held from a Write to the next
// Flush only: it is taken from a pool, and its next blocks refer to nothing before
// them, which costs a little in size and is what the format allows. A Writer is used
// by one goroutine at a time.
type Writer struct {
	dst io.Writer
	w   *flate.Writer // nil: nothing was written since the last flush
}

// Levels above the first take more memory and time for a few percent of mail.
var compressors = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // fails for bad levels only
	return w
}}

// NewWriter returns a Writer that writes to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write compresses p. Some of it reaches the destination with Flush only.
func (d *Writer) Write(p []byte) (int, error) {
	if d.w == nil {
		d.w = compressors.Get().(*flate.Writer)
		d.w.Reset(d.dst)
	}
	return d.w.Write(p)
}

// Pending reports whether something was written since the last Flush.
func (d *Writer) Pending() bool { return d.w != nil }

// Flush writes the rest of what was compressed, and gives the compressor back.
func (d *Writer) Flush() error {
	if d.w == nil {
		return nil
	}
	err := d.w.Flush()
	d.w.Reset(io.Discard)
	compressors.Put(d.w)
	d.w = nil
	return err
}
