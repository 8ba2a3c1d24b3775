package imapadapter

import (
	"context"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/mailbox"
)

// TestFlagsThatCannotBeWritten drops what would leave half a line in the engine's
// buffer.
func TestFlagsThatCannotBeWritten(t *testing.T) {
	in := []string{`\Seen`, "ok", "", `\`, "a b", "a]", `a\b`, "ü", "x(", "$Label", "a\r\nb"}
	assert.Equal(t, []imap.Flag{`\Seen`, "ok", "$Label"}, flags(in))
}

func TestCopyDataOfNothing(t *testing.T) {
	assert.Nil(t, copyData(mailbox.Copied{UIDValidity: 1}))
}

// TestIdleThatComesTooLate starts Idle after its command has ended: the engine
// starts a goroutine for it and may be done with the command before that runs.
// It must do nothing, or it would write into the next command's answer.
func TestIdleThatComesTooLate(t *testing.T) {
	s := newSession(&New(&Options{Authenticate: noLogin}).o, nil)
	s.view = new(mailbox.View)
	stop := make(chan struct{})
	s.mu.Lock() // the next command is at work
	done := make(chan error, 1)
	go func() { done <- s.Idle((*imapserver.UpdateWriter)(nil), stop) }()
	close(stop)
	s.mu.Unlock()
	assert.NoError(t, <-done)
}

func noLogin(context.Context, string, []byte) (*mailbox.Account, error) {
	return nil, mailbox.ErrAuth
}
