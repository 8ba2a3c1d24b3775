package message

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The stored form is described in docs/format-message.md. A change of what is
// stored needs another version, and readers of all versions there ever were.
const (
	version1 = 1 // without a preview
	version  = 2
)

const (
	messageLen1 = 5 // elements of the array of a message of version 1
	messageLen  = 6
	partLen     = 18 // of a part
)

// Encode returns the stored form of m, which [Decode] reads: a few dozen octets
// for each part, and the header block.
func (m *Message) Encode() []byte {
	var b bytes.Buffer
	b.Grow(len(m.Header) + 256)
	e := encoder{msgpack.NewEncoder(&b)}
	if m.HasPreview {
		e.array(messageLen)
		e.number(version)
	} else {
		e.array(messageLen1)
		e.number(version1)
	}
	e.number(m.Size)
	e.bytes(m.Header)
	e.bool(m.HeaderCut)
	e.part(m.Root)
	if m.HasPreview {
		e.text(m.Preview)
	}
	return b.Bytes()
}

// encoder writes to a buffer, which does not fail.
type encoder struct{ *msgpack.Encoder }

func (e encoder) array(n int)    { _ = e.EncodeArrayLen(n) }
func (e encoder) number(n int64) { _ = e.EncodeUint(uint64(n)) }
func (e encoder) text(s string)  { _ = e.EncodeString(s) }
func (e encoder) bool(b bool)    { _ = e.EncodeBool(b) }

func (e encoder) bytes(b []byte) {
	if b == nil {
		b = []byte{}
	}
	_ = e.EncodeBytes(b)
}

func (e encoder) params(list []Param) {
	e.array(2 * len(list))
	for _, p := range list {
		e.text(p.Name)
		e.text(p.Value)
	}
}

func (e encoder) part(p *Part) {
	e.array(partLen)
	e.text(p.Type)
	e.text(p.Subtype)
	e.params(p.Params)
	e.text(p.ID)
	e.text(p.Description)
	e.text(p.Encoding)
	e.text(p.MD5)
	e.text(p.Location)
	e.text(p.Disposition)
	e.params(p.DispositionParams)
	e.array(len(p.Language))
	for _, l := range p.Language {
		e.text(l)
	}
	e.number(p.HeaderOffset)
	e.number(p.HeaderSize)
	e.number(p.BodySize)
	e.number(p.Lines)
	e.bytes(p.Header)
	e.bool(p.HeaderCut)
	e.array(len(p.Children))
	for _, c := range p.Children {
		e.part(c)
	}
}

// Decode reads what [Message.Encode] has returned, and nothing else: every value
// has one encoding. What it returns keeps the promises of [Message] and [Part],
// whoever made b, and takes memory in proportion to b. It keeps no part of b.
func Decode(b []byte) (*Message, error) {
	r := bytes.NewReader(b)
	d := decoder{Decoder: msgpack.GetDecoder(), r: r}
	defer msgpack.PutDecoder(d.Decoder)
	d.Reset(r)
	m := d.message()
	if d.err == nil && r.Len() > 0 {
		d.fail("%d octets too many", r.Len())
	}
	if d.err == nil {
		d.err = m.check()
	}
	// The msgpack reader takes numbers and lengths in forms that Encode does not
	// write.
	if d.err == nil && !bytes.Equal(m.Encode(), b) {
		d.err = errors.New("not the shortest encoding")
	}
	if d.err != nil {
		return nil, fmt.Errorf("message: decode: %w", d.err)
	}
	return m, nil
}

// ReadHeader reads only the header block, and whether it is a reduced one, of
// what [Message.Encode] has returned, without a look at the rest: for sorting and
// searching many messages. b must have passed [Decode] before.
func ReadHeader(b []byte) (h Header, cut bool, err error) {
	r := bytes.NewReader(b)
	d := decoder{Decoder: msgpack.GetDecoder(), r: r}
	defer msgpack.PutDecoder(d.Decoder)
	d.Reset(r)
	d.array(messageLen)
	d.number()
	d.number()
	n := 0
	if d.err == nil {
		n, d.err = d.DecodeBytesLen()
	}
	if d.err == nil && (n < 0 || n >= r.Len()) {
		d.fail("string of %d octets, %d are left", n, r.Len())
	}
	if d.err != nil {
		return Header{}, false, fmt.Errorf("message: decode: %w", d.err)
	}
	at := len(b) - r.Len()
	cut = b[at+n] == msgpcode.True
	return ParseHeader(b[at : at+n]), cut, nil
}

