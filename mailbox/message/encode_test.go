package message

import (
	"bytes"
	"encoding/hex"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEncodeDecode(t *testing.T) {
	for name, mail := range corpus(t) {
		m := scanAll(mail)
		b := m.Encode()
		got, err := Decode(b)
		require.NoError(t, err, name)
		require.Equal(t, m, got, name)
		// Cut off anywhere, and with something behind, it is an error.
		for _, n := range []int{0, 1, 2, len(b) / 2, len(b) - 1} {
			_, err := Decode(b[:n])
			require.Error(t, err, "%s: %d octets", name, n)
		}
		_, err = Decode(append(b, 0xc0))
		require.Error(t, err, name)
	}
}

func TestEncodeSize(t *testing.T) {
	mail := []byte("Subject: " + strings.Repeat("x", 1500) + "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbody\r\n")
	m := scanAll(mail)
	assert.Less(t, len(m.Encode())-len(m.Header), 80, "octets of a plain mail besides its header")
}

// A message in the stored form of each version, which every later version must
// read. The .txt files say what each octet means.
func TestFrozen(t *testing.T) {
	mail, err := os.ReadFile("testdata/frozen/v1.eml")
	require.NoError(t, err)
	now := scanAll(mail)
	require.Equal(t, "Hello", now.Preview)
	first := *now // version 1 had no preview
	first.Preview, first.HasPreview = "", false
	for file, want := range map[string]*Message{"v1.txt": &first, "v2.txt": now} {
		text, err := os.ReadFile("testdata/frozen/" + file)
		require.NoError(t, err)
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			digits.WriteString(strings.TrimSpace(line))
		}
		b, err := hex.DecodeString(digits.String())
		require.NoError(t, err)
		got, err := Decode(b)
		require.NoError(t, err, file)
		assert.Equal(t, want, got, file)
		assert.Equal(t, b, want.Encode(), file)
		p, ok := got.Section([]int{2, 1})
		require.True(t, ok)
		assert.Equal(t, "Lorem", string(mail[p.BodyOffset:p.BodyOffset+p.BodySize]))
		h, _, err := ReadHeader(b)
		require.NoError(t, err, file)
		assert.Equal(t, "a@example.org", h.Get("From"))
	}
}

// What no scanner makes is not decoded, however well it is encoded.
func TestDecodeRefuses(t *testing.T) {
	const mail = "From: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ntwo\r\n--b--\r\n"
	leaf := func() *Part { return &Part{Type: "text", Subtype: "plain", Encoding: "7bit"} }
	changes := map[string]func(m *Message){
		"size":                 func(m *Message) { m.Size++ },
		"header too short":     func(m *Message) { m.Header = m.Header[1:] },
		"header not cut":       func(m *Message) { m.HeaderCut = true },
		"preview too long":     func(m *Message) { m.Preview = strings.Repeat("x", MaxPreview+1) },
		"preview on two lines": func(m *Message) { m.Preview = "a\nb" },
		"preview not UTF-8":    func(m *Message) { m.Preview = "\xff" },
		"preview with blanks":  func(m *Message) { m.Preview = " a" },
		"root header":          func(m *Message) { m.Root.Header = m.Header },
		"root offset":          func(m *Message) { m.Root.HeaderOffset++ },
		"no type":              func(m *Message) { m.Root.Children[0].Type = "" },
		"no encoding":          func(m *Message) { m.Root.Children[0].Encoding = "" },
		"upper case":           func(m *Message) { m.Root.Children[0].Subtype = "Plain" },
		"parameter name":       func(m *Message) { m.Root.Params[0].Name = "Boundary" },
		"empty parameter":      func(m *Message) { m.Root.Params[0].Name = "" },
		"too many parameters":  func(m *Message) { m.Root.Params = make([]Param, MaxParams+1) },
		"lines":                func(m *Message) { m.Root.Children[0].Lines = 4 },
		"lines of multipart":   func(m *Message) { m.Root.Lines = 1 },
		"no children":          func(m *Message) { m.Root.Children = nil },
		"leaf with children":   func(m *Message) { m.Root.Children[0].Children = []*Part{leaf()} },
		"no message":           func(m *Message) { m.Root.Children[1].Children = nil },
		"two messages":         func(m *Message) { p := m.Root.Children[1]; p.Children = append(p.Children, p.Children[0]) },
		"order":                func(m *Message) { c := m.Root.Children; c[0], c[1] = c[1], c[0] },
		"child before parent":  func(m *Message) { m.Root.Children[0].HeaderOffset = 0 },
		"child too long":       func(m *Message) { m.Root.Children[0].BodySize = m.Size },
		"child overflows":      func(m *Message) { m.Root.Children[0].HeaderSize = 1<<63 - 1 },
		"child header":         func(m *Message) { m.Root.Children[0].Header = []byte("x") },
		"enclosed header":      func(m *Message) { m.Root.Children[1].Children[0].Header = []byte("x") },
		"enclosed too short":   func(m *Message) { m.Root.Children[1].Children[0].BodySize-- },
		"too deep": func(m *Message) {
			p := m.Root.Children[1]
			p.Type, p.Subtype, p.Lines = "multipart", "mixed", 0
			p.Children = []*Part{leaf()}
			for range MaxDepth {
				p = p.Children[0]
				p.Type, p.HeaderOffset, p.BodyOffset = "multipart", m.Size-9, m.Size-9
				p.Children = []*Part{leaf()}
			}
		},
		"too many parts": func(m *Message) {
			for range MaxParts {
				p := leaf()
				p.HeaderOffset, p.BodyOffset = m.Size, m.Size
				m.Root.Children = append(m.Root.Children, p)
			}
		},
	}
	_, err := Decode(scanAll([]byte(mail)).Encode())
	require.NoError(t, err)
	for name, change := range changes {
		m := scanAll([]byte(mail))
		change(m)
		_, err := Decode(m.Encode())
		assert.Error(t, err, name)
	}
}

