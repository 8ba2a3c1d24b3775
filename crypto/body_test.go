package crypto_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

const chunk = 64 << 10

// bodySizes lie on both sides of every boundary of chunks.
var bodySizes = []int{0, 1, 2047, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 200000}

// writeBody returns the age file of plaintext.
func writeBody(t testing.TB, r *crypto.Recipient, plaintext []byte) ([]byte, crypto.BodyKey) {
	t.Helper()
	var out bytes.Buffer
	w, err := crypto.NewBodyWriter(&out, r)
	require.NoError(t, err)
	n, err := w.Write(plaintext)
	require.NoError(t, err)
	require.Equal(t, len(plaintext), n)
	require.NoError(t, w.Close())
	require.Equal(t, int64(len(plaintext)), w.Size())
	return out.Bytes(), w.Key()
}

// readRange reads as a caller does: the span from the store, then the reader.
func readRange(t testing.TB, k crypto.BodyKey, file []byte, size, off, n int64) ([]byte, error) {
	t.Helper()
	srcOff, srcLen := k.Span(size, off, n)
	src := bytes.NewReader(file[srcOff : srcOff+srcLen])
	r, err := k.NewReader(src, size, off, n)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	if err == nil {
		require.Zero(t, src.Len(), "the span is what the reader needs, and no more")
	}
	return got, err
}

func TestBodyRoundTrip(t *testing.T) {
	id := newIdentity(t)
	for _, size := range bodySizes {
		plaintext := pattern(size)
		file, k := writeBody(t, id.Recipient(), plaintext)
		require.Equal(t, int64(len(file)), k.EncryptedSize(int64(size)))
		got, err := k.PlaintextSize(int64(len(file)))
		require.NoError(t, err)
		require.Equal(t, int64(size), got)

		whole, err := readRange(t, k, file, int64(size), 0, -1)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, whole), "size %d", size)

		recovered, err := crypto.RecoverBodyKey(bytes.NewReader(file[:min(len(file), crypto.MaxBodyHeader)]), id)
		require.NoError(t, err)
		require.Equal(t, k, recovered)
	}
}

// age reads what we write, with the identity and with the file key alone.
func TestAgeReadsBodies(t *testing.T) {
	id := newIdentity(t)
	ageID, err := age.ParseHybridIdentity(id.Export())
	require.NoError(t, err)
	for _, size := range bodySizes {
		plaintext := pattern(size)
		file, k := writeBody(t, id.Recipient(), plaintext)
		for _, opener := range []age.Identity{ageID, age.NewInjectedFileKeyIdentity(k.File[:])} {
			r, err := age.Decrypt(bytes.NewReader(file), opener)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, got), "size %d", size)
		}
	}
}

// We read what age writes: a deliverer needs no letterlock to seal a body.
func TestBodiesOfAge(t *testing.T) {
	id := newIdentity(t)
	r, err := age.ParseHybridRecipient(id.Recipient().String())
	require.NoError(t, err)
	for _, size := range bodySizes {
		plaintext := pattern(size)
		var file bytes.Buffer
		w, err := age.Encrypt(&file, r)
		require.NoError(t, err)
		_, err = w.Write(plaintext)
		require.NoError(t, err)
		require.NoError(t, w.Close())

		k, err := crypto.RecoverBodyKey(bytes.NewReader(file.Bytes()), id)
		require.NoError(t, err)
		length, err := k.PlaintextSize(int64(file.Len()))
		require.NoError(t, err)
		require.Equal(t, int64(size), length)
		got, err := readRange(t, k, file.Bytes(), length, 0, -1)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got), "size %d", size)
		sealed, err := id.OpenSealed(file.Bytes(), size)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, sealed))
	}
}

// The same bytes come out however they went in.
func TestBodyWriteSizes(t *testing.T) {
	id := newIdentity(t)
	plaintext := pattern(2*chunk + 77)
	for _, step := range []int{1, 13, 4096, chunk - 1, chunk, chunk + 1, len(plaintext)} {
		var out countingWriter
		w, err := crypto.NewBodyWriter(&out, id.Recipient())
		require.NoError(t, err)
		for rest := plaintext; len(rest) > 0; {
			n := min(step, len(rest))
			written, err := w.Write(rest[:n])
			require.NoError(t, err)
			require.Equal(t, n, written)
			rest = rest[n:]
			require.Equal(t, int64(len(plaintext)-len(rest)), w.Size())
		}
		require.NoError(t, w.Close())
		require.Equal(t, 1+3, out.writes, "header, and one write a chunk")
		got, err := readRange(t, w.Key(), out.Bytes(), int64(len(plaintext)), 0, -1)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got), "steps of %d", step)
	}
}

