package blobtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

// tricky are names whose byte order is not the order of their folders: '-' and
// '.' come before '/', digits and letters after it.
var tricky = []string{
	"a-b", "a.b", "a/b", "a/b-c", "a/c", "a0", "a_", "aa", "a/d/x", "a/d-x", "a/d.x", "a/d0", "a/d/-", "a/d/y/z",
	"b/1", "b/10", "b/2", "b-", "b.0/x", "ba/x", "log/0001", "log/0002", "log/0010", "log-0001", "z",
}

// listOrder compares listings of all kinds with a sorted slice.
func listOrder(t *testing.T, a, b blob.Store) {
	for i, name := range tricky {
		create(t, []blob.Store{a, b}[i%2], name, noise(1, i))
	}
	sorted := slices.Sorted(slices.Values(tricky))
	prefixes := []string{"", "a", "a/", "a-", "a.", "a/b", "a/d", "a/d/", "a/d/y/", "a/d/y/z", "a/d/y/z/", "b", "b/1", "log/00", "log/0002", "z", "zz", "nothing/here", "~"}
	afters := append([]string{"", "a", "a/", "a/d", "a/d/", "a/d/zz", "a/zz", "b.", "log/", "log/0", "log/0001x", "m", "~", "\x00", "A", "\xff"}, tricky...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			want := []string{}
			for _, name := range sorted {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			require.Equal(t, want, names(list(t, b, prefix, after)), "prefix %q, after %q", prefix, after)
		}
	}
	for _, info := range list(t, a, "", "") {
		require.Equal(t, int64(slices.Index(tricky, info.Name)), info.Size, info.Name)
	}
	// A listing can be run again, and then tells what is there then.
	seq := a.List(t.Context(), "log/", "")
	for range 2 {
		var got []string
		for info, err := range seq {
			require.NoError(t, err)
			got = append(got, info.Name)
		}
		require.Equal(t, []string{"log/0001", "log/0002", "log/0010"}, got)
	}
}

// fill creates n small objects named by format, a few at a time.
func fill(t *testing.T, s blob.Store, format string, n int) []string {
	t.Helper()
	all := make([]string, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range next {
				all[i] = fmt.Sprintf(format, i)
				assert.NoError(t, s.Create(t.Context(), all[i], strings.NewReader("x")))
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return all
}

// listMany lists more names than one request of S3 returns.
func listMany(t *testing.T, a, b blob.Store) {
	all := fill(t, a, "many/%05d", 1100)
	require.Equal(t, all, names(list(t, b, "", "")))
	require.Equal(t, all[1050:], names(list(t, b, "many/", all[1049])))

	// In pages, each after the last name of the one before.
	var got []string
	for after := ""; ; {
		n := 0
		for info, err := range b.List(t.Context(), "many/", after) {
			require.NoError(t, err)
			got = append(got, info.Name)
			if n++; n == 300 {
				break
			}
		}
		if n < 300 {
			break
		}
		after = got[len(got)-1]
	}
	require.Equal(t, all, got)
}

func listBreak(t *testing.T, a, b blob.Store) {
	all := fill(t, a, "f/%02d/x", 20)
	for stop := 1; stop <= len(all); stop++ {
		var got []string
		for info, err := range b.List(t.Context(), "", "") {
			require.NoError(t, err)
			if got = append(got, info.Name); len(got) == stop {
				break
			}
		}
		require.Equal(t, all[:stop], got)
	}
}

// listCallsStore: the loop body may call the store, also to delete what it is
// given and to list anew.
func listCallsStore(t *testing.T, a, b blob.Store) {
	all := fill(t, a, "f/%02d", 20)
	var got []string
	for info, err := range a.List(t.Context(), "f/", "") {
		require.NoError(t, err)
		got = append(got, info.Name)
		holds(t, a, info.Name, []byte("x"))
		require.NoError(t, a.Delete(t.Context(), info.Name))
		create(t, a, "g/"+info.Name, []byte("y"))
		require.Len(t, list(t, a, "", ""), len(all))
	}
	require.Equal(t, all, got)
	require.Empty(t, list(t, b, "f/", ""))
	require.Len(t, list(t, b, "g/f/", ""), len(all))
}

// listWhileChanging: what neither comes nor goes is listed once, whatever happens
// around it.
func listWhileChanging(t *testing.T, a, b blob.Store) {
	stable := append(fill(t, a, "f/%03d", 60), fill(t, a, "f/%03d-d/x", 60)...)
	slices.Sort(stable)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("f/%03d.%d/%d", i%60, g, i)
				if !assert.NoError(t, a.Create(t.Context(), name, strings.NewReader("x"))) ||
					!assert.NoError(t, a.Delete(t.Context(), name)) {
					return
				}
			}
		})
	}
	for range 20 {
		infos, err := collect(t.Context(), b, "f/", "")
		if !assert.NoError(t, err) {
			break
		}
		got := slices.DeleteFunc(names(infos), func(name string) bool {
			_, found := slices.BinarySearch(stable, name)
			return !found
		})
		if !assert.Equal(t, stable, got) {
			break
		}
	}
	close(stop)
	wg.Wait()
}

// cancelledList: a listing whose context is cancelled on its way ends with that
// error.
func cancelledList(t *testing.T, a, b blob.Store) {
	fill(t, a, "f/%02d/x", 20)
	both(a, b, func(s blob.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		var last error
		for _, err := range s.List(ctx, "", "") {
			require.NoError(t, last, "yielded more after an error")
			last = err
			if n++; n == 5 {
				cancel()
			}
		}
		require.ErrorIs(t, last, context.Canceled)
		require.Equal(t, 6, n, "five names, then the error")

		// Leaving the loop at the moment of the cancellation is leaving it.
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		for _, err := range s.List(ctx, "", "") {
			require.NoError(t, err)
			cancel()
			break
		}
	})
}