// Every value has one encoding: numbers and lengths in more octets than they need
// are refused.
func TestDecodeCanonical(t *testing.T) {
	b := scanAll(nil).Encode()
	_, err := Decode(b)
	require.NoError(t, err)
	require.Equal(t, []byte{0x96, version, 0}, b[:3])
	for name, head := range map[string][]byte{
		"array of 6 in 3 octets":   {0xdc, 0, 6, version, 0},
		"version in 2 octets":      {0x96, 0xcc, version, 0},
		"size in 9 octets":         {0x96, version, 0xcf, 0, 0, 0, 0, 0, 0, 0, 0},
		"signed size":              {0x96, version, 0xd0, 0},
		"size as a float":          {0x96, version, 0xca, 0, 0, 0, 0},
		"negative size":            {0x96, version, 0xff},
		"version 1 with a preview": {0x96, version1, 0},
		"version 2 without":        {0x95, version, 0},
		"another version":          {0x96, version + 1, 0},
		"no array":                 {0xc0},
		"a map":                    {0x86, version, 0},
		"longest array":            {0xdd, 0xff, 0xff, 0xff, 0xff},
		"longest string":           {0x96, version, 0, 0xc6, 0xff, 0xff, 0xff, 0xff},
	} {
		_, err := Decode(append(head, b[3:]...))
		assert.Error(t, err, name)
	}
	i := bytes.Index(b, []byte("\xa4text"))
	require.Positive(t, i)
	for _, length := range []string{"\xd9\x04", "\xc4\x04", "\xda\x00\x04"} {
		_, err := Decode([]byte(string(b[:i]) + length + string(b[i+1:])))
		assert.Error(t, err, "%x", length)
	}
}

