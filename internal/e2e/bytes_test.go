package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nasty returns messages that nobody should send, by name: those of the scanner's
// corpus, and more that are too large or too dull to be kept as files.
func nasty(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../mailbox/message/testdata/mail/*.eml")
	require.NoError(t, err)
	require.Greater(t, len(files), 20, "the corpus is not there")
	all := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all[filepath.Base(file)] = text
	}
	head := "From: <bob@example.org>\r\nSubject: nasty\r\n"
	part := "--b\r\nContent-Type: text/plain\r\n\r\npart\r\n"
	var deep strings.Builder
	for i := range 300 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, text := range map[string]string{
		"dots":             head + "\r\n.\r\n..\r\n...\r\n.x\r\n\r\n.\r\n",
		"dot at the end":   head + "\r\nx\r\n.",
		"no line end":      head + "\r\nthe end",
		"cr at the end":    head + "\r\nthe end\r",
		"lf only":          strings.ReplaceAll(head+"\r\nbody\r\n", "\r\n", "\n"),
		"cr only":          strings.ReplaceAll(head+"\r\nbody\r\n", "\r\n", "\r"),
		"crcrlf":           strings.ReplaceAll(head+"\r\nbody\r\n", "\r\n", "\r\r\n"),
		"lfcr":             strings.ReplaceAll(head+"\r\nbody\r\n", "\r\n", "\n\r"),
		"nul":              head + "\r\na\x00b\x00\x00\r\n",
		"nul in header":    "Subject: a\x00b\r\n\r\nx\r\n",
		"every byte":       head + "\r\n" + string(every) + "\r\n",
		"every byte first": string(every),
		"long line":        head + "\r\n" + strings.Repeat("x", 1<<20) + "\r\n",
		"long field":       head + "X-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\nbody\r\n",
		"many fields":      head + strings.Repeat("X-Many: x\r\n", 50_000) + "\r\nbody\r\n",
		"many parts":       head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat(part, 5000) + "--b--\r\n",
		"deep":             head + deep.String() + "text\r\n",
		"end of literal":   head + "\r\n)\r\na OK done\r\n* BYE\r\n{10}\r\n",
		"one byte":         "x",
		"line end":         "\r\n",
		"8 bit":            head + "\r\nGr\xfc\xdfe, \xff\xfe\r\n",
		"chunk":            head + "\r\n" + strings.Repeat("y", 64<<10-len(head)-2),
		"chunk and one":    head + "\r\n" + strings.Repeat("y", 64<<10-len(head)-1),
	} {
		all[name] = []byte(text)
	}
	return all
}

// What comes in goes out, byte for byte: all that an APPEND brought, and behind the
// lines that the server puts in front all that LMTP did. So do the parts of it,
// which add up to the whole.
func TestNastyMailByteForByte(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	mails := nasty(t)
	uids := map[string]imap.UID{}
	for name, text := range mails {
		if len(text) == 0 {
			continue // no APPEND can bring it
		}
		uid, _, err := appendMail(c, "INBOX", text)
		if assert.NoError(t, err, name) {
			uids[name] = uid
		}
	}
	_, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	require.NoError(t, err)
	for name, uid := range uids {
		text := mails[name]
		whole := &imap.FetchItemBodySection{Peek: true}
		header := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader}
		body := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierText}
		some := &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Offset: int64(len(text) / 3), Size: 1000}}
		msgs, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{
			RFC822Size: true, BodySection: []*imap.FetchItemBodySection{whole, header, body, some},
		}).Collect()
		require.NoError(t, err, name)
		require.Len(t, msgs, 1)
		m := msgs[0]
		assert.True(t, bytes.Equal(text, m.FindBodySection(whole)), "BODY[] of %s", name)
		assert.EqualValues(t, len(text), m.RFC822Size, name)
		from := len(text) / 3
		assert.True(t, bytes.Equal(text[from:min(len(text), from+1000)], m.FindBodySection(some)), "a range of %s", name)
		sum := append(bytes.Clone(m.FindBodySection(header)), m.FindBodySection(body)...)
		assert.True(t, bytes.Equal(text, sum), "header and text of %s", name)
	}
	order := viaLMTP(t, s.lmtp, mails)
	sel, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	require.NoError(t, err)
	last := imap.UIDSet{}
	last.AddRange(imap.UID(uint32(len(uids)+1)), imap.UID(sel.UIDNext-1))
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(last, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	require.NoError(t, err)
	require.Len(t, msgs, len(mails))
	for _, m := range msgs {
		text := m.FindBodySection(section)
		var n int
		_, err := fmt.Sscanf(string(text[:min(len(text), 100)]), "Return-Path: <mail-%d@", &n)
		require.NoError(t, err)
		want := mails[order[n]]
		if !assert.True(t, bytes.HasSuffix(text, want), "%s by LMTP", order[n]) {
			continue
		}
		front := text[:len(text)-len(want)]
		assert.Regexp(t, `^Return-Path: .*\r\nDelivered-To: .*\r\nReceived: (.*\r\n\t)*.*\r\n$`, string(front), order[n])
	}
	s.stop(t)
	checked(t, dir)
}

// viaLMTP delivers all mails by BDAT, which brings bytes as they are, and returns
// their names: the number of each is in its sender.
func viaLMTP(t *testing.T, address string, mails map[string][]byte) (order []string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(4*patience)))
	in := bufio.NewReader(c)
	expect := func(code string) {
		t.Helper()
		for {
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(line, code), "%q", line)
			if line[3] == ' ' {
				return
			}
		}
	}
	expect("220")
	io.WriteString(c, "LHLO x\r\n")
	expect("250")
	for name, text := range mails {
		fmt.Fprintf(c, "MAIL FROM:<mail-%d@example.org>\r\nRCPT TO:<ann>\r\n", len(order))
		order = append(order, name)
		expect("250")
		expect("250")
		fmt.Fprintf(c, "BDAT %d LAST\r\n", len(text))
		_, err := c.Write(text)
		require.NoError(t, err)
		expect("250")
	}
	io.WriteString(c, "QUIT\r\n")
	expect("221")
	return order
}
