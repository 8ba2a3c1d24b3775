package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

const pageVersion = 2

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
// sources, then column after column, all integers big endian. A column of integers
// has the first byte of each, then the second of each, and so on: neighbours differ
// little, so that it compresses well. The bodies come last, [BodyRefSize] bytes each.
func (p *Page) Encode() []byte {
	b := make([]byte, 0, pageHead+p.Len()*pageRow+len(p.Sources)*pageSourceSize)
	b = append(b, pageVersion)
	be := binary.BigEndian
	b = be.AppendUint16(b, uint16(p.Len()))
	b = be.AppendUint16(b, uint16(len(p.Sources)))
	b = appendColumn(b, 4, p.UIDs)
	b = appendColumn(b, 8, p.Flags)
	b = appendColumn(b, 8, p.ModSeqs)
	b = appendColumn(b, 4, p.Sizes)
	b = appendColumn(b, 8, p.Dates)
	b = appendColumn(b, 4, p.Saved)
	b = appendColumn(b, 2, p.SourceIndex)
	b = appendColumn(b, 4, p.Slots)
	for _, v := range p.Sources {
		b = be.AppendUint64(b, uint64(v.Entry))
		b = append(b, v.Segment[:]...)
	}
	for _, v := range p.Bodies {
		b = v.append(b)
	}
	return b
}

// appendColumn appends the lowest size bytes of each value, byte by byte.
func appendColumn[T ~uint16 | ~uint32 | ~uint64 | ~int64](b []byte, size int, values []T) []byte {
	for i := range size {
		shift := 8 * (size - 1 - i)
		for _, v := range values {
			b = append(b, byte(uint64(v)>>shift))
		}
	}
	return b
}

// takeColumn reads what appendColumn wrote at the beginning of b, and cuts it off.
func takeColumn[T ~uint16 | ~uint32 | ~uint64 | ~int64](b *[]byte, size, rows int) []T {
	out := make([]T, rows)
	for range size {
		for k := range out {
			out[k] = out[k]<<8 | T((*b)[k])
		}
		*b = (*b)[rows:]
	}
	return out
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
		UIDs:        takeColumn[UID](&b, 4, rows),
		Flags:       takeColumn[FlagBits](&b, 8, rows),
		ModSeqs:     takeColumn[ModSeq](&b, 8, rows),
		Sizes:       takeColumn[uint32](&b, 4, rows),
		Dates:       takeColumn[int64](&b, 8, rows),
		Saved:       takeColumn[uint32](&b, 4, rows),
		SourceIndex: takeColumn[uint16](&b, 2, rows),
		Slots:       takeColumn[uint32](&b, 4, rows),
		Sources: column(&b, sources, pageSourceSize, func(b []byte) MetaSource {
			return MetaSource{Entry: ModSeq(be.Uint64(b)), Segment: pack.BlockID(b[8:24])}
		}),
		Bodies: column(&b, rows, BodyRefSize, func(b []byte) (r BodyRef) {
			r.ID = eventlog.ObjectID(b[:16])
			r.Key = crypto.BodyKey{
				File: crypto.FileKey(b[16:32]), Nonce: [16]byte(b[32:48]), Header: be.Uint16(b[48:]),
			}
			return r
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
