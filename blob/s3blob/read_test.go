package s3blob_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// pattern returns n bytes in which every place can be told from its neighbours.
func pattern(n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%08x", b.Len())
	}
	return b.Bytes()[:n]
}

// TestReadSurvives: a body that breaks off or stands still is read on from where
// it was, whole or in a range.
func TestReadSurvives(t *testing.T) {
	for name, f := range map[string]fakes3.Fault{
		"broken":   {Cut: 1000},
		"late":     {Cut: 90_000},
		"stalled":  {Stall: 1000},
		"refused":  {Refuse: true},
		"hang":     {Hang: true},
		"503":      {Status: 503, Code: "SlowDown"},
		"502 page": {Page: true, Status: 502},
	} {
		for _, r := range []struct{ off, n int64 }{{0, -1}, {12_345, -1}, {12_345, 100_000}, {12_345, 5000}} {
			t.Run(fmt.Sprintf("%s/%d+%d", name, r.off, r.n), func(t *testing.T) {
				bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
					data := pattern(300_000)
					fake.Set("body/1", data)
					fake.SetPlan(first(fakes3.Get, 2, f))
					rc, err := s.Open(t.Context(), "body/1", r.off, r.n)
					require.NoError(t, err)
					got, err := io.ReadAll(rc)
					require.NoError(t, err)
					require.NoError(t, rc.Close())
					want := data[r.off:]
					if r.n >= 0 {
						want = want[:r.n]
					}
					require.True(t, bytes.Equal(want, got))
					if f.Cut < len(want) {
						require.GreaterOrEqual(t, fake.Requests(), 2)
					}
				})
			})
		}
	}
}

// TestReadGivesUp: a body that never goes on is an error in time, that names it.
func TestReadGivesUp(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.Set("body/1", pattern(300_000))
		fake.SetPlan(func(op fakes3.Op, _ string, n int) fakes3.Fault {
			return fakes3.Fault{Hang: n > 1, Stall: 1000}
		})
		r, err := s.Open(t.Context(), "body/1", 0, -1)
		require.NoError(t, err)
		start := time.Now()
		n, err := io.Copy(io.Discard, r)
		require.Equal(t, int64(1000), n)
		require.ErrorContains(t, err, "read body/1: ")
		require.ErrorContains(t, err, "no byte moved")
		require.Less(t, time.Since(start), s3blob.Patience+3*s3blob.Stall)
		_, again := r.Read(make([]byte, 1))
		require.Equal(t, err, again)
		require.NoError(t, r.Close())
	})
}

// TestReadOfAnother: what has the name now is not what was opened.
func TestReadOfAnother(t *testing.T) {
	for name, replace := range map[string]func(fake *fakes3.Server){
		"same size": func(f *fakes3.Server) { f.Set("body/1", make([]byte, 300_000)) },
		"shorter":   func(f *fakes3.Server) { f.Set("body/1", []byte("short")) },
		"gone":      func(f *fakes3.Server) { f.Remove("body/1") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
				data := pattern(300_000)
				fake.Set("body/1", data)
				fake.SetPlan(first(fakes3.Get, 1, fakes3.Fault{Cut: 100_000}))
				r, err := s.Open(t.Context(), "body/1", 0, -1)
				require.NoError(t, err)
				replace(fake)
				got, err := io.ReadAll(r)
				require.Error(t, err)
				require.True(t, bytes.Equal(data[:100_000], got))
				require.NoError(t, r.Close())
			})
		})
	}
}

// TestRestingReaders: readers that nobody reads keep nobody waiting, with one
// connection for all, and each yields its bytes in the end.
func TestRestingReaders(t *testing.T) {
	bubble(t, s3blob.Options{Connections: 1}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		data := pattern(300_000)
		fake.Set("body/1", data)
		fake.SetPlan(nil)
		var readers []io.ReadCloser
		for range 5 {
			r, err := s.Open(t.Context(), "body/1", 0, -1)
			require.NoError(t, err)
			readers = append(readers, r)
		}
		require.NoError(t, create(s, "log/1", "data"))
		got := make([][]byte, len(readers))
		for step := 0; step < 3; step++ {
			for i, r := range readers {
				buf := make([]byte, 100_000)
				_, err := io.ReadFull(r, buf)
				require.NoError(t, err)
				got[i] = append(got[i], buf...)
			}
		}
		for i, r := range readers {
			n, err := r.Read(make([]byte, 1))
			require.Zero(t, n)
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, r.Close())
			require.True(t, bytes.Equal(data, got[i]))
		}
		require.Equal(t, 1, fake.Peak())
		require.Equal(t, "data", readAll(t, s, "log/1"), "the place is free again")
	})
}