// What is refused costs little, however many elements it claims to have or has.
func TestDecodeRefusedCost(t *testing.T) {
	head := "\x96\x02" + "\xce\x01\x00\x00\x00" + "\xc4\x00" + "\xc2"
	part := func(typ string, params, children string) string {
		return "\xdc\x00\x12" + typ + "\xa1x" + params + "\xa0\xa0" + "\xa47bit" + "\xa0\xa0\xa0" + "\x90" + "\x90" +
			"\x00\x00" + "\xce\x01\x00\x00\x00" + "\x00" + "\xc4\x00\xc2" + children
	}
	leaf := part("\xa1x", "\x90", "\x90")
	full := part("\xa1x", "\xdc\x00\x80"+strings.Repeat("\xa1p\xa0", 64), "\x90")
	deep := strings.Repeat(part("\xa9multipart", "\x90", "\x91"), 5000)
	for name, stored := range map[string]string{
		"parts in the wrong place": head + part("\xa9multipart", "\x90", "\xdc\x03\xe7"+strings.Repeat(leaf, 999)) + "\xa0",
		"full parts":               head + part("\xa9multipart", "\x90", "\xdc\x03\xe7"+strings.Repeat(full, 999)) + "\xa0",
		"depth":                    head + deep,
		"children claimed":         head + part("\xa9multipart", "\x90", "\xdd\x7f\xff\xff\xff") + strings.Repeat("\xc0", 1<<19),
		"params claimed":           head + part("\xa1x", "\xdd\x7f\xff\xff\xff", "\x90") + strings.Repeat("\xa0", 1<<19),
		"languages":                head + strings.Replace(leaf, "\x90\x90\x00", "\x90\xdd\x00\x07\xff\xff", 1) + strings.Repeat("\xa0", 1<<19),
		"header claimed":           "\x96\x02\x00\xc6\x7f\xff\xff\xff" + strings.Repeat("x", 1<<19),
		"long header":              "\x96\x02\x00\xc6\x00\x07\xff\x00" + strings.Repeat("x", 1<<19),
		"too long":                 head + strings.Repeat("\xa0", MaxEncoded),
		"no end":                   head + leaf,
	} {
		b := []byte(stored)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(b)
		runtime.ReadMemStats(&after)
		require.Error(t, err, name)
		require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(2*len(b)+1024), name)
		require.LessOrEqual(t, testing.AllocsPerRun(3, func() { _, _ = Decode(b) }), 8.0, name)
	}
}

// What the scanner makes of the costliest mail is within the limits of what is stored.
func TestEncodeLimit(t *testing.T) {
	const head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	longest := 0
	for _, mail := range []string{
		head + strings.Repeat("--b\r\nContent-Type: x/y; "+strings.Repeat("a*0=é%; a*1*=b; ", 60)+"\r\n\r\nx\r\n", 1500),
		"Content-Type: text/plain; a*0*=x; a*1=" + strings.Repeat("é", MaxHeader/2) + "\r\n\r\n",
		head + strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: "+strings.Repeat("s", 8000)+"\r\n\r\nx\r\n", 100),
		head + strings.Repeat("--b\r\nContent-Language: "+strings.Repeat("e,", 80)+"\r\nContent-Description: "+strings.Repeat("d", 900)+"\r\n\r\nx\r\n", 1500),
		head + strings.Repeat("--b\r\nContent-Type: x/y; "+strings.Repeat("aaaaaaaa=; ", 60)+"\r\n\r\nx\r\n", 1500),
	} {
		m := scanAll([]byte(mail))
		b := m.Encode()
		longest = max(longest, len(b))
		got, err := Decode(b)
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	require.Greater(t, longest, 200<<10)
}

func FuzzStored(f *testing.F) {
	for _, mail := range corpus(f) {
		if m := scanAll(mail); m.Size < 8<<10 {
			f.Add(m.Encode())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		require.Equal(t, b, m.Encode())
		for _, p := range m.Root.Children {
			require.LessOrEqual(t, p.end(), m.Size)
		}
		_, _ = m.Section([]int{1, 1, 1})
	})
}

// The header alone is what Decode finds, of every mail.
func TestReadHeader(t *testing.T) {
	for name, mail := range corpus(t) {
		m := scanAll(mail)
		b := m.Encode()
		h, cut, err := ReadHeader(b)
		require.NoError(t, err, name)
		require.Equal(t, m.HeaderFields(), h, name)
		require.Equal(t, m.HeaderCut, cut, name)
		for n := range min(len(b), 20) {
			_, _, err := ReadHeader(b[:n])
			if err == nil {
				require.Greater(t, n, len(m.Header)+3, name)
			}
		}
	}
}
