package blob_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
)

func TestCheckName(t *testing.T) {
	seg := strings.Repeat("s", blob.MaxSegment)
	longest := seg + "/" + seg + "/" + seg + "/" + seg[:blob.MaxName-3*(blob.MaxSegment+1)]
	require.Len(t, longest, blob.MaxName)
	for _, c := range []struct {
		name, want string // want is "" for a valid name, or part of the error
	}{
		{"a", ""},
		{"0", ""},
		{"-", ""},
		{"_", ""},
		{"log/0000000001", ""},
		{"a/b/c", ""},
		{"a.b", ""},
		{"a..b", ""},
		{"a.", ""},
		{"az09._-", ""},
		{seg, ""},
		{seg + "/" + seg, ""},
		{longest, ""},
		{"", "empty name"},
		{longest + "x", "name of 513 bytes is longer than 512"},
		{seg + "s", "segment of 129 bytes at 0"},
		{"ab/" + seg + "s", "segment of 129 bytes at 3"},
		{"ab/" + seg + "s/c", "segment of 129 bytes at 3"},
		{"/", "segment of 0 bytes at 0"},
		{"/a", "segment of 0 bytes at 0"},
		{"a/", "segment of 0 bytes at 2"},
		{"a//b", "segment of 0 bytes at 2"},
		{".", `byte '.' at 0`},
		{"..", `byte '.' at 0`},
		{".a", `byte '.' at 0`},
		{"a/.b", `byte '.' at 2`},
		{"a/../b", `byte '.' at 2`},
		{"A", `byte 'A' at 0`},
		{"aZ", `byte 'Z' at 1`},
		{"a b", `byte ' ' at 1`},
		{"a\x00", `byte '\x00' at 1`},
		{"a\\b", `byte '\\' at 1`},
		{"a:b", `byte ':' at 1`},
		{"a`", "byte '`' at 1"},
		{"a{", `byte '{' at 1`},
		{"\xff", `at 0 is not allowed`},
		{"é", `at 0 is not allowed`},
	} {
		err := blob.CheckName(c.name)
		if c.want == "" {
			assert.NoError(t, err, "%q", c.name)
			continue
		}
		assert.ErrorContains(t, err, c.want, "%q", c.name)
	}
}

// FuzzCheckName compares CheckName with the rule written as a regular expression.
func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{
		"", "a", "log/0001", "a/.b", "../a", "a//b", "/", "A", "a.b-c_d/e", "\xff\x00", "é",
		strings.Repeat("s", blob.MaxSegment+1), strings.Repeat("d/", 256), strings.Repeat("d/", 255) + "d",
	} {
		f.Add(seed)
	}
	valid := regexp.MustCompile(`^[a-z0-9_-][a-z0-9._-]{0,127}(/[a-z0-9_-][a-z0-9._-]{0,127})*$`)
	f.Fuzz(func(t *testing.T, name string) {
		want := len(name) <= blob.MaxName && valid.MatchString(name)
		err := blob.CheckName(name)
		if (err == nil) != want {
			t.Fatalf("CheckName(%q) = %v, want valid = %v", name, err, want)
		}
		if err != nil && len(err.Error()) > 5*blob.MaxName {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
	})
}
