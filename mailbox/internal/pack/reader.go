package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// Bounds of one read.
const (
	maxGap  = 256 << 10 // bytes between two blocks that are read rather than left out
	maxSpan = 8 << 20   // bytes of one request
)

// Opener returns n bytes of a pack from off on.
type Opener func(ctx context.Context, id ID, off, n int64) (io.ReadCloser, error)

// span is a run of blocks that one request reads.
type span struct {
	pack     ID
	off, end int64
	blocks   []int // indexes into what was asked for, by offset
}

// spans divides blocks into as few requests as the bounds allow.
func spans(refs []Ref) []span {
	order := make([]int, 0, len(refs))
	for i, r := range refs {
		if !r.IsZero() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if c := slices.Compare(refs[a].Pack[:], refs[b].Pack[:]); c != 0 {
			return c
		}
		return cmp.Compare(refs[a].Off, refs[b].Off)
	})
	var out []span
	for _, i := range order {
		r := refs[i]
		if n := len(out); n > 0 && out[n-1].pack == r.Pack && int64(r.Off)-out[n-1].end <= maxGap && r.end()-out[n-1].off <= maxSpan {
			out[n-1].end = max(out[n-1].end, r.end())
			out[n-1].blocks = append(out[n-1].blocks, i)
			continue
		}
		out = append(out, span{pack: r.Pack, off: int64(r.Off), end: r.end(), blocks: []int{i}})
	}
	return out
}

// Sealed is a sealed block that was read, or why it was not.
type Sealed struct {
	Bytes []byte // valid until the next is read
	Err   error
}

// ReadSealed yields the index and the sealed bytes of each block that refs name, as
// their hash says they are, in an order that takes few requests. It holds one block
// at a time. A block that cannot be read is yielded with its error, and the next one
// follows; zero Refs are left out.
func ReadSealed(ctx context.Context, open Opener, refs []Ref) iter.Seq2[int, Sealed] {
	return func(yield func(int, Sealed) bool) {
		for _, sp := range spans(refs) {
			if !readSpan(ctx, open, refs, sp, yield) {
				return
			}
		}
	}
}

// readSpan reads the blocks of one request. It reports false when yield did.
func readSpan(ctx context.Context, open Opener, refs []Ref, sp span, yield func(int, Sealed) bool) bool {
	src, err := open(ctx, sp.pack, sp.off, sp.end-sp.off)
	if err != nil {
		return fail(sp.blocks, err, yield)
	}
	defer src.Close()
	at := sp.off
	var sealed []byte
	for n, i := range sp.blocks {
		r := refs[i]
		if at <= int64(r.Off) { // else it is the block before, asked for twice
			if _, err := io.CopyN(io.Discard, src, int64(r.Off)-at); err != nil {
				return fail(sp.blocks[n:], short(sp.pack, err), yield)
			}
			sealed = slices.Grow(sealed[:0], int(r.Sealed))[:r.Sealed]
			if _, err := io.ReadFull(src, sealed); err != nil {
				return fail(sp.blocks[n:], short(sp.pack, err), yield)
			}
			at = r.end()
		}
		if err := r.check(sealed); err != nil {
			err = fmt.Errorf("pack %s, block at %d: %w", r.Pack, r.Off, err)
			if !yield(i, Sealed{Err: err}) {
				return false
			}
			continue
		}
		if !yield(i, Sealed{Bytes: sealed}) {
			return false
		}
	}
	return true
}

// short is a pack that ends before its blocks do.
func short(id ID, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the pack is cut short", ErrCorrupt)
	}
	return fmt.Errorf("pack %s: %w", id, err)
}

func fail(blocks []int, err error, yield func(int, Sealed) bool) bool {
	for _, i := range blocks {
		if !yield(i, Sealed{Err: err}) {
			return false
		}
	}
	return true
}
