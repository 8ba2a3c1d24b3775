package guard

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

func TestMendSearch(t *testing.T) {
	for in, want := range map[string]string{
		"a SEARCH SMALLER 300 LARGER 100\r\n":                 "a SEARCH NOT LARGER 299 LARGER 100\r\n",
		"a UID SEARCH or smaller 5 (SMALLER 7 SEEN)\r\n":      "a UID SEARCH or NOT LARGER 4 (NOT LARGER 6 SEEN)\r\n",
		"a SEARCH NOT SMALLER 1 SINCE 1-Jan-2020\r\n":         "a SEARCH NOT NOT LARGER 0 SINCE 1-Jan-2020\r\n",
		"a SEARCH HEADER smaller 5 SMALLER 6\r\n":             "a SEARCH HEADER smaller 5 NOT LARGER 5\r\n",
		"a SEARCH SUBJECT SMALLER 7\r\n":                      "a SEARCH SUBJECT SMALLER 7\r\n",
		"a SEARCH TEXT \"SMALLER 7 \\\" SMALLER 8\" SEEN\r\n": "a SEARCH TEXT \"SMALLER 7 \\\" SMALLER 8\" SEEN\r\n",
		"smaller SEARCH KEYWORD SMALLER SMALLER 9\r\n":        "smaller SEARCH KEYWORD SMALLER NOT LARGER 8\r\n",
		"a SEARCH SMALLER 0 SEEN\r\n":                         "a SEARCH SMALLER 0 SEEN\r\n",
		"a SEARCH SMALLER x\r\n":                              "a SEARCH SMALLER x\r\n",
		"a SEARCH SMALLER 99999999999999999999\r\n":           "a SEARCH SMALLER 99999999999999999999\r\n",
	} {
		c := &frame.Command{Name: "SEARCH", Text: []byte(in), Cuts: []int{len(in)}}
		if in[2:5] == "UID" {
			c.Name = "UID SEARCH"
		}
		mendSearch(c)
		require.Equal(t, want, string(c.Text))
		require.Equal(t, []int{len(want)}, c.Cuts)
	}
}

// A literal is an argument, whatever is in it.
func TestMendSearchLeavesLiterals(t *testing.T) {
	// An empty literal is two lines in a row.
	pieces := []string{"a SEARCH SMALLER 9 BODY {10+}\r\n", "SMALLER 5 ", " SMALLER 8 SUBJECT {0+}\r\n", " SMALLER 7\r\n"}
	wants := []string{"a SEARCH NOT LARGER 8 BODY {10+}\r\n", "SMALLER 5 ", " NOT LARGER 7 SUBJECT {0+}\r\n", " NOT LARGER 6\r\n"}
	c := &frame.Command{Name: "SEARCH"}
	for _, p := range pieces {
		c.Text = append(c.Text, p...)
		c.Cuts = append(c.Cuts, len(c.Text))
	}
	mendSearch(c)
	begin := 0
	for i, want := range wants {
		require.Equal(t, want, string(c.Text[begin:c.Cuts[i]]))
		begin = c.Cuts[i]
	}
}
