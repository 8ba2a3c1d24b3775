package blobtest_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// TestWrappersConform: a wrapper that does nothing is a store as good as the one
// within.
func TestWrappersConform(t *testing.T) {
	for name, wrap := range map[string]func(t *testing.T, s blob.Store) blob.Store{
		"Faulty":   func(_ *testing.T, s blob.Store) blob.Store { return blobtest.NewFaulty(s, nil) },
		"Counting": func(_ *testing.T, s blob.Store) blob.Store { return blobtest.NewCounting(s, nil) },
		"Slow":     func(_ *testing.T, s blob.Store) blob.Store { return blobtest.NewSlow(s, time.Microsecond) },
		"Canary": func(t *testing.T, s blob.Store) blob.Store {
			tb := &recordingTB{TB: t}
			t.Cleanup(func() { tb.cleanup(); require.Subset(t, []string{"canary: no bytes reached the store"}, tb.errors) })
			return blobtest.NewCanary(tb, s, []byte("found nowhere"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
				s := memblob.New()
				return wrap(t, s), wrap(t, s)
			})
		})
	}
}

func TestFaulty(t *testing.T) {
	ctx := t.Context()
	calls := map[blobtest.Op]func(s blob.Store) error{
		blobtest.OpCreate: func(s blob.Store) error { return s.Create(ctx, "new", strings.NewReader("x")) },
		blobtest.OpOpen: func(s blob.Store) error {
			_, err := s.Open(ctx, "old", 0, -1)
			return err
		},
		blobtest.OpRead: func(s blob.Store) error {
			r, err := s.Open(ctx, "old", 0, -1)
			require.NoError(t, err)
			_, err = io.ReadAll(r)
			return err
		},
		blobtest.OpStat: func(s blob.Store) error {
			_, err := s.Stat(ctx, "old")
			return err
		},
		blobtest.OpList: func(s blob.Store) error {
			for _, err := range s.List(ctx, "old", "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		blobtest.OpDelete: func(s blob.Store) error { return s.Delete(ctx, "old") },
	}
	for op, call := range calls {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", op, after), func(t *testing.T) {
				inner := memblob.New()
				require.NoError(t, inner.Create(ctx, "old", strings.NewReader("data")))
				fault := blobtest.Fault{Before: blobtest.ErrInjected}
				if after {
					fault = blobtest.Fault{After: blobtest.ErrInjected}
				}
				f := blobtest.NewFaulty(inner, blobtest.Every(op, fault))
				err := call(f)
				require.ErrorIs(t, err, blobtest.ErrInjected)
				require.ErrorContains(t, err, string(op)+" ")
				require.Equal(t, 1, f.Calls(op))
				_, err = inner.Stat(ctx, "new")
				require.Equal(t, op == blobtest.OpCreate && after, err == nil, "the create happened")
				_, err = inner.Stat(ctx, "old")
				require.Equal(t, op == blobtest.OpDelete && after, err != nil, "the delete happened")
			})
		}
	}
}

func TestFaultyNth(t *testing.T) {
	ctx := t.Context()
	f := blobtest.NewFaulty(memblob.New(), blobtest.Nth(blobtest.OpCreate, 2, blobtest.Fault{Before: blobtest.ErrInjected}))
	for round := range 2 {
		for i := range 3 {
			err := f.Create(ctx, fmt.Sprintf("r%d/%d", round, i), strings.NewReader("x"))
			require.Equal(t, i == 1, err != nil)
		}
		require.Equal(t, 3, f.Calls(blobtest.OpCreate))
		require.Zero(t, f.Calls(blobtest.OpStat))
		f.SetPlan(blobtest.Nth(blobtest.OpCreate, 2, blobtest.Fault{Before: blobtest.ErrInjected}))
	}
	f.SetPlan(nil)
	require.NoError(t, f.Create(ctx, "r0/1", strings.NewReader("x")))
}

