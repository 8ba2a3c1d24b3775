package pack

import (
	"cmp"
	"slices"
)

// Usage is how much of a pack is still referred to.
type Usage struct {
	Pack ID
	Live int // bytes of blocks that a manifest names
	Size int // bytes of the pack
}

// Merge returns the packs whose live blocks are to be moved while fresh bytes are
// written: those of which less than half is live, and small ones, as long as all
// of it stays within target. So the number of packs grows with the logarithm of
// what they hold, and a byte is moved a few times in its life. It does not depend
// on the order of packs.
func Merge(fresh, target int, packs []Usage) []ID {
	packs = slices.Clone(packs)
	slices.SortFunc(packs, func(a, b Usage) int {
		if c := cmp.Compare(a.Live, b.Live); c != 0 {
			return c
		}
		return slices.Compare(a.Pack[:], b.Pack[:])
	})
	var out []ID
	n := fresh
	for _, p := range packs {
		switch {
		case 2*p.Live < p.Size-align: // the padding is nobody's loss
		case p.Live <= n && n+p.Live <= target:
		default:
			continue
		}
		n += p.Live
		out = append(out, p.Pack)
	}
	return out
}
