package message

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of the stored form, besides those of the scanner.
const (
	// MaxEncoded is the greatest length of what [Message.Encode] returns. What is
	// longer is refused unread.
	MaxEncoded = 1 << 20

	// maxText is the longest text of a part: a field of the root's header of which
	// RFC 2231 pieces were percent-encoded.
	maxText = 3 * MaxHeader

	// maxKept bounds the texts and kept headers of all parts together, with 32 octets
	// for each parameter and language: MaxMetadata and what the last part may exceed it
	// by, percent-encoded.
	maxKept = 3 * (MaxMetadata + MaxHeader)
)

// Decode reads what [Message.Encode] has returned, and nothing else: every value
// has one encoding. What it returns keeps the promises of [Message] and [Part],
// whoever made b, and takes memory in proportion to b. It keeps no part of b. Nothing is
// allocated for what is refused but its error.
func Decode(b []byte) (*Message, error) {
	c := checker{reader: reader{b: b}}
	if c.message(); c.err != nil {
		return nil, fmt.Errorf("message: decode: %w", c.err)
	}
	return builder{&reader{b: b}}.message(), nil
}

// ReadHeader reads only the header block, and whether it is a reduced one, of
// what [Message.Encode] has returned, without a look at the rest: for sorting and
// searching many messages. b must have passed [Decode] before.
func ReadHeader(b []byte) (h Header, cut bool, err error) {
	r := reader{b: b}
	r.array(messageLen)
	r.number()
	r.number()
	h = ParseHeader(r.bin(MaxHeader))
	cut = r.bool()
	if r.err != nil {
		return Header{}, false, fmt.Errorf("message: decode: %w", r.err)
	}
	if !plainRaw(h.fields) {
		m, err := Decode(b)
		if err != nil {
			return Header{}, false, err
		}
		h = m.HeaderFields()
	}
	return h, cut, nil
}

// checker reads a stored message without keeping anything, and sets err to what breaks
// the promises of [Message] and [Part].
type checker struct {
	reader
	parts int
	kept  int
}

func (c *checker) fail(text string) {
	if c.err == nil {
		c.err = errors.New(text)
	}
}

// require fails with a text if something is not so.
func (c *checker) require(ok bool, text string) {
	if !ok {
		c.fail(text)
	}
}

func (c *checker) message() {
	if len(c.b) > MaxEncoded {
		c.fail("too long")
		return
	}
	n, v := c.array(messageLen), c.number()
	c.require(v == version1 && n == messageLen1 || v == version && n == messageLen, "unknown version")
	size := c.number()
	header := len(c.bin(MaxHeader))
	cut := c.bool()
	root := c.part(1)
	c.require(root.headerOffset == 0 && root.headerSize <= size && root.bodySize == size-root.headerSize, "the root is not the whole message")
	c.require(root.header == 0 && !root.cut, "the root has a second header block")
	c.require(!badBlock(header, cut, root.headerSize, MaxHeader), "the header block does not fit the header")
	if v == version {
		c.require(!badPreview(string(c.rawStr(utf8.UTFMax*MaxPreview))), "the preview is none")
	}
	c.require(c.err != nil || c.at == len(c.b), "octets after the message")
}

// place is where a part is, and what is kept of its header.
type place struct {
	headerOffset, headerSize, bodySize int64
	header                             int // octets
	cut                                bool
}

func (p place) bodyOffset() int64 { return p.headerOffset + p.headerSize }

func (c *checker) part(depth int) (p place) {
	if c.parts++; c.parts > MaxParts || depth > MaxDepth {
		c.fail("too many parts, or too many inside each other")
	}
	c.require(c.array(partLen) == partLen, "part of another number of elements")
	if c.err != nil {
		return p
	}
	typ, subtype := c.name(), c.name()
	c.params()
	c.text()
	c.text()
	encoding := c.name()
	c.text()
	c.text()
	c.name()
	c.params()
	for range c.array(MaxParams) {
		c.kept += 32
		c.text()
	}
	p.headerOffset, p.headerSize, p.bodySize = c.number(), c.number(), c.number()
	lines := c.number()
	p.header = len(c.bin(MaxEnclosedHeader))
	p.cut = c.bool()
	c.kept += p.header
	c.require(c.kept <= maxKept, "too much metadata")

	multipart := string(typ) == "multipart"
	encloses := string(typ) == "message" && (string(subtype) == "rfc822" || string(subtype) == "global")
	c.require(len(typ) > 0 && len(subtype) > 0 && len(encoding) > 0, "part without a type or encoding")
	c.require(lines <= p.bodySize && (lines == 0 || string(typ) == "text" || encloses), "wrong number of lines")
	n := c.array(MaxParts)
	switch {
	case c.err != nil:
		return p
	case multipart:
		c.require(n > 0, "multipart without parts")
	case encloses:
		c.require(n == 1, "enclosed message without a root")
	default:
		c.require(n == 0, "leaf with parts")
	}
	c.children(p, n, depth, encloses)
	return p
}

