package message

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFold(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"Hello World", "hello world"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ@[`{abcxyz0189~\x7f", "abcdefghijklmnopqrstuvwxyz@[`{abcxyz0189~\x7f"},
		{"a  b\t\tc\r\n d \r\n", "a b c d "},
		{" a", " a"},
		{"12345678  12345678 \t1", "12345678 12345678 1"},
		{"1234567 \r\n1234567  1", "1234567 1234567 1"},
		{"ÉTé Straße ПРивет", "ÉtÉ straße ПРИВЕТ"},
		{"\u212a \u017f \u00b5 \u03bc \u03c2 \u03c3 \u03a3", "k s \u00b5 \u00b5 \u03a3 \u03a3 \u03a3"}, // Kelvin sign, long s, micro, sigmas
		{"\x00\x01\x1f\xff\xc3", "\x00\x01\x1f\xff\xc3"},
		{"日本", "日本"},
		{"\U00010400", "\U00010400"},
		{"\U00010428", "\U00010400"}, // Deseret
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, Fold(tt.in), "%q", tt.in)
		assert.Equal(t, Fold(tt.in), Fold(Fold(tt.in)), "%q: folding twice", tt.in)
	}
	assert.Equal(t, Fold("été straße привет"), Fold("ÉTÉ STRAßE ПРИВЕТ"))
	assert.Equal(t, Fold("ẞ"), Fold("ß"))
	assert.NotEqual(t, Fold("ss"), Fold("ß"), "full case folding is not promised")
}

// Folding puts together exactly what Unicode's simple case folding does.
func TestFoldRunes(t *testing.T) {
	folded := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		f := foldRune(r)
		if f != foldRune(unicode.SimpleFold(r)) {
			t.Fatalf("%U and %U are not one", r, unicode.SimpleFold(r))
		}
		if f == r {
			continue
		}
		folded++
		if utf8.RuneLen(f) > utf8.RuneLen(r) || foldRune(f) != f || !strings.EqualFold(string(f), string(r)) {
			t.Fatalf("%U is folded to %U", r, f)
		}
	}
	require.Greater(t, folded, 1000)
	f := folder{table: foldTable()}
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if f.rune(r) != foldRune(r) {
			t.Fatalf("%U: the short cut says %U", r, f.rune(r))
		}
	}
}

// match writes text in pieces of up to most octets.
func match(text string, needles []string, next func() int) *matcher {
	m := newMatcher(needles)
	for len(text) > 0 {
		n := min(next(), len(text))
		_, _ = m.Write([]byte(text[:n]))
		text = text[n:]
	}
	return m
}

func TestMatcher(t *testing.T) {
	const text = "Dear Ann,\r\n\r\nthe quick\r\n brown fox; ÉTÉ à la plage.\r\nПривет, 日本!  End"
	tests := []struct {
		needle string
		want   bool
	}{
		{"dear ann", true}, {"DEAR", true}, {"quick brown FOX", true}, {"quick  \tbrown", true}, {"ann, the", true},
		{"été À LA", true}, {"ПРИВЕТ", true}, {"日本", true}, {"end", true}, {" end", true}, {"", true}, {" ", true},
		{"end ", false}, {"quickbrown", false}, {"ete", false}, {"foxy", false}, {"\x00", false}, {"ПРИВЕТ日", false},
	}
	var needles []string
	for _, tt := range tests {
		needles = append(needles, tt.needle)
	}
	for size := 1; size < len(text)+1; size++ {
		m := match(text, needles, func() int { return size })
		for i, tt := range tests {
			require.Equal(t, tt.want, m.Matched(i), "%q in pieces of %d", tt.needle, size)
		}
		require.False(t, m.Done())
	}
}

func TestMatcherDone(t *testing.T) {
	assert.True(t, newMatcher(nil).Done())
	assert.True(t, newMatcher([]string{""}).Done())
	m := newMatcher([]string{"one", "two", "one"})
	n, err := m.Write([]byte("a one"))
	assert.Equal(t, 5, n)
	assert.NoError(t, err)
	assert.False(t, m.Done())
	_, _ = m.Write([]byte("two"))
	assert.True(t, m.Done())
	n, err = m.Write([]byte("ignored"))
	assert.Equal(t, 7, n)
	assert.NoError(t, err)
}

func TestMatcherBreak(t *testing.T) {
	m := newMatcher([]string{"ab", "b c", "\xc3", "é", " d", " c"})
	_, _ = m.Write([]byte("a"))
	m.Break()
	_, _ = m.Write([]byte("b "))
	m.Break()
	_, _ = m.Write([]byte(" c\xc3"))
	assert.False(t, m.Matched(2), "may yet be the beginning of a rune")
	m.Break()
	assert.True(t, m.Matched(2))
	_, _ = m.Write([]byte("\xa9 d"))
	assert.Equal(t, []bool{false, false, true, false, true, true}, m.found)
}

func TestMatcherAgainstContains(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 9))
	const alphabet = "aAbB \r\n\téÉ日\xc3\xe6"
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		return string(b)
	}
	found := 0
	for range 3000 {
		text, needles := random(rnd.IntN(200)), []string{random(1 + rnd.IntN(3)), random(1 + rnd.IntN(5)), random(rnd.IntN(40))}
		most := 1 + rnd.IntN(20)
		found += requireMatches(t, text, needles, func() int { return 1 + rnd.IntN(most) })
	}
	require.Greater(t, found, 1000, "hardly anything is found")
	long := strings.Repeat("Filler ", 20_000)
	requireMatches(t, long+"the Needle"+long, []string{"filler the NEEDLE filler", "needles"}, func() int { return 1 << 20 })
	requireMatches(t, long, []string{long, long + "x"}, func() int { return 5000 })
}

func requireMatches(t *testing.T, text string, needles []string, next func() int) (found int) {
	m := match(text, needles, next)
	m.Break()
	for i, n := range needles {
		want := strings.Contains(Fold(text), Fold(n))
		require.Equal(t, want, m.Matched(i), "%.200q in %.200q", n, text)
		if want {
			found++
		}
	}
	return found
}

func FuzzMatcher(f *testing.F) {
	f.Add("The quick\r\n brown fox", "QUICK brown", "x", uint8(3))
	f.Add("caf\xc3\xa9 \xc3", "É", "\xc3", uint8(0))
	f.Add("\u212a\u023a\u2c65", "k", "\u2c65", uint8(1))
	f.Fuzz(func(t *testing.T, text, n1, n2 string, piece uint8) {
		requireMatches(t, text, []string{n1, n2, n1 + n2}, func() int { return int(piece) + 1 })
	})
}
