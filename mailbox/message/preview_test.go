package message

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestPreview(t *testing.T) {
	const mixed = "Content-Type: multipart/mixed; boundary=b\n\n"
	const html = "Content-Type: text/html; charset=utf-8\n\n"
	for name, c := range map[string]struct{ mail, want string }{
		"empty":                   {"", ""},
		"header only":             {"Subject: x\n\n", ""},
		"plain":                   {"Subject: x\n\nHello,\n\n  world \n", "Hello, world"},
		"base64":                  {"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZSBhdXMgQmVybGlu\n", "Grüße aus Berlin"},
		"quoted-printable":        {"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=\n=DFe\n", "Grüße"},
		"windows-1252 unnamed":    {"Subject: x\n\nGr\xfc\xdfe\n", "Grüße"},
		"windows-1252 to the end": {"Subject: x\n\ncaf\xe9", "café"},
		"no text":                 {"Content-Type: image/png\n\nPNG\n", ""},
		"html": {html + "<!DOCTYPE html><html><head><title>No</title><style>p > a {color: red}</style></head><body><!-- not this > -->" +
			"<p title=\"a > b\">Hel<b>lo</b> &amp; wel&shy;come&nbsp;&zwnj;<br>back</p><script>if (a < b) {}</script> 1 < 2</body></html>", "Hello & welcome back 1 < 2"},
		"html that never ends":  {html + "<p>a<style>p {}", "a"},
		"a quote never closed":  {html + "<p title=\"x>a</p><p>b</p>", "a b"},
		"a tag never closed":    {html + "a <p", "a"},
		"a comment that is cut": {html + "a<!-- b", "a"},
		"first text part":       {mixed + "--b\nContent-Type: image/png\n\nPNG\n--b\n\none\n--b\n\ntwo\n--b--\n", "one"},
		"not of an attachment":  {mixed + "--b\nContent-Disposition: attachment\n\none\n--b\n\ntwo\n--b--\n", "two"},
		"an empty one is passed over": {
			mixed + "--b\n\n \n--b\nContent-Type: text/html\n\n<p>two</p>\n--b--\n", "two"},
		"of an enclosed message": {mixed + "--b\nContent-Type: message/rfc822\n\nSubject: x\n\ninside\n--b--\n", "inside"},
		"no boundary line":       {mixed + "no parts\n", "no parts"},
		"no boundary":            {"Content-Type: multipart/mixed\n\nno parts\n", "no parts"},
		"preamble":               {mixed + "this is a MIME message\n--b\n\none\n--b--\n", "one"},
		"cut at a character":     {"Subject: x\n\n" + strings.Repeat("ä", 300), strings.Repeat("ä", 200)},
		"cut at a blank":         {"Subject: x\n\n" + strings.Repeat("x", 199) + " y", strings.Repeat("x", 199)},
		"controls":               {"Subject: x\n\na\x00b\x1b[31mc\n", "a b [31mc"},
	} {
		for _, block := range []int{1, 3, 64 << 10} {
			mail := crlf(c.mail)
			s := NewScanner()
			for p := mail; len(p) > 0; {
				n := min(len(p), block)
				_, _ = s.Write(p[:n])
				p = p[n:]
			}
			m := s.Close()
			require.Equal(t, c.want, m.Preview, "%s by %d", name, block)
			require.True(t, m.HasPreview)
		}
	}
}

// One that is made later is the same as one that is made at once, and bounded,
// of every mail.
func TestMakePreview(t *testing.T) {
	some := 0
	for name, mail := range corpus(t) {
		m := scanAll(mail)
		got, err := m.MakePreview(t.Context(), func(off, n int64) (io.ReadCloser, error) {
			require.LessOrEqual(t, n, int64(previewHTML), name)
			return io.NopCloser(bytes.NewReader(mail[off : off+n])), nil
		})
		require.NoError(t, err, name)
		require.Equal(t, m.Preview, got, name)
		require.LessOrEqual(t, utf8.RuneCountInString(got), MaxPreview)
		if got != "" {
			some++
		}
	}
	require.Positive(t, some)
	m := scanAll([]byte("Subject: x\r\n\r\nbody"))
	broken := errors.New("broken")
	_, err := m.MakePreview(t.Context(), func(int64, int64) (io.ReadCloser, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.Root.Type = "image"
	_, err = m.MakePreview(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
}

// HTML made to be slow to read costs no more than other HTML: its price follows
// its length.
func TestPreviewOfHostileHTML(t *testing.T) {
	for _, piece := range []string{`<a "`, "<!--", "<style>", "</", "<", "&", `<p title='"'>`, "<style></styl"} {
		mail := []byte("Content-Type: text/html\r\n\r\n" + strings.Repeat(piece, previewHTML/len(piece)))
		began := time.Now()
		for range 10 {
			scanAll(mail)
		}
		require.Less(t, time.Since(began), 5*time.Second, piece)
	}
}

// TestBadPreview: the short way for ASCII comes to what the long one does.
func TestBadPreview(t *testing.T) {
	long := strings.Repeat("abcd ", MaxPreview/5+1)
	for _, s := range []string{
		"", " ", "a", " a", "a ", "a b", "a  b", "a\tb", "a\nb", "a\x7f", "a\x00", "ä", "ä ", "a ä", "a\u00adb", "a\u00a0b", "\xff", "\xc3",
		long[:MaxPreview-1], long[:MaxPreview], long[:MaxPreview+1], "x" + long[:MaxPreview-1], "x" + long[:MaxPreview],
		strings.Repeat("ä", MaxPreview), strings.Repeat("ä", MaxPreview+1),
	} {
		require.Equal(t, badText(s), badPreview(s), "%q", s)
	}
}
