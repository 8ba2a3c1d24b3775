package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxSubject is how much of a subject is looked at for its base, in octets.
const maxSubject = 4 << 10

// BaseSubject returns what of a subject its conversation shares (RFC 5256 section
// 2.1): without "Re:", "Fwd:", "[list]" and "(fwd)" around it, each run of blanks one
// space. reply says that one of these marked it as a reply or as forwarded. decoded is
// the text of a Subject field as [Header.Decode] returns it.
func BaseSubject(decoded string) (base string, reply bool) {
	s := strings.Join(strings.Fields(decoded[:min(len(decoded), maxSubject)]), " ")
	for {
		for {
			rest, ok := cutSuffixFold(s, "(fwd)")
			if !ok {
				break
			}
			s, reply = strings.TrimRight(rest, " "), true
		}
		for {
			s = strings.TrimLeft(s, " ")
			if rest, ok := cutLeader(s); ok {
				s, reply = rest, true
				continue
			}
			break
		}
		// A blob is only taken off where something stays. No mark follows them: it
		// would have been found with blobs before it.
		for rest, ok := cutBlob(s); ok && rest != ""; rest, ok = cutBlob(s) {
			s = rest
		}
		rest, ok := cutPrefixFold(s, "[fwd:")
		if !ok || !strings.HasSuffix(rest, "]") {
			return s, reply
		}
		s, reply = strings.TrimRight(strings.TrimSuffix(rest, "]"), " "), true
	}
}

// cutLeader cuts blobs and a mark such as "Re:" or "FW [x]:" from the beginning.
func cutLeader(s string) (string, bool) {
	for {
		rest, ok := cutBlob(s)
		if !ok {
			break
		}
		s = rest
	}
	for _, mark := range [...]string{"re", "fwd", "fw"} {
		rest, ok := cutPrefixFold(s, mark)
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " ")
		if after, ok := cutBlob(rest); ok {
			rest = after
		}
		if after, ok := strings.CutPrefix(rest, ":"); ok {
			return after, true
		}
	}
	return s, false
}

// cutBlob cuts "[...]" and the blanks after it from the beginning.
func cutBlob(s string) (string, bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]") + 1
	if end == 0 || s[end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+1:], " "), true
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

func cutSuffixFold(s, suffix string) (string, bool) {
	at := len(s) - len(suffix)
	if at < 0 || !strings.EqualFold(s[at:], suffix) {
		return s, false
	}
	return s[:at], true
}

// Collate returns a text in the form in which sorting compares texts, byte by
// byte: i;unicode-casemap (RFC 5051 section 2). Letters are in title case, so that "_"
// and "[" are behind them, and characters are decomposed.
func Collate(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] < utf8.RuneSelf
	}
	s = strings.Map(unicode.ToTitle, s)
	if plain {
		return s
	}
	return norm.NFKD.String(s)
}

// AppendMessageIDs appends the message IDs in the text of a References,
// In-Reply-To or Message-ID field to a list, without angle brackets, quotes and
// comments, at most as many as asked for. A quoted local part is the same as one
// without quotes (RFC 5256 section 3).
func AppendMessageIDs(list []string, text string, most int) []string {
	for most > 0 {
		start := strings.IndexByte(text, '<')
		if start < 0 {
			break
		}
		text = text[start+1:]
		end := strings.IndexAny(text, "<>")
		if end < 0 {
			break
		}
		id, closed := text[:end], text[end] == '>'
		text = text[end:]
		if !closed {
			continue
		}
		if id = cleanID(id); id != "" {
			list = append(list, id)
			most--
		}
	}
	return list
}

// maxMessageID bounds a message ID that is compared with others, in octets; RFC
// 5322 lets a line have 998.
const maxMessageID = 998

// cleanID returns a message ID without blanks and quotes, or the empty string if
// it is none.
func cleanID(id string) string {
	if strings.ContainsAny(id, " \t\r\n\"\\") {
		var b strings.Builder
		for i := 0; i < len(id); i++ {
			switch c := id[i]; c {
			case ' ', '\t', '\r', '\n', '"':
			case '\\':
				if i++; i < len(id) {
					b.WriteByte(id[i])
				}
			default:
				b.WriteByte(c)
			}
		}
		id = b.String()
	}
	if at := strings.IndexByte(id, '@'); at < 0 || len(id) > maxMessageID {
		return ""
	}
	return id
}
