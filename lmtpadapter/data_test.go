package lmtpadapter

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// undot reads the message at the front of wire and returns it, what follows it,
// and the error that ended it.
func undot(wire io.Reader, buffer int, readSize int) (msg, rest []byte, err error) {
	in := bufio.NewReaderSize(wire, buffer)
	d := &dotReader{in: in, end: func(err error) error {
		if err == nil {
			return io.EOF
		}
		return io.ErrUnexpectedEOF
	}}
	buf := make([]byte, readSize)
	for {
		n, err := d.Read(buf)
		msg = append(msg, buf[:n]...)
		if err == io.EOF {
			rest, _ = io.ReadAll(in)
			return msg, rest, nil
		}
		if err != nil {
			return msg, nil, err
		}
	}
}

// slowUndot says the same byte by byte, as RFC 5321 section 4.5.2 has it. It
// returns false if the message does not end.
func slowUndot(wire []byte) (msg, rest []byte, ok bool) {
	begins := true // a line, after CR LF or at the front
	for i := 0; i < len(wire); i++ {
		if begins && wire[i] == '.' {
			if bytes.HasPrefix(wire[i:], []byte(".\r\n")) {
				return msg, wire[i+3:], true
			}
			begins = false
			continue
		}
		msg = append(msg, wire[i])
		begins = wire[i] == '\n' && i > 0 && wire[i-1] == '\r'
	}
	return nil, nil, false
}

func TestDotReader(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, msg := range []string{
		"", "\r\n", ".\r\n", "..\r\n", "a\r\n.\r\n.b\r\n", "\r\n.\r\n\r\n", "\n.\n.\r\r\n", "\r\r\n.\r\r\n\r\r\n",
		long + "\r\n" + long + long + "\r\n." + long + "\r\n", long[:15] + "\r\n.\r\n", "\x00\xff\r\n",
	} {
		for _, size := range []int{1, 2, 3, 16, 1000} {
			for _, wire := range []io.Reader{
				strings.NewReader(stuffed([]byte(msg)) + "NOOP\r\n"),
				iotest.OneByteReader(strings.NewReader(stuffed([]byte(msg)) + "NOOP\r\n")),
			} {
				got, rest, err := undot(wire, 16, size)
				require.NoError(t, err)
				assert.Equal(t, msg, string(got))
				assert.Equal(t, "NOOP\r\n", string(rest))
			}
		}
	}
}

// The end of the connection is never the end of the message.
func TestDotReaderCut(t *testing.T) {
	const whole = "a\r\n..b\r\n.\r\n"
	for n := range len(whole) {
		_, _, err := undot(strings.NewReader(whole[:n]), 16, 100)
		assert.Equal(t, io.ErrUnexpectedEOF, err, "%q", whole[:n])
	}
}

func FuzzDotReader(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\nrest", "\r\r\n..x\r\r\n.\r\n", "\n.\n.\r\n\n\r\n.\r\n", "0123456789abcde\r\n.\r\n", "..\r\n.\r.\r\n.\r\n", "0123456789abcd\r\n..\r\n.\r\n"} {
		f.Add([]byte(s), uint8(7))
	}
	f.Fuzz(func(t *testing.T, wire []byte, size uint8) {
		want, wantRest, ok := slowUndot(wire)
		got, rest, err := undot(bytes.NewReader(wire), 16, int(size)+1)
		require.Equal(t, ok, err == nil)
		if ok {
			require.Equal(t, string(want), string(got))
			require.Equal(t, string(wantRest), string(rest))
		}
		// Whatever the bytes are, they come through.
		msg := slices.Concat(wire, []byte("\r\n"))
		got, rest, err = undot(strings.NewReader(stuffed(msg)), 16, int(size)+1)
		require.NoError(t, err)
		require.Equal(t, string(msg), string(got))
		require.Empty(t, rest)
	})
}
