package s3blob_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// sink is a server that takes every object and forgets it.
func sink(w http.ResponseWriter, r *http.Request) {
	// With a buffer of its own: pools forget on purpose under the race detector.
	io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 32<<10))
	w.Header().Set("ETag", `"x"`)
}

// TestCreateMemory: what a Create allocates does not follow the object's size.
func TestCreateMemory(t *testing.T) {
	s := open(t, client(t, listen(t, http.HandlerFunc(sink))), s3blob.Options{NoProbe: true})
	measure := func(size int64) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, s.Create(t.Context(), "body/1", io.LimitReader(zeros{}, size)))
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	measure(1 << 20) // the connection, and what the SDK makes once
	small, big := measure(1<<20), measure(60<<20)
	require.Less(t, big-small, int64(512<<10))
	require.Less(t, big, int64(1<<20))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// benchmarked returns a store on the real server, if there is one, or on the fake.
func benchmarked(b *testing.B) *s3blob.Store {
	if base := os.Getenv(realURL); base != "" {
		return openReal(b, base)
	}
	return open(b, client(b, listen(b, fakes3.New())), s3blob.Options{})
}

func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{200, 236 << 10, 8 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := benchmarked(b)
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				require.NoError(b, s.Create(b.Context(), fmt.Sprintf("log/%012d", i), bytes.NewReader(data)))
			}
		})
	}
}

func BenchmarkOpenRange(b *testing.B) {
	s := benchmarked(b)
	require.NoError(b, s.Create(b.Context(), "body/1", bytes.NewReader(make([]byte, 30<<20))))
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Open(b.Context(), "body/1", 10<<20, 64<<10)
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(b, err)
		require.Equal(b, int64(64<<10), n)
		require.NoError(b, r.Close())
	}
}

func BenchmarkStatMissing(b *testing.B) {
	s := benchmarked(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.Stat(b.Context(), "log/1")
		require.Error(b, err)
	}
}

func BenchmarkList(b *testing.B) {
	s := benchmarked(b)
	for i := range 1000 {
		require.NoError(b, s.Create(b.Context(), fmt.Sprintf("log/%012d", i), strings.NewReader("x")))
	}
	for name, after := range map[string]string{"All1000": "", "Tail10": "log/000000000989"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range s.List(b.Context(), "log/", after) {
					require.NoError(b, err)
				}
			}
		})
	}
}
