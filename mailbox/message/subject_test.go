package message

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 5256 section 2.1 and its grammar in section 5.
func TestBaseSubject(t *testing.T) {
	for _, c := range []struct {
		text, base string
		reply      bool
	}{
		{"", "", false},
		{"Hello", "Hello", false},
		{"  Hello \t there ", "Hello there", false},
		{"Re: Hello", "Hello", true},
		{"RE:Hello", "Hello", true},
		{"re [2]: Hello", "Hello", true},
		{"Re[2]: Hello", "Hello", true},
		{"Fw: Re: FWD:  Hello", "Hello", true},
		{"Hello (fwd)", "Hello", true},
		{"Hello (fwd) (FWD) ", "Hello", true},
		{"[list] Hello", "Hello", false},
		{"[list] Re: [list] Hello", "Hello", true},
		{"[a][b] [c] Hello", "Hello", false},
		{"[only a blob]", "[only a blob]", false},
		{"Re: [only a blob]", "[only a blob]", true},
		{"[a] [b]", "[b]", false},
		{"[Fwd: Hello]", "Hello", true},
		{"[fwd: Re: [list] Hello (fwd)]", "Hello", true},
		{"Re:", "", true},
		{"Re: (fwd)", "", true},
		{"Reply: Hello", "Reply: Hello", false},
		{"Forward Hello", "Forward Hello", false},
		{"[unclosed Hello", "[unclosed Hello", false},
		{"[a[b] Hello", "[a[b] Hello", false},
		{"=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=", "Grüße", true},
	} {
		base, reply := BaseSubject(DecodeHeader(c.text))
		require.Equal(t, c.base, base, "%q", c.text)
		require.Equal(t, c.reply, reply, "%q", c.text)
	}
}

func TestCollate(t *testing.T) {
	require.Equal(t, Collate("GRÜSSE"), Collate("grüsse"))
	require.Equal(t, Collate("é"), Collate("E\u0301"))
	require.Equal(t, "PLAIN TEXT", Collate("Plain Text"))
	require.Equal(t, Collate("σ"), Collate("ς"))
	require.Equal(t, Collate("k"), Collate("\u212a"), "Kelvin")
	require.Equal(t, "\u01c5"[:0]+"D"+"z\u030c", Collate("\u01c6"), "title case, not upper case, and then decomposed")
	sorted := []string{"a", "B", "c", "[", "_", "é"}
	require.IsIncreasing(t, []string{Collate(sorted[0]), Collate(sorted[1]), Collate(sorted[2]), Collate(sorted[3]), Collate(sorted[4])})
}

func TestMessageIDs(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                      nil,
		"<a@b>":                                 {"a@b"},
		"<a@b> <c@d>\t<e@f>":                    {"a@b", "c@d", "e@f"},
		"<a@b><c@d>":                            {"a@b", "c@d"},
		"(comment) <a@b>, text <c@d>":           {"a@b", "c@d"},
		"Your mail of Monday <a@b>":             {"a@b"},
		`<"quoted local"@b> <"q"@c> <"a\"b"@c>`: {"quotedlocal@b", "q@c", `a"b@c`},
		"<no at sign> <a@b":                     nil,
		"<<a@b>":                                {"a@b"},
		"<a @b.example >":                       {"a@b.example"},
	} {
		require.Equal(t, want, AppendMessageIDs(nil, text, 100), "%q", text)
	}
	require.Equal(t, []string{"x", "a@b"}, AppendMessageIDs([]string{"x"}, "<a@b> <c@d>", 1))
}