type countingWriter struct {
	bytes.Buffer
	writes int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	return w.Buffer.Write(p)
}

func TestBodyWriterErrors(t *testing.T) {
	id := newIdentity(t)
	broken := errors.New("disk full")
	for failAt := range 5 {
		out := &failingWriter{left: failAt, err: broken}
		w, err := crypto.NewBodyWriter(out, id.Recipient())
		if failAt == 0 {
			require.ErrorIs(t, err, broken)
			continue
		}
		require.NoError(t, err)
		_, err = w.Write(pattern(2*chunk + 1))
		if failAt < 3 {
			require.ErrorIs(t, err, broken)
			require.Contains(t, err.Error(), fmt.Sprintf("chunk %d", failAt-1))
			_, err = w.Write([]byte("x"))
			require.ErrorIs(t, err, broken, "it stays broken")
		} else {
			require.NoError(t, err)
		}
		if failAt < 4 {
			require.ErrorIs(t, w.Close(), broken)
			require.ErrorIs(t, w.Close(), broken)
			continue
		}
		require.NoError(t, w.Close())
		require.NoError(t, w.Close(), "closing twice")
		_, err = w.Write([]byte("x"))
		require.Error(t, err, "closed")
		require.Equal(t, int64(2*chunk+1), w.Size())
	}
}

type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left == 0 {
		return 0, w.err
	}
	w.left--
	return len(p), nil
}

// Ranges against a plain slice, from sources of every manner of reading.
func TestBodyRanges(t *testing.T) {
	id := newIdentity(t)
	rng := rand.New(rand.NewPCG(1, 2))
	edges := []int64{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk, 200000, math.MaxInt64}
	for _, size := range bodySizes {
		plaintext := pattern(size)
		file, k := writeBody(t, id.Recipient(), plaintext)
		check := func(off, n int64) {
			t.Helper()
			want := plaintext[min(off, int64(size)):]
			if n >= 0 {
				want = want[:min(n, int64(len(want)))]
			}
			got, err := readRange(t, k, file, int64(size), off, n)
			require.NoError(t, err, "[%d, +%d) of %d", off, n, size)
			require.True(t, bytes.Equal(want, got), "[%d, +%d) of %d", off, n, size)

			_, srcLen := k.Span(int64(size), off, n)
			if len(want) > 0 {
				require.LessOrEqual(t, srcLen, int64(len(want)+2*(chunk+16)), "no chunk too many")
			}
		}
		for _, off := range edges {
			for _, n := range append(edges, -1, math.MinInt64) {
				check(off, n)
			}
		}
		for range 50 {
			check(rng.Int64N(int64(size)+10), rng.Int64N(int64(size)+10)-1)
		}
	}
}

func TestBodySources(t *testing.T) {
	id := newIdentity(t)
	plaintext := pattern(2*chunk + 5)
	size := int64(len(plaintext))
	file, k := writeBody(t, id.Recipient(), plaintext)
	off, n := int64(chunk-3), int64(chunk+7)
	srcOff, srcLen := k.Span(size, off, n)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"plain":         func(r io.Reader) io.Reader { return r },
		"halves":        iotest.HalfReader,
		"data with EOF": iotest.DataErrReader,
		"more behind":   func(r io.Reader) io.Reader { return io.MultiReader(r, bytes.NewReader(pattern(999))) },
	} {
		src := wrap(bytes.NewReader(file[srcOff : srcOff+srcLen]))
		r, err := k.NewReader(src, size, off, n)
		require.NoError(t, err)
		require.NoError(t, iotest.TestReader(r, plaintext[off:off+n]), name)
	}

	// io.Copy takes the chunks as they are.
	r, err := k.NewReader(bytes.NewReader(file[srcOff:srcOff+srcLen]), size, off, n)
	require.NoError(t, err)
	var out countingWriter
	copied, err := io.Copy(struct{ io.Writer }{&out}, r)
	require.NoError(t, err)
	assert.Equal(t, n, copied)
	assert.True(t, bytes.Equal(plaintext[off:off+n], out.Bytes()))
	assert.Equal(t, 3, out.writes)
	_, err = r.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)

	// A reader that failed to hand on goes on where it stopped.
	r, err = k.NewReader(bytes.NewReader(file[k.Header+16:]), size, 0, -1)
	require.NoError(t, err)
	broken := errors.New("client gone")
	_, err = io.Copy(&failingWriter{left: 1, err: broken}, r)
	require.ErrorIs(t, err, broken)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(plaintext[chunk:], rest))
}

