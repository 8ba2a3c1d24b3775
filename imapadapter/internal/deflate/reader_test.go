package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// texts are what the decoder is tried with.
func texts() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 1951))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rnd.IntN(256))
	}
	words := &strings.Builder{}
	for range 40_000 {
		words.WriteString([]string{"NOOP\r\n", "FETCH 1:* ", "UID SEARCH ", "(FLAGS)", "a"}[rnd.IntN(5)])
	}
	return map[string][]byte{
		"nothing": {}, "one": []byte("a"), "short": []byte("a1 NOOP\r\n"), "noise": noise,
		"words": []byte(words.String()), "zeros": make([]byte, 200_000), "far": append(append(noise[:30_000:30_000], make([]byte, 2000)...), noise[:30_000]...),
	}
}

// What any compressor writes is read, however it comes in.
func TestReader(t *testing.T) {
	for name, text := range texts() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, 6, flate.BestCompression} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			require.NoError(t, err)
			for p := text; len(p) > 0; { // several blocks
				n := min(len(p), 33_333)
				_, _ = w.Write(p[:n])
				require.NoError(t, w.Flush())
				p = p[n:]
			}
			require.NoError(t, w.Close())
			for how, src := range map[string]io.Reader{"whole": &b, "byte by byte": nil} {
				packed := bytes.Clone(b.Bytes())
				if src == nil {
					src = iotest.OneByteReader(bytes.NewReader(packed))
				} else {
					src = bytes.NewReader(packed)
				}
				got, err := io.ReadAll(NewReader(src))
				require.NoError(t, err, "%s, level %d, %s", name, level, how)
				require.True(t, bytes.Equal(text, got), "%s, level %d, %s", name, level, how)
			}
		}
	}
}

// blocking fails the test when more is read than came.
type blocking struct {
	t *testing.T
	b []byte
}

func (r *blocking) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		require.Fail(r.t, "waits for more")
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// A command is handed out when it came, whether the client flushed as zlib does with
// Z_SYNC_FLUSH, or as mutt does with Z_PARTIAL_FLUSH: an empty block of fixed codes,
// which ends in the middle of a byte.
func TestReaderWaitsForNothing(t *testing.T) {
	var sync bytes.Buffer
	w, err := flate.NewWriter(&sync, 6)
	require.NoError(t, err)
	_, _ = w.Write([]byte("a1 NOOP\r\n"))
	require.NoError(t, w.Flush())
	for name, packed := range map[string][]byte{"sync": sync.Bytes(), "partial": partialFlush("a1 NOOP\r\n")} {
		f := NewReader(&blocking{t, packed})
		line := make([]byte, len("a1 NOOP\r\n"))
		_, err := io.ReadFull(f, line)
		require.NoError(t, err, name)
		require.Equal(t, "a1 NOOP\r\n", string(line), name)
	}
}

// partialFlush writes a text as a block of fixed codes and an empty one after it.
func partialFlush(text string) []byte {
	var out []byte
	n := 0
	bit := func(b int) {
		if n%8 == 0 {
			out = append(out, 0)
		}
		out[len(out)-1] |= byte(b << (n % 8))
		n++
	}
	code := func(v, length int) { // most significant bit first
		for i := length - 1; i >= 0; i-- {
			bit(v >> i & 1)
		}
	}
	for _, block := range []string{text, ""} {
		bit(0)
		bit(1)
		bit(0)
		for _, c := range []byte(block) {
			code(0x30+int(c), 8) // of those below 144
		}
		code(0, 7)
	}
	return out // the bits that are missing in the last byte are the next block's
}

// The window is no larger than what went through it.
func TestReaderMemory(t *testing.T) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	require.NoError(t, err)
	_, _ = w.Write([]byte(strings.Repeat("a1 NOOP\r\n", 20)))
	require.NoError(t, w.Close())
	f := NewReader(&b)
	_, err = io.Copy(io.Discard, f)
	require.NoError(t, err)
	require.LessOrEqual(t, cap(f.window), 512)
}

// Text in base64, as attachments are uploaded.
func BenchmarkReader(b *testing.B) {
	text := []byte(base64.StdEncoding.EncodeToString(texts()["noise"]))
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 6)
	require.NoError(b, err)
	_, _ = w.Write(text)
	require.NoError(b, w.Close())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		n, err := io.Copy(io.Discard, NewReader(bytes.NewReader(packed.Bytes())))
		require.NoError(b, err)
		require.Equal(b, int64(len(text)), n)
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range texts() {
		text = text[:min(len(text), 2000)]
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 6} {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			_, _ = w.Write(text)
			_ = w.Close()
			f.Add(b.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const most = 1 << 20
		got, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(packed)), most))
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), most))
		if wantErr == nil { // of what is malformed the two may notice more or less
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
		}
	})
}