// children reads the parts inside of p, which follow each other in its body.
func (c *checker) children(p place, n, depth int, encloses bool) {
	at, end := p.bodyOffset(), p.bodyOffset()+p.bodySize
	for range n {
		if c.err != nil {
			return
		}
		in := c.part(depth + 1)
		c.require(at <= in.headerOffset && in.headerOffset <= end && in.headerSize <= end-in.headerOffset &&
			in.bodySize <= end-in.bodyOffset(), "part outside of the part around it")
		if encloses {
			c.require(in.headerOffset == at && in.bodyOffset()+in.bodySize == end &&
				!badBlock(in.header, in.cut, in.headerSize, MaxEnclosedHeader), "the enclosed message does not fit the part around it")
		} else {
			c.require(in.header == 0 && !in.cut, "header block of a part that is no message")
		}
		at = in.bodyOffset() + in.bodySize
	}
}

// text reads a text of a part.
func (c *checker) text() []byte {
	s := c.rawStr(maxText)
	c.kept += len(s)
	return s
}

// name reads a text that is in lower case.
func (c *checker) name() []byte {
	s := c.text()
	for _, b := range s {
		c.require(b < 'A' || 'Z' < b, "name in upper case")
	}
	return s
}

func (c *checker) params() {
	n := c.array(2 * MaxParams)
	c.require(n%2 == 0, "parameter without a value")
	for range n / 2 {
		c.kept += 32
		c.require(len(c.name()) > 0, "parameter without a name")
		c.text()
	}
}

// badBlock reports whether a header block of n octets cannot be that of a header of size
// octets.
func badBlock(n int, cut bool, size int64, limit int) bool {
	if cut {
		return n > limit || size <= int64(limit)
	}
	return int64(n) != size
}

// builder makes a message of what a checker accepted.
type builder struct{ *reader }

func (r builder) message() *Message {
	m := &Message{}
	m.HasPreview = r.array(messageLen) == messageLen
	r.number()
	m.Size = r.number()
	m.Header = r.bytes()
	m.HeaderCut = r.bool()
	m.Root = r.part()
	if m.HasPreview {
		m.Preview = r.text()
	}
	return m
}

func (r builder) part() *Part {
	p := &Part{}
	r.array(partLen)
	p.Type, p.Subtype = r.text(), r.text()
	p.Params = r.params()
	p.ID, p.Description, p.Encoding = r.text(), r.text(), r.text()
	p.MD5, p.Location, p.Disposition = r.text(), r.text(), r.text()
	p.DispositionParams = r.params()
	for range r.array(MaxParams) {
		p.Language = append(p.Language, r.text())
	}
	p.HeaderOffset, p.HeaderSize = r.number(), r.number()
	p.BodyOffset = p.HeaderOffset + p.HeaderSize
	p.BodySize, p.Lines = r.number(), r.number()
	p.Header = r.bytes()
	p.HeaderCut = r.bool()
	if n := r.array(MaxParts); n > 0 {
		p.Children = make([]*Part, n)
		for i := range p.Children {
			p.Children[i] = r.part()
		}
	}
	return p
}

func (r builder) params() []Param {
	n := r.array(2*MaxParams) / 2
	if n == 0 {
		return nil
	}
	list := make([]Param, n)
	for i := range list {
		list[i] = Param{r.text(), r.text()}
	}
	return list
}

func (r builder) text() string { return string(r.rawStr(MaxEncoded)) }

func (r builder) bytes() []byte {
	if b := r.bin(MaxEncoded); len(b) > 0 {
		return bytes.Clone(b)
	}
	return nil
}
