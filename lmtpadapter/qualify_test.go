package lmtpadapter

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQualify(t *testing.T) {
	for in, want := range map[string]string{
		"RCPT TO:<ann>\r\n":                  "RCPT TO:<ann@example.org>\r\n",
		"rcpt to: <Ann+lists.go> NOTIFY=x\n": "rcpt to: <Ann+lists.go@example.org> NOTIFY=x\n",
		"RCPT TO:<postmaster>\r\n":           "RCPT TO:<postmaster@example.org>\r\n",
		"RCPT TO:<jürgen>\r\n":               "RCPT TO:<jürgen@example.org>\r\n",
		"RCPT TO:<用户>\r\n":                   "RCPT TO:<用户@example.org>\r\n",
		"RCPT TO:<ann@a>\r\n":                "RCPT TO:<ann@a>\r\n",
		"RCPT TO:<\"a b\">\r\n":              "RCPT TO:<\"a b\">\r\n",
		"RCPT TO:<>\r\n":                     "RCPT TO:<>\r\n",
		"RCPT TO:<a b>\r\n":                  "RCPT TO:<a b>\r\n",
		"MAIL FROM:<ann>\r\n":                "MAIL FROM:<ann>\r\n",
		"RCPT TO:<ann\r\n":                   "RCPT TO:<ann\r\n",
	} {
		require.Equal(t, want, string(qualify([]byte(in), "example.org")), "%q", in)
	}
}
