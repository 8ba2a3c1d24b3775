package message

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// maxGap is how many octets between two wanted spans are read rather than left
// out by a read of their own. Stored bodies are sealed in chunks of 64 KiB, so
// most of them would have to be fetched anyway.
const maxGap = 64 << 10

// SearchText reports which needles occur in the message, for SEARCH BODY, and
// with header set for SEARCH TEXT (RFC 9051 section 6.4.4). Texts are compared as
// by a [matcher]; a needle is found within one field or one body, not across.
//
// What is searched: the text of every text part (and of message parts that are
// no enclosed message, such as delivery reports), decoded and in UTF-8, HTML as
// its source; every field of the headers of enclosed messages, with encoded-words
// decoded; type, file names, description and the other fields that [Part] keeps
// of every part. With header set also every field of the root's header. Other
// attachments are not searched, nor is what stands before, between and after the
// parts of a multipart. Of fields that mail systems sign or report checks with, such as
// DKIM-Signature, ARC-Seal and Authentication-Results, only the name is searched; SEARCH
// HEADER finds their values.
//
// open returns n octets of the mail from off on. It is called once for each span
// that is needed (spans close to each other are one), one at a time and in
// ascending order, and not at all if what is kept in m decides the search. The
// error of open or of its reader is returned, wrapped, with what was found till
// then; if it is nil, the search is complete.
func (m *Message) SearchText(ctx context.Context, header bool, open func(off, n int64) (io.ReadCloser, error), needles []string) ([]bool, error) {
	mem := scratches.Get().(*scratch)
	defer scratches.Put(mem)
	s := searcher{ctx: ctx, m: newMatcher(needles), scratch: mem}
	s.m.window = mem.window[:0]
	defer func() {
		mem.window = s.m.window
		mem.forget()
	}()
	s.collect(m, header)
	var err error
	for len(s.spans) > 0 && !s.m.Done() && err == nil {
		n := 1
		for n < len(s.spans) && s.spans[n].off-s.spans[n-1].end() <= maxGap {
			n++
		}
		err = s.read(open, s.spans[:n])
		s.spans = s.spans[n:]
	}
	if err != nil {
		err = fmt.Errorf("message: search text: %w", err)
	}
	return s.m.found, err
}

// span is a range of the mail to read: the body of a text part, or the header of
// an enclosed message that was too long to keep.
type span struct {
	off, n int64
	part   *Part
	header bool
}

func (s span) end() int64 { return s.off + s.n }

type searcher struct {
	ctx     context.Context
	m       *matcher
	spans   []span
	charset string // of raw octets in the header that is searched
	*scratch
}

