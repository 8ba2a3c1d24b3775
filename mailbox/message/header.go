package message

import (
	"bytes"
	"iter"
	"slices"
	"strings"
)

// Header is a header block: fields, each a line with a colon and the lines that
// continue it. It is read each time it is asked; the zero value is an empty
// block. It may be used by many goroutines.
//
// A line ends at LF; CRs before it belong to the line end, any other CR is text. A line that begins with a space or tab continues the one before. A line
// without a field name and a colon is no field and is passed over (such as the
// "From " line of an mbox file). The block ends at the first empty line.
type Header struct {
	fields string // without the blank line
	blank  string // the blank line, or nothing

	charset string // what raw octets are read in; if empty, that of Content-Type
}

// ParseHeader returns the header block at the beginning of raw. What follows its
// blank line is not looked at. It keeps no part of raw.
func ParseHeader(raw []byte) Header {
	for i := 0; i < len(raw); {
		n := bytes.IndexByte(raw[i:], '\n') + 1
		if n == 0 {
			break
		}
		if isBlank(raw[i : i+n]) {
			return Header{fields: string(raw[:i]), blank: string(raw[i : i+n])}
		}
		i += n
	}
	return Header{fields: string(raw)}
}

// Fields yields the name and the value of each field in order, as they stand: the
// value is all between the colon and the final line end, folds included. Use
// [Unfold] to get its text.
func (h Header) Fields() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for name, text := range h.lines() {
			if name == "" {
				continue
			}
			value := text[strings.IndexByte(text, ':')+1:]
			if !yield(name, trimEOL(value)) {
				return
			}
		}
	}
}

// Get returns the unfolded text of the first field of that name, in any case, or
// the empty string.
func (h Header) Get(name string) string {
	for v := range h.Values(name) {
		return v
	}
	return ""
}

// First returns the unfolded text of the first field of each name, in any case, or
// the empty string. It reads the block once.
func (h Header) First(names ...string) []string {
	out := make([]string, len(names))
	left := slices.Clone(names)
	missing := len(names)
	for n, v := range h.Fields() {
		for i, name := range left {
			if name != "" && len(n) == len(name) && strings.EqualFold(n, name) {
				out[i], left[i] = Unfold(v), ""
				missing--
			}
		}
		if missing == 0 {
			break
		}
	}
	return out
}

// Has reports whether there is a field of that name, in any case.
func (h Header) Has(name string) bool {
	for range h.Values(name) {
		return true
	}
	return false
}

// Values yields the unfolded text of each field of that name, in any case.
func (h Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n, v := range h.Fields() {
			if strings.EqualFold(n, name) && !yield(Unfold(v)) {
				return
			}
		}
	}
}

// Select returns the bytes of HEADER.FIELDS (RFC 9051 section 6.4.5): the fields
// of the given names, in any case, as they stand and in their order. With not
// set it returns the bytes of HEADER.FIELDS.NOT: all but those fields, lines that
// are no field included. The blank line follows if the block has one.
func (h Header) Select(names []string, not bool) []byte {
	b := make([]byte, 0, len(h.fields)+len(h.blank))
	for name, text := range h.lines() {
		named := false
		for _, n := range names {
			named = named || name != "" && strings.EqualFold(n, name)
		}
		if named != not {
			b = append(b, text...)
		}
	}
	return append(b, h.blank...)
}

// lines yields each field with its bytes, final line end included, and with an
// empty name what is no field.
func (h Header) lines() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := h.fields; rest != ""; {
			n := lineLen(rest)
			for n < len(rest) && (rest[n] == ' ' || rest[n] == '\t') {
				n += lineLen(rest[n:])
			}
			if !yield(fieldName(rest), rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// Unfold returns the text of a field value: without its line ends (RFC 5322
// section 2.2.3) and without blanks around it. A CR that ends no line and a NUL,
// which an IMAP string cannot hold, become spaces.
func Unfold(value string) string {
	value = strings.Trim(value, " \t\r\n")
	if !strings.ContainsAny(value, "\r\n\x00") {
		return value
	}
	var b strings.Builder
	b.Grow(len(value))
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\n' || c == '\r' && endsLine(value[i:]):
		case c == '\r' || c == 0:
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// endsLine reports whether the CR that s begins with belongs to a line end.
func endsLine(s string) bool {
	s = strings.TrimLeft(s[:min(len(s), maxCRs)], "\r")
	return s != "" && s[0] == '\n'
}

// maxCRs is how many octets are looked at for the LF after a CR; programs that send
// CR CR LF are known, worse ones are not.
const maxCRs = 8

// fieldName returns the name at the beginning of a field, or the empty string if
// there is none: printable ASCII up to a colon, and perhaps blanks before it (RFC
// 5322 section 4.5.8).
func fieldName[T string | []byte](line T) string {
	i := 0
	for i < len(line) && '!' <= line[i] && line[i] <= '~' && line[i] != ':' {
		i++
	}
	end := i
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if end == 0 || i == len(line) || line[i] != ':' {
		return ""
	}
	return string(line[:end])
}

// lineLen returns the length of the first line of s, line end included.
func lineLen(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

func trimEOL(s string) string {
	if t, ok := strings.CutSuffix(s, "\n"); ok {
		return strings.TrimRight(t, "\r")
	}
	return s
}
