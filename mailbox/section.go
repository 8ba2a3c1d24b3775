package mailbox

import (
	"bytes"
	"context"
	"io"
	"math"
	"sync"

	"github.com/letterlock/letterlock/mailbox/message"
)

const (
	// maxSelectedHeader bounds the header block that header fields are selected
	// from, in bytes. A longer one is cut there: only hostile mail has it.
	maxSelectedHeader = 1 << 20

	// sectionGap is how many bytes between two sections are read and dropped
	// rather than opening the message again: one chunk of the body.
	sectionGap = 64 << 10

	// decodedInMemory is up to how many encoded bytes a part is decoded in memory.
	// A larger one is decoded twice: once for its size, and once for its bytes.
	decodedInMemory = 64 << 10
)

// SectionKind says which bytes of a part a [Section] is.
type SectionKind uint8

// Kinds of sections (RFC 9051 section 6.4.5).
const (
	SectionAll             SectionKind = iota // the part; of the message itself, all of it
	SectionHeader                             // the header of a message or an enclosed one
	SectionHeaderFields                       // the header fields that are named
	SectionHeaderFieldsNot                    // the header fields that are not named
	SectionText                               // the body of a message or an enclosed one
	SectionMIME                               // the MIME header of a part
)

// A Section names bytes of a message, as IMAP's BODY[...] and BINARY[...] do.
type Section struct {
	Part   []int // the numbers of a part; none for the message itself
	Kind   SectionKind
	Fields []string // names of header fields, for the two kinds that select them

	// Offset and Count select a range of the section's bytes, as far as it is
	// there. A Count of 0 means to the end.
	Offset, Count int64

	// Decode removes the part's Content-Transfer-Encoding (RFC 3516). The Kind is
	// SectionAll then.
	Decode bool
}

// Whole reports whether the section is the message itself, or a range of it: it can
// be opened without the message's structure.
func (s *Section) Whole() bool { return len(s.Part) == 0 && s.Kind == SectionAll }

// selects reports whether the section selects header fields.
func (s *Section) selects() bool {
	return s.Kind == SectionHeaderFields || s.Kind == SectionHeaderFieldsNot
}

// SectionData is what a section holds.
type SectionData struct {
	Missing bool  // the message has no such part
	Size    int64 // bytes
	// Bytes are the section's bytes if they were at hand; otherwise Reader yields
	// Size bytes. It must not be read beyond them.
	Bytes  []byte
	Reader io.Reader
}

func held(b []byte) SectionData { return SectionData{Bytes: b, Size: int64(len(b))} }

// A SectionReader reads sections of one message, those that lie close to each other
// with one read of the store. It is used by one goroutine at a time, and must be
// closed.
type SectionReader struct {
	// Progress, if set, is called after each block while a part is decoded for its
	// size.
	Progress func()

	ctx  context.Context
	m    *Message
	meta *message.Message
	src  spanReader
}

// Sections returns a reader of the message's sections. meta is what [Message.Meta]
// returned; nil is enough for sections that are [Section.Whole].
func (m *Message) Sections(ctx context.Context, meta *message.Message) *SectionReader {
	return &SectionReader{ctx: ctx, m: m, meta: meta, src: spanReader{ctx: ctx, m: m}}
}

// Close ends the reading.
func (r *SectionReader) Close() { r.src.close() }

// Plan says which sections are going to be opened, in this order.
func (r *SectionReader) Plan(sections []Section) {
	for i := range sections {
		s := &sections[i]
		if s.Decode || r.meta == nil && !s.Whole() {
			continue
		}
		if at := r.locate(s); !at.known && at.span.n > 0 {
			r.src.plan = append(r.src.plan, at.span)
		}
	}
}

// Open returns what a section holds. The Reader is valid until the next call of Open
// or DecodedSize. Damage and missing objects are errors as [Message.Open] has them.
func (r *SectionReader) Open(s *Section) (SectionData, error) {
	if s.Decode {
		return r.decoded(s)
	}
	at := r.locate(s)
	switch {
	case at.missing:
		return SectionData{Missing: true}, nil
	case s.selects():
		return r.selected(at, s)
	case at.known:
		return held(at.data), nil
	case at.span.n == 0:
		return held(nil), nil
	}
	if err := r.src.seek(at.span); err != nil {
		return SectionData{}, err
	}
	return SectionData{Size: at.span.n, Reader: &r.src}, nil
}