func TestBodyEmptyRangesNeedNoSource(t *testing.T) {
	id := newIdentity(t)
	_, k := writeBody(t, id.Recipient(), pattern(10))
	for _, c := range [][3]int64{{10, 10, -1}, {10, 99, 5}, {10, 3, 0}, {0, 1, -1}, {0, 0, 0}} {
		_, srcLen := k.Span(c[0], c[1], c[2])
		require.Zero(t, srcLen)
		r, err := k.NewReader(nil, c[0], c[1], c[2])
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Empty(t, got)
	}
	for _, c := range [][2]int64{{-1, 0}, {10, -1}, {math.MaxInt64, 0}} {
		_, err := k.NewReader(nil, c[0], c[1], -1)
		require.Error(t, err)
		_, srcLen := k.Span(c[0], c[1], -1)
		require.Zero(t, srcLen)
	}
}

func TestPlaintextSize(t *testing.T) {
	k := crypto.BodyKey{Header: 1627}
	for size := int64(0); size < 3*chunk; size += 97 {
		got, err := k.PlaintextSize(k.EncryptedSize(size))
		require.NoError(t, err)
		require.Equal(t, size, got)
	}
	for _, encrypted := range []int64{
		math.MinInt64, -1, 0, 1627, 1627 + 16, 1627 + 16 + 15, // less than one tag
		1627 + 16 + chunk + 16 + 1,  // a second chunk shorter than its tag
		1627 + 16 + chunk + 16 + 16, // an empty second chunk
		math.MaxInt64,
	} {
		_, err := k.PlaintextSize(encrypted)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "%d", encrypted)
	}
}

// Every chunk flipped, cut off, dropped, doubled and swapped: the reader hands
// out exactly the chunks before the damage, then names the damaged one.
func TestBodyDamage(t *testing.T) {
	id := newIdentity(t)
	plaintext := pattern(200000)
	size := int64(len(plaintext))
	file, k := writeBody(t, id.Recipient(), plaintext)
	first := int(k.Header) + 16
	var chunks [][]byte
	for rest := file[first:]; len(rest) > 0; {
		n := min(len(rest), chunk+16)
		chunks = append(chunks, rest[:n])
		rest = rest[n:]
	}
	require.Len(t, chunks, 4)

	read := func(src []byte) ([]byte, error) {
		r, err := k.NewReader(bytes.NewReader(src), size, 0, -1)
		require.NoError(t, err)
		return io.ReadAll(r)
	}
	damaged := func(src []byte, at int, want error, what string) {
		t.Helper()
		got, err := read(src)
		require.ErrorIs(t, err, want, what)
		require.ErrorContains(t, err, fmt.Sprintf("chunk %d", at), what)
		require.True(t, bytes.Equal(plaintext[:at*chunk], got), "%s: %d bytes handed out", what, len(got))
	}
	join := func(c ...[]byte) []byte { return bytes.Join(c, nil) }

	for i, c := range chunks {
		for _, at := range []int{0, 1, len(c) / 2, len(c) - 17, len(c) - 16, len(c) - 1} {
			src := bytes.Clone(file[first:])
			src[i*(chunk+16)+at] ^= 0x80
			damaged(src, i, crypto.ErrDecrypt, "flipped")
		}
		for _, n := range []int{0, 1, 15, 16, 17, len(c) - 1} {
			damaged(file[first:first+i*(chunk+16)+n], i, io.ErrUnexpectedEOF, "cut")
		}
		rest := join(chunks[:i]...)
		if i < len(chunks)-1 {
			want := crypto.ErrDecrypt
			if i == len(chunks)-2 {
				want = io.ErrUnexpectedEOF // the last chunk is too short for this place
			}
			damaged(join(rest, join(chunks[i+1:]...)), i, want, "dropped")
			damaged(join(rest, c, join(chunks[i:]...)), i+1, crypto.ErrDecrypt, "doubled")
		}
		for j := i + 1; j < len(chunks)-1; j++ {
			swapped := append([][]byte{}, chunks...)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			damaged(join(swapped...), i, crypto.ErrDecrypt, "swapped")
		}
	}

	// A length that is not the body's fails where the bodies part.
	for _, wrong := range []int64{size - 1, size + 1, 2 * chunk, 3 * chunk, 3*chunk + 1, 1, 0} {
		r, err := k.NewReader(bytes.NewReader(file[first:]), wrong, 0, -1)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.Error(t, err, "size %d", wrong)
		require.True(t, bytes.HasPrefix(plaintext, got))
	}

	// Another body's chunk, key, file key or nonce.
	other, otherKey := writeBody(t, id.Recipient(), plaintext)
	damaged(join(chunks[0], other[int(otherKey.Header)+16:][chunk+16:]), 1, crypto.ErrDecrypt, "other body")
	file2 := k
	file2.Nonce[15] ^= 1
	r, err := file2.NewReader(bytes.NewReader(file[first:]), size, 0, -1)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, crypto.ErrDecrypt)

	// An error of the source is that error.
	broken := errors.New("connection reset")
	r, err = k.NewReader(io.MultiReader(bytes.NewReader(file[first:first+chunk+100]), iotest.ErrReader(broken)), size, 0, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.ErrorIs(t, err, broken)
	require.Len(t, got, chunk)
	_, again := r.Read(make([]byte, 1))
	require.Equal(t, err, again, "it stays broken")
}

