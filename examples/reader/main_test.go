package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// Mail is listed, shown as text without what could change the terminal, searched,
// and told of as it comes.
func TestReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{PollInterval: -1})
	require.NoError(t, err)
	defer store.Close()
	require.NoError(t, store.CreateAccount(ctx, "ann", []byte("secret")))
	account, err := store.Login(ctx, "ann", []byte("secret"))
	require.NoError(t, err)
	defer account.Close()
	first := "From: =?utf-8?q?J=C3=B6rg?= <j@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\x1b[2J\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nIt =\r\nworks.=1B[31m\r\n"
	_, err = account.Append(ctx, mailbox.Inbox, strings.NewReader(first), mailbox.AppendOptions{})
	require.NoError(t, err)

	in, typed := io.Pipe()
	shown, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		r := &reader{account: account, out: out}
		done <- r.loop(ctx, in)
		out.Close()
	}()
	lines := bufio.NewScanner(shown)
	line := func() string {
		require.True(t, lines.Scan(), "another line")
		return lines.Text()
	}
	say := func(s string) {
		_, err := io.WriteString(typed, s+"\n")
		require.NoError(t, err)
	}
	got := line()
	assert.Regexp(t, `^N     1  \d{4}-\d\d-\d\d \d\d:\d\d  Jörg                  Grüße\[2J$`, got)
	say("1")
	assert.Equal(t, "Subject: Grüße[2J", line())
	line()
	line()
	assert.Equal(t, "It works.[31m", line())
	require.NoError(t, store.Deliver(ctx, []mailbox.Recipient{{Account: "ann"}}, strings.NewReader("Subject: second\r\n\r\nx\r\n"))[0])
	assert.Contains(t, line(), "second", "it is told of without being asked")
	say("? WORKS")
	assert.Regexp(t, `^      1 `, line(), "seen by now")
	say("9")
	assert.Equal(t, "no such message", line())
	say("f nowhere")
	assert.Equal(t, "no such mailbox", line())
	say("what?")
	assert.Contains(t, line(), "searches")
	say("q")
	require.NoError(t, <-done)
}

// Without a store or an account it says how it is called, and asks for no password.
func TestUsage(t *testing.T) {
	assert.ErrorContains(t, run(t.Context(), t.TempDir(), ""), "usage")
	assert.ErrorContains(t, run(t.Context(), "", "ann"), "usage")
}
