package pack

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const kindTest Kind = 7

// packs is a store of packs in memory that counts what is read.
type packs struct {
	data  map[ID][]byte
	opens int
}

func newPacks() *packs { return &packs{data: map[ID][]byte{}} }

func (p *packs) create(_ context.Context, id ID, b []byte) error {
	p.data[id] = bytes.Clone(b)
	return nil
}

func (p *packs) open(_ context.Context, id ID, off, n int64) (io.ReadCloser, error) {
	p.opens++
	b := p.data[id]
	off = min(off, int64(len(b)))
	return io.NopCloser(bytes.NewReader(b[off:min(off+n, int64(len(b)))])), nil
}

func sealer() Sealer { return Sealer{Log: [16]byte{1, 2, 3}} }

// fill stores n blocks and returns their Refs and what they hold.
func fill(t *testing.T, p *packs, n, target int) ([]Ref, [][]byte) {
	t.Helper()
	w := NewWriter(target, p.create)
	refs, all := make([]Ref, n), make([][]byte, n)
	for i := range n {
		all[i] = bytes.Repeat([]byte{byte(i)}, i*7)
		if i%3 == 0 { // what does not compress
			rand.Read(all[i])
		}
		b := sealer().Seal(kindTest, Codec(1+i%2), all[i], len(all[i])/5*(i%2))
		refs[i] = b.Ref
		require.NoError(t, w.Add(t.Context(), b.Sealed, &refs[i]))
	}
	require.NoError(t, w.Flush(t.Context()))
	require.Equal(t, len(p.data), w.Packs)
	return refs, all
}

func read(t *testing.T, p *packs, refs []Ref) (map[int][]byte, map[int]error) {
	t.Helper()
	got, failed := map[int][]byte{}, map[int]error{}
	for i, s := range ReadSealed(t.Context(), p.open, refs) {
		data, err := s.Bytes, s.Err
		if err == nil {
			data, err = sealer().Open(kindTest, refs[i], s.Bytes)
		}
		if err != nil {
			failed[i] = err
			continue
		}
		got[i] = data
	}
	return got, failed
}

func TestEveryBlockComesBackInFewReads(t *testing.T) {
	p := newPacks()
	refs, want := fill(t, p, 200, 1<<20)
	refs = append(refs, refs[0], Ref{}) // twice, and none
	mrand.Shuffle(200, func(i, j int) { refs[i], refs[j], want[i], want[j] = refs[j], refs[i], want[j], want[i] })
	got, failed := read(t, p, refs)
	require.Empty(t, failed)
	require.Len(t, got, 201)
	for i, w := range want {
		require.True(t, bytes.Equal(w, got[i]), "block %d", i)
	}
	require.Equal(t, 1, p.opens)
}

func TestPacksAreFilledAndPadded(t *testing.T) {
	p := newPacks()
	fill(t, p, 300, 16<<10)
	require.Greater(t, len(p.data), 2)
	for _, b := range p.data {
		assert.Zero(t, len(b)%align)
		assert.LessOrEqual(t, len(b), 16<<10+align)
	}
}

// Another byte anywhere in a block is noticed, and costs no other block.
func TestDamageCostsOneBlock(t *testing.T) {
	p := newPacks()
	refs, _ := fill(t, p, 20, 1<<20)
	for bad := range refs {
		for _, at := range []uint32{0, refs[bad].Sealed / 2, refs[bad].Sealed - 1} {
			b := p.data[refs[bad].Pack]
			b[refs[bad].Off+at] ^= 1
			got, failed := read(t, p, refs)
			b[refs[bad].Off+at] ^= 1
			require.Len(t, got, len(refs)-1)
			require.ErrorIs(t, failed[bad], ErrCorrupt)
		}
	}
	for id, b := range p.data {
		p.data[id] = b[:refs[10].Off+1]
	}
	got, failed := read(t, p, refs)
	require.Len(t, got, 10)
	require.ErrorIs(t, failed[10], ErrCorrupt)
}

// A block is of one log and one kind, and is what its Ref hashes.
func TestBlockIsReadAsWhatItIsOnly(t *testing.T) {
	b := sealer().Seal(kindTest, Zstd, []byte("a block"), 0)
	data, err := sealer().Open(kindTest, b.Ref, b.Sealed)
	require.NoError(t, err)
	require.Equal(t, "a block", string(data))
	_, err = sealer().Open(kindTest+1, b.Ref, b.Sealed)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Sealer{}.Open(kindTest, b.Ref, b.Sealed)
	require.ErrorIs(t, err, ErrCorrupt)
	other := sealer().Seal(kindTest, Zstd, []byte("a block"), 0)
	_, err = sealer().Open(kindTest, b.Ref, other.Sealed)
	require.ErrorIs(t, err, ErrCorrupt)
	short := b.Ref
	short.Plain--
	_, err = sealer().Open(kindTest, short, b.Sealed)
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestRefsRoundTrip(t *testing.T) {
	p := newPacks()
	refs, _ := fill(t, p, 50, 1<<10)
	ids := slices.SortedFunc(maps.Keys(p.data), func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	table, ok := NewTable(ids)
	require.True(t, ok)
	var b []byte
	refs = append(refs, Ref{})
	for _, r := range refs {
		b = table.Append(b, r)
	}
	require.Len(t, b, 51*RefSize)
	for i := range refs {
		r, err := table.Parse(b[i*RefSize:])
		require.NoError(t, err)
		require.Equal(t, refs[i], r)
	}
	table, ok = NewTable(ids[:1])
	require.True(t, ok)
	failed := 0
	for i := range refs {
		if _, err := table.Parse(b[i*RefSize:]); err != nil {
			failed++
		}
	}
	require.NotZero(t, failed)
	slices.Reverse(ids)
	_, ok = NewTable(ids)
	require.False(t, ok)
}

// Random snapshots: the packs stay few, and little is written again and again.
func TestMergeKeepsPacksFew(t *testing.T) {
	const target = 8 << 20
	live := map[ID]int{}
	written, fresh := 0, 0
	rng := mrand.New(mrand.NewPCG(1, 2))
	most := 0
	for range 2000 {
		n := 2000 + rng.IntN(60_000)
		fresh += n
		for id := range live { // part of what was there is replaced
			if rng.IntN(4) == 0 {
				live[id] -= min(live[id], n/8)
			}
		}
		var use []Usage
		for id, l := range live {
			use = append(use, Usage{id, l, target})
			use[len(use)-1].Size = max(l, 1)
		}
		sum := n
		for _, id := range Merge(n, target, use) {
			sum += live[id]
			delete(live, id)
		}
		var id ID
		rand.Read(id[:])
		live[id] = sum
		written += sum
		most = max(most, len(live))
	}
	assert.LessOrEqual(t, most, 24)
	assert.Less(t, written, 12*fresh)
}

func FuzzOpen(f *testing.F) {
	b := sealer().Seal(kindTest, Zstd, []byte("a block"), 0)
	f.Add(b.Sealed)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		data, err := sealer().Open(kindTest, b.Ref, sealed)
		if err == nil && string(data) != "a block" {
			t.Fatal("another block")
		}
	})
}
