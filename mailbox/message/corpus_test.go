package message

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the expected structures of testdata/mail anew")

// corpus returns the mails of testdata/mail by name.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/mail/*.eml")
	require.NoError(t, err)
	require.Greater(t, len(files), 40, "the corpus is missing")
	mails := make(map[string][]byte)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		mails[strings.TrimSuffix(filepath.Base(f), ".eml")] = b
	}
	return mails
}

// scan feeds a mail in pieces of the sizes that next returns.
func scan(mail []byte, next func() int) *Message {
	s := NewScanner()
	for len(mail) > 0 {
		n := min(next(), len(mail))
		if m, err := s.Write(mail[:n]); m != n || err != nil {
			panic("Write must take everything")
		}
		mail = mail[n:]
	}
	return s.Close()
}

func scanAll(mail []byte) *Message {
	return scan(mail, func() int { return len(mail) })
}

// dump writes a message as the .txt files in testdata/mail have it: a line for
// each part with its section number, and the header and the body it points at.
func dump(m *Message, mail []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "size %d, header kept %d", m.Size, len(m.Header))
	if m.HeaderCut {
		b.WriteString(" (cut)")
	}
	b.WriteString("\n")
	dumpPart(&b, m.Root, mail, "", "")
	return b.String()
}

func dumpPart(b *strings.Builder, p *Part, mail []byte, section, indent string) {
	fmt.Fprintf(b, "%s[%s] %s/%s", indent, section, p.Type, p.Subtype)
	dumpParams(b, p.Params)
	fmt.Fprintf(b, " %s", p.Encoding)
	for _, f := range [...]Param{
		{"id", p.ID}, {"description", p.Description}, {"md5", p.MD5}, {"location", p.Location},
		{"disposition", p.Disposition}, {"language", strings.Join(p.Language, " ")},
	} {
		if f.Value != "" {
			fmt.Fprintf(b, " %s=%q", f.Name, f.Value)
		}
	}
	dumpParams(b, p.DispositionParams)
	if p.Type == "text" || p.IsMessage() {
		fmt.Fprintf(b, ", %d lines", p.Lines)
	}
	if p.Header != nil {
		fmt.Fprintf(b, ", header kept %d", len(p.Header))
	}
	fmt.Fprintf(b, "\n%s  header %d+%d %s\n", indent, p.HeaderOffset, p.HeaderSize, sample(mail, p.HeaderOffset, p.HeaderSize))
	fmt.Fprintf(b, "%s  body   %d+%d %s\n", indent, p.BodyOffset, p.BodySize, sample(mail, p.BodyOffset, p.BodySize))
	for i, c := range p.Children {
		n := strings.TrimPrefix(fmt.Sprintf("%s.%d", section, i+1), ".")
		if p.IsMessage() {
			n = section + " message"
		}
		dumpPart(b, c, mail, n, indent+"  ")
	}
}

func dumpParams(b *strings.Builder, list []Param) {
	for _, p := range list {
		fmt.Fprintf(b, "; %s=%q", p.Name, p.Value)
	}
}

func sample(mail []byte, off, n int64) string {
	s := string(mail[off : off+n])
	if len(s) > 120 {
		return fmt.Sprintf("%q ... %q", s[:50], s[len(s)-50:])
	}
	return fmt.Sprintf("%q", s)
}

// TestCorpus compares what the scanner makes of every mail in testdata with what
// a person has read and agreed to.
func TestCorpus(t *testing.T) {
	for name, mail := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			m := scanAll(mail)
			requireSound(t, m, mail)
			got := dump(m, mail)
			file := "testdata/mail/" + name + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

// requireSound checks what is promised of every message, whatever the mail.
func requireSound(t testing.TB, m *Message, mail []byte) {
	t.Helper()
	require.EqualValues(t, len(mail), m.Size)
	again, err := Decode(m.Encode())
	require.NoError(t, err, "a scanned message must pass the check of Decode")
	require.Equal(t, m, again)
	if !m.HeaderCut {
		require.Equal(t, string(mail[:m.Root.HeaderSize]), string(m.Header))
	}
	parts, cost := 0, 0
	var walk func(p *Part, depth int)
	walk = func(p *Part, depth int) {
		parts++
		require.LessOrEqual(t, depth, MaxDepth)
		require.Equal(t, p.HeaderOffset+p.HeaderSize, p.BodyOffset)
		body := mail[p.BodyOffset:p.end()]
		if p.Type == "text" || p.IsMessage() {
			require.EqualValues(t, strings.Count(string(body), "\n"), p.Lines)
		}
		if p.Header != nil && !p.HeaderCut {
			require.Equal(t, string(mail[p.HeaderOffset:p.BodyOffset]), string(p.Header))
		}
		require.LessOrEqual(t, len(p.Header), MaxEnclosedHeader)
		cost += len(p.Header) + len(p.ID) + len(p.Description) + len(p.Location) + len(p.MD5)
		for _, v := range append(p.Params, p.DispositionParams...) {
			cost += len(v.Name) + len(v.Value)
		}
		for _, c := range p.Children {
			walk(c, depth+1)
		}
	}
	walk(m.Root, 1)
	require.LessOrEqual(t, parts, MaxParts)
	require.LessOrEqual(t, len(m.Header), MaxHeader)
	require.LessOrEqual(t, cost, MaxMetadata+MaxHeader+2*MaxEnclosedHeader)
}
