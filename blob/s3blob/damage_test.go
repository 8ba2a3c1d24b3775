package s3blob_test

import (
	"bytes"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// TestDamagedOnTheWay: an answer that is cut or has a bit flipped is asked for
// again, where it can be seen that it is damaged. Only a part of an object has
// nothing to be compared with here.
func TestDamagedOnTheWay(t *testing.T) {
	small, big := pattern(5000), pattern(300_000)
	reads := func(name string, off, n int64, want []byte) func(*testing.T, *s3blob.Store) {
		return func(t *testing.T, s *s3blob.Store) {
			r, err := s.Open(t.Context(), name, off, n)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.True(t, bytes.Equal(want, got), "%d bytes, want %d", len(got), len(want))
		}
	}
	for what, f := range map[string]func(t *testing.T, s *s3blob.Store){
		"whole":         reads("log/small", 0, -1, small),
		"whole by size": reads("log/small", 0, 9000, small),
		"range":         reads("log/small", 100, 1000, small[100:1100]),
		"big":           reads("body/big", 0, -1, big),
		"big range":     reads("body/big", 1000, 200_000, big[1000:201_000]),
		"missing": func(t *testing.T, s *s3blob.Store) {
			_, err := s.Stat(t.Context(), "log/none")
			require.ErrorIs(t, err, fs.ErrNotExist)
		},
		"taken": func(t *testing.T, s *s3blob.Store) {
			require.ErrorIs(t, create(s, "log/small", "x"), fs.ErrExist)
		},
		"made": func(t *testing.T, s *s3blob.Store) {
			require.NoError(t, create(s, "log/new", "x"))
			require.NoError(t, s.Delete(t.Context(), "log/new"))
		},
		"list": func(t *testing.T, s *s3blob.Store) {
			n := 0
			for _, err := range s.List(t.Context(), "", "") {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, 2, n)
		},
		"delete": func(t *testing.T, s *s3blob.Store) {
			require.NoError(t, s.Delete(t.Context(), "log/none"))
		},
	} {
		for name, fault := range map[string]fakes3.Fault{
			"cut by one": {Short: 1}, "cut by ten": {Short: 10}, "cut by a hundred": {Short: 100}, "cut to none": {Short: 1 << 20},
			"flip of the first": {Flip: 1}, "flip of the second": {Flip: 2}, "flip of the 15th": {Flip: 15}, "flip of the 50th": {Flip: 50},
		} {
			if fault.Flip > 0 && (strings.Contains(what, "range") || what == "big" || what == "list") { // for big see TestStreamDamaged
				continue
			}
			t.Run(what+"/"+name, func(t *testing.T) {
				bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
					require.NoError(t, create(s, "log/small", string(small)))
					require.NoError(t, create(s, "body/big", string(big)))
					seen := map[fakes3.Op]bool{}
					fake.SetPlan(func(op fakes3.Op, _ string, n int) fakes3.Fault {
						if n > 1 {
							return fakes3.Fault{}
						}
						seen[op] = true
						return fault
					})
					f(t, s)
					require.NotEmpty(t, seen)
				})
			})
		}
	}
}

// TestStreamDamaged: an object that is streamed whole ends with an error if a bit
// of it was flipped on the way, and as always if it was flipped in the bucket.
func TestStreamDamaged(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		data := pattern(300_000)
		require.NoError(t, create(s, "body/big", string(data)))
		read := func() ([]byte, error) {
			r, err := s.Open(t.Context(), "body/big", 0, -1)
			require.NoError(t, err)
			defer r.Close()
			return io.ReadAll(r)
		}
		for _, at := range []int{1, 100_000, 300_000} {
			fake.SetPlan(first(fakes3.Get, 1, fakes3.Fault{Flip: at}))
			_, err := read()
			require.ErrorIs(t, err, blob.ErrDamaged)
			require.ErrorContains(t, err, "read body/big: bytes were damaged on their way")
			require.Equal(t, 2, fake.Requests())
			got, err := read()
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got))
		}
		fake.Damage("body/big", func(data []byte) []byte { data[5]++; return data })
		fake.SetPlan(nil)
		got, err := read()
		require.NoError(t, err)
		require.Equal(t, data[5]+1, got[5])
		require.Equal(t, 2, fake.Requests())
		require.Equal(t, 1, fake.Peak())
	})
}

// TestDamagedInTheBucket: an object that differs from what was created is handed
// out as it is, after three tries, to whoever can tell what of it is damaged.
func TestDamagedInTheBucket(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		require.NoError(t, create(s, "log/1", "data"))
		fake.Damage("log/1", func(data []byte) []byte { return []byte("dat!") })
		fake.SetPlan(nil)
		require.Equal(t, "dat!", readAll(t, s, "log/1"))
		require.Equal(t, 3, fake.Requests())
		fake.Damage("log/1", func(data []byte) []byte { return data[:2] })
		require.Equal(t, "da", readAll(t, s, "log/1"))
	})
}
