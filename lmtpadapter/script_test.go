package lmtpadapter

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestScripts plays the conversations of testdata/scripts. Their lines are:
//
//	# a comment
//	O: an option and its value, before anything else (see scriptOption)
//	C: a line that the client sends, with CR LF
//	X: a quoted Go string that the client sends as it is
//	S: a line that the server must send; '*' stands for anything
//	E: the server closes the connection
//	M: account|folder|a quoted Go string: a message that must be in the store, in
//	   order, behind our header lines. No other may be there.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 10, "scripts are missing")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			playScript(t, string(text))
		})
	}
}

func playScript(t *testing.T, text string) {
	store := newFakeStore("alice@example.org", "bob@example.org", "carol", "c++@example.org")
	store.accounts["ill@example.org"] = assert.AnError
	store.fail["bob@example.org"] = assert.AnError
	o := Options{Domain: "mx.example.org"}
	var k *talk
	var want []fakeMail
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		require.Greater(t, len(line), 1, "line %d", i+1)
		kind, arg := line[:2], strings.TrimPrefix(line[2:], " ")
		if k == nil && kind != "O:" {
			k = start(t, o, store).dial(t)
		}
		switch kind {
		case "O:":
			scriptOption(t, &o, store, arg)
		case "C:":
			k.send(arg + "\r\n")
		case "X:":
			s, err := strconv.Unquote(arg)
			require.NoError(t, err, "line %d", i+1)
			k.send(s)
		case "S:":
			got := k.expect("")
			pattern := strings.ReplaceAll(regexp.QuoteMeta(arg), `\*`, ".*")
			require.Regexp(t, "^"+pattern+"$", got, "line %d", i+1)
		case "E:":
			k.end()
		case "M:":
			part := strings.SplitN(arg, "|", 3)
			require.Len(t, part, 3, "line %d", i+1)
			body, err := strconv.Unquote(part[2])
			require.NoError(t, err, "line %d", i+1)
			want = append(want, fakeMail{account: part[0], folder: part[1], body: []byte(body)})
		default:
			t.Fatalf("line %d: unknown kind %q", i+1, kind)
		}
	}
	require.NotNil(t, k, "the script says nothing")
	var got []fakeMail
	for _, m := range store.got() {
		assert.Regexp(t, "^Return-Path: <.*>\r\nDelivered-To: .*\r\nReceived: from ", m.prefix)
		m.prefix = ""
		got = append(got, m)
	}
	assert.Equal(t, want, got)
}

func scriptOption(t *testing.T, o *Options, store *fakeStore, arg string) {
	name, value, _ := strings.Cut(arg, " ")
	switch name {
	case "MaxMessage":
		n, err := strconv.ParseInt(value, 10, 64)
		require.NoError(t, err)
		o.MaxMessage = n
	case "MaxRecipients":
		n, err := strconv.Atoi(value)
		require.NoError(t, err)
		o.MaxRecipients = n
	case "Domains":
		o.Domains = strings.Fields(value)
	case "StoreFails":
		store.fail[value] = assert.AnError
	default:
		t.Fatalf("unknown option %q", name)
	}
}
