package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func decode(t testing.TB, encoding, body string) string {
	t.Helper()
	var got [3]string
	for i, r := range [...]io.Reader{
		strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body)),
	} {
		b, err := io.ReadAll((&Part{Encoding: encoding}).Decode(r))
		require.NoError(t, err)
		got[i] = string(b)
	}
	require.Equal(t, got[0], got[1], "read by octets")
	require.Equal(t, got[0], got[2])
	return got[0]
}

func TestDecodeBase64(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"TWFu", "Man"},
		{"TWE=", "Ma"},
		{"TQ==", "M"},
		{"TWE", "Ma"},
		{"TQ", "M"},
		{"T", ""},
		{"TWFuT", "Man"},
		{"TWFu\r\nTWFu\r\n", "ManMan"},
		{"TW\nFu\r\n\r\nT\rWFu", "ManMan"},
		{"T W F u", "Man"},
		{"TQ==TWE=TWFu", "MMaMan"},
		{"TQ=TWFu", "MMan"},
		{"TW*Fu--TWFu\x00\xff", "ManMan"},
		{"====TWFu", "Man"},
		{"TWFu\r\n--\r\nfooter", "Man" + "\x7e\x8a\x2d\x7a"}, // nothing says that the data has ended
		{"TWE=\r\n\r\n____\r\nlist mailing list", "Ma"},
		{"TWE=\r\n--\r\nfooter", "Ma"},
		{"TWE= footer", "Ma"},
		{"TWE=\r\nunsubscribe\r\nTWFu", "Ma"},
		{"TQ==\r\n\r\nTWE=\r\nTWFu\r\n", "MMaMan"},
		{"TQ==\n" + strings.Repeat("TWFu", 1000) + "\nTWE=\nx y", "M" + strings.Repeat("Man", 1000) + "Ma"},
		{"TQ==" + strings.Repeat("TWFu", 20000), "M" + strings.Repeat("Man", 20000)},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, decode(t, "base64", tt.in), "%q", tt.in)
	}
}

func TestDecodeBase64AsEncoded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		want := make([]byte, rnd.IntN(3*blockSize))
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		enc := base64.StdEncoding.EncodeToString(want)
		width := 1 + rnd.IntN(200)
		var b strings.Builder
		for len(enc) > width {
			b.WriteString(enc[:width] + "\r\n")
			enc = enc[width:]
		}
		b.WriteString(enc)
		dirty := b.String()
		if rnd.IntN(2) == 0 {
			dirty = strings.Replace(dirty, "\r\n", " *\r\n", 3)
		}
		require.Equal(t, string(want), decode(t, "base64", dirty))
	}
}

func TestDecodeQuotedPrintable(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"a=3Db=3d", "a=b="},
		{"soft=\r\nbreak=\nhere=  \r\n.", "softbreakhere."},
		{"blanks \t \r\nend \n", "blanks\r\nend\n"},
		{"kept =20\r\n", "kept  \r\n"},
		{"at the end  ", "at the end  "},
		{"=", ""},
		{"=4", "=4"},
		{"=ZZ = x =4\r\n", "=ZZ = x =4\r\n"},
		{"8 bit \xe9 é", "8 bit \xe9 é"},
		{"=C3=\r\n=A9", "é"},
		{strings.Repeat("=41", blockSize), strings.Repeat("A", blockSize)},
		{"x" + strings.Repeat("=41", blockSize), "x" + strings.Repeat("A", blockSize)},
		{strings.Repeat(" ", 3*blockSize) + "x", strings.Repeat(" ", 3*blockSize) + "x"},
		{"a=" + strings.Repeat(" ", 10) + "\r\nb", "ab"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, decode(t, "quoted-printable", tt.in), "%.40q", tt.in)
	}
	// A soft break whose blanks do not fit in memory is text, and does not hang.
	assert.Len(t, decode(t, "quoted-printable", "="+strings.Repeat(" ", 2*blockSize)+"\nx"), 2*blockSize+len("\nx"))
}

func TestDecodeQuotedPrintableAsEncoded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		want := make([]byte, rnd.IntN(3*blockSize))
		for i := range want {
			want[i] = " \tab\r\n\n=\xe9\x00"[rnd.IntN(10)]
		}
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Binary = rnd.IntN(2) == 0
		_, _ = w.Write(want)
		require.NoError(t, w.Close())
		// The writer makes CRLF of every line end in text.
		text := string(want)
		if !w.Binary {
			r, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b.Bytes())))
			require.NoError(t, err)
			text = string(r)
		}
		require.Equal(t, text, decode(t, "quoted-printable", b.String()))
	}
}

