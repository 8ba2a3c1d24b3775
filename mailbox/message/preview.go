package message

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// MaxPreview is how many characters a preview has at most (RFC 8970 section 3.1
// recommends 200 and forbids more than 256).
const MaxPreview = 200

const (
	// previewPlain and previewHTML are how many octets of a part a preview is made
	// of. HTML begins with style sheets.
	previewPlain = 8 << 10
	previewHTML  = 32 << 10
	// previewParts is how many parts are tried until one has text.
	previewParts = 8
)

// previewing is the part of a scanner that makes the preview: of the first part
// that is text, is no attachment, and has something to show.
type previewing struct {
	part  *Part  // whose body passes
	raw   []byte // its first octets, in memory of previewMemories
	limit int
	tried int
	text  string
}

// begin is told of each part whose body begins, multiparts included: one without
// any boundary line turns out to be text.
func (v *previewing) begin(p *Part) {
	if v.part = nil; v.text == "" && v.tried < previewParts && (p.previews() || p.IsMultipart()) {
		if v.raw == nil {
			v.raw = previewMemories.Get().(*[previewHTML]byte)[:]
		}
		v.part, v.raw, v.limit = p, v.raw[:0], p.previewLimit()
	}
}

// previewMemories holds what scanners leave to the next ones.
var previewMemories = sync.Pool{New: func() any { return new([previewHTML]byte) }}

// close gives the memory back, without what was in it.
func (v *previewing) close() {
	if v.raw != nil {
		mem := (*[previewHTML]byte)(v.raw[:previewHTML])
		clear(mem[:])
		previewMemories.Put(mem)
	}
	v.part, v.raw = nil, nil
}

func (v *previewing) take(b []byte) {
	if room := v.limit - len(v.raw); v.part != nil && room > 0 {
		v.raw = append(v.raw, b[:min(len(b), room)]...)
	}
}

// end is told of each part that ends; is says what it turned out to be.
func (v *previewing) end(p, is *Part) {
	if v.part != p {
		return
	}
	v.part = nil
	if is.previews() {
		v.tried++
		v.text = is.preview(v.raw[:min(int64(len(v.raw)), is.BodySize)])
	}
}

// previews reports whether a preview may be made of the part.
func (p *Part) previews() bool {
	return p.Type == "text" && p.Disposition != "attachment" && len(p.Children) == 0
}

func (p *Part) previewLimit() int {
	if p.Subtype == "html" {
		return previewHTML
	}
	return previewPlain
}

// preview returns the preview of a part whose body begins with raw.
func (p *Part) preview(raw []byte) string {
	mem := scratches.Get().(*scratch)
	defer scratches.Put(mem)
	defer mem.forget()
	var s string
	for _, size := range [...]int{2 << 10, blockSize} { // mostly the first is enough
		r, _ := p.decoder(bytes.NewReader(raw), &mem.decoders)
		charset := p.Param("charset")
		if !isUTF8(charset) {
			r = charsetReader(charset, r)
		}
		n, err := io.ReadFull(r, mem.buf[:size])
		text := mem.buf[:n]
		if err == nil { // there may be more
			text = uncut(text)
		}
		s = strings.ToValidUTF8(decodeCharset("", text), "\ufffd")
		if p.Subtype == "html" {
			s = stripHTML(s)
		}
		if s = shorten(s); n < size || utf8.RuneCountInString(s) == MaxPreview {
			break
		}
	}
	return s
}

