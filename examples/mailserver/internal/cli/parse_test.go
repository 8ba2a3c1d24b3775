package cli

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseTakesFlagsAnywhere(t *testing.T) {
	for _, line := range []string{
		"-s x -b one two", "one -s x two -b", "one two -b -s x", "-b one -s=x two", "-b -s x one -- two", "--s x --b -- one two",
	} {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		s, b := fs.String("s", "", ""), fs.Bool("b", false, "")
		names, err := Parse(fs, strings.Fields(line))
		require.NoError(t, err, line)
		assert.Equal(t, []string{"one", "two"}, names, line)
		assert.Equal(t, "x", *s, line)
		assert.True(t, *b, line)
	}

	fs := flag.NewFlagSet("", flag.ContinueOnError)
	names, err := Parse(fs, []string{"one", "--", "-s", "--"})
	require.NoError(t, err)
	assert.Equal(t, []string{"one", "-s", "--"}, names)

	fs.SetOutput(io.Discard)
	_, err = Parse(fs, []string{"one", "-unknown"})
	require.Error(t, err)
}
