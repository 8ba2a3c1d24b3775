package message

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	gomessage "github.com/emersion/go-message"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However a mail is cut into writes, the result is the same.
func TestScannerSplits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, mail := range corpus(t) {
		want := scanAll(mail)
		require.Equal(t, want, scan(mail, func() int { return 1 }), "%s by octets", name)
		for range 20 {
			most := 1 + rnd.IntN(60)
			got := scan(mail, func() int { return 1 + rnd.IntN(most) })
			require.Equal(t, want, got, "%s in pieces of up to %d", name, most)
		}
	}
}

// A mail that was cut off anywhere is still read by the rules.
func TestScannerCutOff(t *testing.T) {
	for _, mail := range corpus(t) {
		if len(mail) > 1000 {
			continue
		}
		for n := range mail {
			requireSound(t, scanAll(mail[:n]), mail[:n])
		}
	}
}

// mimeTree writes random, well-formed mail.
type mimeTree struct {
	rnd      *rand.Rand
	boundary int
}

func (g *mimeTree) entity(depth int) string {
	kind := g.rnd.IntN(6)
	if depth == 0 || kind > 2 && depth < 4 {
		kind = 5
	}
	switch kind {
	case 0, 1:
		return g.multipart(depth)
	case 2:
		return "Content-Type: message/rfc822\r\n\r\nSubject: inside\r\n" + g.entity(depth-1)
	}
	return g.leaf()
}

func (g *mimeTree) multipart(depth int) string {
	g.boundary++
	boundary := fmt.Sprintf("b%d", g.boundary) // also prefixes of one another
	subtype := []string{"mixed", "alternative", "related"}[g.rnd.IntN(3)]
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/%s;\r\n\tboundary=\"%s\"\r\n\r\n", subtype, boundary)
	if g.rnd.IntN(3) == 0 {
		b.WriteString("a preamble\r\n--b\r\n")
	}
	for i := range 1 + g.rnd.IntN(4) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("--" + boundary + strings.Repeat(" ", g.rnd.IntN(2)) + "\r\n" + g.entity(depth-1))
	}
	b.WriteString("\r\n--" + boundary + "--")
	if g.rnd.IntN(3) == 0 {
		b.WriteString("\r\nan epilogue\r\n--" + boundary + "x\r\n")
	}
	return b.String()
}

func (g *mimeTree) leaf() string {
	var b strings.Builder
	b.WriteString([]string{
		"Content-Type: text/plain; charset=utf-8\r\n", "Content-Type: image/png\r\nContent-ID: <x>\r\n", "",
		"Content-Type: text/html\r\nX-Long: " + strings.Repeat("x\r\n ", 300) + "\r\n",
	}[g.rnd.IntN(4)])
	b.WriteString("\r\n")
	for range g.rnd.IntN(5) {
		switch g.rnd.IntN(5) {
		case 0:
			b.WriteString("\r\n")
		case 1:
			b.WriteString("--b\r\n-- \r\n")
		case 2:
			b.WriteString("a line\nand a bare LF\r\n")
		case 3:
			b.WriteString(strings.Repeat("long ", g.rnd.IntN(2000)) + "\r\n")
		default:
			b.WriteString("no line end")
		}
	}
	return b.String()
}

// go-message reads well-formed mail as the scanner does: the same tree, and the
// offsets point at the same octets.
func TestScannerAgreesWithGoMessage(t *testing.T) {
	parts := 0
	for seed := range 400 {
		g := &mimeTree{rnd: rand.New(rand.NewPCG(uint64(seed), 7))}
		mail := []byte("From: a@example.org\r\n" + g.multipart(6))
		m := scanAll(mail)
		requireSound(t, m, mail)
		e, err := gomessage.Read(bytes.NewReader(mail))
		require.NoError(t, err)
		parts += compareEntity(t, mail, m.Root, e, fmt.Sprintf("seed %d", seed))
	}
	require.Greater(t, parts, 2000, "the generated mails are too simple")
}

