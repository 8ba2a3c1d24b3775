package lmtpadapter

import (
	"net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, tc := range []struct {
		in   string // as the engine hands it over: local part unquoted
		want string // as it is written in a header; "" if it is refused
	}{
		{"alice@example.org", "alice@example.org"},
		{"alice@example.org.", "alice@example.org"},
		{"Alice+Tag=x/y@EXAMPLE.org", "Alice+Tag=x/y@EXAMPLE.org"},
		{"o'brien&sons@ex_ample.org", "o'brien&sons@ex_ample.org"},
		{"a b@example.org", `"a b"@example.org`},
		{"a@b@example.org", `"a@b"@example.org`},
		{`a"b\c@example.org`, `"a\"b\\c"@example.org`},
		{"a..b@docomo.example", `"a..b"@docomo.example`},
		{".a@example.org", `".a"@example.org`},
		{"<x>,(y):;[z]@example.org", `"<x>,(y):;[z]"@example.org`},
		{"alice@[192.0.2.1]", "alice@[192.0.2.1]"},
		{"alice@[IPv6:2001:db8::1]", "alice@[IPv6:2001:db8::1]"},
		{"grüße@bücher.example", "grüße@bücher.example"},
		{"用户@例子.广告", "用户@例子.广告"},
		{"a\u00a0b@example.org", "\"a\u00a0b\"@example.org"},
		{strings.Repeat("l", 200) + "@example.org", strings.Repeat("l", 200) + "@example.org"},

		{"", ""},
		{"alice", ""},
		{"@example.org", ""},
		{"alice@", ""},
		{"alice@.", ""},
		{"alice@example..org", ""},
		{"alice@.example.org", ""},
		{"alice@exa mple.org", ""},
		{"alice@example.org\r\nBcc: x", ""},
		{"al\rice@example.org", ""},
		{"al\x00ice@example.org", ""},
		{"al\x7fice@example.org", ""},
		{"al\u0085ice@example.org", ""},
		{"al\xffice@example.org", ""},
		{"alice@exam\xffple.org", ""},
		{"alice@<example>.org", ""},
		{"alice@[192.0.2.1", ""},
		{"alice@[]", ""},
		{"alice@[1]2]", ""},
		{"alice@" + long + "x.org", ""},
		{"alice@" + long + "." + long + "." + long + "." + long + ".org", ""},
		{strings.Repeat("l", 501) + "@example.org", ""},
		{strings.Repeat(`"`, 251) + "@example.org", ""},
	} {
		a, err := parseAddress(tc.in)
		if tc.want == "" {
			require.ErrorIs(t, err, errAddress, "%q", tc.in)
			if tc.in != "" {
				assert.NotContains(t, err.Error(), tc.in)
			}
			continue
		}
		require.NoError(t, err, "%q", tc.in)
		assert.Equal(t, tc.want, a.String(), "%q", tc.in)
	}
	assert.Equal(t, "", address{}.String(), "null sender")
}

// FuzzAddress holds what parseAddress accepts against another reader of
// addresses: written and read again it is the same, and it is safe in a header.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"alice@example.org", `a"b\c d@example.org`, "a@b@[IPv6:::1]", "用户@例子.广告", "x\r\ny@z", "a\u2028b@c.d", "\xff@a", "..@a.", "a@b_c-.d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if err != nil {
			return
		}
		w := a.String()
		require.LessOrEqual(t, len(w), maxAddress)
		for i := 0; i < len(w); i++ {
			require.False(t, w[i] < ' ' || w[i] == 0x7f, "byte %d of %q", i, w)
		}
		again, err := mail.ParseAddress("<" + w + ">")
		if strings.HasSuffix(w, "]") {
			return // net/mail takes IP addresses only
		}
		require.NoError(t, err, "%q", w)
		require.Equal(t, a.plain(), again.Address)
	})
}