// TestFaultyNames: the plan sees the object of each call.
func TestFaultyNames(t *testing.T) {
	var saw []string
	f := blobtest.NewFaulty(memblob.New(), func(op blobtest.Op, name string, n int) blobtest.Fault {
		saw = append(saw, fmt.Sprintf("%s %q %d", op, name, n))
		return blobtest.Fault{}
	})
	ctx := t.Context()
	require.NoError(t, f.Create(ctx, "a/1", strings.NewReader("x")))
	_, err := f.Stat(ctx, "a/1")
	require.NoError(t, err)
	for range f.List(ctx, "a/", "a/0") {
	}
	require.NoError(t, f.Delete(ctx, "a/1", "a/2"))
	require.NoError(t, f.Delete(ctx))
	require.Equal(t, []string{`create "a/1" 1`, `stat "a/1" 1`, `list "a/" 1`, `delete "a/1" 1`, `delete "" 2`}, saw)
}

// TestFaultyDelays: a plan that sleeps delays the call, Hold delays its answer.
func TestFaultyDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memblob.New()
		hold := make(chan struct{})
		f := blobtest.NewFaulty(inner, func(op blobtest.Op, name string, n int) blobtest.Fault {
			if op != blobtest.OpCreate {
				return blobtest.Fault{}
			}
			time.Sleep(time.Hour)
			return blobtest.Fault{Hold: hold}
		})
		done := make(chan error, 1)
		go func() { done <- f.Create(t.Context(), "a", strings.NewReader("x")) }()
		synctest.Wait()
		require.Zero(t, inner.Len(), "not called yet")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, inner.Len(), "called")
		require.Empty(t, done, "not answered yet")
		close(hold)
		require.NoError(t, <-done)

		f.SetPlan(blobtest.Every(blobtest.OpCreate, blobtest.Fault{Hold: make(chan struct{})}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, f.Create(ctx, "b", strings.NewReader("x")), context.DeadlineExceeded)
		require.Equal(t, 2, inner.Len(), "called, and the answer lost")
	})
}

func TestCounting(t *testing.T) {
	ctx := t.Context()
	c := blobtest.NewCounting(memblob.New(), nil)
	for i := range 3 {
		require.NoError(t, c.Create(ctx, fmt.Sprintf("log/%d", i), strings.NewReader("12345")))
	}
	require.ErrorIs(t, c.Create(ctx, "log/0", strings.NewReader("12345")), fs.ErrExist)
	require.NoError(t, c.Create(ctx, "body/x", strings.NewReader("1234567890")))
	r, err := c.Open(ctx, "body/x", 2, 5)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	_, err = c.Stat(ctx, "body/y")
	require.Error(t, err)
	for range c.List(ctx, "log/", "log/0") {
	}
	require.NoError(t, c.Delete(ctx, "log/0", "log/1"))
	want := map[blobtest.Class]blobtest.Count{
		{Op: blobtest.OpCreate, Name: "log"}:  {Calls: 4, Bytes: 15},
		{Op: blobtest.OpCreate, Name: "body"}: {Calls: 1, Bytes: 10},
		{Op: blobtest.OpOpen, Name: "body"}:   {Calls: 1, Bytes: 5},
		{Op: blobtest.OpStat, Name: "body"}:   {Calls: 1},
		{Op: blobtest.OpList, Name: "log"}:    {Calls: 1, Names: 2},
		{Op: blobtest.OpDelete, Name: "log"}:  {Calls: 1, Names: 2},
	}
	require.Equal(t, want, c.All())
	require.Equal(t, blobtest.Count{Calls: 5, Bytes: 25}, c.Total(blobtest.OpCreate))
	require.Contains(t, c.String(), "create log               4 calls        0 names           15 bytes\n")
	c.Reset()
	require.Empty(t, c.All())
	require.Empty(t, c.String())

	c = blobtest.NewCounting(memblob.New(), func(string) string { return "any" })
	require.NoError(t, c.Create(ctx, "log/1", strings.NewReader("x")))
	require.Equal(t, map[blobtest.Class]blobtest.Count{{Op: blobtest.OpCreate, Name: "any"}: {Calls: 1, Bytes: 1}}, c.All())
}

