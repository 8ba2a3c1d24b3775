package message

import (
	"iter"
	"strings"
)

// isTrace reports whether a field holds a signature or the result of a check by a mail
// system: values that nobody looks for by SEARCH TEXT and that outweigh the rest of a
// header. They are those of RFC 6376, 8617, 8601, 7208 and 4870, and variants that
// begin with "X-".
func isTrace(name string) bool {
	if arc, ok := cutPrefixFold(name, "arc-"); ok && arc != "" {
		return true
	}
	for _, s := range [...]string{"dkim-signature", "authentication-results", "domainkey-signature", "received-spf"} {
		if before, ok := cutSuffixFold(name, s); ok {
			_, variant := cutPrefixFold(before, "x-")
			return before == "" || variant
		}
	}
	return false
}

// isAddressField reports whether a field has a list of addresses (RFC 5322 sections
// 3.6.2, 3.6.3, 3.6.6).
func isAddressField(name string) bool {
	for _, s := range [...]string{"from", "sender", "reply-to", "to", "cc", "bcc"} {
		n := len(name) - len(s)
		if n >= 0 && strings.EqualFold(name[n:], s) && (n == 0 || strings.EqualFold(name[:n], "resent-")) {
			return true
		}
	}
	return false
}

// addressText returns addresses of a field as a reader sees them, "Name <ann@b.example>":
// those that do not stand so in its decoded text, because comments, folds, blanks or
// quotes are inside of them. It is empty if there are none.
func addressText(name, value, decoded, charset string) string {
	if !isAddressField(name) || !hidesAddress(decoded) {
		return ""
	}
	comments := strings.Contains(decoded, "(")
	var b strings.Builder
	for _, a := range ParseAddresses(strings.TrimLeft(Unfold(value), ": \t")) {
		shown := a.Mailbox + "@" + a.Host
		if a.Host == "" || !comments && strings.Contains(decoded, shown) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(decodeHeader(a.Name, charset) + " <" + shown + ">")
	}
	return b.String()
}

// hidesAddress reports whether the text of an address field may hold an address that is
// written with something inside of it.
func hidesAddress(text string) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(', '\\':
			return true
		case '@', '.':
			if i > 0 && strings.IndexByte(" \t\"", text[i-1]) >= 0 || i+1 < len(text) && strings.IndexByte(" \t", text[i+1]) >= 0 {
				return true
			}
		}
	}
	return false
}

// SearchTexts yields the texts in which SEARCH looks for a needle in the fields of a
// name (RFC 9051 section 6.4.4): the decoded value of each, and of address fields also
// the addresses without comments and blanks inside of them.
func (h Header) SearchTexts(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n, v := range h.Fields() {
			if !strings.EqualFold(n, name) {
				continue
			}
			text := h.Decode(Unfold(v))
			if !yield(text) {
				return
			}
			if more := addressText(n, v, text, h.label(text)); more != "" && !yield(more) {
				return
			}
		}
	}
}
