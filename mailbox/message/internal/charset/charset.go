// Package charset converts text of mail from the charset that its label names to
// UTF-8.
//
// golang.org/x/text has most decoders that mail needs. What it lacks is here:
// UTF-7, the family of ISO 2022, Johab, EUC-TW, and single-byte charsets of DOS and
// the Macintosh. Labels are looked up in one table, labels.txt, and not in
// x/text's htmlindex: that one is made for browsers, which refuse some charsets for
// safety ("replacement") and need not know what mail programs write.
//
// Decoders never fail: what cannot be decoded becomes U+FFFD.
package charset

import (
	"bytes"
	_ "embed"
	"strings"
	"sync"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/transform"
)

// Name is the name of a charset, the first of its line in labels.txt.
type Name string

// UTF8 is also the charset of text in US-ASCII.
const UTF8 Name = "utf-8"

//go:embed labels.txt
var labelsText string

var labels = sync.OnceValue(func() map[string]Name {
	m := make(map[string]Name, 800)
	for line := range strings.Lines(labelsText) {
		name, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		m[key(name)] = Name(name)
		for label := range strings.FieldsSeq(list) {
			m[label] = Name(name)
		}
	}
	return m
})

// Find returns the charset that a label names. The label may be in any case and
// with any punctuation, as in Unicode Technical Standard 22 section 1.4, have a
// language (RFC 2231 section 5), quotes around it, "x-" before it or junk behind it.
func Find(label string) (Name, bool) {
	switch label {
	case "utf-8", "UTF-8", "us-ascii", "US-ASCII":
		return UTF8, true
	}
	label, _, _ = strings.Cut(label, "*")
	if len(label) > maxLabel {
		return "", false
	}
	whole := key(label)
	first, _, _ := strings.Cut(strings.TrimLeft(label, " \t'\""), ";")
	first, _, _ = strings.Cut(first, ",")
	word, _, _ := strings.Cut(first, " ")
	for _, k := range [...]string{whole, strings.TrimPrefix(whole, "x"), key(first), key(word)} {
		if name, ok := labels()[k]; ok {
			return name, true
		}
	}
	return "", false
}

// maxLabel is the longest label that is looked up, in octets. RFC 2978 section 2.3
// allows 40.
const maxLabel = 100

// key returns a label as labels.txt has it: letters in lower case and digits, without
// leading zeros.
func key(label string) string {
	b := make([]byte, 0, len(label))
	digit := false // the octet before is a digit
	for i := 0; i < len(label); i++ {
		c := label[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		isDigit := '0' <= c && c <= '9'
		zero := c == '0' && !digit && i+1 < len(label) && '0' <= label[i+1] && label[i+1] <= '9'
		if isDigit && !zero || 'a' <= c && c <= 'z' {
			b = append(b, c)
		}
		digit = isDigit && (!zero || digit)
	}
	return string(b)
}

// Mark returns what stands in every text of the charset that is not plain ASCII, if
// the charset encodes characters as ASCII octets: raw header fields in it look like
// ASCII. It is empty for other charsets.
func (n Name) Mark() string {
	switch n {
	case "iso-2022-jp", "iso-2022-kr", "iso-2022-cn":
		return "\x1b"
	case "hz-gb-2312":
		return "~{"
	}
	return ""
}

// NewDecoder returns a decoder of the charset, for one text. It is nil for UTF-8,
// which needs none.
func (n Name) NewDecoder() transform.Transformer {
	if e := encodings[n]; e != nil {
		return e.NewDecoder().Transformer
	}
	if t := tables[n]; t != "" {
		return &decoder{newTable(t)}
	}
	switch n {
	case "utf-7":
		return &decoder{&utf7{}}
	case "utf-16":
		return &guess{pick: pickUTF16}
	case "utf-32":
		return &guess{pick: pickUTF32}
	case "utf-32be":
		return &guess{pick: pickUTF32BE}
	case "utf-32le":
		return &guess{pick: pickUTF32LE}
	case "iso-2022-jp":
		return &decoder{newISO2022(jp)}
	case "iso-2022-kr":
		return &decoder{newISO2022(kr)}
	case "iso-2022-cn":
		return &decoder{newISO2022(cn)}
	case "johab":
		return &decoder{johab{}}
	case "euc-tw":
		return &decoder{eucTW{}}
	}
	return nil
}

// encodings are those of x/text. The labels of GB 2312 and GBK mean GB 18030, which
// has all their characters, and those of ISO 8859-1, -9 and -11 the Windows charsets
// that have more (WHATWG Encoding Standard section 4.2).
var encodings = map[Name]encoding.Encoding{
	"utf-16be": utf16be, "utf-16le": utf16le,
	"iso-8859-2": charmap.ISO8859_2, "iso-8859-3": charmap.ISO8859_3, "iso-8859-4": charmap.ISO8859_4,
	"iso-8859-5": charmap.ISO8859_5, "iso-8859-6": charmap.ISO8859_6, "iso-8859-7": charmap.ISO8859_7,
	"iso-8859-8": charmap.ISO8859_8, "iso-8859-10": charmap.ISO8859_10, "iso-8859-13": charmap.ISO8859_13,
	"iso-8859-14": charmap.ISO8859_14, "iso-8859-15": charmap.ISO8859_15, "iso-8859-16": charmap.ISO8859_16,
	"windows-874": charmap.Windows874, "windows-1250": charmap.Windows1250, "windows-1251": charmap.Windows1251,
	"windows-1252": charmap.Windows1252, "windows-1253": charmap.Windows1253, "windows-1254": charmap.Windows1254,
	"windows-1255": charmap.Windows1255, "windows-1256": charmap.Windows1256, "windows-1257": charmap.Windows1257,
	"windows-1258": charmap.Windows1258, "koi8-r": charmap.KOI8R, "koi8-u": charmap.KOI8U,
	"macintosh": charmap.Macintosh, "x-mac-cyrillic": charmap.MacintoshCyrillic,
	"ibm437": charmap.CodePage437, "ibm850": charmap.CodePage850, "ibm852": charmap.CodePage852,
	"ibm855": charmap.CodePage855, "ibm858": charmap.CodePage858, "ibm860": charmap.CodePage860,
	"ibm862": charmap.CodePage862, "ibm863": charmap.CodePage863, "ibm865": charmap.CodePage865,
	"ibm866":  charmap.CodePage866,
	"gb18030": simplifiedchinese.GB18030, "hz-gb-2312": simplifiedchinese.HZGB2312,
	"big5": traditionalchinese.Big5, "euc-jp": japanese.EUCJP, "shift_jis": japanese.ShiftJIS,
	"euc-kr": korean.EUCKR,
}

// decodeOne decodes one character of a charset of x/text that keeps no state.
func decodeOne(e encoding.Encoding, b ...byte) rune {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return replacement
	}
	if r := bytes.Runes(out); len(r) == 1 {
		return r[0]
	}
	return replacement
}