// recordingTB is a testing.TB that keeps errors to itself and cleans up when told.
type recordingTB struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recordingTB) Helper()          {}
func (r *recordingTB) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recordingTB) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recordingTB) cleanup() {
	for _, f := range r.cleanups {
		f()
	}
}

const secret = "Meet me at the Old mill at noon, bring 40 crowns."

// TestCanaryNotices every run of 8 bytes in every form, wherever it stands and
// however it is cut into reads.
func TestCanaryNotices(t *testing.T) {
	forms := map[string]func(b []byte) string{
		"plain":      func(b []byte) string { return string(b) },
		"lower case": func(b []byte) string { return strings.ToLower(string(b)) },
		"hex":        hex.EncodeToString,
		"HEX":        func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) },
		"base64":     base64.StdEncoding.EncodeToString,
		"base64url":  base64.RawURLEncoding.EncodeToString,
		"base32":     base32.StdEncoding.EncodeToString,
		"base32hex":  base32.HexEncoding.EncodeToString,
		"base32low":  func(b []byte) string { return strings.ToLower(base32.StdEncoding.EncodeToString(b)) },
		"utf16le":    func(b []byte) string { return utf16(b, "%c\x00") },
		"utf16be":    func(b []byte) string { return utf16(b, "\x00%c") },
	}
	for form, encode := range forms {
		t.Run(form, func(t *testing.T) {
			for start := 0; start+blobtest.MinRun <= len(secret); start++ {
				// Around the run stand bytes of another text, so that the run stands at
				// each offset in a group of characters.
				for lead := range 5 {
					run := secret[start : start+blobtest.MinRun]
					text := encode([]byte(strings.Repeat("#", lead) + run + "####"))
					tb := &recordingTB{TB: t}
					c := blobtest.NewCanary(tb, memblob.New(), []byte(secret))
					r := io.MultiReader(strings.NewReader("\x00\x01"), iotest.OneByteReader(strings.NewReader(text)))
					require.NoError(t, c.Create(t.Context(), "body/x", r))
					require.Len(t, tb.errors, 1, "%q after %d", run, lead)
					require.Contains(t, tb.errors[0], "canary: create body/x: plaintext (")
					require.NotContains(t, tb.errors[0], run)
				}
			}
		})
	}
}

func utf16(b []byte, format string) string {
	var sb strings.Builder
	for _, c := range b {
		fmt.Fprintf(&sb, format, c)
	}
	return sb.String()
}

func TestCanaryNoticesNames(t *testing.T) {
	ctx := t.Context()
	for _, name := range []string{"secret/the-old-mill", "x/" + hex.EncodeToString([]byte("the Old mill"))} {
		for op, call := range map[string]func(s blob.Store){
			"create": func(s blob.Store) { s.Create(ctx, name, strings.NewReader("x")) },
			"open":   func(s blob.Store) { s.Open(ctx, name, 0, -1) },
			"stat":   func(s blob.Store) { s.Stat(ctx, name) },
			"list":   func(s blob.Store) { s.List(ctx, name, "") },
			"delete": func(s blob.Store) { s.Delete(ctx, "other", name) },
		} {
			tb := &recordingTB{TB: t}
			call(blobtest.NewCanary(tb, memblob.New(), []byte("Under the-old-mill"), []byte(secret)))
			require.Len(t, tb.errors, 1)
			require.Contains(t, tb.errors[0], "canary: "+op+": plaintext (")
			require.NotContains(t, tb.errors[0], "mill")
		}
	}
}

