package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

const pageVersion = 1

var errMalformedPage = errors.New("malformed page")

// Sizes of what a page holds for one message and for one source.
const (
	pageHead       = 1 + 2 + 2
	pageRow        = 4 + 8 + 8 + 4 + 8 + 4 + BodyRefSize + 2 + 4
	pageSourceSize = 8 + 16
)

// Memory returns about how many bytes the page takes.
func (p *Page) Memory() int64 { return int64(p.Len()*pageRow + len(p.Sources)*pageSourceSize) }

// Encode returns the page's one encoding: version, number of rows, number of
// sources, then column after column, all integers big endian.
func (p *Page) Encode() []byte {
	b := make([]byte, 0, pageHead+p.Len()*pageRow+len(p.Sources)*pageSourceSize)
	b = append(b, pageVersion)
	be := binary.BigEndian
	b = be.AppendUint16(b, uint16(p.Len()))
	b = be.AppendUint16(b, uint16(len(p.Sources)))
	for _, v := range p.UIDs {
		b = be.AppendUint32(b, uint32(v))
	}
	for _, v := range p.Flags {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range p.ModSeqs {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range p.Sizes {
		b = be.AppendUint32(b, v)
	}
	for _, v := range p.Dates {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range p.Saved {
		b = be.AppendUint32(b, v)
	}
	for _, v := range p.Bodies {
		b = v.append(b)
	}
	for _, v := range p.SourceIndex {
		b = be.AppendUint16(b, v)
	}
	for _, v := range p.Slots {
		b = be.AppendUint32(b, v)
	}
	for _, v := range p.Sources {
		b = be.AppendUint64(b, uint64(v.Entry))
		b = append(b, v.Segment[:]...)
	}
	return b
}

// DecodePage reads what encode wrote, and nothing else.
func DecodePage(b []byte) (*Page, error) {
	if len(b) < pageHead {
		return nil, errMalformedPage
	}
	if b[0] != pageVersion {
		return nil, fmt.Errorf("page of version %d: %w", b[0], eventlog.ErrNewerVersion)
	}
	be := binary.BigEndian
	rows, sources := int(be.Uint16(b[1:])), int(be.Uint16(b[3:]))
	if rows == 0 || rows > PageRows || len(b) != pageHead+rows*pageRow+sources*pageSourceSize {
		return nil, errMalformedPage
	}
	b = b[pageHead:]
	p := &Page{
		UIDs:    column(&b, rows, 4, func(b []byte) UID { return UID(be.Uint32(b)) }),
		Flags:   column(&b, rows, 8, func(b []byte) FlagBits { return FlagBits(be.Uint64(b)) }),
		ModSeqs: column(&b, rows, 8, func(b []byte) ModSeq { return ModSeq(be.Uint64(b)) }),
		Sizes:   column(&b, rows, 4, be.Uint32),
		Dates:   column(&b, rows, 8, func(b []byte) int64 { return int64(be.Uint64(b)) }),
		Saved:   column(&b, rows, 4, be.Uint32),
		Bodies: column(&b, rows, BodyRefSize, func(b []byte) (r BodyRef) {
			r.ID = eventlog.ObjectID(b[:16])
			r.Key = crypto.BodyKey{
				File: crypto.FileKey(b[16:32]), Nonce: [16]byte(b[32:48]), Header: be.Uint16(b[48:]),
			}
			return r
		}),
		SourceIndex: column(&b, rows, 2, be.Uint16),
		Slots:       column(&b, rows, 4, be.Uint32),
		Sources: column(&b, sources, pageSourceSize, func(b []byte) MetaSource {
			return MetaSource{Entry: ModSeq(be.Uint64(b)), Segment: eventlog.ObjectID(b[8:24])}
		}),
	}
	for i := range p.UIDs {
		if int(p.SourceIndex[i]) >= sources || p.UIDs[i] == 0 || i > 0 && p.UIDs[i] <= p.UIDs[i-1] {
			return nil, errMalformedPage
		}
	}
	return p, nil
}

func column[T any](b *[]byte, rows, size int, get func([]byte) T) []T {
	out := make([]T, rows)
	for i := range out {
		out[i] = get((*b)[i*size:])
	}
	*b = (*b)[rows*size:]
	return out
}

// A segment holds the metadata of messages: how many, the end of each, then
// their encodings one after the other.

// Bounds of a segment: a header FETCH of a thousand messages reads a handful of
// them, and one is never much to hold.
const (
	SegmentMessages = 256
	SegmentBytes    = 1 << 20
)

var errMalformedSegment = errors.New("malformed metadata segment")

func EncodeSegment(metas [][]byte) []byte {
	size := 4 + 4*len(metas)
	for _, m := range metas {
		size += len(m)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(metas)))
	end := 0
	for _, m := range metas {
		end += len(m)
		b = binary.BigEndian.AppendUint32(b, uint32(end))
	}
	return append(b, slices.Concat(metas...)...)
}

func DecodeSegment(b []byte) ([][]byte, error) {
	if len(b) < 4 {
		return nil, errMalformedSegment
	}
	n := int64(binary.BigEndian.Uint32(b))
	if int64(len(b)) < 4+4*n {
		return nil, errMalformedSegment
	}
	ends, data := b[4:4+4*n], b[4+4*n:]
	metas := make([][]byte, n)
	start := uint32(0)
	for i := range metas {
		end := binary.BigEndian.Uint32(ends[4*i:])
		if end < start || int(end) > len(data) {
			return nil, errMalformedSegment
		}
		metas[i] = data[start:end:end]
		start = end
	}
	if int(start) != len(data) {
		return nil, errMalformedSegment
	}
	return metas, nil
}
