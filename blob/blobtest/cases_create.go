package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

var (
	errExist    = fs.ErrExist
	errNotExist = fs.ErrNotExist
)

func lifecycle(t *testing.T, a, b blob.Store) {
	const name = "log/0001"
	both(a, b, func(s blob.Store) { free(t, s, name) })
	create(t, a, name, []byte("first"))
	both(a, b, func(s blob.Store) { holds(t, s, name, []byte("first")) })
	require.NoError(t, b.Delete(t.Context(), name))
	both(a, b, func(s blob.Store) { free(t, s, name) })
	create(t, b, name, []byte("second"))
	both(a, b, func(s blob.Store) { holds(t, s, name, []byte("second")) })
}

func taken(t *testing.T, a, b blob.Store) {
	const name = "body/0a"
	data := noise(1, 1000)
	create(t, a, name, data)
	for _, other := range [][]byte{data, noise(2, 1000), noise(3, 5000), nil} {
		both(a, b, func(s blob.Store) {
			r := &watched{r: bytes.NewReader(other)}
			err := s.Create(t.Context(), name, r)
			r.done.Store(true)
			require.ErrorIs(t, err, errExist)
			require.NotErrorIs(t, err, errNotExist)
			namesObject(t, err, name)
			require.Zero(t, r.late.Load(), "Create read its reader after it had returned")
		})
	}
	both(a, b, func(s blob.Store) { holds(t, s, name, data) })
}

// watched is a reader that notices reads after done.
type watched struct {
	r    io.Reader
	done atomic.Bool
	late atomic.Int64
}

func (w *watched) Read(p []byte) (int, error) {
	if w.done.Load() {
		w.late.Add(1)
	}
	return w.r.Read(p)
}

