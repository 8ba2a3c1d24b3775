package state

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUIDSetOperations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() (s UIDSet, in [40]bool) {
		for u := range UID(40) {
			if u > 0 && random.IntN(2) == 0 {
				s.Add(u)
				in[u] = true
			}
		}
		return s, in
	}
	for range 2000 {
		a, inA := draw()
		b, inB := draw()
		both, left := a.Intersect(b), a.Without(b)
		for u := range UID(40) {
			require.Equal(t, inA[u] && inB[u], both.Has(u), "%v and %v: %d", a, b, u)
			require.Equal(t, inA[u] && !inB[u], left.Has(u), "%v without %v: %d", a, b, u)
		}
	}
	top := UIDSet{{1, 1<<32 - 1}}
	assert.Equal(t, UIDSet{{1, 4}}, top.Without(UIDSet{{5, 1<<32 - 1}}))
	assert.Empty(t, top.Without(top))
}
