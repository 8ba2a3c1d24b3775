package s3blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// bubble runs a test in a bubble of synctest, with a store in a fake server.
func bubble(t *testing.T, o s3blob.Options, test func(t *testing.T, fake *fakes3.Server, s *s3blob.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		test(t, fake, open(t, fake.Client(), o))
	})
}

// first plans a fault for the first n requests of an op.
func first(op fakes3.Op, n int, f fakes3.Fault) fakes3.Plan {
	return func(o fakes3.Op, _ string, i int) fakes3.Fault {
		if o == op && i <= n {
			return f
		}
		return fakes3.Fault{}
	}
}

const always = 1 << 30

func create(s blob.Store, name, data string) error {
	return s.Create(context.Background(), name, strings.NewReader(data))
}

func readAll(t testing.TB, s blob.Store, name string) string {
	t.Helper()
	r, err := s.Open(t.Context(), name, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}

// TestCreateSurvives: whatever becomes of the first requests, the object is there
// once and Create says nil.
func TestCreateSurvives(t *testing.T) {
	faults := map[string]fakes3.Fault{
		"lost answer":        {Lose: true},
		"broken connection":  {Refuse: true},
		"hang":               {Hang: true},
		"409":                {Status: 409, Code: "ConditionalRequestConflict"},
		"500":                {Status: 500, Code: "InternalError"},
		"500 and it was put": {Also: true, Status: 500, Code: "InternalError"},
		"503":                {Status: 503, Code: "SlowDown"},
		"502 of a proxy":     {Page: true, Status: 502},
		"429 of a proxy":     {Page: true, Status: 429},
		"412 of our own":     {Also: true, Status: 412, Code: "PreconditionFailed"},
		"corrupt on the way": {Status: 400, Code: "XAmzContentSHA256Mismatch"},
		"cut on the way":     {Status: 400, Code: "IncompleteBody"},
		"200 of a proxy":     {Also: true, Status: 200},
	}
	for name, f := range faults {
		for _, n := range []int{1, 2} {
			for _, size := range []int{0, 100, s3blob.InMemory + 1} {
				t.Run(fmt.Sprintf("%s/%d/%d", name, n, size), func(t *testing.T) {
					bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
						fake.SetPlan(first(fakes3.Put, n, f))
						data := strings.Repeat("x", size)
						require.NoError(t, create(s, "log/1", data))
						require.Equal(t, data, readAll(t, s, "log/1"))
						require.Equal(t, []string{"log/1"}, fake.Keys())
						require.ErrorIs(t, create(s, "log/1", data), fs.ErrExist, "the same bytes by another call")
					})
				})
			}
		}
	}
}

// TestCreateForgetful: the same where the server forgets whose object it is, by
// the bytes.
func TestCreateForgetful(t *testing.T) {
	for _, size := range []int{0, 100, 300_000} {
		synctest.Test(t, func(t *testing.T) {
			fake := fakes3.New()
			fake.Quirks.ForgetsMetadata = true
			s := open(t, fake.Client(), s3blob.Options{})
			data := strings.Repeat("x", size)
			fake.SetPlan(first(fakes3.Put, 1, fakes3.Fault{Lose: true}))
			require.NoError(t, create(s, "log/1", data))
			require.ErrorIs(t, create(s, "log/1", data), fs.ErrExist)
			fake.Set("log/2", []byte(data+"y"))
			fake.SetPlan(first(fakes3.Put, 1, fakes3.Fault{Refuse: true}))
			require.ErrorIs(t, create(s, "log/2", data), fs.ErrExist)
		})
	}
}

// TestCreateLosesInDoubt: the first try was lost and another took the name, even
// with the same bytes.
func TestCreateLosesInDoubt(t *testing.T) {
	for _, theirs := range []string{"ours", "theirs", ""} {
		synctest.Test(t, func(t *testing.T) {
			fake := fakes3.New()
			a, b := open(t, fake.Client(), s3blob.Options{}), open(t, fake.Client(), s3blob.Options{})
			fake.SetPlan(func(op fakes3.Op, key string, n int) fakes3.Fault {
				if op == fakes3.Put && n == 1 {
					assert.NoError(t, create(b, "log/1", theirs))
					return fakes3.Fault{Refuse: true}
				}
				return fakes3.Fault{}
			})
			require.ErrorIs(t, create(a, "log/1", "ours"), fs.ErrExist)
			require.Equal(t, theirs, readAll(t, a, "log/1"))
		})
	}
}

