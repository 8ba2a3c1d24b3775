package lmtpadapter

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of addresses. RFC 5321 section 4.5.3.1 asks for 64 bytes of local part
// and 255 of domain and allows more; forwarders that fold a whole address into a
// local part (SRS, VERP, BATV) need more. The limit of the whole keeps our
// header lines under the 998 bytes of RFC 5322 section 2.1.1.
const (
	maxAddress = 512 // bytes, as written in a header
	maxDomain  = 255
	maxLabel   = 63
)

var errAddress = errors.New("address is not allowed")

// address is an envelope address taken apart. The zero address is the null
// sender.
type address struct {
	local  string // unquoted
	domain string // as it was written, without a dot at its end
}

// parseAddress reads an address as go-smtp hands it over: with the quotes of the
// local part taken off. The engine checks little, so this is where control
// characters, broken UTF-8, odd domains and overlong addresses are refused.
// Errors do not repeat the address.
func parseAddress(s string) (address, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 1 {
		return address{}, fmt.Errorf("%w: it has no local part or no domain", errAddress)
	}
	a := address{local: s[:at], domain: strings.TrimSuffix(s[at+1:], ".")}
	if !utf8.ValidString(s) {
		return address{}, fmt.Errorf("%w: it is not UTF-8", errAddress)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return address{}, fmt.Errorf("%w: it holds a control character", errAddress)
	}
	if err := checkDomain(a.domain); err != nil {
		return address{}, err
	}
	if n := len(a.String()); n > maxAddress {
		return address{}, fmt.Errorf("%w: %d bytes are more than %d", errAddress, n, maxAddress)
	}
	return a, nil
}

// checkDomain takes a host name, also one in UTF-8 (RFC 6531), or an address
// literal (RFC 5321 section 4.1.3). An underscore is let through: hosts have it.
func checkDomain(d string) error {
	if len(d) == 0 || len(d) > maxDomain {
		return fmt.Errorf("%w: domain of %d bytes, want 1 to %d", errAddress, len(d), maxDomain)
	}
	if d[0] == '[' && d[len(d)-1] == ']' && len(d) > 2 {
		if strings.IndexFunc(d[1:len(d)-1], notLiteral) >= 0 {
			return fmt.Errorf("%w: malformed address literal", errAddress)
		}
		return nil
	}
	for label := range strings.SplitSeq(d, ".") {
		if n := len(label); n == 0 || n > maxLabel || strings.IndexFunc(label, notLabel) >= 0 {
			return fmt.Errorf("%w: malformed domain", errAddress)
		}
	}
	return nil
}

func notLiteral(r rune) bool {
	return !isAlnum(r) && r != '.' && r != ':' && r != '-'
}

func notLabel(r rune) bool {
	if r < utf8.RuneSelf {
		return !isAlnum(r) && r != '-' && r != '_'
	}
	return r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.N)
}

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// String writes the address as RFC 5321 section 4.1.2 has it in a path, without
// the angle brackets: the local part is quoted where it must be. The null sender
// is the empty string.
func (a address) String() string {
	if a == (address{}) {
		return ""
	}
	return quoteLocal(a.local) + "@" + a.domain
}

// plain is the address with its local part unquoted.
func (a address) plain() string { return a.local + "@" + a.domain }

func quoteLocal(s string) string {
	if isDotString(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// isDotString is the Dot-string of RFC 5321 section 4.1.2 with the UTF-8 of
// RFC 6531 section 3.3.
func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.IndexFunc(atom, notAtext) >= 0 {
			return false
		}
	}
	return true
}

// notAtext quotes more than it must beyond ASCII: what is neither letter, mark,
// number nor symbol (a wide space, an invisible joiner) is safer in quotes.
func notAtext(r rune) bool {
	if r < utf8.RuneSelf {
		return !isAlnum(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.S)
}
