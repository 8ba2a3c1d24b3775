// Package blobtest proves that a blob.Store keeps its contract, and holds stores
// that misbehave on purpose.
//
// [Run] is the conformance suite: run it on your own store from a test of yours.
// It asks for two handles on the same storage, because the promises that matter
// are those between processes.
//
//	func TestStore(t *testing.T) {
//		blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
//			dir := t.TempDir()
//			return open(t, dir), open(t, dir)
//		})
//	}
//
// The wrappers go around any store, for tests of what is built on one:
// [Faulty] fails calls or loses their answers, [Canary] notices plaintext on its
// way to the store, [Counting] counts requests and bytes, [Slow] makes each
// request take a while. They can be nested. A crash is not here: a memblob.Store
// is cloned at any moment with its Clone.
//
// What the suite cannot see is durability; diskblob's own tests show how that is
// proven with a recorder of system calls.
package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

// Run runs the conformance suite as subtests of t. open returns two handles, a
// and b, on the same storage: separate ones where the store can be opened twice,
// as two processes would have them, and the same one twice where it cannot.
// The storage is empty and not used by another call of open. open is called
// once for each subtest with that subtest's t, and cleans up through it.
//
// The suite creates some 3,000 objects and 80 MiB, and runs nothing in parallel.
func Run(t *testing.T, open func(t *testing.T) (a, b blob.Store)) {
	cases := []struct {
		name string
		run  func(t *testing.T, a, b blob.Store)
	}{
		{"Lifecycle", lifecycle},
		{"Taken", taken},
		{"RacingCreates", racingCreates},
		{"AwkwardNames", awkwardNames},
		{"OddButValidNames", oddNames},
		{"Folders", folders},
		{"Ranges", ranges},
		{"BigAndEmpty", bigAndEmpty},
		{"IndependentReaders", independentReaders},
		{"ListOrder", listOrder},
		{"ListMany", listMany},
		{"ListBreak", listBreak},
		{"ListCallsStore", listCallsStore},
		{"ListWhileChanging", listWhileChanging},
		{"Delete", deletes},
		{"DeleteWhileReading", deleteWhileReading},
		{"WholeOrNothing", wholeOrNothing},
		{"WholeUnderRace", wholeUnderRace},
		{"ReaderShapes", readerShapes},
		{"FailingReader", failingReader},
		{"BlockedReader", blockedReader},
		{"CancelledContext", cancelledContext},
		{"CancelledList", cancelledList},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			require.Empty(t, list(t, a, "", ""), "open must return an empty store")
			c.run(t, a, b)
		})
	}
}

// create stores data and fails the test if that fails.
func create(t *testing.T, s blob.Store, name string, data []byte) {
	t.Helper()
	require.NoError(t, s.Create(t.Context(), name, bytes.NewReader(data)))
}

// read returns a range of an object.
func read(ctx context.Context, s blob.Store, name string, off, n int64) ([]byte, error) {
	r, err := s.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

// holds asserts that s holds data under name, by every way to look at it.
func holds(t *testing.T, s blob.Store, name string, data []byte) {
	t.Helper()
	got, err := read(t.Context(), s, name, 0, -1)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got), "%s holds %d bytes that are not the %d created", name, len(got), len(data))
	info, err := s.Stat(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, blob.Info{Name: name, Size: int64(len(data))}, info)
	require.Contains(t, list(t, s, name, ""), info)
}

// free asserts that s holds nothing under name, by every way to look at it.
func free(t *testing.T, s blob.Store, name string) {
	t.Helper()
	_, err := read(t.Context(), s, name, 0, -1)
	require.ErrorIs(t, err, errNotExist)
	_, err = s.Stat(t.Context(), name)
	require.ErrorIs(t, err, errNotExist)
	for _, info := range list(t, s, name, "") {
		require.NotEqual(t, name, info.Name)
	}
}

// list returns what a listing yields, and fails the test if it is out of order.
func list(t *testing.T, s blob.Store, prefix, after string) []blob.Info {
	t.Helper()
	infos, err := collect(t.Context(), s, prefix, after)
	require.NoError(t, err)
	return infos
}

// collect returns what a listing yields, or an error also if the order of names
// or their range is wrong.
func collect(ctx context.Context, s blob.Store, prefix, after string) ([]blob.Info, error) {
	var infos []blob.Info
	last := after
	for info, err := range s.List(ctx, prefix, after) {
		if err != nil {
			return infos, err
		}
		if info.Name <= last {
			return infos, fmt.Errorf("list %q after %q: yields %q after %q", prefix, after, info.Name, last)
		}
		if !strings.HasPrefix(info.Name, prefix) {
			return infos, fmt.Errorf("list %q after %q: yields %q", prefix, after, info.Name)
		}
		last = info.Name
		infos = append(infos, info)
	}
	return infos, nil
}

// names returns the names of a listing.
func names(infos []blob.Info) []string {
	out := make([]string, 0, len(infos))
	for _, info := range infos {
		out = append(out, info.Name)
	}
	return out
}

// noise returns n bytes that look random and are the same for the same seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	data := make([]byte, n)
	_, err := rand.NewChaCha8(key).Read(data)
	if err != nil {
		panic(err) // it is documented never to fail
	}
	return data
}

// both runs a check on each of two handles.
func both(a, b blob.Store, check func(s blob.Store)) {
	check(a)
	check(b)
}

// namesObject asserts that err tells which object it is about.
func namesObject(t *testing.T, err error, name string) {
	t.Helper()
	if assert.Error(t, err) {
		assert.Contains(t, err.Error(), name, "an error names its object")
	}
}
