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

func TestClampSize(t *testing.T) {
	for in, want := range map[string]string{
		"MAIL FROM:<a@b> SIZE=4294967296\r\n":                    "MAIL FROM:<a@b> SIZE=4294967295\r\n",
		"mail from:<> body=8BITMIME size=99999999999 SMTPUTF8\n": "mail from:<> body=8BITMIME size=4294967295 SMTPUTF8\n",
		"MAIL FROM:<a@b> SIZE=99999999999999999999\r\n":          "MAIL FROM:<a@b> SIZE=4294967295\r\n",
		"MAIL FROM:<a@b> SIZE=4294967295\r\n":                    "MAIL FROM:<a@b> SIZE=4294967295\r\n",
		"MAIL FROM:<a@b> SIZE=00000000000000000042\r\n":          "MAIL FROM:<a@b> SIZE=00000000000000000042\r\n",
		"MAIL FROM:<a@b> SIZE=999999999999999999999\r\n":         "MAIL FROM:<a@b> SIZE=999999999999999999999\r\n",
		"MAIL FROM:<\" SIZE=99999999999 \"@b>\r\n":               "MAIL FROM:<\" SIZE=99999999999 \"@b>\r\n",
		"MAIL FROM:<a@b> XSIZE=99999999999\r\n":                  "MAIL FROM:<a@b> XSIZE=99999999999\r\n",
		"RCPT TO:<a@b> SIZE=99999999999\r\n":                     "RCPT TO:<a@b> SIZE=99999999999\r\n",
	} {
		require.Equal(t, want, string(clampSize([]byte(in))), "%q", in)
	}
}
