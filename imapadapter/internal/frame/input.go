package frame

import (
	"io"
	"sync"
)

const (
	// firstRead is what a connection that waits for a command holds. It is
	// enough for the commands of an idle client (NOOP, IDLE, DONE, STATUS).
	firstRead = 64

	inputSize = 4096 // read at once while a command comes in
)

var (
	inputPool = sync.Pool{New: func() any { return new([inputSize]byte) }}
	textPool  = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}
)

// maxPooledText keeps one long command from making every later one large.
const maxPooledText = 8 << 10

// input buffers what the client sent. It holds [firstRead] bytes while it
// waits, and takes a pooled buffer for the rest of a command.
type input struct {
	src     io.Reader
	pending []byte // not consumed yet, part of first or of *buf
	err     error  // came with the last bytes
	buf     *[inputSize]byte
	begun   bool // first was used since the last rest
	first   [firstRead]byte
}

// peek returns the next bytes, at least one, reading once if none are pending.
// They are valid until the next call of any method.
func (in *input) peek() ([]byte, error) {
	for tries := 0; len(in.pending) == 0; tries++ {
		if in.err != nil {
			return nil, in.err
		}
		if tries == 100 {
			return nil, io.ErrNoProgress
		}
		space := in.first[:]
		if in.begun {
			if in.buf == nil {
				in.buf = inputPool.Get().(*[inputSize]byte)
			}
			space = in.buf[:]
		}
		n, err := in.src.Read(space)
		in.pending, in.err = space[:n], err
		in.begun = in.begun || n > 0
	}
	return in.pending, nil
}

// skip consumes n of the bytes that peek returned.
func (in *input) skip(n int) { in.pending = in.pending[n:] }

// Read reads what is pending, or else from the source directly: a message is
// not copied through the buffer.
func (in *input) Read(p []byte) (int, error) {
	if len(in.pending) > 0 {
		n := copy(p, in.pending)
		in.skip(n)
		return n, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	return in.src.Read(p)
}

// discard consumes n bytes.
func (in *input) discard(n int64) error {
	for n > 0 {
		b, err := in.peek()
		if err != nil {
			return err
		}
		k := min(n, int64(len(b)))
		in.skip(int(k))
		n -= k
	}
	return nil
}

// rest gives the buffer back if nothing is in it.
func (in *input) rest() {
	if len(in.pending) > 0 {
		return
	}
	in.pending, in.begun = nil, false
	if in.buf != nil {
		inputPool.Put(in.buf)
		in.buf = nil
	}
}

// wipe overwrites what was consumed.
func (in *input) wipe() {
	space := in.first[:]
	if in.buf != nil {
		clear(space)
		space = in.buf[:]
	}
	if len(in.pending) > 0 { // it reaches to the end of its buffer
		space = space[:len(space)-cap(in.pending)]
	}
	clear(space)
}
