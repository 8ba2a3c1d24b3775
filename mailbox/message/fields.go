package message

import (
	"slices"
	"strconv"
	"strings"
)

// readFields fills in what the part's header says about it, and returns what it
// costs to keep it, in octets beyond a fixed sum.
func (p *Part) readFields(h Header) (cost int) {
	var seen [mimeFields]bool
	for name, value := range h.Fields() {
		for i, k := range keptFields[:mimeFields] {
			if !seen[i] && strings.EqualFold(name, k) {
				seen[i] = true
				text := strings.Clone(Unfold(value)) // or the whole block stays in memory
				cost += len(text)
				p.setField(k, text)
			}
		}
	}
	return cost + 32*(len(p.Params)+len(p.DispositionParams)+len(p.Language))
}

func (p *Part) setField(name, text string) {
	switch name {
	case "content-type":
		p.setType(text)
	case "content-transfer-encoding":
		if e := lower(newFieldParser(text).token()); e != "" {
			p.Encoding = e
		}
	case "content-id":
		p.ID = text
	case "content-description":
		p.Description = text
	case "content-disposition":
		f := newFieldParser(text)
		p.Disposition = lower(f.token())
		if p.Disposition == "" && text != "" {
			p.Disposition = "attachment" // RFC 2183 section 2.8: an unknown one is read so
		}
		p.DispositionParams = joinParams(f.params())
	case "content-md5":
		p.MD5 = text
	case "content-location":
		p.Location = text
	case "content-language":
		f := newFieldParser(text)
		for len(p.Language) < MaxParams {
			tag := f.token()
			if tag == "" && !f.skip(",") {
				break
			}
			if tag != "" {
				p.Language = append(p.Language, tag)
			}
		}
	}
}

// setType reads Content-Type. One that has no type and subtype is as good as none
// (RFC 2045 section 5.2), but a lone "text" keeps its charset.
func (p *Part) setType(text string) {
	f := newFieldParser(text)
	typ := lower(f.token())
	subtype := ""
	if f.skip("/") {
		subtype = lower(f.token())
	}
	if typ == "" || subtype == "" {
		p.Type, p.Subtype = "text", "plain"
		if typ != "text" {
			return
		}
	} else {
		p.Type, p.Subtype = typ, subtype
	}
	p.Params = joinParams(f.params())
}

// boundary returns what delimits the children of a multipart, or the empty string
// if they cannot be found. A boundary does not end in blanks (RFC 2046 section
// 5.1.1); padded says that the parameter did.
func (p *Part) boundary() (boundary string, padded bool) {
	whole := p.Param("boundary")
	boundary = strings.TrimRight(whole, " \t")
	if len(boundary) > MaxBoundary {
		return "", false
	}
	return boundary, len(boundary) < len(whole)
}

// fieldParser reads the tokens of a structured MIME field (RFC 2045 section 5.1),
// whatever stands between them.
type fieldParser struct{ s string }

func newFieldParser(s string) *fieldParser { return &fieldParser{s} }

// space skips blanks and comments.
func (f *fieldParser) space() {
	for f.s != "" {
		switch f.s[0] {
		case ' ', '\t', '\r', '\n':
			f.s = f.s[1:]
		case '(':
			f.s = f.s[commentLen(f.s):]
		default:
			return
		}
	}
}

// token returns the next token, or the empty string.
func (f *fieldParser) token() string {
	f.space()
	i := 0
	for i < len(f.s) && f.s[i] > ' ' && f.s[i] != 0x7f && !strings.ContainsRune("()<>@,;:\\\"/[]?=", rune(f.s[i])) {
		i++
	}
	t := f.s[:i]
	f.s = f.s[i:]
	return t
}

// skip consumes the octet c and what is around it.
func (f *fieldParser) skip(c string) bool {
	f.space()
	if !strings.HasPrefix(f.s, c) {
		return false
	}
	f.s = f.s[1:]
	return true
}

// params reads the rest of the field as parameters. Junk between them and missing
// semicolons are passed over.
func (f *fieldParser) params() []Param {
	var list []Param
	for len(list) < MaxParams {
		name := lower(f.token())
		if name == "" || !f.skip("=") {
			if f.space(); f.s == "" {
				break
			}
			if name == "" {
				f.junk()
			}
			continue
		}
		list = append(list, Param{name, f.value()})
	}
	return list
}

// junk skips what cannot begin a parameter: one octet, or a quoted string.
func (f *fieldParser) junk() {
	if f.s[0] == '"' {
		_, f.s = quotedString(f.s)
		return
	}
	f.s = f.s[1:]
}

// value reads the value of a parameter: a quoted string, or all up to a blank or
// semicolon, because values that should have been quoted often are not.
func (f *fieldParser) value() string {
	f.space()
	if strings.HasPrefix(f.s, `"`) {
		var v string
		v, f.s = quotedString(f.s)
		return v
	}
	i := strings.IndexAny(f.s, "; \t\r\n")
	if i < 0 {
		i = len(f.s)
	}
	v := f.s[:i]
	f.s = f.s[i:]
	return v
}

