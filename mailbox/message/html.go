package message

import (
	"html"
	"strings"
)

// htmlText finds the text between the tags of HTML that is written to it in pieces.
type htmlText struct {
	held    string // the beginning of a tag, an entity or an end tag that is not complete
	skip    string // the element whose content is passed over, or "!--" in a comment
	quotes  bool   // a ">" between quotes does not end a tag; until one is never closed
	tagLost bool   // inside of a tag that is too long
}

// maxTag is how long a tag or an entity may be, in octets.
const maxTag = 8 << 10

// write passes the text of the next piece on. final says that it is the last.
func (h *htmlText) write(out *shortener, s string, final bool) {
	s = h.held + s
	h.held = ""
	for s != "" && !out.full() {
		rest, ok := h.next(out, s, final)
		if !ok {
			if !final {
				h.hold(rest)
			}
			return
		}
		s = rest
	}
}

// hold keeps what is incomplete, if it is not too long to be what it seems.
func (h *htmlText) hold(s string) {
	if len(s) > maxTag {
		h.tagLost, h.quotes = s[0] == '<', false
		return
	}
	h.held = s
}

// next reads text up to the next tag, a tag, or the end of what is passed over, and
// returns what follows. ok is not set if it is not complete.
func (h *htmlText) next(out *shortener, s string, final bool) (rest string, ok bool) {
	switch {
	case h.tagLost:
		_, rest, found := strings.Cut(s, ">")
		h.tagLost = !found
		return rest, true
	case h.skip == "!--":
		return h.endComment(s)
	case h.skip != "":
		return h.endElement(s, final)
	}
	i := strings.IndexByte(s, '<')
	if i > 0 {
		out.write([]byte(html.UnescapeString(s[:i])))
		return s[i:], true
	}
	if i < 0 {
		cut := len(s)
		if amp := strings.LastIndexByte(s, '&'); !final && amp >= 0 && len(s)-amp < 32 && !strings.Contains(s[amp:], ";") {
			cut = amp
		}
		out.write([]byte(html.UnescapeString(s[:cut])))
		return s[cut:], cut == len(s)
	}
	return h.tag(out, s, final)
}

// tag reads the tag, the comment or the lone "<" that s begins with.
func (h *htmlText) tag(out *shortener, s string, final bool) (rest string, ok bool) {
	const comment = "<!--"
	switch {
	case strings.HasPrefix(s, comment):
		h.skip = "!--"
		return s[len(comment):], true
	case !final && (strings.HasPrefix(comment, s) || s == "</"):
		return s, false
	}
	name := tagName(s[1:])
	if name == "" {
		out.write([]byte{'<'})
		return s[1:], true
	}
	end, quotes := tagEnd(s, h.quotes)
	if (end == 0 || h.quotes && !quotes) && !final && len(s) <= maxTag {
		return s, false // a quote may yet be closed
	}
	h.quotes = quotes
	switch {
	case end == 0:
		return s, false
	case holdsNoText(name):
		h.skip = name
	case !isInline(name):
		out.write([]byte{' '})
	}
	return s[end:], true
}

// endComment passes over a comment.
func (h *htmlText) endComment(s string) (rest string, ok bool) {
	_, rest, found := strings.Cut(s, "-->")
	if !found {
		return s[max(0, len(s)-2):], false
	}
	h.skip = ""
	return rest, true
}

// endElement passes over the content of an element, up to its end tag.
func (h *htmlText) endElement(s string, final bool) (rest string, ok bool) {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return s[max(0, len(s)-1):], false
		}
		tail, named := cutPrefixFold(s[i+2:], h.skip)
		gt := strings.IndexByte(tail, '>')
		switch {
		case len(s)-i-2 <= len(h.skip) && !final:
			return s[i:], false
		case !named || tail != "" && isLetter(tail[0]):
			s = s[i+2:]
		case gt < 0:
			return s[i:], false
		default:
			h.skip = ""
			return tail[gt+1:], true
		}
	}
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
	for n < len(s) && (isLetter(s[n]) || n > 0 && isDigit(s[n])) {
		n++
	}
	return lower(s[:n])
}

// holdsNoText reports whether what is inside of an element is not shown.
func holdsNoText(name string) bool {
	switch name {
	case "style", "script", "title", "template":
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
