package memblob_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(*testing.T) (a, b blob.Store) {
		s := memblob.New()
		return s, s
	})
}

func TestZeroValue(t *testing.T) {
	var s memblob.Store
	require.NoError(t, s.Create(t.Context(), "a", strings.NewReader("abc")))
	require.Equal(t, 1, s.Len())
	require.Equal(t, int64(3), s.Bytes())
}

// TestModel compares a store with a map under random creates and deletes, and its
// clones with copies of the map.
func TestModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s, model := memblob.New(), map[string]string{}
	type moment struct {
		s     *memblob.Store
		model map[string]string
	}
	var clones []moment
	for step := range 4000 {
		name := fmt.Sprintf("n/%03d", rng.IntN(300))
		if rng.IntN(3) > 0 {
			data := strings.Repeat("x", rng.IntN(50))
			err := s.Create(t.Context(), name, strings.NewReader(data))
			_, had := model[name]
			require.Equal(t, had, err != nil)
			if !had {
				model[name] = data
			}
		} else {
			require.NoError(t, s.Delete(t.Context(), name))
			delete(model, name)
		}
		if step%500 == 250 {
			copied := map[string]string{}
			for k, v := range model {
				copied[k] = v
			}
			clones = append(clones, moment{s.Clone(), copied})
		}
	}
	require.NotEmpty(t, model)
	clones = append(clones, moment{s, model})
	for _, c := range clones {
		var want []blob.Info
		var size int64
		for k, v := range c.model {
			want = append(want, blob.Info{Name: k, Size: int64(len(v))})
			size += int64(len(v))
		}
		slices.SortFunc(want, func(a, b blob.Info) int { return strings.Compare(a.Name, b.Name) })
		var got []blob.Info
		for info, err := range c.s.List(t.Context(), "", "") {
			require.NoError(t, err)
			got = append(got, info)
		}
		require.Equal(t, want, got)
		require.Equal(t, len(c.model), c.s.Len())
		require.Equal(t, size, c.s.Bytes())
	}
}

// TestClone: a clone and its origin go separate ways.
func TestClone(t *testing.T) {
	s := memblob.New()
	require.NoError(t, s.Create(t.Context(), "both", strings.NewReader("x")))
	c := s.Clone()
	require.NoError(t, s.Create(t.Context(), "origin", strings.NewReader("1")))
	require.NoError(t, c.Create(t.Context(), "clone", strings.NewReader("22")))
	require.NoError(t, c.Delete(t.Context(), "both"))
	for _, want := range []struct {
		s    *memblob.Store
		have []string
	}{{s, []string{"both", "origin"}}, {c, []string{"clone"}}} {
		var got []string
		for info, err := range want.s.List(t.Context(), "", "") {
			require.NoError(t, err)
			got = append(got, info.Name)
		}
		require.Equal(t, want.have, got)
	}
}

// TestCloneUnderLoad: a clone taken in the middle of creates, each of which
// follows another, holds no later one without the earlier.
func TestCloneUnderLoad(t *testing.T) {
	s := memblob.New()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				assert.NoError(t, s.Create(t.Context(), fmt.Sprintf("g%d/%04d", g, i), strings.NewReader("x")))
			}
		})
	}
	most := 0
	for most < 2000 {
		c := s.Clone()
		n := 0
		next := map[string]int{}
		for info, err := range c.List(t.Context(), "", "") {
			require.NoError(t, err)
			g := info.Name[:2]
			require.Equal(t, fmt.Sprintf("%s/%04d", g, next[g]), info.Name)
			next[g]++
			n++
		}
		require.Equal(t, c.Len(), n)
		require.GreaterOrEqual(t, n, most)
		most = n
	}
	wg.Wait()
}

// TestCallerKeepsItsBytes: neither what was given to Create nor what Open yields
// is shared with the store.
func TestCallerKeepsItsBytes(t *testing.T) {
	s := memblob.New()
	data := []byte("immutable")
	require.NoError(t, s.Create(t.Context(), "a", bytes.NewReader(data)))
	data[0] = 'X'
	for range 2 {
		r, err := s.Open(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "immutable", string(got))
		got[0] = 'Y'
	}
}

func BenchmarkCreate(b *testing.B) {
	s := memblob.New()
	data := make([]byte, 200)
	for i := 0; b.Loop(); i++ {
		if err := s.Create(b.Context(), fmt.Sprintf("log/%012d", i), bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList10k(b *testing.B) {
	s := memblob.New()
	for i := range 10_000 {
		if err := s.Create(b.Context(), fmt.Sprintf("log/%012d", i), strings.NewReader("x")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.List(b.Context(), "log/", "") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 10_000 {
			b.Fatalf("listed %d", n)
		}
	}
}
