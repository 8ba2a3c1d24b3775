package frame

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func scan(line string) *scanner {
	s := &scanner{}
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

// A client is the policy of an authenticated client.
type client struct{ asked int }

var limits = Limits{Line: 50 << 10, Literal: 4096, Literals: 64 << 10, Message: 1000, Drop: 2000}

func (*client) Limits(string) Limits          { return limits }
func (*client) Admit(string, string) *Refusal { return nil }
func (c *client) Proceed() error              { c.asked++; return nil }
func (*client) Pace()                         {}

func newReader(r io.Reader) *Reader {
	f := &Reader{}
	f.Init(r, &client{})
	return f
}

func TestReader(t *testing.T) {
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
			f, cl := &Reader{}, &client{}
			f.Init(r, cl)
			c, err := f.Next()
			require.NoError(t, err)
			assert.Equal(t, "a1 LOGIN {3+}\r\nfoo {3+}\r\nbar\r\n", string(c.Text))
			assert.Equal(t, []int{15, 18, 25, 28, 30}, c.Cuts)
			assert.Equal(t, "LOGIN", c.Name)
			assert.Equal(t, int64(-1), c.Message)
			assert.Equal(t, 1, cl.asked)
			c, err = f.Next()
			require.NoError(t, err)
			assert.Equal(t, "UID FETCH", c.Name)
			assert.Equal(t, "a2", c.Tag)
			c, err = f.Next()
			require.NoError(t, err)
			assert.Equal(t, "a3 APPEND {5+}\r\nINBOX ~{4+}\r\n", string(c.Text))
			assert.Equal(t, int64(4), c.Message)
			assert.True(t, c.NonSync)
			assert.Equal(t, 2, cl.asked)
			f.Abandon(c.Message)
			c, err = f.Next()
			require.NoError(t, err)
			assert.Equal(t, "a4 APPEND INBOX {9}\r\n", string(c.Text), "a message is asked for by the engine")
			assert.False(t, c.NonSync)
			assert.Equal(t, 2, cl.asked)
			_, err = f.Next()
			assert.Equal(t, io.EOF, err)
		})
	}
}

// The line behind a message ends the command, or announces another message. Of a
// message that is announced and not read, nothing is taken for a command.
func TestTail(t *testing.T) {
	const evil = "x DELETE INBOX\r\n"
	tests := []struct {
		tail   string
		multi  bool
		next   string // what announces another message
		text   string // of the refusal
		fatal  bool
		follow string // the next command
	}{
		{")\r\n", false, "", "", false, "a2 NOOP\r\n"},
		{") \r\n", true, "", "", false, "a2 NOOP\r\n"},
		{"\r\n", false, "", "BAD [CLIENTBUG] Syntax error after the message", true, ""},
		{")x\r\n", false, "", "BAD [CLIENTBUG] Syntax error after the message", true, ""},
		{") {16+}\r\n", false, "", "BAD [CLIENTBUG] Syntax error after the message", true, ""},
		{") {16+}\r\n" + evil + "\r\n", true, " {16+}\r\n", "", false, "a2 NOOP\r\n"},
		{") () UTF8 (~{16+}\r\n" + evil + ")\r\n", true, " () UTF8 (~{16+}\r\n", "", false, "a2 NOOP\r\n"},
		{") {0+}\r\n\r\n", true, "", "NO A message cannot be empty", false, "a2 NOOP\r\n"},
		{") {1600+}\r\n" + strings.Repeat(evil, 100) + "\r\n", true, "", "NO [TOOBIG] Messages are limited to 1000 bytes", false, "a2 NOOP\r\n"},
		{") {1600}\r\n", true, "", "NO [TOOBIG] Messages are limited to 1000 bytes", false, "a2 NOOP\r\n"},
		{") {3000+}\r\n", true, "", "NO [TOOBIG] Messages are limited to 1000 bytes", true, ""},
		{")\n", true, "", "BAD [CLIENTBUG] Syntax error after the message", true, ""},
	}
	for _, tt := range tests {
		f := newReader(strings.NewReader("a1 APPEND INBOX UTF8 (~{1+}\r\nm" + tt.tail + "a2 NOOP\r\n"))
		c, err := f.Next()
		require.NoError(t, err)
		require.True(t, c.Closing)
		_, err = io.ReadFull(f, make([]byte, 1))
		require.NoError(t, err)
		next, err := f.Tail(c, tt.multi)
		assert.Equal(t, tt.next, string(next), "%q", tt.tail)
		var bad *Refusal
		if tt.text != "" {
			require.ErrorAs(t, err, &bad, "%q", tt.tail)
			assert.Equal(t, Refusal{Tag: "a1", Text: tt.text, Fatal: tt.fatal}, *bad, "%q", tt.tail)
		} else {
			require.NoError(t, err, "%q", tt.tail)
		}
		if tt.follow == "" {
			continue
		}
		if next != nil {
			require.Equal(t, int64(16), c.Message)
			require.Equal(t, strings.Contains(tt.tail, "(~"), c.Closing)
			f.Abandon(c.Message)
		}
		c, err = f.Next()
		require.NoError(t, err, "%q", tt.tail)
		assert.Equal(t, tt.follow, string(c.Text), "%q", tt.tail)
	}
}

