package charset

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/transform"
)

func decode(t testing.TB, label, text string) string {
	t.Helper()
	name, ok := Find(label)
	require.True(t, ok, "%q is not known", label)
	if name == UTF8 {
		return text
	}
	var got [2]string
	for i, r := range [...]io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		b, err := io.ReadAll(transform.NewReader(r, name.NewDecoder()))
		require.NoError(t, err, label)
		got[i] = string(b)
	}
	require.Equal(t, got[0], got[1], "%s read by octets", label)
	return got[0]
}

// The texts were encoded by Python's codecs, and by iconv what those lack.
func TestDecode(t *testing.T) {
	for _, c := range []struct{ label, text, want string }{
		{"iso-2022-kr", "\x1b$)C\x0eH8@G\x0f Tuesday \x0eGQ1[\x0f\x0a\x0e5QB0\x0f", "회의 Tuesday 한글\n둘째"},
		{"iso-2022-jp", "\x1b$B2q5D\x1b(B Meeting", "会議 Meeting"},
		{"iso-2022-jp-1", "\x1b$B2q5D\x1b(B \x1b$(D0!\x1b(B x", "会議 丂 x"},
		{"iso-2022-jp-2", "\x1b$B2q5D\x1b(B \x1b$(CGQ1[\x1b(B \x1b$(A::\x1b$B;z\x1b(B \x1b$(D+1\x1b(B \x1b$B&A&B&C\x1b(B \x1b$(D0!\x1b(B", "会議 한글 汉字 é αβγ 丂"},
		{"iso-2022-jp-3", "\x1b$B2q5D\x1b(B x", "会議 x"},
		{"iso-2022-jp-ext", "\x1b$B2q5D\x1b(B \x1b(I6E\x1b(B \x1b$(D0!\x1b(B", "会議 ｶﾅ 丂"},
		{"ISO-2022-JP-2004", "\x1b$B2q5D\x1b(B x", "会議 x"},
		{"cp932", "\x93\x8c\x8b\x9e\x87@ \xb6\xc5", "東京① ｶﾅ"},
		{"x-sjis", "\x93\x8c\x8b\x9e", "東京"},
		{"cp949", "\x8cc\xb9\xe6\xb0\xa2\xc7\xcf", "똠방각하"},
		{"ks_c_5601-1987", "\xc7\xd1\xb1\xdb", "한글"},
		{"johab", "\xd2A\xb7\x81 \xf7\xd3\xf1\xae \x88A\x84a \xd9j", "회의 漢字 ㄱㅏ ★"},
		{"cp950", "\xc1c\xc5\xe9\xa4\xa4\xa4\xe5", "繁體中文"},
		{"big5-hkscs", "\xad\xbb\xb4\xe4 \x9d\xef", "香港 嘅"},
		{"gb2312", "\xba\xba\xd7\xd6", "汉字"},
		{"cp936", "\xba\xba\xd7\xd6 \x87\xd6", "汉字 囍"},
		{"gb18030", "\xba\xba\xd7\xd6 \x819\xee9 \xa8\xa6", "汉字 㐀 é"},
		{"hz", "~{::WV~} ~~ x", "汉字 ~ x"},
		{"eucjp", "\xb2\xf1\xb5\xc4 \x8e\xb6 \x8f\xb0\xa1", "会議 ｶ 丂"},
		{"ujis", "\xb2\xf1\xb5\xc4", "会議"},
		{"euc_cn", "\xba\xba\xd7\xd6", "汉字"},
		{"utf-7", "Gr+APwA3w-e +APwAKw +ZeVnLA +2D3eAA -", "Grüße ü+ 日本 😀 -"},
		{"unicode-1-1-utf-7", "+AOk-", "é"},
		{"utf-16", "G\x00r\x00\xfc\x00\xdf\x00e\x00 \x001\x00", "Grüße 1"},
		{"utf-16", "\x00G\x00r\x00\xfc\x00\xdf\x00e\x00 \x001", "Grüße 1"},
		{"utf-16", "\xff\xfeG\x00r\x00\xfc\x00\xdf\x00e\x00 \x00\xe5e,g", "Grüße 日本"},
		{"utf-16", "\xe5e,g\x9e\x8an0\x87e\xe0zg0Y0", "日本語の文章です"},
		{"utf-16", "e\xe5g,\x8a\x9e0ne\x87z\xe00g0Y", "日本語の文章です"},
		{"utf-16", "\x8c\xd6X\xc7 \x00|\xc7\x15\xc8", "회의 일정"},
		{"utf-16", "x\x00", "x"},
		{"utf-16le", "\xe5e,g=\xd8\x00\xde", "日本😀"},
		{"utf-16be", "e\xe5g,\xd8=\xde\x00", "日本😀"},
		{"utf-32", "\xff\xfe\x00\x00\xe5e\x00\x00,g\x00\x00\x00\xf6\x01\x00", "日本😀"},
		{"utf-32", "\xe5e\x00\x00,g\x00\x00\x00\xf6\x01\x00", "日本😀"},
		{"utf-32", "\x00\x00e\xe5\x00\x00g,\x00\x01\xf6\x00", "日本😀"},
		{"utf-32be", "\x00\x00\x00\xe9", "é"},
		{"utf-32le", "\xe9\x00\x00\x00", "é"},
		{"latin9", "\xbduvre", "œuvre"},
		{"latin1", "It\x92s 5\x80", "It’s 5€"},
		{"cp874", "\xc0\xd2\xc9\xd2\xe4\xb7\xc2", "ภาษาไทย"},
		{"tis-620", "\xe4\xb7\xc2", "ไทย"},
		{"win-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"cp-850", "\x82 \xe1", "é ß"},
		{"cp858", "\xd5", "€"},
		{"ibm866", "\x8f\xe0\xa8\xa2\xa5\xe2", "Привет"},
		{"cp1125", "\x8a\xa8\xf9\xa2 \xf2", "Київ Ґ"},
		{"x-mac-ce", "P\xde\x92li\xe4 \xeclu\xe9", "Příliš žluť"},
		{"x-macroman", "caf\x8e", "café"},
		{"x-mac-greek", "\xb6\xec\xec\xe8\xee\xe9\xeb\xc0", "Ελληνικά"},
		{"x-mac-turkish", "\xdcstanbul \xdb", "İstanbul ğ"},
		{"x-mac-cyrillic", "\x8f\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"kz-1048", "\x8d\xe0\xe7\xe0\x9d", "Қазақ"},
		{"koi8-u", "\xeb\xc9\xa7\xd7", "Київ"},
		{"koi8-t", "\xd4\xcf\x8d\xc9\xcb\xa5", "тоҷикӣ"},
		{"ISO_8859-2:1987", "\xbf\xf3\xb3w", "żółw"},
		{"ibm857", "\x98\xa7", "İğ"},
		{"cp737", "\x84\xa2\xa2", "Ελλ"},
		{"windows-1252 http-equiv", "\x92", "’"},
		{"utf-8; format=flowed", "\xc3\xa9", "é"},
		{"'iso-8859-2'", "\xb3", "ł"},
		{"iso-8859-8-i", "\xf9\xec\xe5\xed", "שלום"},
		{"x-windows-949", "\x8cc", "똠"},
		{"sjis-win", "\x87@", "①"},
		{"ISO-8859-9", "\xf0", "ğ"},
		{"hp-roman8", "\xc5", "é"},
		{"iso-8859-15*fr", "\xa4", "€"},
		{"iso-2022-cn", "\x1b$)A\x0e::WV\x0f x \x1b$)G\x0eiGGs\x0f", "汉字 x 漢字"},
		{"iso-2022-cn-ext", "\x1b$)G\x0eDcEF\x0f\nplain", "中文\nplain"},
		{"euc-tw", "x\xe9\xc7\xc7\xf3\x8e\xa2\xa1\xa1", "x漢字乂"},
		{"armscii-8", "\xb2\xb3", "Աա"},
		{"viscii", "Ti\xaang Vi\xaet", "Tiếng Việt"},
	} {
		require.Equal(t, c.want, decode(t, c.label, c.text), "%s %q", c.label, c.text)
	}
}

// Text that breaks the rules of its charset comes out as something, all of it.
func TestDecodeBroken(t *testing.T) {
	for _, c := range []struct{ label, text, want string }{
		{"iso-2022-kr", "Meeting moved to Tuesday.", "Meeting moved to Tuesday."},
		{"iso-2022-kr", "\x0e@O\x0f no designation", "일 no designation"},
		{"iso-2022-kr", "\xc7\xd1\xb1\xdb", "한글"},
		{"iso-2022-kr", "\x1b$)C\x0e@Oopen\nnext", "일穽蘖\nnext"},
		{"iso-2022-jp", "\xb6\xc5", "ｶﾅ"},
		{"iso-2022-jp", "\x1b$B2q", "会"},
		{"iso-2022-jp", "\x1b$B2", "\ufffd"},
		{"iso-2022-jp", "\x1b", ""},
		{"iso-2022-jp", "\x1b$(Pab\x1b(Bx", "\ufffdx"},
		{"utf-7", "a+", "a"},
		{"utf-7", "1 + 1, 1 +- 1", "1  1, 1 + 1"},
		{"utf-7", "\xe9", "\ufffd"},
		{"johab", "\x88", "\ufffd"},
		{"johab", "\xff\xff", "\ufffd"},
		{"euc-tw", "\xe9", "\ufffd"},
		{"euc-tw", "\x8e\xa2", "\ufffd"},
		{"euc-tw", "\x8e\xa3\xa1\xa1", "\ufffd"},
		{"utf-16", "", ""},
		{"utf-16", "<html><body>this is no UTF-16 at all</body></html>", "<html><body>this is no UTF-16 at all</body></html>"},
		{"utf-16", "\x00", "\ufffd"},
		{"utf-32", "\x00\x00", "\ufffd"},
	} {
		require.Equal(t, c.want, decode(t, c.label, c.text), "%s %q", c.label, c.text)
	}
}

// Every label has a decoder, and every decoder a label.
func TestLabels(t *testing.T) {
	used := map[Name]bool{}
	seen := map[string]bool{}
	for line := range strings.Lines(labelsText) {
		name, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(line, "#") {
			continue
		}
		require.True(t, ok, line)
		used[Name(name)] = true
		for _, label := range append(strings.Fields(list), key(name)) {
			require.Equal(t, key(label), label, "as it is looked up")
			require.False(t, seen[label], "%s stands twice", label)
			seen[label] = true
			got, ok := Find(label)
			require.True(t, ok, label)
			require.Equal(t, Name(name), got, label)
		}
		require.Equal(t, Name(name) == UTF8, Name(name).NewDecoder() == nil, name)
	}
	require.Greater(t, len(seen), 600)
	for name := range encodings {
		require.True(t, used[name], name)
	}
	for name, chars := range tables {
		require.True(t, used[name], name)
		require.Contains(t, []int{128, 256}, utf8.RuneCountInString(chars), name)
	}
	for _, label := range []string{"", "unknown-8bit", "x-unknown", "no such charset", "*", strings.Repeat("utf-8", 1000), "\xff", "-", "0"} {
		_, ok := Find(label)
		require.False(t, ok, label)
	}
}

// The labels that x/text's htmlindex calls "replacement" are decoded: a text never
// becomes one U+FFFD.
func TestNoReplacement(t *testing.T) {
	for _, label := range []string{"iso-2022-kr", "csiso2022kr", "iso-2022-cn", "iso-2022-cn-ext", "hz-gb-2312"} {
		require.Equal(t, "Meeting moved", decode(t, label, "Meeting moved"), label)
	}
}

func FuzzDecode(f *testing.F) {
	var names []Name
	for _, n := range labels() {
		if n != UTF8 {
			names = append(names, n)
		}
	}
	f.Add("iso-2022-kr", []byte("\x1b$)C\x0e@O\x0f"))
	f.Add("utf-7", []byte("a+AOk-"))
	f.Add("johab", []byte("\xd0\x65\x31"))
	f.Fuzz(func(t *testing.T, label string, text []byte) {
		name, ok := Find(label)
		if !ok || name == UTF8 {
			name = names[len(text)%len(names)]
		}
		require.True(t, utf8.ValidString(decode(t, string(name), string(text))))
	})
}