// quotedString returns the content of the quoted string that s begins with, and
// the rest of s. A missing final quote is supplied.
func quotedString(s string) (content, rest string) {
	i := 1
	plain := true
	for i < len(s) && s[i] != '"' {
		if s[i] == '\\' && i+1 < len(s) {
			plain = false
			i++
		}
		i++
	}
	content, rest = s[1:i], s[min(i+1, len(s)):]
	if plain {
		return content, rest
	}
	var b strings.Builder
	for j := 0; j < len(content); j++ {
		if content[j] == '\\' && j+1 < len(content) {
			j++
		}
		b.WriteByte(content[j])
	}
	return b.String(), rest
}

// commentLen returns the length of the comment that s begins with. Comments nest;
// one without an end reaches to the end of s.
func commentLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// joinParams joins the pieces of RFC 2231 section 3, numbered from 0 without a gap, and
// drops repeated names. Pieces that no piece comes before stay as they are.
func joinParams(list []Param) []Param {
	if !slices.ContainsFunc(list, func(p Param) bool { return strings.Contains(p.Name, "*") }) {
		return firstOfEachName(list)
	}
	split := make([]splitParam, len(list))
	for i, p := range list {
		split[i] = splitName(p.Name)
		split[i].value = p.Value
	}
	runs := make([][]splitParam, len(list)) // of pieces, at their first
	for i, p := range split {
		if p.section == 0 {
			runs[i] = takePieces(split, p.base)
		}
	}
	out := list[:0]
	for i, p := range list {
		switch s := split[i]; {
		case s.taken && s.section > 0:
			continue
		case len(runs[i]) > 0:
			var ext bool
			p.Name = s.base
			if p.Value, ext = joinPieces(runs[i]); ext {
				p.Name += "*"
			}
		}
		out = append(out, p)
	}
	return firstOfEachName(out)
}

// firstOfEachName drops repeated names, in the memory of list.
func firstOfEachName(list []Param) []Param {
	out := list[:0]
	for _, p := range list {
		if !slices.ContainsFunc(out, func(o Param) bool { return o.Name == p.Name }) {
			out = append(out, p)
		}
	}
	return out
}

// takePieces returns name*0, name*1 and so on up to the first that is missing, and
// marks them.
func takePieces(list []splitParam, name string) []splitParam {
	var out []splitParam
	for n := 0; n <= len(list); n++ {
		i := slices.IndexFunc(list, func(p splitParam) bool { return p.section == n && p.base == name })
		if i < 0 {
			break
		}
		list[i].taken = true
		out = append(out, list[i])
	}
	return out
}

// joinPieces joins pieces. If one of them is percent-encoded, all are in the result.
func joinPieces(pieces []splitParam) (value string, ext bool) {
	for _, p := range pieces {
		ext = ext || p.ext
	}
	var b strings.Builder
	for i, p := range pieces {
		if ext && i == 0 && !p.ext {
			b.WriteString("''") // no charset was given
		}
		if ext && !p.ext {
			b.WriteString(percentEncode(p.value))
		} else {
			b.WriteString(p.value)
		}
	}
	return b.String(), ext
}

// splitParam is a parameter with its name taken apart: name, name*, name*3 or name*3*.
type splitParam struct {
	base    string
	section int  // the number, -1 if there is none
	ext     bool // the name ends in *
	taken   bool // joined with others
	value   string
}

func splitName(s string) splitParam {
	whole := splitParam{base: s, section: -1}
	base, tail, found := strings.Cut(s, "*")
	if !found || base == "" {
		return whole
	}
	if tail == "" {
		return splitParam{base: base, section: -1, ext: true}
	}
	digits := strings.TrimSuffix(tail, "*")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) > 1 && digits[0] == '0' {
		return whole
	}
	return splitParam{base: base, section: int(n), ext: digits != tail}
}

// paramValue returns the decoded value of a parameter. What RFC 2231 encoded counts
// more than what is beside it for readers that do not know RFC 2231 (RFC 6266 section
// 4.3).
func paramValue(list []Param, name string) string {
	value, found := "", false
	for _, p := range list {
		if p.Name == name && !found {
			value, found = p.Value, true
		}
		if base, ext := strings.CutSuffix(p.Name, "*"); ext && base == name {
			return decodeExtended(p.Value)
		}
	}
	return value
}

// decoded returns the value of the parameter as text: what RFC 2231 or, although it
// forbids that, RFC 2047 encoded.
func (v Param) decoded() string {
	if strings.HasSuffix(v.Name, "*") {
		return decodeExtended(v.Value)
	}
	return DecodeHeader(v.Value)
}

// decodeExtended decodes charset'language'percent-encoded text (RFC 2231 section
// 4).
func decodeExtended(v string) string {
	charset, rest, ok := strings.Cut(v, "'")
	if _, text, ok2 := strings.Cut(rest, "'"); ok && ok2 {
		return decodeCharset(charset, percentDecode(text))
	}
	return string(percentDecode(v))
}

func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

func percentDecode(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi < 16 && lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}

// unhex returns the value of a hexadecimal digit, or 16.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// lower is strings.ToLower for ASCII; other octets stay as they are.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
