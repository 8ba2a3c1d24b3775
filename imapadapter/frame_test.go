package imapadapter

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func scan(line string) *lineScanner {
	s := &lineScanner{}
	for i := range len(line) {
		if s.feed(line[i]) {
			if i != len(line)-1 {
				panic("the line ends too early")
			}
			return s
		}
	}
	panic("the line does not end")
}

func TestLineScanner(t *testing.T) {
	const none = -1
	tests := []struct {
		line      string
		size      int64 // none: no literal follows
		nonSync   bool
		fault     string
		ambiguous bool
	}{
		{"a NOOP\r\n", none, false, "", false},
		{"\r\n", none, false, "", false},
		{"\n", none, false, "line ends without CR", true},
		{"a NOOP\n", none, false, "line ends without CR", true},
		{"a {5+}\n", 5, true, "line ends without CR", true},
		{"a\rb\r\n", none, false, "CR inside a line", false},
		{"a\r\r\n", none, false, "CR inside a line", false},
		{"a\x00\r\n", none, false, "NUL inside a line", false},
		{"a {5}\r\n", 5, false, "", false},
		{"a {5+}\r\n", 5, true, "", false},
		{"a ~{5+}\r\n", 5, true, "", false},
		{"a ({5+}\r\n", 5, true, "", false},
		{"a (~{5+}\r\n", 5, true, "", false},
		{"{5+}\r\n", 5, true, "", false},
		{" {0}\r\n", 0, false, "", false},
		{" {00}\r\n", 0, false, "leading zero in the size of a literal", false},
		{" {012+}\r\n", 12, true, "leading zero in the size of a literal", false},
		{" {9223372036854775799}\r\n", math.MaxInt64 - 8, false, "", false},
		{"a{5}\r\n", 5, false, "literal inside an argument", false},
		{"a~{5}\r\n", 5, false, "literal inside an argument", false},
		{"~~{5}\r\n", 5, false, "literal inside an argument", false},
		{"\"\"{5}\r\n", 5, false, "literal inside an argument", false},
		{" {5} \r\n", none, false, "malformed literal", true},
		{" {5+} {5+}\r\n", none, false, "malformed literal", true},
		{" {5-}\r\n", none, false, "malformed literal", true},
		{" {+}\r\n", none, false, "malformed literal", true},
		{" {}\r\n", none, false, "malformed literal", true},
		{" {5++}\r\n", none, false, "malformed literal", true},
		{" {-5+}\r\n", none, false, "malformed literal", true},
		{" {5\r\n", none, false, "malformed literal", false},
		{" {5+\r\n", none, false, "malformed literal", false},
		{" {\r\n", none, false, "malformed literal", false},
		{" {x} y\r\n", none, false, "malformed literal", false},
		{" x}\r\n", none, false, "", false},
		{" \"{5+}\"\r\n", none, false, "", false},
		{" \"{5+}\r\n", none, false, "quoted string is not closed", true},
		{" \"{5+} \r\n", none, false, "quoted string is not closed", true},
		{" \"x\r\n", none, false, "quoted string is not closed", false},
		{" \"x\\\"\r\n", none, false, "quoted string is not closed", false},
		{" \"x\\\\\" {5+}\r\n", 5, true, "", false},
		{" \"x\\\" {5+}\"\r\n", none, false, "", false},
		{" \\\" {5+}\r\n", none, false, "quoted string is not closed", true},
	}
	for _, tt := range tests {
		s := scan(tt.line)
		size := int64(none)
		if s.literal() {
			size = s.size
		}
		assert.Equal(t, tt.size, size, "%q", tt.line)
		assert.Equal(t, tt.nonSync, s.literal() && s.nonSync, "%q", tt.line)
		assert.Equal(t, tt.fault, s.fault(), "%q", tt.line)
		assert.Equal(t, tt.ambiguous, s.ambiguous(), "%q", tt.line)
	}
	for _, size := range []string{"9223372036854775808", "18446744073709551616", "99999999999999999999999999"} {
		assert.True(t, scan(" {"+size+"}\r\n").huge, size)
		assert.False(t, scan(" {"+size+"}\r\n").ambiguous(), size)
		assert.True(t, scan(" {"+size+"+}\r\n").ambiguous(), size)
	}
}

// newFrames returns a reader of what r yields, with the limits of an
// authenticated client.
func newFrames(r io.Reader) *frameReader {
	return &frameReader{
		in: input{src: r}, limits: func(string) frameLimits { return frameLimits{maxEngineLine, maxEngineLiteral, defaultMaxLiteral} },
		admit:      func(string, string) *refusal { return nil },
		maxMessage: func() int64 { return 1000 },
		maxDrop:    func() int64 { return 2000 },
		proceed:    func() error { return nil },
		pace:       func() {},
	}
}

