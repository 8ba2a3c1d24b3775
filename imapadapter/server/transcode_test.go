package server

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox/message"
)

// TestTranscoder decodes what a transcoder made of binary bodies of all lengths around
// those of its lines and buffers, with every kind of line end at their end.
func TestTranscoder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 56, 57, 58, 114, 4095, 4096, 4097, 9000} {
		for _, end := range []string{"", "\n", "\r", "\r\n", "\n\r", "\r\n\r\n", "\r\r\n", "\n\n", "\x00"} {
			body := strings.Repeat("\x00\xff-", n)[:n] + end
			const field = "Content-Transfer-Encoding: binary\r\n"
			t.Run(fmt.Sprintf("%d %q", n, end), func(t *testing.T) {
				check(t, field+"Subject: x\r\n\r\n"+body, nil, body)
				check(t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"+field+"\r\n"+body+"\r\n--b--\r\n", []int{1}, body)
				check(t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"+
					"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n"+field+"\r\n"+body+"\r\n--b\r\n\r\n--b--", []int{1, 1}, body)
			})
		}
	}
}

// check compares a part of a transcoded message, decoded, with what it has to be.
func check(t *testing.T, mail string, path []int, want string) {
	t.Helper()
	got, err := io.ReadAll(newTranscoder(strings.NewReader(mail)))
	require.NoError(t, err)
	cut, err := io.ReadAll(iotest.OneByteReader(newTranscoder(iotest.OneByteReader(strings.NewReader(mail)))))
	require.NoError(t, err)
	assert.Equal(t, string(got), string(cut))
	assert.NotContains(t, string(got), "\x00")

	s := message.NewScanner()
	_, _ = s.Write(got)
	part, ok := s.Close().Section(path)
	require.True(t, ok)
	require.Equal(t, "base64", part.Encoding)
	lines := strings.Split(string(got[part.BodyOffset:part.BodyOffset+part.BodySize]), "\r\n")
	for _, line := range lines {
		require.LessOrEqual(t, len(line), 76)
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(lines, ""))
	require.NoError(t, err)
	assert.Equal(t, want, string(decoded))
}

// TestTranscoderKeeps passes on what has no part in binary, byte for byte, and an error
// of the connection.
func TestTranscoderKeeps(t *testing.T) {
	t.Parallel()
	for _, mail := range []string{
		"", "a", "Subject: a", "Subject: a\r\n\r\n", "\r\nbody", "Subject: a\n\nbody\n\n", "a\r\r\n\r\r\nb",
		"Content-Transfer-Encoding: 8bit\r\n\r\n\xff",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nSubject: x\r\n--b\r\n\r\n--b--\r\n\r\n--b\r\n\r\n",
		"Subject: " + strings.Repeat("long\r\n ", 20_000) + "\r\nContent-Transfer-Encoding: binary\r\n\r\nbody",
	} {
		got, err := io.ReadAll(newTranscoder(strings.NewReader(mail)))
		require.NoError(t, err)
		require.Equal(t, mail, string(got))
	}
	_, err := io.ReadAll(newTranscoder(io.MultiReader(strings.NewReader("a\r\n"), iotest.ErrReader(io.ErrUnexpectedEOF))))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// FuzzTranscoder looks for a message in which NUL is left, or that is changed without need.
func FuzzTranscoder(f *testing.F) {
	f.Add("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\r\n--b--\r\n")
	f.Add("Content-Transfer-Encoding:\n binary\n\n\x00\r")
	f.Add("Content-Type: message/rfc822\n\nContent-Transfer-Encoding: binary\n\n\x00\n")
	f.Fuzz(func(t *testing.T, mail string) {
		got, err := io.ReadAll(newTranscoder(strings.NewReader(mail)))
		if err != nil {
			require.Contains(t, mail, "\x00")
			return
		}
		require.NotContains(t, string(got), "\x00")
		if !strings.Contains(strings.ToLower(mail), "binary") {
			require.Equal(t, mail, string(got))
		}
	})
}
