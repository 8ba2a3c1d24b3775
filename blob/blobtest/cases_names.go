package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

// awkward are names that every method refuses.
var awkward = []string{
	"", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.", ".tmp", ".tmp/x", "a/.hidden",
	"A", "aB", "a b", " a", "a\x00b", "a\nb", "a\\b", "..\\a", "c:", "a:b", "a*", "a?", "a%2fb", "a+b", "~", "é", "\xff",
	strings.Repeat("x", blob.MaxSegment+1),
	strings.Repeat("x/", blob.MaxName/2) + "x",
}

func awkwardNames(t *testing.T, a, b blob.Store) {
	ctx := t.Context()
	create(t, a, "good/name", []byte("x"))
	for _, name := range awkward {
		want := blob.CheckName(name)
		require.Error(t, want, "%q", name)
		refused := func(method string, err error) {
			t.Helper()
			require.ErrorContains(t, err, want.Error(), "%s %q", method, name)
			require.NotErrorIs(t, err, errExist, "%s %q", method, name)
			require.NotErrorIs(t, err, errNotExist, "%s %q", method, name)
		}
		both(a, b, func(s blob.Store) {
			refused("create", s.Create(ctx, name, bytes.NewReader([]byte("y"))))
			r, err := s.Open(ctx, name, 0, -1)
			refused("open", err)
			require.Nil(t, r)
			_, err = s.Stat(ctx, name)
			refused("stat", err)
			refused("delete", s.Delete(ctx, name))
		})
	}
	// As a prefix they are allowed, and yield nothing that is not an object.
	for _, name := range awkward {
		want := []string{}
		if strings.HasPrefix("good/name", name) {
			want = append(want, "good/name")
		}
		require.Equal(t, want, names(list(t, b, name, "")), "list %q", name)
	}
	// Delete goes on past them.
	create(t, a, "good/name2", []byte("x"))
	err := b.Delete(ctx, "good/name", "Bad", "good/name2", "bad//name")
	require.ErrorContains(t, err, blob.CheckName("Bad").Error())
	require.ErrorContains(t, err, blob.CheckName("bad//name").Error())
	require.Empty(t, list(t, a, "", ""))
}

// oddNames are valid, and each is another.
func oddNames(t *testing.T, a, b blob.Store) {
	seg := strings.Repeat("s", blob.MaxSegment)
	odd := []string{
		"0", "-", "_", "--", "-rf", "a..b", "x.", "0x00", "a.tmp", "tmp/x", "a-b_c.d/e-f_g.h",
		seg, "long/" + seg + "/" + seg + "/" + seg + "/" + seg[:blob.MaxName-3*blob.MaxSegment-8],
		strings.Repeat("d/", blob.MaxName/2-1) + "d",
	}
	for i, name := range odd {
		require.NoError(t, blob.CheckName(name))
		create(t, a, name, noise(uint64(i), 10+i))
	}
	for i, name := range odd {
		both(a, b, func(s blob.Store) { holds(t, s, name, noise(uint64(i), 10+i)) })
	}
	require.Len(t, list(t, b, "", ""), len(odd))
	require.NoError(t, b.Delete(t.Context(), odd...))
	require.Empty(t, list(t, a, "", ""))
}

// folders: the folder of an object is no object, nor is what would be below one.
func folders(t *testing.T, a, b blob.Store) {
	create(t, a, "top/mid/leaf", []byte("x"))
	for _, name := range []string{"top", "top/mid", "top/mid/leaf/below", "top/mid/le", "top/mid/leaf2"} {
		both(a, b, func(s blob.Store) {
			_, err := s.Open(t.Context(), name, 0, -1)
			require.ErrorIs(t, err, errNotExist)
			namesObject(t, err, name)
			_, err = s.Stat(t.Context(), name)
			require.ErrorIs(t, err, errNotExist)
			namesObject(t, err, name)
			require.NoError(t, s.Delete(t.Context(), name))
		})
	}
	both(a, b, func(s blob.Store) { holds(t, s, "top/mid/leaf", []byte("x")) })
	require.Equal(t, []string{"top/mid/leaf"}, names(list(t, b, "", "")))

	// The last object takes nothing else with it, and another can follow.
	require.NoError(t, a.Delete(t.Context(), "top/mid/leaf"))
	create(t, b, "top/mid/other", []byte("y"))
	holds(t, a, "top/mid/other", []byte("y"))
}

func deletes(t *testing.T, a, b blob.Store) {
	ctx := t.Context()
	require.NoError(t, a.Delete(ctx), "no names at all")
	require.NoError(t, a.Delete(ctx, "never/was"))

	create(t, a, "x/1", []byte("1"))
	require.NoError(t, a.Delete(ctx, "x/1"))
	require.NoError(t, a.Delete(ctx, "x/1"))
	require.NoError(t, b.Delete(ctx, "x/1", "x/1"))
	both(a, b, func(s blob.Store) { free(t, s, "x/1") })

	// More than one request of S3 can hold, every third of them missing, in
	// several folders; the neighbours stay.
	var all, kept []string
	for i := range 1010 {
		name := fmt.Sprintf("many/%d/%04d", i%3, i)
		all = append(all, name)
		if i%50 == 0 {
			create(t, a, name, []byte("x"))
			create(t, a, name+".keep", []byte("x"))
			kept = append(kept, name+".keep")
		}
	}
	require.NoError(t, b.Delete(ctx, all...))
	require.ElementsMatch(t, kept, names(list(t, a, "", "")))
	require.NoError(t, a.Delete(ctx, kept...))
	require.Empty(t, list(t, b, "", ""))
}

func cancelledContext(t *testing.T, a, b blob.Store) {
	create(t, a, "here/it-is", []byte("x"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		both(a, b, func(s blob.Store) {
			assert.ErrorIs(t, s.Create(ctx, "not/here", bytes.NewReader([]byte("y"))), ctx.Err())
			r, err := s.Open(ctx, "here/it-is", 0, -1)
			assert.ErrorIs(t, err, ctx.Err())
			assert.Nil(t, r)
			_, err = s.Stat(ctx, "here/it-is")
			assert.ErrorIs(t, err, ctx.Err())
			assert.ErrorIs(t, s.Delete(ctx, "never/was"), ctx.Err())
			for _, prefix := range []string{"", "here/", "no/such/folder/"} {
				_, err = collect(ctx, s, prefix, "")
				assert.ErrorIs(t, err, ctx.Err(), "list %q", prefix)
			}
		})
	}
	both(a, b, func(s blob.Store) { holds(t, s, "here/it-is", []byte("x")) })
}