func TestDecodeUnknown(t *testing.T) {
	for _, e := range []string{"7bit", "8bit", "binary"} {
		assert.Equal(t, "a=3D\xff\x00\r", decode(t, e, "a=3D\xff\x00\r"))
	}
	_, err := io.ReadAll((&Part{Encoding: "x-uuencode"}).Decode(strings.NewReader("x")))
	assert.ErrorIs(t, err, ErrUnknownCTE)
	b, err := io.ReadAll((&Part{Encoding: "x-uuencode"}).Text(strings.NewReader("x")))
	assert.NoError(t, err)
	assert.Equal(t, "x", string(b))
}

func TestDecodeSourceFails(t *testing.T) {
	broken := errors.New("broken")
	for _, e := range []string{"7bit", "base64", "quoted-printable"} {
		p := &Part{Encoding: e}
		for _, r := range []io.Reader{p.Decode(iotest.ErrReader(broken)), p.Text(iotest.ErrReader(broken))} {
			_, err := io.ReadAll(r)
			assert.ErrorIs(t, err, broken, e)
		}
	}
}

func TestText(t *testing.T) {
	tests := []struct{ charset, encoding, in, want string }{
		{"", "7bit", "plain", "plain"},
		{"utf-8", "8bit", "été 日本 \U0001f4e7", "été 日本 \U0001f4e7"},
		{"UTF-8", "8bit", "a\xe9b\xe2\x82", "aéb\u00e2\u201a"},
		{"us-ascii", "8bit", "caf\xe9 \x80\x93", "café €“"},
		{"no-such", "8bit", "caf\xe9", "café"},
		{"ISO-8859-1", "quoted-printable", "caf=E9", "café"},
		{"koi8-r", "base64", "8NLJ18XU", "Привет"},
		{"iso-2022-jp", "7bit", "\x1b$BF|K\\\x1b(B", "日本"},
		{"utf-16", "base64", "/v8AYQDp", "aé"},
		{"gb18030", "8bit", "\xc4\xe3", "你"},
	}
	for _, tt := range tests {
		p := &Part{Type: "text", Encoding: tt.encoding}
		if tt.charset != "" {
			p.Params = []Param{{"charset", tt.charset}}
		}
		for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			b, err := io.ReadAll(p.Text(r))
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(b), "%s %q", tt.charset, tt.in)
		}
	}
}

// Long text with and without octets that are no UTF-8, at all block sizes.
func TestTextLenientUTF8(t *testing.T) {
	p := &Part{Encoding: "8bit"}
	for n := range 10 {
		in := strings.Repeat("0123456789é日\U0001f4e7", 2000)[n:]
		b, err := io.ReadAll(p.Text(strings.NewReader(in)))
		require.NoError(t, err)
		require.Equal(t, in, string(b))
	}
	latin := strings.Repeat("caf\xe9 ", 50_000)
	b, err := io.ReadAll(p.Text(strings.NewReader(latin)))
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("café ", 50_000), string(b))
}

func TestParamDecoded(t *testing.T) {
	m := scanAll(corpus(t)["rfc2231"])
	assert.Equal(t, "€ 50% of x.pdf", m.Root.Param("name"))
	assert.Empty(t, m.Root.Param("charset"))
	p := &Part{Params: joinParams([]Param{{"a*", "iso-8859-1'fr'caf%E9"}, {"b*", "no quotes%20"}, {"c*1", "x"}, {"d*0", "x%"}, {"d*1*", "%41"}, {"e*", "%zz%4"}})}
	assert.Equal(t, []string{"café", "no quotes ", "", "x%A", "%zz%4"},
		[]string{p.Param("a"), p.Param("b"), p.Param("c"), p.Param("d"), p.Param("e")})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("TWFu\r\nTW*E=TQ"), uint16(3))
	f.Add([]byte("a=3D=\r\n b  \r\n=ZZ"), uint16(1))
	f.Add([]byte("caf\xe9 \xe2\x82"), uint16(2))
	f.Fuzz(func(t *testing.T, body []byte, piece uint16) {
		for _, encoding := range []string{"base64", "quoted-printable", "8bit"} {
			p := &Part{Encoding: encoding}
			want, err := io.ReadAll(p.Text(bytes.NewReader(body)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, []byte(strings.ToValidUTF8(string(want), "?"))))
			got, err := io.ReadAll(p.Text(&pieces{body, int(piece) + 1}))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		}
	})
}

// pieces reads a few octets at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}