func TestFrameReader(t *testing.T) {
	const sent = "a1 LOGIN {3+}\r\nfoo {3}\r\nbar\r\n" +
		"a2 uid fetch 1 flags\r\n" +
		"a3 APPEND {5}\r\nINBOX ~{4+}\r\nmail\r\n" +
		"a4 APPEND INBOX {9}\r\n"
	for name, r := range map[string]io.Reader{
		"whole":    strings.NewReader(sent),
		"bytewise": iotest.OneByteReader(strings.NewReader(sent)),
		"late EOF": iotest.DataErrReader(strings.NewReader(sent)),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFrames(r)
			asked := 0
			f.proceed = func() error { asked++; return nil }
			c, err := f.Next()
			require.NoError(t, err)
			assert.Equal(t, "a1 LOGIN {3+}\r\nfoo {3+}\r\nbar\r\n", string(c.text))
			assert.Equal(t, []int{15, 18, 25, 28, 30}, c.cuts)
			assert.Equal(t, "LOGIN", c.name)
			assert.Equal(t, int64(-1), c.message)
			assert.Equal(t, 1, asked)
			c, err = f.Next()
			require.NoError(t, err)
			assert.Equal(t, "UID FETCH", c.name)
			assert.Equal(t, "a2", c.tag)
			c, err = f.Next()
			require.NoError(t, err)
			assert.Equal(t, "a3 APPEND {5+}\r\nINBOX ~{4+}\r\n", string(c.text))
			assert.Equal(t, int64(4), c.message)
			assert.True(t, c.nonSync)
			assert.Equal(t, 2, asked)
			f.abandon(c.message)
			c, err = f.Next()
			require.NoError(t, err)
			assert.Equal(t, "a4 APPEND INBOX {9}\r\n", string(c.text), "a message is asked for by the engine")
			assert.False(t, c.nonSync)
			assert.Equal(t, 2, asked)
			_, err = f.Next()
			assert.Equal(t, io.EOF, err)
		})
	}
}

// TestFrameReaderGivesBack checks that nothing is held between commands.
func TestFrameReaderGivesBack(t *testing.T) {
	long := "a1 NOOP " + strings.Repeat("x", 20000) + "\r\n"
	f := newFrames(io.MultiReader(strings.NewReader(long), strings.NewReader("a2 NOOP\r\n")))
	for range 2 {
		_, err := f.Next()
		require.NoError(t, err)
	}
	_, err := f.Next()
	require.Equal(t, io.EOF, err)
	assert.Nil(t, f.text)
	assert.Nil(t, f.box)
	assert.Nil(t, f.in.buf)
}

func TestReaderWithoutProgress(t *testing.T) {
	_, err := newFrames(iotest.TimeoutReader(emptyReader{})).Next()
	assert.Error(t, err)
	_, err = newFrames(emptyReader{}).Next()
	assert.Equal(t, io.ErrNoProgress, err)
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// sessionBytes returns what clients send in the files of testdata/sessions.
func sessionBytes(t testing.TB) []string {
	files, err := filepath.Glob("testdata/sessions/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var b strings.Builder
		for l := range strings.SplitSeq(string(text), "\n") {
			if s, ok := strings.CutPrefix(l, "C: "); ok {
				b.WriteString(s + "\r\n")
			} else if s, ok := strings.CutPrefix(l, "C| "); ok {
				raw, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
				require.NoError(t, err)
				b.WriteString(raw)
			}
		}
		all = append(all, b.String())
	}
	return all
}

// FuzzFrames reads any bytes as commands. What comes out is bounded, is cut at
// lines and literals, and read again is the same; and the splits of what comes
// in make no difference.
func FuzzFrames(f *testing.F) {
	for _, s := range sessionBytes(f) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		once := readFrames(t, strings.NewReader(string(b)))
		assert.Equal(t, once, readFrames(t, iotest.OneByteReader(strings.NewReader(string(b)))))
		for _, s := range once {
			text, ok := strings.CutPrefix(s, "command ")
			if !ok {
				continue
			}
			again := readFrames(t, strings.NewReader(text))
			require.NotEmpty(t, again)
			assert.Equal(t, s, again[0])
		}
	})
}

func readFrames(t *testing.T, r io.Reader) []string {
	f := newFrames(r)
	var all []string
	for {
		c, err := f.Next()
		var bad *refusal
		if errors.As(err, &bad) {
			require.NotContains(t, bad.tag+bad.text, "\n")
			all = append(all, bad.tag+" "+bad.text)
			if bad.fatal {
				return all
			}
			continue
		}
		if err != nil {
			return all
		}
		checkCuts(t, c)
		all = append(all, "command "+string(c.text))
		if c.message >= 0 {
			f.abandon(c.message)
		}
	}
}

// checkCuts follows the pieces of a command as the engine reads them.
func checkCuts(t *testing.T, c *command) {
	require.LessOrEqual(t, len(c.text), maxEngineLine+defaultMaxLiteral+2*len(c.cuts))
	from := 0
	for i := 0; i < len(c.cuts); i++ {
		line := string(c.text[from:c.cuts[i]])
		from = c.cuts[i]
		s := scan(line)
		require.Empty(t, s.fault())
		last := i == len(c.cuts)-1
		require.Equal(t, last && c.message < 0, !s.literal())
		if last {
			break
		}
		require.True(t, s.nonSync)
		if s.size > 0 {
			i++
			require.Equal(t, from+int(s.size), c.cuts[i])
			from = c.cuts[i]
		}
	}
	require.Equal(t, len(c.text), from)
}
