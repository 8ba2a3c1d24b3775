package mailbox

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
	pageRow        = 4 + 8 + 8 + 4 + 8 + 4 + bodyRefSize + 2 + 4
	pageSourceSize = 8 + 16
)

// memory returns about how many bytes the page takes.
func (p *page) memory() int64 { return int64(p.len()*pageRow + len(p.sources)*pageSourceSize) }

// encode returns the page's one encoding: version, number of rows, number of
// sources, then column after column, all integers big endian.
func (p *page) encode() []byte {
	b := make([]byte, 0, pageHead+p.len()*pageRow+len(p.sources)*pageSourceSize)
	b = append(b, pageVersion)
	be := binary.BigEndian
	b = be.AppendUint16(b, uint16(p.len()))
	b = be.AppendUint16(b, uint16(len(p.sources)))
	for _, v := range p.uids {
		b = be.AppendUint32(b, uint32(v))
	}
	for _, v := range p.flags {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range p.modseqs {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range p.sizes {
		b = be.AppendUint32(b, v)
	}
	for _, v := range p.dates {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range p.saved {
		b = be.AppendUint32(b, v)
	}
	for _, v := range p.bodies {
		b = v.append(b)
	}
	for _, v := range p.srcs {
		b = be.AppendUint16(b, v)
	}
	for _, v := range p.slots {
		b = be.AppendUint32(b, v)
	}
	for _, v := range p.sources {
		b = be.AppendUint64(b, uint64(v.entry))
		b = append(b, v.segment[:]...)
	}
	return b
}

// decodePage reads what encode wrote, and nothing else.
func decodePage(b []byte) (*page, error) {
	if len(b) < pageHead {
		return nil, errMalformedPage
	}
	if b[0] != pageVersion {
		return nil, fmt.Errorf("page of version %d: %w", b[0], eventlog.ErrNewerVersion)
	}
	be := binary.BigEndian
	rows, sources := int(be.Uint16(b[1:])), int(be.Uint16(b[3:]))
	if rows == 0 || rows > pageRows || len(b) != pageHead+rows*pageRow+sources*pageSourceSize {
		return nil, errMalformedPage
	}
	b = b[pageHead:]
	p := &page{
		uids:    column(&b, rows, 4, func(b []byte) UID { return UID(be.Uint32(b)) }),
		flags:   column(&b, rows, 8, func(b []byte) flagBits { return flagBits(be.Uint64(b)) }),
		modseqs: column(&b, rows, 8, func(b []byte) ModSeq { return ModSeq(be.Uint64(b)) }),
		sizes:   column(&b, rows, 4, be.Uint32),
		dates:   column(&b, rows, 8, func(b []byte) int64 { return int64(be.Uint64(b)) }),
		saved:   column(&b, rows, 4, be.Uint32),
		bodies: column(&b, rows, bodyRefSize, func(b []byte) (r bodyRef) {
			r.id = eventlog.ObjectID(b[:16])
			r.key = crypto.BodyKey{
				File: crypto.FileKey(b[16:32]), Nonce: [16]byte(b[32:48]), Header: be.Uint16(b[48:]),
			}
			return r
		}),
		srcs:  column(&b, rows, 2, be.Uint16),
		slots: column(&b, rows, 4, be.Uint32),
		sources: column(&b, sources, pageSourceSize, func(b []byte) metaSource {
			return metaSource{entry: ModSeq(be.Uint64(b)), segment: eventlog.ObjectID(b[8:24])}
		}),
	}
	for i := range p.uids {
		if int(p.srcs[i]) >= sources || p.uids[i] == 0 || i > 0 && p.uids[i] <= p.uids[i-1] {
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
	segmentMessages = 256
	segmentBytes    = 1 << 20
)

var errMalformedSegment = errors.New("malformed metadata segment")

func encodeSegment(metas [][]byte) []byte {
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

func decodeSegment(b []byte) ([][]byte, error) {
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