// scratch is memory that one search leaves to the next.
type scratch struct {
	decoders
	buf    [blockSize]byte
	window []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// collect searches what is in memory and lists what must be read.
func (s *searcher) collect(m *Message, header bool) {
	if header {
		s.header(m.Header, m.HeaderCut, m.Root)
	}
	s.part(m.Root, true)
}

func (s *searcher) part(p *Part, root bool) {
	if !root {
		s.text(p.describe())
	}
	switch {
	case p.IsMessage():
		child := p.Children[0]
		s.header(child.Header, child.HeaderCut, child)
		s.part(child, true)
	case p.IsMultipart():
		for _, c := range p.Children {
			s.part(c, false)
		}
	case (p.Type == "text" || p.Type == "message") && p.BodySize > 0:
		s.spans = append(s.spans, span{off: p.BodyOffset, n: p.BodySize, part: p})
	}
}

// header searches a header block, or lists it for reading if it was reduced.
func (s *searcher) header(block []byte, cut bool, p *Part) {
	s.charset = p.rawCharset()
	if cut {
		s.spans = append(s.spans, span{off: p.HeaderOffset, n: p.HeaderSize, part: p, header: true})
		return
	}
	for name, field := range ParseHeader(block).lines() {
		if s.m.Done() {
			return
		}
		s.field(name, field)
	}
}

// field searches one field of a header, its name included, or a line that is none.
func (s *searcher) field(name, field string) {
	if isTrace(name) {
		s.text(name + ":")
		return
	}
	text := decodeHeader(Unfold(field), s.charset)
	s.text(text)
	if more := addressText(name, field[len(name):], text, s.charset); more != "" {
		s.text(more)
	}
}

// text searches one text.
func (s *searcher) text(t string) {
	_, _ = io.WriteString(s.m, t) // a matcher does not fail
	s.m.Break()
}

// describe returns the part's MIME fields as one text for searching.
func (p *Part) describe() string {
	var b strings.Builder
	b.WriteString("Content-Type: " + p.Type + "/" + p.Subtype)
	params := func(list []Param) {
		loose := "" // pieces that were not joined, which a reader may join all the same
		for _, v := range list {
			b.WriteString("; " + strings.TrimSuffix(v.Name, "*") + "=" + v.decoded())
			if splitName(v.Name).section >= 0 {
				loose += v.decoded()
			}
		}
		b.WriteString("\n" + loose + "\n")
	}
	params(p.Params)
	b.WriteString("Content-Transfer-Encoding: " + p.Encoding + "\n")
	if p.Disposition != "" {
		b.WriteString("Content-Disposition: " + p.Disposition)
		params(p.DispositionParams)
	}
	for _, f := range [...]Param{
		{"Content-ID", p.ID}, {"Content-Description", DecodeHeader(p.Description)},
		{"Content-MD5", p.MD5}, {"Content-Location", p.Location}, {"Content-Language", strings.Join(p.Language, ", ")},
	} {
		if f.Value != "" {
			b.WriteString(f.Name + ": " + f.Value + "\n")
		}
	}
	return b.String()
}

// read searches spans that are close to each other in one read.
func (s *searcher) read(open func(off, n int64) (io.ReadCloser, error), spans []span) (err error) {
	off := spans[0].off
	rc, err := open(off, spans[len(spans)-1].end()-off)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	src := &source{ctx: s.ctx, r: rc}
	for _, sp := range spans {
		src.left = sp.off - off
		if err := src.drain(s.buf[:]); err != nil {
			return err
		}
		src.left = sp.n
		if sp.header {
			s.charset = sp.part.rawCharset()
			s.fields(src)
		} else {
			s.body(sp.part.text(src, &s.decoders))
		}
		if s.m.Done() {
			return nil
		}
		if err := src.drain(s.buf[:]); err != nil {
			return err
		}
		off = sp.end()
	}
	return nil
}

// body searches the text of a part. Errors of the source stay with the source.
func (s *searcher) body(r io.Reader) {
	for !s.m.Done() {
		n, err := r.Read(s.buf[:])
		_, _ = s.m.Write(s.buf[:n])
		if err != nil {
			break
		}
	}
	s.m.Break()
}

// maxField is how much of a field is decoded at once. An encoded-word that lies
// across is not decoded, nor is an address.
const maxField = 28 << 10

// fields searches a header block field by field.
func (s *searcher) fields(r io.Reader) {
	br := bufio.NewReaderSize(r, 4<<10)
	f := longField{searcher: s, text: s.buf[:0]}
	begin := true // a line begins
	for !s.m.Done() {
		line, err := br.ReadSlice('\n')
		if begin && len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			f.end()
		}
		f.add(line)
		begin = bytes.HasSuffix(line, newline)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	f.end()
}

// longField is a field that may be longer than what is decoded at once.
type longField struct {
	*searcher
	text []byte
	cut  bool // the beginning has been searched
	skip bool // the rest is not searched
}

func (f *longField) add(line []byte) {
	if len(f.text)+len(line) > maxField {
		if !f.cut {
			f.skip = isTrace(fieldName(f.text))
			f.cut = true
		}
		if !f.skip {
			_, _ = io.WriteString(f.m, decodeHeader(trimEOL(string(f.text)), f.charset))
		}
		f.text = f.text[:0]
	}
	f.text = append(f.text, line...)
}

func (f *longField) end() {
	switch {
	case !f.cut && len(f.text) > 0:
		f.field(fieldName(f.text), string(f.text))
	case f.cut && !f.skip:
		f.searcher.text(decodeHeader(trimEOL(string(f.text)), f.charset))
	}
	f.text, f.cut, f.skip = f.text[:0], false, false
}

// source yields the next left octets of a read, and remembers its error.
type source struct {
	ctx  context.Context
	r    io.Reader
	left int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return 0, s.err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// drain reads what is left and returns the error of the source.
func (s *source) drain(buf []byte) error {
	for s.left > 0 && s.err == nil {
		_, _ = s.Read(buf)
	}
	return s.err
}