// uncut returns a text without the beginning of a character at its end.
func uncut(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// shorten returns a text on one line without what cannot be seen, cut to the
// length of a preview.
func shorten(s string) string {
	var b strings.Builder
	space, n := false, 0
	for _, r := range s {
		switch {
		case r <= ' ' || r == 0x7f:
			space = true
			continue
		case r < utf8.RuneSelf:
		case unicode.IsSpace(r) || unicode.IsControl(r):
			space = true
			continue
		case unicode.Is(unicode.Cf, r) || r == '\u034f':
			continue // such as the soft hyphens and joiners that newsletters are padded with
		}
		if space && n > 0 {
			b.WriteByte(' ')
			n++
		}
		if space = false; n >= MaxPreview {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimRight(b.String(), " ")
}

// stripHTML returns the text between the tags.
func stripHTML(s string) string {
	var b strings.Builder
	quotes := true // until one is never closed
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			i = len(s)
		}
		b.WriteString(html.UnescapeString(s[:i]))
		if s = s[i:]; s == "" {
			break
		}
		if strings.HasPrefix(s, "<!--") {
			_, s, _ = strings.Cut(s, "-->")
			continue
		}
		name := tagName(s[1:])
		if name == "" { // a lone "<"
			b.WriteByte('<')
			s = s[1:]
			continue
		}
		var end int
		if end, quotes = tagEnd(s, quotes); end == 0 {
			break // the tag is cut off
		}
		s = s[end:]
		switch {
		case holdsNoText(name):
			s = afterEnd(s, name)
		case !isInline(name):
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// tagName returns the name of the tag that s begins with, after its "<", in lower
// case, without the "/" of an end tag; "!" for declarations.
func tagName(s string) string {
	switch {
	case s == "":
		return ""
	case s[0] == '!' || s[0] == '?':
		return "!"
	case s[0] == '/':
		if s = s[1:]; s == "" || !isLetter(s[0]) {
			return "!"
		}
		if name := tagName(s); !holdsNoText(name) {
			return name
		}
		return "!" // an end without its beginning
	}
	n := 0
	for n < len(s) && (isLetter(s[n]) || n > 0 && '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return lower(s[:n])
}

// holdsNoText reports whether what is inside of an element is not shown.
func holdsNoText(name string) bool {
	switch name {
	case "style", "script", "head", "title", "template":
		return true
	}
	return false
}

// isInline reports whether an element may stand inside of a word.
func isInline(name string) bool {
	switch name {
	case "a", "b", "i", "u", "s", "em", "strong", "span", "font", "small", "big", "sub", "sup", "code", "tt", "abbr", "mark", "wbr":
		return true
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// tagEnd returns where the tag at the beginning of s ends, 0 if it does not. A
// ">" between quotes does not end it, unless a quote is never closed.
func tagEnd(s string, quotes bool) (end int, still bool) {
	if quotes {
		quote := byte(0)
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case quote == 0 && c == '>':
				return i + 1, true
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case c == quote:
				quote = 0
			}
		}
	}
	return strings.IndexByte(s, '>') + 1, false
}

// afterEnd returns what follows the end tag of an element whose content is not
// text, or nothing.
func afterEnd(s, name string) string {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return ""
		}
		s = s[i+2:]
		if rest, ok := cutPrefixFold(s, name); ok && (rest == "" || !isLetter(rest[0])) {
			_, rest, _ = strings.Cut(rest, ">")
			return rest
		}
	}
}

// MakePreview makes the preview of a message that was stored without one
// ([Message.HasPreview]). open returns n octets of the mail from off on; it is
// called for each part that is tried, up to 32 KiB.
func (m *Message) MakePreview(ctx context.Context, open func(off, n int64) (io.ReadCloser, error)) (string, error) {
	text, tried := "", 0
	var walk func(p *Part) error
	walk = func(p *Part) error {
		for _, c := range p.Children {
			if err := walk(c); err != nil {
				return err
			}
		}
		if text != "" || tried == previewParts || !p.previews() {
			return ctx.Err()
		}
		tried++
		r, err := open(p.BodyOffset, min(p.BodySize, int64(p.previewLimit())))
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(r)
		text = p.preview(raw)
		return errors.Join(err, r.Close())
	}
	if err := walk(m.Root); err != nil {
		return "", fmt.Errorf("message: preview: %w", err)
	}
	return text, nil
}

// badPreview reports whether a stored preview is none that a scanner makes.
func badPreview(s string) bool {
	space := true // was the last character, and none may be the first
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' && !space:
			space = true
		case ' ' < c && c < 0x7f:
			space = false
		case c >= utf8.RuneSelf:
			return badText(s)
		default:
			return true
		}
	}
	return len(s) > MaxPreview || space && s != ""
}

// badText is badPreview for any text.
func badText(s string) bool {
	return utf8.RuneCountInString(s) > MaxPreview || !utf8.ValidString(s) || shorten(s) != s
}
