package archive

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The names of IMAP's mailboxes in modified UTF-7 (RFC 3501 section 5.1.3), which
// Maildir++ has in its folders' names.

var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

var errUTF7 = errors.New("not modified UTF-7")

// decodeUTF7 returns a name in UTF-8.
func decodeUTF7(s string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "&")
		out.WriteString(before)
		if !found {
			break
		}
		code, after, closed := strings.Cut(rest, "-")
		if !closed {
			return "", errUTF7
		}
		s = after
		if code == "" {
			out.WriteByte('&')
			continue
		}
		b, err := utf7.Strict().DecodeString(code)
		if err != nil || len(b)%2 != 0 {
			return "", errUTF7
		}
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		for _, r := range utf16.Decode(units) {
			if r == utf8.RuneError {
				return "", errUTF7
			}
			out.WriteRune(r)
		}
	}
	if !utf8.ValidString(out.String()) {
		return "", errUTF7
	}
	return out.String(), nil
}

// encodeUTF7 returns a name in modified UTF-7, with the characters of also encoded
// too.
func encodeUTF7(s, also string) string {
	var out strings.Builder
	var run []rune
	flush := func() {
		if len(run) == 0 {
			return
		}
		var b []byte
		for _, u := range utf16.Encode(run) {
			b = binary.BigEndian.AppendUint16(b, u)
		}
		out.WriteString("&" + utf7.EncodeToString(b) + "-")
		run = nil
	}
	for _, r := range s {
		switch {
		case r < ' ' || r > '~' || strings.ContainsRune(also, r):
			run = append(run, r)
		case r == '&':
			flush()
			out.WriteString("&-")
		default:
			flush()
			out.WriteRune(r)
		}
	}
	flush()
	return out.String()
}

// fileName returns one level of a mailbox's name as the name of a file, on any
// system: "%" and two hexadecimal digits stand for a byte. Mailboxes have no "%".
func fileName(level string) string {
	var out strings.Builder
	for i := range len(level) {
		c := level[i]
		first, last := i == 0, i == len(level)-1
		if c < ' ' || strings.IndexByte(`%<>:"/\|?*`, c) >= 0 || c == '.' && (first || last) || c == ' ' && last {
			fmt.Fprintf(&out, "%%%02X", c)
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// levelName returns what fileName made a file's name of. What it did not make is
// left alone.
func levelName(file string) string {
	var out []byte
	for i := 0; i < len(file); i++ {
		var c byte
		if file[i] == '%' && i+2 < len(file) {
			if n, _ := fmt.Sscanf(file[i+1:i+3], "%02X", &c); n == 1 && fmt.Sprintf("%02X", c) == file[i+1:i+3] {
				out = append(out, c)
				i += 2
				continue
			}
		}
		out = append(out, file[i])
	}
	return string(out)
}