func TestCanaryIsQuiet(t *testing.T) {
	tb := &recordingTB{TB: t}
	c := blobtest.NewCanary(tb, memblob.New(), []byte(secret), []byte("spaces:                "))
	for i, data := range []string{
		"Meet me", " at the", // one run in the text, but two objects
		"Meet me+ at the+ Old mi",
		"                         ", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		require.NoError(t, c.Create(t.Context(), fmt.Sprintf("a/%d", i), strings.NewReader(data)))
	}
	noise := bytes.Repeat([]byte{0x5a, 0x17, 0xee, 0x90, 0x33}, 10_000)
	require.NoError(t, c.Create(t.Context(), "a/noise", bytes.NewReader(noise)))
	c.Watch([]byte("added later on"))
	tb.cleanup()
	require.Empty(t, tb.errors)
	require.NoError(t, c.Create(t.Context(), "a/later", strings.NewReader("it was added later")))
	require.Len(t, tb.errors, 1)
}

// TestCanaryNeedsWork: a canary that has nothing to do fails its test.
func TestCanaryNeedsWork(t *testing.T) {
	for _, c := range []struct {
		plaintexts []string
		create     bool
		want       []string
	}{
		{nil, true, []string{"no plaintext to look for"}},
		{[]string{"some plaintext"}, false, []string{"no bytes reached the store"}},
		{[]string{"some plaintext", "short"}, true, []string{"plaintext 1 of 5 bytes has no run"}},
		{[]string{"some plaintext", "-------------"}, true, []string{"plaintext 1 of 13 bytes has no run"}},
		{[]string{"some plaintext", "some plaintext"}, true, nil},
	} {
		tb := &recordingTB{TB: t}
		canary := blobtest.NewCanary(tb, memblob.New())
		var plaintexts [][]byte
		for _, p := range c.plaintexts {
			plaintexts = append(plaintexts, []byte(p))
		}
		canary.Watch(plaintexts...)
		if c.create {
			require.NoError(t, canary.Create(t.Context(), "a", strings.NewReader("x")))
		}
		tb.cleanup()
		require.Len(t, tb.errors, len(c.want))
		for i, want := range c.want {
			require.Contains(t, tb.errors[i], want)
		}
	}
}

func BenchmarkCanary(b *testing.B) {
	c := blobtest.NewCanary(b, memblob.New(), bytes.Repeat([]byte(secret), 1))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	b.SetBytes(1 << 20)
	for b.Loop() {
		if err := c.Create(b.Context(), "a", bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
		if err := c.Delete(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		mem := memblob.New()
		s := blobtest.NewSlow(mem, time.Second)
		took := func(do func()) time.Duration {
			began := time.Now()
			do()
			return time.Since(began)
		}
		names := make([]string, 2500)
		require.Equal(t, time.Second, took(func() {
			var wg sync.WaitGroup
			for i := range names {
				names[i] = fmt.Sprintf("a/%04d", i)
				wg.Go(func() { assert.NoError(t, s.Create(ctx, names[i], strings.NewReader("x"))) })
			}
			wg.Wait()
		}))
		require.Equal(t, len(names), s.Most())
		require.Equal(t, 3*time.Second, took(func() {
			for _, err := range s.List(ctx, "a/", "") {
				require.NoError(t, err)
			}
		}))
		require.Equal(t, 3*time.Second, took(func() { require.NoError(t, s.Delete(ctx, names...)) }))
		require.Equal(t, 2*time.Second, took(func() {
			_, err := s.Open(ctx, "a/0000", 0, -1)
			require.ErrorIs(t, err, fs.ErrNotExist)
			_, err = s.Stat(ctx, "a/0000")
			require.ErrorIs(t, err, fs.ErrNotExist)
		}))
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		require.Equal(t, time.Millisecond, took(func() {
			require.ErrorIs(t, s.Delete(short, "a/0000"), context.DeadlineExceeded)
		}))
		for _, err := range s.List(short, "", "") {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}
