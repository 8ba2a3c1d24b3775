package message

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
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
		{"ÉTé Straße ПРивет", "été straße привет"},
		{"\u212a \u017f \u00b5 \u03bc \u03c2 \u03c3 \u03a3", "k s \u03bc \u03bc \u03c2 \u03c2 \u03c2"}, // Kelvin sign, long s, micro, sigmas
		{"\x00\x01\x1f\xff\xc3", "\x00\x01\x1f\xff\xc3"},
		{"日本", "日本"},
		{"\U00010400", "\U00010428"}, // Deseret
		{"\U00010428", "\U00010428"},
		{"Cafe\u0301 CAFE\u0301", "café café"},
		{"J\u030cx \u01f0x", "\u01f0x \u01f0x"}, // no letter in upper case has the accent
		{"e\u0323\u0302 e\u0302\u0323 \u1ec7", "\u1ec7 \u1ec7 \u1ec7"},
		{"\u03b1\u0345 \u1fb3 \u1fbc", "\u1fb3 \u1fb3 \u1fb3"}, // iota subscript
		{"a\u00a0b\u3000c\u2028d \u2003 e\u0085f", "a b c d e f"},
		{"wel\u00adcome\u200b\ufeff", "welcome"},
		{"a \u00ad b", "a b"},
		{"Ｗｉｄｅ ﬁnal ① ㍿", "wide final 1 株式会社"},
		{"ｶﾞｷ か\u3099", "ガキ が"},
		{"\u1112\u116c\u110b\u1174 회의", "회의 회의"}, // Hangul in jamo
		{"\u0301", "\u0301"},
		{"1\u0301 \u0301", "1\u0301 \u0301"},
		{"\u00b4", " \u0301"},
		{"❤\ufe0f", "❤"},
		{"e\xffe\xcc", "e\xffe\xcc"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, Fold(tt.in), "%q", tt.in)
		assert.Equal(t, Fold(tt.in), Fold(Fold(tt.in)), "%q: folding twice", tt.in)
	}
	assert.Equal(t, Fold("été straße привет"), Fold("ÉTÉ STRAßE ПРИВЕТ"))
	assert.Equal(t, Fold("ẞ"), Fold("ß"))
	assert.NotEqual(t, Fold("ss"), Fold("ß"), "full case folding is not promised")
}

// foldedRunes yields all characters but for the most of those that are all alike:
// ideographs, Hangul, and what has no assignment.
func foldedRunes(yield func(rune) bool) {
	for r := rune(0); r < 0x30000; r++ {
		alike := 0x3500 <= r && r < 0x9f00 || 0xac80 <= r && r < 0xd700 || 0xd800 <= r && r < 0xf900 || 0x17000 <= r && r < 0x1b000 ||
			0x20100 <= r && r < 0x2f800
		if !alike && !yield(r) {
			return
		}
	}
}

// Folding puts together what Unicode's simple case folding does, and the rune that
// stands for others is one that is not changed by folding again.
func TestFoldRunes(t *testing.T) {
	folded := 0
	f := folder{table: foldTable()}
	for r := range foldedRunes {
		c := foldRune(r)
		if c != foldRune(unicode.SimpleFold(r)) && stable(r) && stable(unicode.SimpleFold(r)) {
			t.Fatalf("%U and %U are not one", r, unicode.SimpleFold(r))
		}
		if foldRune(c) != c || !strings.EqualFold(string(c), string(r)) {
			t.Fatalf("%U is folded to %U", r, c)
		}
		if c != r {
			folded++
		}
		if r >= utf8.RuneSelf && f.class(r, []byte(string(r))) != classOf(r, []byte(string(r))) {
			t.Fatalf("%U: the short cut says %U", r, f.class(r, []byte(string(r))))
		}
		if s := Fold(string(r)); Fold(s) != s || strings.ContainsAny(s, "\n\r") || strings.Contains(s, "  ") {
			t.Fatalf("%U is folded to %q", r, s)
		}
		if s := Fold(norm.NFD.String(string(r))); s != Fold(string(r)) {
			t.Fatalf("%U: %q decomposed, %q composed", r, s, Fold(string(r)))
		}
	}
	require.Greater(t, folded, 1000)
}

// What is folded says so: who keeps folded text finds out that the rules changed.
// Whoever changes them changes FoldVersion too, and then this sum.
func TestFoldVersion(t *testing.T) {
	if unicode.Version != "15.0.0" || norm.Version != "15.0.0" {
		require.NotContains(t, FoldVersion, "15.0.0")
		return
	}
	h := sha256.New()
	for r := range foldedRunes {
		fmt.Fprintf(h, "%s %s\n", Fold(string(r)), Fold("a"+string(r)+"\u0301"))
	}
	require.Equal(t, "2 15.0.0 15.0.0", FoldVersion)
	require.Equal(t, "42a41376884b7888df4cb8dbe38c3968cddd923f5285fe1d92339377be529b6b", hex.EncodeToString(h.Sum(nil)))
}

// match writes text in pieces of up to most octets.
func match(text string, needles []string, next func() int) *matcher {
	m := newMatcher(needles)
	for len(text) > 0 {
		n := min(next(), len(text))
		_, _ = m.Write([]byte(text[:n]))
		text = text[n:]
	}
	m.Break()
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
	n, err := m.Write([]byte("a one "))
	assert.Equal(t, 6, n)
	assert.NoError(t, err)
	assert.False(t, m.Done())
	_, _ = m.Write([]byte("two"))
	assert.False(t, m.Done(), "an accent may follow")
	_, _ = m.Write([]byte("."))
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
	m.Break()
	assert.Equal(t, []bool{false, false, true, false, true, true}, m.found)
}

func TestMatcherAgainstContains(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 9))
	alphabet := []string{"a", "A", "b", "e", " ", "\r\n", "\t", "é", "É", "日", "\xc3", "\xe6", "\u0301", "\u0323", "\u00a0", "\u00ad", "ﬁ", "\u1112", "\u116c"}
	random := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		return b.String()
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