// TestCreateGoneInDoubt: an object that came and went may have been ours.
func TestCreateGoneInDoubt(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.SetPlan(func(op fakes3.Op, key string, n int) fakes3.Fault {
			switch {
			case op == fakes3.Put && n == 1:
				return fakes3.Fault{Lose: true}
			case op == fakes3.Get:
				fake.Remove(key)
			}
			return fakes3.Fault{}
		})
		err := create(s, "log/1", "ours")
		require.ErrorContains(t, err, "create log/1: an object had the name and is gone")
		require.NotErrorIs(t, err, fs.ErrExist)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	})
}

// TestCreateGivesUp: a storm that does not end is an error that says what it was,
// in time.
func TestCreateGivesUp(t *testing.T) {
	for want, f := range map[string]fakes3.Fault{
		"503 SlowDown":        {Status: 503, Code: "SlowDown"},
		"409 Conditional":     {Status: 409, Code: "ConditionalRequestConflict"},
		"no byte moved":       {Hang: true},
		"the connection brok": {Refuse: true},
		"no answer of S3":     {Page: true, Status: 200},
	} {
		bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
			fake.SetPlan(first(fakes3.Put, always, f))
			start := time.Now()
			err := create(s, "log/1", "data")
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "create log/1: ")
			require.NotErrorIs(t, err, fs.ErrExist)
			require.LessOrEqual(t, time.Since(start), s3blob.Patience+2*s3blob.Stall)
			require.Empty(t, fake.Keys())
		})
	}
}

// TestCreateRefused: what trying again cannot help is not tried again.
func TestCreateRefused(t *testing.T) {
	for code, status := range map[string]int{
		"AccessDenied": 403, "InvalidAccessKeyId": 403, "NoSuchBucket": 404, "InvalidRequest": 400, "PermanentRedirect": 301, "NotImplemented": 501,
	} {
		bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
			fake.SetPlan(first(fakes3.Put, always, fakes3.Fault{Status: status, Code: code}))
			err := create(s, "log/1", "data")
			require.ErrorContains(t, err, fmt.Sprintf("create log/1: %d %s", status, code))
			require.ErrorContains(t, err, "fake-request")
			require.NotErrorIs(t, err, fs.ErrNotExist)
			require.Equal(t, 1, fake.Requests())
		})
	}
}

// TestCreateDeadline: the context ends whatever is waited for.
func TestCreateDeadline(t *testing.T) {
	for name, f := range map[string]fakes3.Fault{"hang": {Hang: true}, "storm": {Status: 503, Code: "SlowDown"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
				fake.SetPlan(first(fakes3.Put, always, f))
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				err := s.Create(ctx, "log/1", strings.NewReader("data"))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 3*time.Second, time.Since(start))
			})
		})
	}
}

// TestCreateCosts: one request, and one more to learn who has the name.
func TestCreateCosts(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		for _, size := range []int{10, 8 << 20} {
			name := fmt.Sprintf("body/%d", size)
			fake.SetPlan(nil)
			require.NoError(t, s.Create(t.Context(), name, bytes.NewReader(make([]byte, size))))
			require.Equal(t, 1, fake.Requests())
			require.ErrorIs(t, create(s, name, "other"), fs.ErrExist)
			require.Equal(t, 3, fake.Requests())
		}
	})
}

// TestSpoolLeavesNothing: no temporary file outlives its Create.
func TestSpoolLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	bubble(t, s3blob.Options{TempDir: dir}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		big := make([]byte, 1<<20)
		require.NoError(t, s.Create(t.Context(), "body/1", bytes.NewReader(big)))
		broken := errors.New("broken")
		require.ErrorIs(t, s.Create(t.Context(), "body/2", io.MultiReader(bytes.NewReader(big), iotest.ErrReader(broken))), broken)
		require.Equal(t, []string{"body/1"}, fake.Keys())
	})
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, os.Remove(dir))
	bubble(t, s3blob.Options{TempDir: dir}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		err := s.Create(t.Context(), "body/1", bytes.NewReader(make([]byte, 1<<20)))
		require.ErrorContains(t, err, "create body/1: temporary file: ")
		require.NotErrorIs(t, err, fs.ErrNotExist)
	})
}

const partSize = s3blob.MinPartSize

