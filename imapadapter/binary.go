package imapadapter

import (
	"bytes"
	"io"
	"math"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox/message"
)

// smallPart is up to how many encoded bytes a part is decoded in memory. A larger
// one is decoded twice, because its size has to be announced first: once to
// count, and once to send.
const smallPart = 64 << 10

// binaries writes BINARY.SIZE[...] and BINARY[...] of the message at work (RFC
// 3516, RFC 9051 section 6.4.5).
func (f *fetch) binaries() error {
	for _, part := range f.o.BinarySizes {
		if f.meta == nil {
			continue
		}
		n, err := f.decodedSize(part)
		if err != nil {
			f.note(err)
			continue
		}
		f.sink.binarySize(part, n)
	}
	for i := range f.o.Binaries {
		sec := &f.o.Binaries[i]
		if f.meta == nil && len(sec.Part) > 0 {
			continue
		}
		if err := f.binary(sec); err != nil {
			return err
		}
	}
	return nil
}

// plain returns the bytes of a part if they are not encoded: what is no leaf
// never is (RFC 2045 section 6.4), and the whole message is taken as it is.
func (f *fetch) plain(path []int) (part *message.Part, c content, ok bool) {
	if len(path) == 0 {
		return nil, content{span: span{0, f.m.Size}}, true
	}
	part, found := f.meta.Section(path)
	if !found {
		return nil, nothing, true
	}
	c = content{span: span{part.BodyOffset, part.BodySize}}
	switch part.Encoding {
	case "7bit", "8bit", "binary":
		return part, c, true
	}
	return part, c, len(part.Children) > 0
}

func (f *fetch) decodedSize(path []int) (int64, error) {
	part, c, ok := f.plain(path)
	if ok {
		return c.size(), nil
	}
	return f.count(part, math.MaxInt64)
}

// count returns how many bytes a part has when decoded, or limit if it has more.
func (f *fetch) count(part *message.Part, limit int64) (int64, error) {
	if err := f.src.seek(part.BodyOffset, part.BodySize); err != nil {
		return 0, err
	}
	block := blocks.Get().(*[transferBlock]byte)
	defer blocks.Put(block)
	r := f.decode(part)
	for n := int64(0); ; {
		k, err := r.Read(block[:])
		n += int64(k)
		f.op.progress()
		switch {
		case n >= limit || err == io.EOF:
			return min(n, limit), nil
		case err != nil:
			return 0, err
		}
	}
}

// decode returns the decoded bytes of a part that was sought. The source must
// not be read beyond the part, and a source that ends early is not the end.
func (f *fetch) decode(part *message.Part) io.Reader {
	return part.Decode(&exactly{r: &f.src, left: part.BodySize})
}

// binary writes one BINARY[...].
func (f *fetch) binary(sec *wire.Section) error {
	part, c, ok := f.plain(sec.Part)
	if ok {
		return f.literal(c.clip(sec.Partial), sec)
	}
	if part.BodySize <= smallPart {
		if err := f.src.seek(part.BodyOffset, part.BodySize); err != nil {
			f.note(err)
			return nil
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(f.decode(part)); err != nil {
			f.note(err)
			return nil
		}
		return f.send(held(b.Bytes()).clip(sec.Partial).data, sec)
	}
	limit := int64(math.MaxInt64)
	if p := sec.Partial; p != nil && p.Offset <= limit-p.Count {
		limit = p.Offset + p.Count
	}
	n, err := f.count(part, limit)
	if err != nil {
		f.note(err)
		return nil
	}
	want := span{0, n}.clip(sec.Partial)
	if want.n == 0 {
		return f.send(nil, sec)
	}
	if err := f.src.seek(part.BodyOffset, part.BodySize); err != nil {
		f.note(err)
		return nil
	}
	r := f.decode(part)
	if _, err := io.CopyN(io.Discard, r, want.off); err != nil {
		f.note(unexpected(err))
		return nil
	}
	return f.stream(r, want.n, sec)
}

// exactly reads a number of bytes, and fails if there are fewer.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if e.left > 0 {
		err = unexpected(err)
	} else if err == io.EOF {
		err = nil
	}
	return n, err
}
