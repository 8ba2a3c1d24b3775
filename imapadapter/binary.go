package imapadapter

import (
	"bytes"
	"io"
	"math"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox/message"
)

// smallPart is up to how many encoded bytes a part is decoded in memory. A larger
// one is decoded twice, because its size has to be announced first: once to
// count, and once to send.
const smallPart = 64 << 10

// binaries writes BINARY.SIZE[...] and BINARY[...] of the message at work (RFC
// 3516, RFC 9051 section 6.4.5).
func (f *fetch) binaries() error {
	for _, sec := range f.o.BinarySectionSize {
		if f.meta == nil {
			continue
		}
		n, err := f.decodedSize(sec.Part)
		if err != nil {
			f.note(err)
			continue
		}
		f.response().WriteBinarySectionSize(sec, uint32(min(n, math.MaxUint32)))
	}
	for _, sec := range f.o.BinarySection {
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
		return nil, held(nil), true
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

// binary writes one BINARY[...]. The engine does not say which <partial> it
// answers; a client that asks for two of one part knows their order.
func (f *fetch) binary(sec *imap.FetchItemBinarySection) error {
	write := func(n int64) io.WriteCloser { return f.response().WriteBinarySection(sec, n) }
	part, c, ok := f.plain(sec.Part)
	if ok {
		return f.literal(c.clip(sec.Partial), write)
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
		return f.send(held(b.Bytes()).clip(sec.Partial).data, write)
	}
	limit := int64(math.MaxInt64)
	if p := sec.Partial; p != nil && p.Offset <= limit-p.Size {
		limit = p.Offset + p.Size
	}
	n, err := f.count(part, limit)
	if err != nil {
		f.note(err)
		return nil
	}
	want := span{0, n}.clip(sec.Partial)
	if want.n == 0 {
		return f.send(nil, write)
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
	return f.stream(r, want.n, write)
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
