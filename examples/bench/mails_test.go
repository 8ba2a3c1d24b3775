package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goldenMails is the SHA-256 of all mails: figures of two runs can be compared
// only while it stays.
const goldenMails = "61e6d249b6f90b29e1139afd9c4afd4dcadba0b9f70a59a8915fb4dc24c7d857"

func TestMailSet(t *testing.T) {
	mails := mailSet()
	require.Len(t, mails, 100)
	total, hits, kindsSeen := 0, 0, map[string]int{}
	sum := sha256.New()
	left := map[int]int{}
	for _, size := range sizes {
		left[size]++
	}
	for i, m := range mails {
		total += len(m.text)
		left[len(m.text)]--
		kindsSeen[m.kind]++
		sum.Write(m.text)
		for line := range bytes.Lines(m.text) {
			require.LessOrEqual(t, len(line), 1000, "RFC 5322 section 2.1.1, mail %d", i)
			require.True(t, bytes.HasSuffix(line, []byte("\r\n")), "mail %d: %q", i, line)
		}
		found := 0
		text := parsed(t, m.text)
		if strings.Contains(text, needle) {
			found = 1
		}
		assert.Equal(t, i%needleEvery == 0, found == 1, "mail %d, %s", i, m.kind)
		hits += found
	}
	for size, n := range left {
		assert.Zero(t, n, "mails of %d bytes", size)
	}
	assert.Equal(t, 23594512, total)
	assert.Equal(t, 20, hits)
	assert.Len(t, kindsSeen, len(kinds), "%v", kindsSeen)
	assert.Equal(t, "mails "+goldenMails, fmt.Sprintf("mails %x", sum.Sum(nil)), "the same in every run")
}

// parsed reads a mail with the parsers of the standard library and returns all
// its text, decoded.
func parsed(t *testing.T, text []byte) string {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	require.NoError(t, err)
	_, err = m.Header.Date()
	require.NoError(t, err)
	for _, f := range []string{"From", "To"} {
		_, err := m.Header.AddressList(f)
		require.NoError(t, err)
	}
	return decoded(t, textproto.MIMEHeader(m.Header), m.Body)
}

func decoded(t *testing.T, h textproto.MIMEHeader, body io.Reader) string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	require.NoError(t, err)
	if strings.HasPrefix(kind, "multipart/") {
		var all strings.Builder
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return all.String()
			}
			require.NoError(t, err)
			all.WriteString(decoded(t, p.Header, p))
		}
	}
	switch h.Get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	require.NoError(t, err)
	switch {
	case kind == "message/rfc822":
		return parsed(t, b)
	case strings.HasPrefix(kind, "text/"):
		return string(b)
	}
	return ""
}