// decoder remembers the first error, after which it yields zeros.
type decoder struct {
	*msgpack.Decoder
	r     *bytes.Reader
	err   error
	parts int
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) array(most int) int {
	if d.err != nil {
		return 0
	}
	n, err := d.DecodeArrayLen()
	switch {
	case err != nil:
		d.err = err
	case n < 0 || n > most || n > d.r.Len():
		d.fail("array of %d elements, want at most %d", n, most)
	default:
		return n
	}
	return 0
}

func (d *decoder) number() int64 {
	if d.err != nil {
		return 0
	}
	n, err := d.DecodeInt64()
	if err != nil {
		d.err = err
	} else if n < 0 {
		d.fail("negative number")
	}
	return n
}

func (d *decoder) bool() bool {
	if d.err != nil {
		return false
	}
	v, err := d.DecodeBool()
	if err != nil {
		d.err = err
	}
	return v
}

func (d *decoder) bytes() []byte {
	if d.err != nil {
		return nil
	}
	n, err := d.DecodeBytesLen()
	if err != nil {
		d.err = err
		return nil
	}
	if n < 0 || n > d.r.Len() {
		d.fail("string of %d octets, %d are left", n, d.r.Len())
		return nil
	}
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	d.err = d.ReadFull(b)
	return b
}

func (d *decoder) params() []Param {
	n := d.array(2 * MaxParams)
	if n%2 != 0 {
		d.fail("parameter without a value")
	}
	if n == 0 || d.err != nil {
		return nil
	}
	list := make([]Param, n/2)
	for i := range list {
		list[i] = Param{string(d.bytes()), string(d.bytes())}
	}
	return list
}

func (d *decoder) message() *Message {
	m := &Message{}
	n := d.array(messageLen)
	switch v := d.number(); v {
	case version1, version:
		m.HasPreview = v == version
		if want := messageLen1 + int(v-version1); n != want {
			d.fail("array of %d elements, want %d", n, want)
		}
	default:
		d.fail("version %d, want %d at most", v, version)
	}
	m.Size = d.number()
	m.Header = d.bytes()
	m.HeaderCut = d.bool()
	m.Root = d.part(1)
	if m.HasPreview {
		m.Preview = string(d.bytes())
	}
	return m
}

func (d *decoder) part(depth int) *Part {
	p := &Part{}
	if n := d.array(partLen); n != partLen {
		d.fail("part of %d elements, want %d", n, partLen)
	}
	if d.parts++; d.parts > MaxParts || depth > MaxDepth {
		d.fail("more than %d parts, or %d inside each other", MaxParts, MaxDepth)
	}
	if d.err != nil {
		return p
	}
	p.Type = string(d.bytes())
	p.Subtype = string(d.bytes())
	p.Params = d.params()
	p.ID = string(d.bytes())
	p.Description = string(d.bytes())
	p.Encoding = string(d.bytes())
	p.MD5 = string(d.bytes())
	p.Location = string(d.bytes())
	p.Disposition = string(d.bytes())
	p.DispositionParams = d.params()
	for range d.array(MaxParams) {
		p.Language = append(p.Language, string(d.bytes()))
	}
	p.HeaderOffset = d.number()
	p.HeaderSize = d.number()
	p.BodyOffset = p.HeaderOffset + p.HeaderSize
	p.BodySize = d.number()
	p.Lines = d.number()
	p.Header = d.bytes()
	p.HeaderCut = d.bool()
	for range d.array(MaxParts) {
		p.Children = append(p.Children, d.part(depth+1))
	}
	return p
}
