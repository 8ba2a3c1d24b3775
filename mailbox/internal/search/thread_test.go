package search

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Whatever the fields say, each message is in one thread, once, and no thread is
// deeper than clients can read.
func TestThreadEveryMessageOnce(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 5256))
		n := 1 + rnd.IntN(60)
		ids := 1 + rnd.IntN(2*n)
		th := newReferences()
		var want []state.UID
		for i := range n {
			l := &threaded{Found: Found{Index: i, UID: state.UID(i + 1)}, date: int64(rnd.IntN(5)), reply: rnd.IntN(2) == 0}
			if rnd.IntN(3) > 0 {
				l.subject = fmt.Sprint(rnd.IntN(n))
			}
			var m messageIDs
			if rnd.IntN(5) > 0 {
				m.own = fmt.Sprint(rnd.IntN(ids))
			}
			for range rnd.IntN(6) {
				m.refs = append(m.refs, fmt.Sprint(rnd.IntN(ids)))
			}
			th.add(l, m)
			want = append(want, l.UID)
		}
		requireOnce(t, th.finish(), want)
	}
}

func requireOnce(t *testing.T, threads []*Thread, want []state.UID) {
	t.Helper()
	var got []state.UID
	var walk func(list []*Thread, depth int)
	walk = func(list []*Thread, depth int) {
		require.LessOrEqual(t, depth, maxThreadDepth)
		for _, th := range list {
			if th.UID == 0 {
				require.Zero(t, depth, "only the top may be a placeholder")
				require.NotEmpty(t, th.Children)
			} else {
				got = append(got, th.UID)
			}
			if len(th.Children) > 0 {
				walk(th.Children, depth+1)
			}
		}
	}
	walk(threads, 0)
	slices.Sort(got)
	require.Equal(t, want, got)
}

// Long chains, in either order of arrival, and a hostile one in which everything
// is an answer to everything: neither recursion nor time runs away.
func TestThreadLong(t *testing.T) {
	const n = 20_000
	id := func(i int) string { return fmt.Sprint("m", i) }
	for name, refs := range map[string]func(i int) []string{
		"forwards":  func(i int) []string { return []string{id(i - 1)} },
		"backwards": func(i int) []string { return []string{id(i + 1)} },
		"wide":      func(i int) []string { return []string{id(0), id(i + n)} },
		"tangled":   func(i int) []string { return []string{id(i * 7 % n), id(i * 13 % n), id(i * 31 % n)} },
	} {
		t.Run(name, func(t *testing.T) {
			th := newReferences()
			var want []state.UID
			for i := range n {
				th.add(&threaded{Found: Found{Index: i, UID: state.UID(i + 1)}, date: int64(i)}, messageIDs{own: id(i), refs: refs(i)})
				want = append(want, state.UID(i+1))
			}
			requireOnce(t, th.finish(), want)
		})
	}
}

// Placeholders are bounded.
func TestThreadPlaceholders(t *testing.T) {
	th := newReferences()
	var want []state.UID
	for i := range 3 * maxPlaceholders / maxReferences {
		var refs []string
		for k := range maxReferences {
			refs = append(refs, fmt.Sprint(i, "-", k))
		}
		th.add(&threaded{Found: Found{UID: state.UID(i + 1)}}, messageIDs{refs: refs})
		want = append(want, state.UID(i+1))
	}
	require.Equal(t, maxPlaceholders, th.placeholders)
	requireOnce(t, th.finish(), want)
}
