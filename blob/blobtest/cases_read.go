package blobtest

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

func ranges(t *testing.T, a, b blob.Store) {
	const name, size = "range/object", 100_000
	data := noise(1, size)
	create(t, a, name, data)
	create(t, a, "range/empty", nil)
	for _, c := range []struct{ off, n, from, to int64 }{
		{0, -1, 0, size},
		{0, size, 0, size},
		{0, 0, 0, 0},
		{0, 1, 0, 1},
		{0, size + 1, 0, size},
		{0, math.MaxInt64, 0, size},
		{1, -1, 1, size},
		{1, -100, 1, size},
		{17, 33, 17, 50},
		{65_535, 2, 65_535, 65_537},
		{50_000, 0, 0, 0},
		{50_000, size, 50_000, size},
		{50_000, math.MaxInt64, 50_000, size},
		{size - 1, 1, size - 1, size},
		{size - 1, -1, size - 1, size},
		{size - 1, 2, size - 1, size},
		{size, -1, 0, 0},
		{size, 0, 0, 0},
		{size, 1, 0, 0},
		{size + 1, -1, 0, 0},
		{size + 1, 1, 0, 0},
		{math.MaxInt64, -1, 0, 0},
		{math.MaxInt64, math.MaxInt64, 0, 0},
	} {
		both(a, b, func(s blob.Store) {
			got, err := read(t.Context(), s, name, c.off, c.n)
			require.NoError(t, err, "off %d, n %d", c.off, c.n)
			require.True(t, bytes.Equal(data[c.from:c.to], got), "off %d, n %d: %d bytes, want %d to %d", c.off, c.n, len(got), c.from, c.to)

			got, err = read(t.Context(), s, "range/empty", c.off, c.n)
			require.NoError(t, err, "empty object, off %d, n %d", c.off, c.n)
			require.Empty(t, got)

			_, err = s.Open(t.Context(), "range/missing", c.off, c.n)
			require.ErrorIs(t, err, errNotExist, "off %d, n %d", c.off, c.n)
		})
	}
	both(a, b, func(s blob.Store) {
		for _, off := range []int64{-1, math.MinInt64} {
			_, err := s.Open(t.Context(), name, off, 1)
			namesObject(t, err, name)
			require.NotErrorIs(t, err, errNotExist)
		}
	})
}

// independentReaders: readers do not share a position, may be closed early, and
// may be many.
func independentReaders(t *testing.T, a, b blob.Store) {
	const name = "many/readers"
	data := noise(1, 200_000)
	create(t, a, name, data)
	var readers []io.ReadCloser
	for i := range 20 {
		r, err := []blob.Store{a, b}[i%2].Open(t.Context(), name, int64(i), -1)
		require.NoError(t, err)
		readers = append(readers, r)
	}
	chunk := make([]byte, 10_000)
	for step := range 5 {
		for i, r := range readers {
			_, err := io.ReadFull(r, chunk)
			require.NoError(t, err)
			from := i + step*len(chunk)
			require.True(t, bytes.Equal(data[from:from+len(chunk)], chunk), "reader %d, step %d", i, step)
		}
	}
	for _, r := range readers {
		require.NoError(t, r.Close(), "closed before its end")
	}
}

// deleteWhileReading: a reader whose object is deleted, and whose name is taken by
// another, yields the old bytes or an error.
func deleteWhileReading(t *testing.T, a, b blob.Store) {
	for i, size := range []int{5000, 3 << 20} {
		name := fmt.Sprintf("going/%d", i)
		data := noise(uint64(i), size)
		create(t, a, name, data)
		r, err := a.Open(t.Context(), name, 0, -1)
		require.NoError(t, err)
		head := make([]byte, 1000)
		_, err = io.ReadFull(r, head)
		require.NoError(t, err)
		require.NoError(t, b.Delete(t.Context(), name))
		create(t, b, name, noise(99, size))
		tail, err := io.ReadAll(r)
		if err == nil {
			require.Len(t, tail, size-len(head), "an end in the middle is not an end")
		}
		require.True(t, bytes.HasPrefix(data[len(head):], tail), "read other bytes")
		require.NoError(t, r.Close())
		both(a, b, func(s blob.Store) { holds(t, s, name, noise(99, size)) })
	}
}