// TestPartsSurvive: an object in parts is there whatever becomes of one request,
// and no part is left.
func TestPartsSurvive(t *testing.T) {
	data := string(pattern(partSize + 1)) // a part, and one of one byte
	for _, op := range []fakes3.Op{fakes3.Get, fakes3.Part, fakes3.Complete} {
		for name, f := range map[string]fakes3.Fault{
			"lost answer": {Lose: true}, "broken connection": {Refuse: true}, "hang": {Hang: true}, "503": {Status: 503, Code: "SlowDown"},
			"500": {Status: 500, Code: "InternalError"},
		} {
			t.Run(fmt.Sprintf("%s/%s", op, name), func(t *testing.T) {
				bubble(t, s3blob.Options{PartSize: partSize}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
					fake.SetPlan(first(op, 1, f))
					require.NoError(t, create(s, "body/1", data))
					require.GreaterOrEqual(t, fake.Calls(op), 2, "it was tried again")
					require.True(t, readAll(t, s, "body/1") == data)
					require.Zero(t, fake.Uploads())
					require.ErrorIs(t, create(s, "body/1", data), fs.ErrExist)
				})
			})
		}
	}
}

// TestPartsWhole: sizes around those of a part.
func TestPartsWhole(t *testing.T) {
	bubble(t, s3blob.Options{PartSize: partSize}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		for size, parts := range map[int]int{partSize - 1: 0, partSize: 0, partSize + 1: 2, 2 * partSize: 2, 2*partSize + 1: 3} {
			fake.SetPlan(nil)
			name, data := fmt.Sprintf("body/%d", size), string(pattern(size))
			require.NoError(t, create(s, name, data))
			require.Equal(t, parts, fake.Calls(fakes3.Part))
			require.True(t, readAll(t, s, name) == data)
		}
	})
}

// TestPartsAborted: when an object in parts fails, for whatever reason, no part
// is left.
func TestPartsAborted(t *testing.T) {
	parts := func(n int) io.Reader { return bytes.NewReader(make([]byte, n*partSize)) }
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		plan fakes3.Plan
		r    func(cancel func()) io.Reader
		want error
	}{
		"reader": {r: func(func()) io.Reader { return io.MultiReader(parts(2), iotest.ErrReader(broken)) }, want: broken},
		"reader at the end of a part": {r: func(func()) io.Reader {
			return io.MultiReader(parts(1), strings.NewReader("x"), iotest.ErrReader(broken))
		}, want: broken},
		"context": {r: func(cancel func()) io.Reader {
			return io.MultiReader(parts(2), readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), parts(2))
		}, want: context.Canceled},
		"refused part":     {plan: first(fakes3.Part, always, fakes3.Fault{Status: 403, Code: "AccessDenied"})},
		"storm":            {plan: first(fakes3.Part, always, fakes3.Fault{Status: 503, Code: "SlowDown"})},
		"refused complete": {plan: first(fakes3.Complete, always, fakes3.Fault{Status: 403, Code: "AccessDenied"})},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, s3blob.Options{PartSize: partSize}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
				fake.SetPlan(c.plan)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r := parts(3)
				if c.r != nil {
					r = c.r(cancel)
				}
				err := s.Create(ctx, "body/1", r)
				require.Error(t, err)
				if c.want != nil {
					require.ErrorIs(t, err, c.want)
				}
				require.Equal(t, 1, fake.Calls(fakes3.Begin), "parts were begun")
				require.Zero(t, fake.Uploads())
				require.Empty(t, fake.Keys())
			})
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPartsLose: another takes the name while the parts are sent.
func TestPartsLose(t *testing.T) {
	bubble(t, s3blob.Options{PartSize: partSize}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.SetPlan(func(op fakes3.Op, key string, n int) fakes3.Fault {
			if op == fakes3.Part && n == 1 {
				fake.Set(key, []byte("theirs"))
			}
			return fakes3.Fault{}
		})
		require.ErrorIs(t, s.Create(t.Context(), "body/1", bytes.NewReader(make([]byte, 2*partSize))), fs.ErrExist)
		require.Equal(t, "theirs", readAll(t, s, "body/1"))
		require.Zero(t, fake.Uploads())
		begun := fake.Calls(fakes3.Begin)
		require.ErrorIs(t, s.Create(t.Context(), "body/1", bytes.NewReader(make([]byte, 2*partSize))), fs.ErrExist)
		require.Equal(t, begun, fake.Calls(fakes3.Begin), "a loser sends nothing")
	})
}