func compareEntity(t *testing.T, mail []byte, p *Part, e *gomessage.Entity, where string) int {
	typ, _, err := e.Header.ContentType()
	require.NoError(t, err)
	require.Equal(t, typ, p.Type+"/"+p.Subtype, where)
	mr := e.MultipartReader()
	if mr == nil {
		body, err := io.ReadAll(e.Body)
		require.NoError(t, err, where)
		require.Equal(t, string(body), string(mail[p.BodyOffset:p.end()]), where)
		if !p.IsMessage() {
			return 1
		}
		inner, err := gomessage.Read(bytes.NewReader(body))
		require.NoError(t, err, where)
		return 1 + compareEntity(t, mail, p.Children[0], inner, where+" message")
	}
	n := 1
	for i := 0; ; i++ {
		child, err := mr.NextPart()
		if err == io.EOF {
			require.Len(t, p.Children, i, where)
			return n
		}
		require.NoError(t, err, where)
		require.Less(t, i, len(p.Children), where)
		n += compareEntity(t, mail, p.Children[i], child, fmt.Sprintf("%s.%d", where, i+1))
	}
}

// Scanning takes the same memory whatever is scanned.
func TestScannerMemory(t *testing.T) {
	const size = 50 << 20
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	tests := map[string]struct{ head, repeat string }{
		"attachment":      {head + "--b\r\nContent-Transfer-Encoding: base64\r\n\r\n", strings.Repeat("A", 76) + "\r\n"},
		"one line":        {head + "--b\r\n\r\n", "x"},
		"hyphens":         {head + "--b\r\n\r\n", "-"},
		"one header line": {"Subject: ", "x"},
		"header fields":   {"Subject: x\r\n", "To: someone@example.org\r\n"},
		"blank header":    {"Subject:", " \r\n"},
		"parts":           {head, "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"},
		"costly parts": {head, "--b\r\nContent-Type: text/plain;" + strings.Repeat("a=b;x=y;", 500) + "\r\n" +
			"Content-Disposition: attachment; filename=" + strings.Repeat("f", 4000) + "\r\n\r\nx\r\n"},
		"messages":   {head, "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: " + strings.Repeat("s", 9000) + "\r\n\r\nx\r\n"},
		"depth":      {"", "Content-Type: message/rfc822\r\n\r\n"},
		"multiparts": {head, "--b\r\nContent-Type: multipart/mixed; boundary=" + strings.Repeat("c", 900) + "\r\n\r\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			block := []byte(strings.Repeat(tt.repeat, 1+(64<<10)/len(tt.repeat)))
			var before, during, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s := NewScanner()
			_, _ = s.Write([]byte(tt.head))
			for n := 0; n < size; n += len(block) {
				_, _ = s.Write(block)
			}
			runtime.GC()
			runtime.ReadMemStats(&during)
			m := s.Close()
			encoded := len(m.Encode())
			runtime.GC()
			runtime.ReadMemStats(&after)
			assert.Less(t, int64(during.HeapAlloc)-int64(before.HeapAlloc), int64(1<<20), "heap while scanning")
			assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(1<<20), "heap of the message")
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "allocated in all")
			assert.Less(t, encoded, 600<<10)
			assert.GreaterOrEqual(t, m.Size, int64(size))
			runtime.KeepAlive(m)
			runtime.KeepAlive(block)
		})
	}
}

func TestScannerMaxParts(t *testing.T) {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "--b\r\n\r\npart %d\r\n", i+1)
	}
	b.WriteString("--b--\r\n")
	mail := []byte(b.String())
	m := scanAll(mail)
	requireSound(t, m, mail)
	require.Len(t, m.Root.Children, MaxParts-1)
	first, last := m.Root.Children[MaxParts-3], m.Root.Children[MaxParts-2]
	assert.Equal(t, "part 998", string(mail[first.BodyOffset:first.end()]))
	// The last has all that follows.
	assert.True(t, bytes.HasPrefix(mail[last.BodyOffset:], []byte("part 999\r\n--b\r\n\r\npart 1000\r\n")))
	assert.EqualValues(t, len(mail), last.end())
}