// DecodedSize returns how many bytes a part has without its
// Content-Transfer-Encoding (BINARY.SIZE), or 0 if the message has no such part.
func (r *SectionReader) DecodedSize(part []int) (int64, error) {
	p, at, plain := r.plain(part)
	if plain {
		return at.span.n, nil
	}
	return r.count(p, math.MaxInt64)
}

// span is a range of a message's bytes.
type span struct{ off, n int64 }

// clip returns the part of a span that a section asks for, as far as it is there.
func (s *Section) clip(whole span) span {
	skip := min(s.Offset, whole.n)
	n := whole.n - skip
	if s.Count > 0 {
		n = min(s.Count, n)
	}
	return span{whole.off + skip, n}
}

// clipBytes is clip for bytes at hand.
func (s *Section) clipBytes(b []byte) []byte {
	at := s.clip(span{0, int64(len(b))})
	return b[at.off : at.off+at.n]
}

// location is where a section lies.
type location struct {
	missing bool
	span    span
	data    []byte // the bytes, if known: they are among the metadata
	known   bool
}

// locate returns where a section lies. One that selects header fields lies where the
// header does.
func (r *SectionReader) locate(s *Section) location {
	at := r.find(s)
	switch {
	case s.selects():
		at.span.n = min(at.span.n, maxSelectedHeader)
	case at.known:
		at.data = s.clipBytes(at.data)
	default:
		at.span = s.clip(at.span)
	}
	return at
}

// find is locate without the section's range.
func (r *SectionReader) find(s *Section) location {
	if s.Whole() {
		return location{span: span{0, r.m.Size}}
	}
	part, ok := r.meta.Section(s.Part)
	if !ok {
		return location{missing: true}
	}
	switch s.Kind {
	case SectionAll:
		return location{span: span{part.BodyOffset, part.BodySize}}
	case SectionMIME:
		return location{span: span{part.HeaderOffset, part.HeaderSize}}
	}
	header, cut := r.meta.Header, r.meta.HeaderCut
	if len(s.Part) > 0 {
		// The header and the text of a part are those of the message that it
		// encloses.
		if !part.IsMessage() {
			return location{missing: true}
		}
		part = part.Children[0]
		header, cut = part.Header, part.HeaderCut
	}
	if s.Kind == SectionText {
		return location{span: span{part.BodyOffset, part.BodySize}}
	}
	at := location{span: span{part.HeaderOffset, part.HeaderSize}}
	if !cut {
		at.data, at.known = header, true
	}
	return at
}

// selected returns header fields.
func (r *SectionReader) selected(at location, s *Section) (SectionData, error) {
	if !at.known {
		at.data = make([]byte, at.span.n)
		if err := r.src.seek(at.span); err != nil {
			return SectionData{}, err
		}
		if _, err := io.ReadFull(&r.src, at.data); err != nil {
			return SectionData{}, err
		}
	}
	fields := message.ParseHeader(at.data).Select(s.Fields, s.Kind == SectionHeaderFieldsNot)
	return held(s.clipBytes(fields)), nil
}

// plain returns where a part lies if it is not encoded: what is no leaf never is (RFC
// 2045 section 6.4), and the whole message is taken as it is.
func (r *SectionReader) plain(path []int) (part *message.Part, at location, ok bool) {
	if len(path) == 0 {
		return nil, location{span: span{0, r.m.Size}}, true
	}
	part, found := r.meta.Section(path)
	if !found {
		return nil, location{missing: true}, true
	}
	at = location{span: span{part.BodyOffset, part.BodySize}}
	switch part.Encoding {
	case "7bit", "8bit", "binary":
		return part, at, true
	}
	return part, at, len(part.Children) > 0
}

