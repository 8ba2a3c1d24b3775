package state

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Names that look alike are one name: what macOS sends in NFD, and what others send in
// NFC (RFC 9051 section 5.1).
func TestNamesAreNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"Cafe\u0301":           "Café",
		"Café":                 "Café",
		"\u1100\u1161\u11a8/x": "각/x",
		"inbox/A\u030a":        "INBOX/Å",
		"\u212b":               "Å",
	} {
		got, err := CanonicalName(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