// TestReaderGivesBack checks that nothing is held between commands.
func TestReaderGivesBack(t *testing.T) {
	long := "a1 NOOP " + strings.Repeat("x", 20000) + "\r\n"
	f := newReader(io.MultiReader(strings.NewReader(long), strings.NewReader("a2 NOOP\r\n")))
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
	_, err := newReader(iotest.TimeoutReader(emptyReader{})).Next()
	assert.Error(t, err)
	_, err = newReader(emptyReader{}).Next()
	assert.Equal(t, io.ErrNoProgress, err)
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// FuzzFrames reads any bytes as commands. What comes out is bounded, is cut at
// lines and literals, and read again is the same; and the splits of what comes
// in make no difference.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		"a1 LOGIN {3+}\r\nfoo {3}\r\nbar\r\na2 NOOP\r\n",
		"a1 APPEND INBOX (\\Seen) {5}\r\nmail\n\r\na2 APPEND {5+}\r\nINBOX UTF8 (~{4+}\r\nmail)\r\n",
		"a1 UID REPLACE 7 {5+}\r\nINBOX {4}\r\nmail\r\na2 REPLACE {1+}\r\n7 INBOX {4}\r\n",
		"a1 DELETE {6000+}\r\nx\r\n", "a1 APPEND INBOX {5000+}\r\n", "a1 SEARCH TEXT {4096+}\r\n" + strings.Repeat("x", 4096) + "\r\n",
		"a1 DELETE {3+}\nfoo\r\n", "a1 DELETE \"foo {3+}\r\nbar\r\n", "a1 DELETE {3-}\r\n", "a1 DELETE x{3+}\r\nbar\r\n", "a1 DELETE ~{3+}\r\nbar\r\n",
		strings.Repeat("\r\n", 101), "GET / HTTP/1.1\r\n", "a1 " + strings.Repeat("x", 60<<10) + "\r\na2 NOOP\r\n", "a1 DELETE {18446744073709551616+}\r\n",
	} {
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
	f := newReader(r)
	var all []string
	for {
		c, err := f.Next()
		var bad *Refusal
		if errors.As(err, &bad) {
			require.NotContains(t, bad.Tag+bad.Text, "\n")
			all = append(all, bad.Tag+" "+bad.Text)
			if bad.Fatal {
				return all
			}
			continue
		}
		if err != nil {
			return all
		}
		checkCuts(t, c)
		all = append(all, "command "+string(c.Text))
		if c.Message >= 0 {
			f.Abandon(c.Message)
		}
	}
}

// checkCuts follows the pieces of a command as the engine reads them.
func checkCuts(t *testing.T, c *Command) {
	require.LessOrEqual(t, len(c.Text), limits.Line+int(limits.Literals)+2*len(c.Cuts))
	from := 0
	for i := 0; i < len(c.Cuts); i++ {
		line := string(c.Text[from:c.Cuts[i]])
		from = c.Cuts[i]
		s := scan(line)
		require.Empty(t, s.fault())
		last := i == len(c.Cuts)-1
		require.Equal(t, last && c.Message < 0, !s.literal())
		if last {
			break
		}
		require.True(t, s.nonSync)
		if s.size > 0 {
			i++
			require.Equal(t, from+int(s.size), c.Cuts[i])
			from = c.Cuts[i]
		}
	}
	require.Equal(t, len(c.Text), from)
}