func TestHeaderCut(t *testing.T) {
	mail := corpus(t)["header-cut"]
	m := scanAll(mail)
	require.True(t, m.HeaderCut)
	h := ParseHeader(m.Header)
	assert.Equal(t, "after", h.Get("Subject"), "fields after a long one are whole")
	assert.Equal(t, "<m@example.org>", h.Get("Message-ID"))
	assert.Equal(t, "text/html", h.Get("Content-Type"))
	assert.Empty(t, h.Get("Received"))
	to := ParseEnvelope(h).To
	require.Greater(t, len(to), 500)
	for i, a := range to {
		require.Equal(t, Address{Mailbox: fmt.Sprintf("user%04d", i), Host: "example.org"}, a, "no address is cut in two")
	}
	assert.True(t, bytes.HasSuffix(m.Header, []byte("\r\n\r\n")))
	for _, n := range []int{MaxHeader - 1, MaxHeader, MaxHeader + 1} {
		mail := []byte("Subject: " + strings.Repeat("x", n-13) + "\r\n\r\n")
		m := scanAll(mail)
		requireSound(t, m, mail)
		assert.Equal(t, n > MaxHeader, m.HeaderCut, "%d octets", n)
	}
}

func TestSection(t *testing.T) {
	mails := corpus(t)
	tests := []struct {
		mail string
		path []int
		body string // "-" if there is no such part
	}{
		{"plain", nil, "Hello\r\nWorld\r\n"},
		{"plain", []int{1}, "Hello\r\nWorld\r\n"},
		{"plain", []int{2}, "-"},
		{"plain", []int{0}, "-"},
		{"plain", []int{1, 1}, "-"},
		{"multipart", []int{1}, "one\r\ntwo\r\n"},
		{"multipart", []int{2}, "AAAA\r\nBBBB"},
		{"multipart", []int{3}, "-"},
		{"multipart", []int{-1}, "-"},
		{"multipart", []int{1, 1}, "-"},
		{"boundary-prefix", []int{1, 2}, "two"},
		{"rfc822", []int{1}, "Subject: plain inside\r\n\r\none\r\ntwo"},
		{"rfc822", []int{1, 1}, "one\r\ntwo"},
		{"rfc822", []int{1, 2}, "-"},
		{"rfc822", []int{2, 1}, "three"},
		{"rfc822", []int{2, 2}, "Subject: deep\r\n\r\nfour\r\n"},
		{"rfc822", []int{2, 2, 1}, "four\r\n"},
		{"rfc822", []int{2, 2, 1, 1}, "-"},
		{"rfc822", []int{3}, "U3ViamVjdDogeAoKeQo="},
		{"rfc822", []int{3, 1}, "-"},
		{"rfc822-root", []int{1, 1, 1}, "body\r\n"},
		{"multipart-no-parts", []int{1}, "no part\r\nat all\r\n"},
	}
	for _, tt := range tests {
		p, ok := scanAll(mails[tt.mail]).Section(tt.path)
		require.Equal(t, tt.body != "-", ok, "%s %v", tt.mail, tt.path)
		if ok {
			assert.Equal(t, tt.body, string(mails[tt.mail][p.BodyOffset:p.end()]), "%s %v", tt.mail, tt.path)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, mail := range corpus(f) {
		if len(mail) < 8<<10 {
			f.Add(mail, uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, mail []byte, piece uint8) {
		m := scanAll(mail)
		requireSound(t, m, mail)
		require.Equal(t, m, scan(mail, func() int { return int(piece) + 1 }))
		b := m.Encode()
		got, err := Decode(b)
		require.NoError(t, err)
		require.Equal(t, m, got)
	})
}
