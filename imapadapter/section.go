package imapadapter

import (
	"context"
	"io"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// span is a range of a message's bytes.
type span struct{ off, n int64 }

// clip returns the part of a span that <partial> asks for, as far as it is there
// (RFC 9051 section 6.4.5).
func (s span) clip(p *wire.Partial) span {
	if p == nil {
		return s
	}
	skip := min(p.Offset, s.n)
	return span{s.off + skip, min(p.Count, s.n-skip)}
}

// content is what a section holds: bytes at hand, or else a span.
type content struct {
	data []byte
	span span
	held bool // data counts, also if it is empty
	none bool // there is no such part
}

func held(b []byte) content { return content{data: b, held: true} }

// nothing is what a part holds that is not there.
var nothing = content{held: true, none: true}

func (c content) size() int64 {
	if c.held {
		return int64(len(c.data))
	}
	return c.span.n
}

func (c content) clip(p *wire.Partial) content {
	if !c.held {
		c.span = c.span.clip(p)
		return c
	}
	s := span{0, int64(len(c.data))}.clip(p)
	c.data = c.data[s.off : s.off+s.n]
	return c
}

// locate returns the span of a section, and its bytes if they are among the
// metadata. Sections that name header fields are located as the header that they are
// selected from.
func locate(meta *message.Message, size int64, sec *wire.Section) content {
	if wholeMessage(sec) {
		return content{span: span{0, size}}
	}
	part, ok := meta.Section(sec.Part)
	if !ok {
		return nothing
	}
	switch sec.Kind {
	case "":
		return content{span: span{part.BodyOffset, part.BodySize}}
	case "MIME":
		return content{span: span{part.HeaderOffset, part.HeaderSize}}
	}
	header, cut := meta.Header, meta.HeaderCut
	if len(sec.Part) > 0 {
		// HEADER and TEXT of a part are those of the message that it encloses.
		if !part.IsMessage() {
			return nothing
		}
		part = part.Children[0]
		header, cut = part.Header, part.HeaderCut
	}
	if sec.Kind == "TEXT" {
		return content{span: span{part.BodyOffset, part.BodySize}}
	}
	c := content{span: span{part.HeaderOffset, part.HeaderSize}}
	if !cut {
		c.data, c.held = header, true
	}
	return c
}

// sections writes BODY[...] of the message at work.
func (f *fetch) sections() error {
	contents := make([]content, len(f.o.Sections))
	for i := range f.o.Sections {
		sec := &f.o.Sections[i]
		if f.meta == nil && !wholeMessage(sec) {
			continue
		}
		c := locate(f.meta, f.m.Size, sec)
		if selective(sec) {
			c.span.n = min(c.span.n, maxHeaderRead)
		} else {
			c = c.clip(sec.Partial)
		}
		if !c.held && c.span.n > 0 {
			f.src.plan = append(f.src.plan, c.span)
		}
		contents[i] = c
	}
	for i := range f.o.Sections {
		sec := &f.o.Sections[i]
		if f.meta == nil && !wholeMessage(sec) {
			continue
		}
		c := contents[i]
		if selective(sec) && !c.none {
			var err error
			if c, err = f.selectFields(c, sec); err != nil {
				f.note(err)
				continue
			}
		}
		if err := f.literal(c, sec); err != nil {
			return err
		}
	}
	return nil
}

// wholeMessage reports whether a section is BODY[] or BINARY[].
func wholeMessage(sec *wire.Section) bool { return len(sec.Part) == 0 && sec.Kind == "" }

// selective reports whether a section is HEADER.FIELDS or HEADER.FIELDS.NOT.
func selective(sec *wire.Section) bool { return len(sec.Fields) > 0 }

// selectFields returns HEADER.FIELDS or HEADER.FIELDS.NOT.
func (f *fetch) selectFields(c content, sec *wire.Section) (content, error) {
	if !c.held {
		c.data = make([]byte, c.span.n)
		if err := f.src.seek(c.span.off, c.span.n); err != nil {
			return c, err
		}
		if _, err := io.ReadFull(&f.src, c.data); err != nil {
			return c, err
		}
	}
	not := sec.Kind == "HEADER.FIELDS.NOT"
	return held(message.ParseHeader(c.data).Select(sec.Fields, not)).clip(sec.Partial), nil
}

// source reads spans of one message, those that follow each other closely by one
// read of the store.
type source struct {
	ctx context.Context
	m   *mailbox.Message

	plan []span // that will be read, in this order
	r    io.ReadCloser
	pos  int64 // of r
	end  int64
}

// closeBy is how many bytes are read and dropped rather than opening the message
// anew: one chunk of the body.
const closeBy = 64 << 10

// seek makes the source yield the bytes of a span next. It must not be read
// beyond them.
func (s *source) seek(off, n int64) error {
	want := span{off, n}
	for len(s.plan) > 0 {
		next := s.plan[0]
		s.plan = s.plan[1:]
		if next == want {
			break
		}
	}
	if s.r != nil && off >= s.pos && off+n <= s.end {
		skipped, err := io.CopyN(io.Discard, s.r, off-s.pos)
		s.pos += skipped
		return unexpected(err)
	}
	s.close()
	end := off + n
	for _, next := range s.plan {
		if next.off < end || next.off-end > closeBy {
			break
		}
		end = next.off + next.n
	}
	r, err := s.m.Open(s.ctx, off, end-off)
	if err != nil {
		return err
	}
	s.r, s.pos, s.end = r, off, end
	return nil
}

// Read reads from the span that was sought last.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.pos += int64(n)
	return n, err
}

func (s *source) close() {
	if s.r != nil {
		_ = s.r.Close()
		s.r = nil
	}
}

// unexpected makes an end an error: where it is used bytes are missing.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