// TestReaderReadOn: one that is read keeps its connection, however many wait.
func TestReaderReadOn(t *testing.T) {
	bubble(t, s3blob.Options{Connections: 1}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.Set("body/1", pattern(300_000))
		r, err := s.Open(t.Context(), "body/1", 0, -1)
		require.NoError(t, err)
		fake.SetPlan(nil)
		done := make(chan error)
		go func() { done <- create(s, "log/1", "data") }()
		buf := make([]byte, 3000)
		for range 100 {
			_, err := io.ReadFull(r, buf)
			require.NoError(t, err)
			time.Sleep(s3blob.RestGrace / 3)
		}
		require.Zero(t, fake.Calls(fakes3.Get), "no second request for the body")
		require.NoError(t, <-done)
		require.NoError(t, r.Close())
	})
}

// TestConnectionsBounded: never more than so many at once, of whatever kind.
func TestConnectionsBounded(t *testing.T) {
	bubble(t, s3blob.Options{Connections: 3}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.Set("body/1", pattern(300_000))
		fake.SetPlan(func(fakes3.Op, string, int) fakes3.Fault {
			time.Sleep(10 * time.Millisecond)
			return fakes3.Fault{}
		})
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				name := fmt.Sprintf("log/%d", i)
				assert.NoError(t, create(s, name, "data"))
				assert.Len(t, readAll(t, s, "body/1"), 300_000)
				for _, err := range s.List(t.Context(), "log/", "") {
					assert.NoError(t, err)
				}
				assert.NoError(t, s.Delete(t.Context(), name))
			})
		}
		wg.Wait()
		require.Equal(t, 3, fake.Peak())
	})
}

// TestMissing: only S3 itself can say that there is no such object.
func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		fault fakes3.Fault
		tries int
	}{
		"page":   {fakes3.Fault{Page: true, Status: 404}, 1},
		"bucket": {fakes3.Fault{Status: 404, Code: "NoSuchBucket"}, 1},
		"403":    {fakes3.Fault{Status: 403, Code: "AccessDenied"}, 1},
		"other":  {fakes3.Fault{Status: 404, Code: "Whatever"}, 3}, // a bit of it may have been flipped
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
				_, err := s.Stat(t.Context(), "body/1")
				require.ErrorIs(t, err, fs.ErrNotExist)
				fake.SetPlan(first(fakes3.Get, always, c.fault))
				_, err = s.Stat(t.Context(), "body/1")
				require.Error(t, err)
				require.NotErrorIs(t, err, fs.ErrNotExist)
				_, err = s.Open(t.Context(), "body/1", 0, -1)
				require.Error(t, err)
				require.NotErrorIs(t, err, fs.ErrNotExist)
				require.Equal(t, 2*c.tries, fake.Requests())
			})
		})
	}
}

// TestConnectionsReused: no method leaves a connection behind that the next one
// cannot use, say because a byte of the answer was not read.
func TestConnectionsReused(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"HTTP": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			var made atomic.Int32
			srv := httptest.NewUnstartedServer(fakes3.New())
			srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					made.Add(1)
				}
			}
			start(srv)
			t.Cleanup(srv.Close)
			o := client(t, srv.URL).Options()
			o.HTTPClient = srv.Client()
			s := open(t, s3.New(o), s3blob.Options{NoProbe: true})
			data := string(pattern(500))
			for range 3 {
				require.NoError(t, create(s, "log/1", data))
				require.ErrorIs(t, create(s, "log/1", data), fs.ErrExist)
				_, err := s.Stat(t.Context(), "log/1")
				require.NoError(t, err)
				_, err = s.Stat(t.Context(), "log/2")
				require.ErrorIs(t, err, fs.ErrNotExist)
				require.Equal(t, data, readAll(t, s, "log/1"))
				for _, err := range s.List(t.Context(), "", "") {
					require.NoError(t, err)
				}
				require.NoError(t, s.Delete(t.Context(), "log/1"))
			}
			require.EqualValues(t, 1, made.Load())
		})
	}
}

// TestReadCosts: one request, whatever is asked.
func TestReadCosts(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.Set("body/1", pattern(300_000))
		for _, r := range []struct{ off, n int64 }{{0, -1}, {0, 0}, {5, 10}, {5, 100_000}, {300_000, 1}, {1 << 62, -1}} {
			fake.SetPlan(nil)
			rc, err := s.Open(t.Context(), "body/1", r.off, r.n)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, rc)
			require.NoError(t, err)
			require.NoError(t, rc.Close())
			require.Equal(t, 1, fake.Requests(), "%v", r)
		}
	})
}

// TestListForeign: what is in the bucket and no object is not listed, however it
// is called.
func TestListForeign(t *testing.T) {
	bubble(t, s3blob.Options{Prefix: "mine"}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		for _, k := range []string{"mine", "mine/", "mine/a+b", "mine/%61", "mine/a b", "mine/log/\x01", "mine/é", "mine/.letterlock/lease", "minea", "other"} {
			fake.Set(k, nil)
		}
		require.NoError(t, create(s, "a", "data"))
		require.NoError(t, create(s, "log/1", "data"))
		var names []string
		for info, err := range s.List(t.Context(), "", "") {
			require.NoError(t, err)
			names = append(names, info.Name)
		}
		require.Equal(t, []string{"a", "log/1"}, names)
	})
}