// decoded returns a part without its Content-Transfer-Encoding.
func (r *SectionReader) decoded(s *Section) (SectionData, error) {
	part, at, plain := r.plain(s.Part)
	switch {
	case at.missing:
		return SectionData{Missing: true}, nil
	case plain:
		at.span = s.clip(at.span)
		if at.span.n == 0 {
			return held(nil), nil
		}
		if err := r.src.seek(at.span); err != nil {
			return SectionData{}, err
		}
		return SectionData{Size: at.span.n, Reader: &r.src}, nil
	case part.BodySize <= decodedInMemory:
		var b bytes.Buffer
		if err := r.src.seek(at.span); err != nil {
			return SectionData{}, err
		}
		if _, err := b.ReadFrom(r.decode(part)); err != nil {
			return SectionData{}, err
		}
		return held(s.clipBytes(b.Bytes())), nil
	}
	limit := int64(math.MaxInt64)
	if s.Count > 0 && s.Offset <= limit-s.Count {
		limit = s.Offset + s.Count
	}
	n, err := r.count(part, limit)
	if err != nil {
		return SectionData{}, err
	}
	want := s.clip(span{0, n})
	if want.n == 0 {
		return held(nil), nil
	}
	if err := r.src.seek(at.span); err != nil {
		return SectionData{}, err
	}
	decoded := r.decode(part)
	if _, err := io.CopyN(io.Discard, decoded, want.off); err != nil {
		return SectionData{}, unexpectedEnd(err)
	}
	return SectionData{Size: want.n, Reader: decoded}, nil
}

// decodeBlock is read at once while a part is decoded for its size.
const decodeBlock = 32 << 10

var decodeBlocks = sync.Pool{New: func() any { return new([decodeBlock]byte) }}

// count returns how many bytes a part has when decoded, or limit if it has more.
func (r *SectionReader) count(part *message.Part, limit int64) (int64, error) {
	if err := r.src.seek(span{part.BodyOffset, part.BodySize}); err != nil {
		return 0, err
	}
	block := decodeBlocks.Get().(*[decodeBlock]byte)
	defer decodeBlocks.Put(block)
	decoded := r.decode(part)
	for n := int64(0); ; {
		k, err := decoded.Read(block[:])
		n += int64(k)
		if r.Progress != nil {
			r.Progress()
		}
		switch {
		case n >= limit || err == io.EOF:
			return min(n, limit), nil
		case err != nil:
			return 0, err
		}
	}
}

// decode returns the decoded bytes of a part that was sought. A source that ends
// before the part is an error.
func (r *SectionReader) decode(part *message.Part) io.Reader {
	return part.Decode(&exactReader{r: &r.src, left: part.BodySize})
}

// spanReader reads spans of one message. Spans that follow each other closely are
// read with one read of the store.
type spanReader struct {
	ctx context.Context
	m   *Message

	plan []span // that are going to be read, in this order
	r    io.ReadCloser
	pos  int64 // of r
	end  int64
}

// seek makes the reader yield the bytes of a span next. It must not be read beyond
// them.
func (s *spanReader) seek(want span) error {
	for len(s.plan) > 0 {
		next := s.plan[0]
		s.plan = s.plan[1:]
		if next == want {
			break
		}
	}
	if s.r != nil && want.off >= s.pos && want.off+want.n <= s.end {
		skipped, err := io.CopyN(io.Discard, s.r, want.off-s.pos)
		s.pos += skipped
		return unexpectedEnd(err)
	}
	s.close()
	end := want.off + want.n
	for _, next := range s.plan {
		if next.off < end || next.off-end > sectionGap {
			break
		}
		end = next.off + next.n
	}
	r, err := s.m.Open(s.ctx, want.off, end-want.off)
	if err != nil {
		return err
	}
	s.r, s.pos, s.end = r, want.off, end
	return nil
}

// Read reads from the span that was sought last.
func (s *spanReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.pos += int64(n)
	return n, err
}

func (s *spanReader) close() {
	if s.r != nil {
		_ = s.r.Close()
		s.r = nil
	}
}

// exactReader reads a number of bytes, and fails if there are fewer.
type exactReader struct {
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if e.left > 0 {
		err = unexpectedEnd(err)
	} else if err == io.EOF {
		err = nil
	}
	return n, err
}

// unexpectedEnd makes an end an error: bytes are missing.
func unexpectedEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
