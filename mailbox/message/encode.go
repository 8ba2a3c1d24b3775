package message

import (
	"bytes"

	"github.com/vmihailenco/msgpack/v5"
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