// TestListPages: pages as servers may give them, and what they must not say.
func TestListPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		s := open(t, fake.Client(), s3blob.Options{})
		for i := range 1500 {
			fake.Set(fmt.Sprintf("f/%04d", i), nil)
		}
		count := func() (n int, err error) {
			for _, err := range s.List(t.Context(), "", "") {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		}
		for _, plan := range []fakes3.Plan{nil, first(fakes3.List, 1, fakes3.Fault{Lose: true}), first(fakes3.List, 1, fakes3.Fault{Hang: true})} {
			fake.SetPlan(plan)
			n, err := count()
			require.NoError(t, err)
			require.Equal(t, 1500, n)
		}
		fake.Quirks = fakes3.Quirks{TokenOnly: true}
		n, err := count()
		require.NoError(t, err)
		require.Equal(t, 1500, n, "the token of an empty page leads to the next")
		fake.Quirks = fakes3.Quirks{ContinuesUncounted: true}
		fake.SetPlan(nil)
		n, err = count()
		require.NoError(t, err)
		require.Equal(t, 1500, n, "the last key leads to the next page")
		for i := range 1500 {
			fake.Remove(fmt.Sprintf("f/%04d", i))
		}
		_, err = count()
		require.ErrorContains(t, err, "list : the server says that there is more, and not where")
		fake.Quirks = fakes3.Quirks{ListsFolders: true}
		fake.Set("x/y", nil)
		fake.Set("x-y", nil)
		_, err = count()
		require.ErrorContains(t, err, "the server lists x-y after x/y")
		fake.SetPlan(first(fakes3.List, always, fakes3.Fault{Page: true, Status: 200}))
		_, err = count()
		require.ErrorContains(t, err, "no answer of S3")
	})
}

// TestStartAfter: what the server is asked for is plain, and no name lies between
// it and what was meant.
func TestStartAfter(t *testing.T) {
	const bytes = "-./09_az"
	const odd = "-./09_az \x00\x7f\xffAZ:`~^"
	word := func(from string) string {
		var b strings.Builder
		for range rand.N(4) {
			b.WriteByte(from[rand.N(len(from))])
		}
		return b.String()
	}
	for range 200_000 {
		after, name := word(odd), word(bytes)
		got := s3blob.StartAfter(after)
		require.Equal(t, name > after, name > got, "after %q, asked for %q: %q", after, got, name)
		for i := range len(got) {
			require.Contains(t, bytes+"bcdefghijklmnopqrstuvwxy12345678~", got[i:i+1])
		}
	}
	require.Less(t, len(s3blob.StartAfter(strings.Repeat("a", 5000))), 600)
}

// TestDelete: what the server leaves is deleted later, or named in the error; the
// rest is gone.
func TestDelete(t *testing.T) {
	bubble(t, s3blob.Options{Prefix: "p"}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		var names []string
		for i := range 2500 {
			names = append(names, fmt.Sprintf("f/%04d", i))
			fake.Set("p/"+names[i], nil)
		}
		hundredth := func(key string) bool { return strings.HasSuffix(key, "00") }
		fake.SetPlan(first(fakes3.Delete, 2, fakes3.Fault{Keep: "InternalError", Keys: hundredth}))
		require.NoError(t, s.Delete(t.Context(), names...))
		require.Empty(t, fake.Keys())
		require.Equal(t, 5, fake.Requests())

		for _, n := range names[:1200] {
			fake.Set("p/"+n, nil)
		}
		fake.SetPlan(first(fakes3.Delete, always, fakes3.Fault{Keep: "AccessDenied", Keys: hundredth}))
		err := s.Delete(t.Context(), names...)
		require.ErrorContains(t, err, "delete f/0000: AccessDenied")
		require.ErrorContains(t, err, "delete f/1100: AccessDenied")
		require.NotContains(t, err.Error(), "f/0001")
		require.Len(t, fake.Keys(), 12)
		require.True(t, slices.ContainsFunc(fake.Keys(), hundredth))

		fake.SetPlan(first(fakes3.Delete, always, fakes3.Fault{Keep: "SlowDown", Keys: hundredth}))
		start := time.Now()
		err = s.Delete(t.Context(), names[:300]...)
		require.ErrorContains(t, err, "delete f/0200: given up")
		require.LessOrEqual(t, time.Since(start), s3blob.Patience)

		fake.SetPlan(func(_ fakes3.Op, _ string, n int) fakes3.Fault {
			if n == 2 {
				return fakes3.Fault{Status: 403, Code: "AccessDenied"}
			}
			return fakes3.Fault{}
		})
		err = s.Delete(t.Context(), names...)
		require.ErrorContains(t, err, "delete f/1000: 403 AccessDenied")
		require.Equal(t, 3, fake.Requests(), "the batches after one that fails are deleted")
	})
}