// racingCreates: of many calls for one name, through both handles, one wins, and
// what it wrote is what all see.
func racingCreates(t *testing.T, a, b blob.Store) {
	const racers = 8
	for i := range 24 {
		// Small and large ones, in new folders and in old.
		name := fmt.Sprintf("race/%02d/%d", i/4, i)
		size := []int{0, 100, 70_000}[i%3]
		start := make(chan struct{})
		errs := make([]error, racers)
		payload := func(g int) []byte { return append(noise(uint64(g), size), byte(g)) }
		var wg sync.WaitGroup
		for g := range racers {
			s := []blob.Store{a, b}[g%2]
			wg.Go(func() {
				<-start
				errs[g] = s.Create(t.Context(), name, bytes.NewReader(payload(g)))
				if errs[g] == nil || errors.Is(errs[g], errExist) {
					_, err := s.Stat(t.Context(), name)
					assert.NoError(t, err, "after %v", errs[g])
				}
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for g, err := range errs {
			if err == nil {
				require.Equal(t, -1, winner, "%s: two calls won", name)
				winner = g
				continue
			}
			require.ErrorIs(t, err, errExist)
		}
		require.NotEqual(t, -1, winner, "%s: no call won", name)
		both(a, b, func(s blob.Store) { holds(t, s, name, payload(winner)) })
	}
}

func bigAndEmpty(t *testing.T, a, b blob.Store) {
	for i, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 9<<20 + 13} {
		name := fmt.Sprintf("size/%d", size)
		data := noise(uint64(i), size)
		create(t, a, name, data)
		both(a, b, func(s blob.Store) { holds(t, s, name, data) })
	}
}

// wholeOrNothing: an object under construction cannot be seen.
func wholeOrNothing(t *testing.T, a, b blob.Store) {
	const name = "slow/object"
	data := noise(1, 300_000)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- a.Create(t.Context(), name, pr) }()
	for rest := data; len(rest) > 0; {
		n := min(50_000, len(rest))
		_, err := pw.Write(rest[:n]) // returns when Create has read it
		require.NoError(t, err)
		rest = rest[n:]
		both(a, b, func(s blob.Store) { free(t, s, name) })
	}
	require.NoError(t, pw.Close())
	require.NoError(t, <-done)
	both(a, b, func(s blob.Store) { holds(t, s, name, data) })
}

// wholeUnderRace: whoever looks all the time sees an object whole or not at all,
// and once seen it stays.
func wholeUnderRace(t *testing.T, a, b blob.Store) {
	data := noise(7, 1<<20)
	for i := range 8 {
		name := fmt.Sprintf("poll/%d", i)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, s := range []blob.Store{a, b} {
			wg.Go(func() { poll(t, s, name, data, stop) })
		}
		err := a.Create(t.Context(), name, iotest.HalfReader(bytes.NewReader(data)))
		close(stop)
		wg.Wait()
		require.NoError(t, err)
	}
}

func poll(t *testing.T, s blob.Store, name string, data []byte, stop <-chan struct{}) {
	seen := false
	for last := false; !last; {
		select {
		case <-stop:
			last = true // look once more
		default:
		}
		got, err := read(t.Context(), s, name, 0, -1)
		if errors.Is(err, errNotExist) && !seen && !last {
			continue
		}
		if !assert.NoError(t, err) || !assert.True(t, bytes.Equal(data, got), "saw %d of %d bytes", len(got), len(data)) {
			return
		}
		seen = true
		info, err := s.Stat(t.Context(), name)
		if !assert.NoError(t, err) || !assert.Equal(t, int64(len(data)), info.Size) {
			return
		}
	}
}

// readerShapes: whatever a well-behaved reader does, the object is what it
// yielded.
func readerShapes(t *testing.T, a, b blob.Store) {
	data := noise(1, 10_000)
	shapes := map[string]func(io.Reader) io.Reader{
		"one-byte":      iotest.OneByteReader,
		"half":          iotest.HalfReader,
		"data-with-eof": iotest.DataErrReader,
		"no-seek":       func(r io.Reader) io.Reader { return io.MultiReader(r) },
		"empty-reads":   func(r io.Reader) io.Reader { return &stutter{r: r} },
		"limited":       func(r io.Reader) io.Reader { return io.LimitReader(r, int64(len(data))) },
		"write-to":      func(r io.Reader) io.Reader { return &pouring{Reader: r, piece: 777} },
		"write-to-all":  func(r io.Reader) io.Reader { return &pouring{Reader: r, piece: len(data)} },
	}
	for shape, wrap := range shapes {
		name := "shape/" + shape
		require.NoError(t, a.Create(t.Context(), name, wrap(bytes.NewReader(data))))
		both(a, b, func(s blob.Store) { holds(t, s, name, data) })
	}
	// A reader that stands in the middle is read from there.
	r := bytes.NewReader(data)
	_, err := r.Seek(4000, io.SeekStart)
	require.NoError(t, err)
	require.NoError(t, a.Create(t.Context(), "shape/sought", r))
	holds(t, b, "shape/sought", data[4000:])
}

// stutter is a reader that yields nothing every other time.
type stutter struct {
	r   io.Reader
	odd bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.odd = !s.odd; s.odd {
		return 0, nil
	}
	return s.r.Read(p)
}

// pouring is a reader that would rather write, in pieces of a size.
type pouring struct {
	io.Reader
	piece int
}

func (p *pouring) WriteTo(w io.Writer) (n int64, err error) {
	buf := make([]byte, p.piece)
	for err == nil {
		var got, put int
		got, err = p.Read(buf)
		if got > 0 {
			var failed error
			put, failed = w.Write(buf[:got])
			err = errors.Join(failed, err)
		}
		n += int64(put)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// failingReader: a reader that fails leaves the name free.
func failingReader(t *testing.T, a, b blob.Store) {
	broken := errors.New("the reader broke")
	for i, offset := range []int{0, 1, 100, 64 << 10, 1<<20 + 1, 6 << 20} {
		for j, cause := range []error{broken, io.ErrUnexpectedEOF} {
			name := fmt.Sprintf("fail/%d-%d", i, j)
			data := noise(1, offset)
			r := &watched{r: io.MultiReader(bytes.NewReader(data), iotest.ErrReader(cause))}
			err := a.Create(t.Context(), name, r)
			r.done.Store(true)
			require.ErrorIs(t, err, cause)
			require.NotErrorIs(t, err, errExist)
			namesObject(t, err, name)
			both(a, b, func(s blob.Store) { free(t, s, name) })
			require.Zero(t, r.late.Load(), "Create read its reader after it had returned")
		}
	}
	require.Empty(t, list(t, b, "", ""))
	create(t, b, "fail/0-0", []byte("good"))
	holds(t, a, "fail/0-0", []byte("good"))

	// Bytes that come with the error do not count either.
	withBytes := iotest.DataErrReader(io.MultiReader(strings.NewReader("bytes"), iotest.ErrReader(broken)))
	err := a.Create(t.Context(), "fail/with-bytes", withBytes)
	require.ErrorIs(t, err, broken)
	free(t, b, "fail/with-bytes")

	// Nor those that the reader wrote itself.
	half := io.MultiReader(bytes.NewReader(noise(1, 3<<20)), iotest.ErrReader(broken))
	err = a.Create(t.Context(), "fail/write-to", &pouring{Reader: half, piece: 2 << 20})
	require.ErrorIs(t, err, broken)
	namesObject(t, err, "fail/write-to")
	both(a, b, func(s blob.Store) { free(t, s, "fail/write-to") })
}

// blockedReader: a Create whose context is cancelled while its reader blocks ends
// when the reader does, reads no more, and leaves the name free.
func blockedReader(t *testing.T, a, b blob.Store) {
	const name = "blocked/object"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	w := &watched{r: r}
	done := make(chan error, 1)
	go func() {
		err := a.Create(ctx, name, w)
		w.done.Store(true)
		done <- err
	}()
	<-r.entered
	both(a, b, func(s blob.Store) { free(t, s, name) })
	cancel()
	close(r.open)
	require.ErrorIs(t, <-done, context.Canceled)
	both(a, b, func(s blob.Store) { free(t, s, name) })
	require.Zero(t, w.late.Load(), "Create read its reader after it had returned")
	require.Less(t, r.yielded, gateSize, "Create read on to the end")
	create(t, b, name, []byte("later"))
	holds(t, a, name, []byte("later"))
}

// gate is a reader that blocks in its first Read until it is opened. It has more
// bytes than anyone needs to notice a cancelled context, and ends for those who
// do not.
type gate struct {
	once          sync.Once
	entered, open chan struct{}
	yielded       int // read it when nobody reads any more
}

const gateSize = 32 << 20

func (g *gate) Read(p []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	n := min(len(p), gateSize-g.yielded)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	g.yielded += n
	return n, nil
}