func TestRecoverBodyKeyRefuses(t *testing.T) {
	id := newIdentity(t)
	file, k := writeBody(t, id.Recipient(), []byte("x"))
	for _, n := range []int{0, 1, 22, 100, int(k.Header) - 1, int(k.Header), int(k.Header) + 15} {
		_, err := crypto.RecoverBodyKey(bytes.NewReader(file[:n]), id)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "%d bytes", n)
	}
	_, err := crypto.RecoverBodyKey(bytes.NewReader(file), newIdentity(t))
	require.ErrorIs(t, err, crypto.ErrDecrypt, "other identity")
	broken := errors.New("connection reset")
	_, err = crypto.RecoverBodyKey(io.MultiReader(bytes.NewReader(file[:100]), iotest.ErrReader(broken)), id)
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)

	// A header without end costs no more than its first bytes.
	endless := &endlessReader{start: []byte("age-encryption.org/v1\n-> ")}
	_, err = crypto.RecoverBodyKey(endless, id)
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	require.LessOrEqual(t, endless.read, crypto.MaxBodyHeader)
	id.Wipe()
	_, err = crypto.RecoverBodyKey(bytes.NewReader(file), id)
	require.Error(t, err)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
}

type endlessReader struct {
	start []byte
	read  int
}

func (r *endlessReader) Read(p []byte) (int, error) {
	n := copy(p, r.start)
	r.start = r.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	r.read += len(p)
	return len(p), nil
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBodyReaderGivesBack: the memory of a reader serves the next one, also if it
// was read for as many bytes as it has and not to its end, or closed before.
func TestBodyReaderGivesBack(t *testing.T) {
	const n, wanted = 200, 2048
	file, k := writeBody(t, newIdentity(t).Recipient(), pattern(chunk))
	_, srcLen := k.Span(chunk, 0, wanted)
	source := file[len(file)-int(srcLen):]
	buf := make([]byte, wanted)
	for name, use := range map[string]func(io.Reader){
		"exactly": func(r io.Reader) {
			_, err := io.ReadFull(r, buf)
			require.NoError(t, err)
		},
		"closed": func(r io.Reader) {
			_, err := io.ReadFull(r, buf[:1])
			require.NoError(t, err)
			require.NoError(t, r.(io.Closer).Close())
			_, err = r.Read(buf)
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF, "bytes are missing")
		},
	} {
		got := allocated(func() {
			for range n {
				r, err := k.NewReader(bytes.NewReader(source), chunk, 0, wanted)
				require.NoError(t, err)
				use(r)
			}
		})
		// The race detector and the collector drop some of what is pooled.
		require.Less(t, got, uint64(n*chunk/2), name)
	}
	r, err := k.NewReader(bytes.NewReader(source), chunk, 0, wanted)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.NoError(t, r.(io.Closer).Close())
	_, err = r.Read(buf)
	require.Equal(t, io.EOF, err, "the end stays the end")
}

// A body of 50 MB costs no more memory than one of a few chunks, in all of what
// it ever allocates.
func TestBodyMemory(t *testing.T) {
	id := newIdentity(t)
	const size = 50 << 20
	block := pattern(32 << 10)
	file := make([]byte, 0, size+size/1000+8192)

	var k crypto.BodyKey
	wrote := allocated(func() {
		out := bytes.NewBuffer(file)
		w, err := crypto.NewBodyWriter(out, id.Recipient())
		require.NoError(t, err)
		for range size / len(block) {
			_, err := w.Write(block)
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		file, k = out.Bytes(), w.Key()
	})
	read := allocated(func() {
		srcOff, srcLen := k.Span(size, 0, -1)
		r, err := k.NewReader(bytes.NewReader(file[srcOff:srcOff+srcLen]), size, 0, -1)
		require.NoError(t, err)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, block)
		require.NoError(t, err)
		require.Equal(t, int64(size), n)
	})
	assert.Less(t, wrote, uint64(1<<20))
	assert.Less(t, read, uint64(1<<20))
	t.Logf("writing allocated %d bytes, reading %d", wrote, read)
}
