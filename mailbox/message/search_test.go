package message

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// store is a mail that counts how it is read.
type store struct {
	mail   []byte
	reads  []string
	closed int
	octets int
}

func (s *store) open(off, n int64) (io.ReadCloser, error) {
	s.reads = append(s.reads, fmt.Sprintf("%d+%d", off, n))
	return &storeReader{s, bytes.NewReader(s.mail[off : off+n])}, nil
}

type storeReader struct {
	s *store
	r io.Reader
}

func (r *storeReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.s.octets += n
	return n, err
}

func (r *storeReader) Close() error {
	r.s.closed++
	return nil
}

func search(t *testing.T, mail []byte, header bool, needles ...string) ([]bool, *store) {
	t.Helper()
	s := &store{mail: mail}
	found, err := scanAll(mail).SearchText(t.Context(), header, s.open, needles)
	require.NoError(t, err)
	require.Equal(t, len(s.reads), s.closed, "every read is closed")
	return found, s
}

func searchMail(attachment int) []byte {
	return []byte(strings.ReplaceAll(`From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
 =?utf-8?q?_aus?=  Bremen
Content-Type: multipart/mixed; boundary=b

the preamble
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Der K=E4se liegt im K=FChl=
schrank.
--b
Content-Type: application/pdf; name*=utf-8''Rechnung%20M%C3%A4rz.pdf
Content-Disposition: attachment; filename="=?utf-8?q?J=C3=A4nner?=.pdf"
Content-Description: a description

binary `+strings.Repeat("attached ", attachment/9)+`
--b
Content-Type: message/rfc822

Subject: =?koi8-r?B?8NLJ18XU?=
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

`+base64.StdEncoding.EncodeToString([]byte("<p>Encoded\nhtml</p>"))+`
--b
Content-Type: message/delivery-status

Final-Recipient: rfc822; nobody@example.org
--b--
the epilogue
`, "\n", "\r\n"))
}

func TestSearchText(t *testing.T) {
	tests := []struct {
		needle     string
		body, text bool
	}{
		{"jörg", false, true},
		{"JOERG@example.org", false, true},
		{"grüße aus bremen", false, true},
		{"subject: grüße", false, true},
		{"bremen content-type", false, false}, // two fields
		{"bremencontent-type", false, false},
		{"käse liegt", true, true},
		{"KÜHLSCHRANK", true, true},
		{"k=FChl", false, false},
		{"rechnung märz.pdf", true, true},
		{"jänner.pdf", true, true},
		{"a description", true, true},
		{"привет", true, true},
		{"<p>encoded html</p>", true, true},
		{"nobody@example.org", true, true},
		{"attached", false, false},
		{"preamble", false, false},
		{"epilogue", false, false},
		{"schrank. content-type", false, false},
		{"", true, true},
	}
	var needles []string
	for _, tt := range tests {
		needles = append(needles, tt.needle)
	}
	for _, attachment := range []int{100, 300_000} {
		mail := searchMail(attachment)
		body, s := search(t, mail, false, needles...)
		text, _ := search(t, mail, true, needles...)
		for i, tt := range tests {
			assert.Equal(t, tt.body, body[i], "BODY %q", tt.needle)
			assert.Equal(t, tt.text, text[i], "TEXT %q", tt.needle)
		}
		if attachment < maxGap {
			assert.Len(t, s.reads, 1, "spans close to each other are one read")
		} else {
			assert.Len(t, s.reads, 2)
			assert.Less(t, s.octets, 2000, "the attachment is not read")
		}
	}
}

func TestSearchTextReadsNoMore(t *testing.T) {
	mail := searchMail(300_000)
	_, s := search(t, mail, true, "jörg")
	assert.Empty(t, s.reads, "decided by the header")
	_, s = search(t, mail, false, "märz")
	assert.Empty(t, s.reads, "decided by the structure")
	_, s = search(t, mail, false, "käse")
	assert.Len(t, s.reads, 1, "decided by the first part")
	_, s = search(t, mail, false)
	assert.Empty(t, s.reads)
	_, s = search(t, []byte("Subject: x\r\n\r\n"), false, "x")
	assert.Empty(t, s.reads, "there is no body")
}

// A header block too long to keep is read, and searched as one that was kept.
func TestSearchTextHeaderCut(t *testing.T) {
	var b strings.Builder
	b.WriteString("Subject: first\r\nX-Filler: " + strings.Repeat("y", 10_000) + "\r\n")
	for range 30 {
		b.WriteString("X-Filler: " + strings.Repeat("filler ", 200) + "\r\n")
	}
	b.WriteString("X-Long: begin" + strings.Repeat("\r\n folded", 9000) + "\r\n end\r\n")
	b.WriteString("X-Word: =?utf-8?q?J=C3=B6?=\r\n =?utf-8?q?rg?=\r\nX-Last: the last\r\n\r\nbody\r\n")
	needles := []string{"first x-filler", "subject: first", "begin folded", "folded folded", "folded end", "jörg", "jörg x-last", "x-last: the last", "body", "yyy"}
	want := []bool{false, true, true, true, true, true, false, true, true, true}
	mail := []byte(b.String())
	require.True(t, scanAll(mail).HeaderCut)
	found, s := search(t, mail, true, needles...)
	assert.Equal(t, want, found)
	assert.Len(t, s.reads, 1)

	enclosed := []byte("Content-Type: message/rfc822\r\n\r\n" + b.String())
	found, s = search(t, enclosed, false, needles...)
	assert.Equal(t, want, found)
	assert.Len(t, s.reads, 1)
}

func TestSearchTextErrors(t *testing.T) {
	m := scanAll(searchMail(300_000))
	broken := errors.New("broken")
	needles := []string{"jörg", "nothing"}

	found, err := m.SearchText(t.Context(), true, func(int64, int64) (io.ReadCloser, error) { return nil, broken }, needles)
	assert.ErrorIs(t, err, broken)
	assert.Equal(t, []bool{true, false}, found, "what was found till then")

	_, err = m.SearchText(t.Context(), true, func(int64, int64) (io.ReadCloser, error) {
		return io.NopCloser(iotest.ErrReader(broken)), nil
	}, needles)
	assert.ErrorIs(t, err, broken)

	_, err = m.SearchText(t.Context(), true, func(int64, int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("short")), nil
	}, needles)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &store{mail: searchMail(300_000)}
	_, err = m.SearchText(ctx, true, s.open, needles)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, len(s.reads), s.closed)
}

// No mail of the corpus makes a search fail, and what a plain text part says is
// found.
func TestSearchTextCorpus(t *testing.T) {
	for name, mail := range corpus(t) {
		found, s := search(t, mail, true, "\x00nothing\x00", "content-type")
		assert.False(t, found[0], name)
		assert.LessOrEqual(t, s.octets, len(mail), "%s: nothing is read twice", name)
	}
	found, _ := search(t, corpus(t)["rfc822"], false, "plain inside", "four", "subject: x")
	assert.Equal(t, []bool{true, true, false}, found)
}

func TestSearchTextMemory(t *testing.T) {
	mail := searchMail(100)
	m, s := scanAll(mail), &store{mail: mail}
	per := testing.AllocsPerRun(50, func() {
		s.reads = s.reads[:0]
		_, err := m.SearchText(t.Context(), true, s.open, []string{"nothing"})
		require.NoError(t, err)
	})
	assert.Less(t, per, 250.0, "allocations for one mail of four parts")
}
