package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNotifyArguments(t *testing.T) {
	read := func(text string) *Notify {
		p := NewParser([]byte(text + "\r\n"))
		n := p.Notify()
		require.NoError(t, p.End(), text)
		return n
	}
	require.Equal(t, &Notify{None: true}, read(" none"))
	n := read(" SET STATUS (selected-delayed (MessageNew (UID FLAGS) MessageExpunge)) (subtree (a \"b c\") NONE) (mailboxes INBOX (FlagChange))")
	require.True(t, n.Status)
	require.Equal(t, []NotifyGroup{
		{Filter: "SELECTED-DELAYED", Events: []string{"MESSAGENEW", "MESSAGEEXPUNGE"}, Fetch: &Fetch{UID: true, Flags: true}},
		{Filter: "SUBTREE", Mailboxes: []string{"a", "b c"}},
		{Filter: "MAILBOXES", Mailboxes: []string{"INBOX"}, Events: []string{"FLAGCHANGE"}},
	}, n.Groups)
	require.True(t, read(" SET (personal (ServerMetadataChange))").Groups[0].Unknown)
	for _, bad := range []string{
		"", " ", " SET", " SET STATUS", " SET ()", " SET (personal)", " SET (personal ())", " SET (mailboxes (FlagChange))", " SET (subtree () NONE)",
		" SET (personal (MessageNew ()))", " SET (personal NONE", " SET (personal NONE) x", " NONE x", " SET" + strings.Repeat(" (personal NONE)", maxNotifyGroups+1),
	} {
		assert.NotEmpty(t, parse(bad, func(p *Parser) { p.Notify() }), "%q", bad)
	}
}
