package imapadapter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// slowMatch is matchName as RFC 9051 section 6.3.9 says it, in exponential time.
func slowMatch(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch pattern[0] {
	case '*', '%':
		if slowMatch(pattern[1:], name) {
			return true
		}
		return name != "" && (pattern[0] == '*' || name[0] != mailbox.Separator) && slowMatch(pattern, name[1:])
	}
	return name != "" && pattern[0] == name[0] && slowMatch(pattern[1:], name[1:])
}

func TestMatchName(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"*", "a/b", true},
		{"%", "a/b", false},
		{"%/%", "a/b", true},
		{"a%", "a/b", false},
		{"a*b", "a/x/b", true},
		{"a%b", "a/b", false},
		{"%b", "ab", true},
		{"*%", "a/b/c", true},
		{"*/%", "a/b/c", true},
		{"inbox", "INBOX", true},
		{"iNbOx/*", "INBOX/a", true},
		{"inbox/A", "INBOX/a", false},
		{"%box", "INBOX", true},
		{"inbox", "inboxes", false},
		{"Inbox", "Inbo", false},
		{"a/inbox", "a/INBOX", false},
	} {
		assert.Equal(t, c.want, matchName(c.pattern, c.name), "%q %q", c.pattern, c.name)
	}
	// Hostile patterns end soon.
	assert.False(t, matchName(strings.Repeat("%*a", 2000), strings.Repeat("a", mailbox.MaxMailboxName)))
	assert.False(t, matchName(strings.Repeat("*a%", 300)+"b", strings.Repeat("a", mailbox.MaxMailboxName)))
}

func FuzzMatchName(f *testing.F) {
	for _, seed := range [][2]string{{"*a%b", "a/xa/yb"}, {"%a%b", "aab"}, {"%/%a", "x/a/a"}, {"*%*", "a"}, {"a%/b*", "ax/b/c"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 8 || len(name) > 10 || strings.HasPrefix(name, mailbox.Inbox) {
			return // the naive matcher would take too long, or knows no INBOX
		}
		assert.Equal(t, slowMatch(pattern, name), matchName(pattern, name), "%q %q", pattern, name)
	})
}

func TestHeaderText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"=?utf-8?q?Caf=C3=A9?=":                "=?utf-8?q?Caf=C3=A9?=", // the engine leaves ASCII alone
		"Gr\xfc\xdfe":                          "Grüße",
		"Grüße =?utf-8?q?=E2=82=AC?=":          "Grüße €",
		"a\tb":                                 "a\tb",
		"nul \x00 byte":                        "nul  byte",
		"=?iso-8859-1?q?=FC?= and \x01 beyond": "ü and \x01 beyond",
	} {
		assert.Equal(t, want, headerText(in), "%q", in)
	}
}

func TestClean(t *testing.T) {
	assert.Equal(t, "café.txt", clean("caf\xe9.txt"))
	assert.Equal(t, "café.txt", clean("café.\x00txt"))
	assert.Equal(t, "=?utf-8?q?left?=", clean("=?utf-8?q?left?="))
}

func TestMessageIDs(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"<a@b>":                        "a@b",
		" <a@b> <c@d> ":                "a@b> <c@d",
		"<a@b>\t(why) <c@d>":           "a@b>\t(why) <c@d",
		"a@b":                          "a@b",
		"Your letter of Monday":        "",
		"Your letter <a@b> of <c@d> !": "a@b> <c@d",
		"<unclosed":                    "",
		"<a@b> (comment)":              "a@b",
		"<nul\x00@b>":                  "nul@b",
	} {
		assert.Equal(t, want, messageIDs(in), "%q", in)
	}
}

// TestStructureSurvives hands the engine parts that its writer could not take as
// they are.
func TestStructureSurvives(t *testing.T) {
	empty := bodyStructure(&message.Part{Type: "multipart", Subtype: "mixed", BodySize: 7})
	require.IsType(t, &imap.BodyStructureSinglePart{}, empty)
	assert.Equal(t, "text/plain", empty.MediaType())
	opaque := bodyStructure(&message.Part{Type: "message", Subtype: "rfc822", BodySize: 1 << 40}).(*imap.BodyStructureSinglePart)
	assert.Equal(t, "application/octet-stream", opaque.MediaType())
	assert.Equal(t, uint32(1<<32-1), opaque.Size)
	assert.NotNil(t, opaque.Extended)
	named := bodyStructure(&message.Part{Type: "text", Subtype: "plain", Params: []message.Param{{Name: "name", Value: "a\x00b"}}})
	assert.Equal(t, map[string]string{"name": "ab"}, named.(*imap.BodyStructureSinglePart).Params)
}

// TestFlagsThatCannotBeWritten drops what would leave half a line in the engine's
// buffer.
func TestFlagsThatCannotBeWritten(t *testing.T) {
	in := []string{`\Seen`, "ok", "", `\`, "a b", "a]", `a\b`, "ü", "x(", "$Label", "a\r\nb"}
	assert.Equal(t, []imap.Flag{`\Seen`, "ok", "$Label"}, flags(in))
}

func TestCopyDataOfNothing(t *testing.T) {
	assert.Nil(t, copyData(mailbox.Copied{UIDValidity: 1}))
}

// TestErrors pins what a client is told of each error, and that it is told
// nothing else.
func TestErrors(t *testing.T) {
	var logged strings.Builder
	s := &session{ctx: t.Context(), o: &Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}}
	for err, want := range map[error]imap.ResponseCode{
		mailbox.ErrAuth:             "AUTHENTICATIONFAILED",
		mailbox.ErrNoAccount:        "AUTHENTICATIONFAILED",
		mailbox.ErrNoMailbox:        "NONEXISTENT",
		mailbox.ErrMailboxExists:    "ALREADYEXISTS",
		mailbox.ErrInbox:            "CANNOT",
		mailbox.ErrBadName:          "CANNOT",
		mailbox.ErrBadFlag:          "CANNOT",
		mailbox.ErrBadDate:          "CANNOT",
		mailbox.ErrBadSpecialUse:    "USEATTR",
		mailbox.ErrReadOnly:         "READ-ONLY",
		mailbox.ErrTooManyKeywords:  "LIMIT",
		mailbox.ErrTooManyMailboxes: "LIMIT",
		mailbox.ErrUIDsUsedUp:       "LIMIT",
		mailbox.ErrBadQuery:         "LIMIT",
		mailbox.ErrTooLarge:         "TOOBIG",
		mailbox.ErrOverQuota:        "OVERQUOTA",
		mailbox.ErrTooManyMessages:  "LIMIT",
		mailbox.ErrNoMessage:        "EXPUNGEISSUED",
		mailbox.ErrClosed:           "UNAVAILABLE",
		mailbox.ErrSwappedKey:       "CONTACTADMIN",
		crypto.ErrBusy:              "UNAVAILABLE",
		crypto.ErrDecrypt:           "CORRUPTION",
		eventlog.ErrCorrupt:         "CORRUPTION",
		eventlog.ErrRolledBack:      "CORRUPTION",
		eventlog.ErrNewerVersion:    "CONTACTADMIN",
		eventlog.ErrUnknownOutcome:  "UNAVAILABLE",
		context.Canceled:            "UNAVAILABLE",
		context.DeadlineExceeded:    "UNAVAILABLE",
		fs.ErrNotExist:              "EXPUNGEISSUED",
		message.ErrUnknownCTE:       "UNKNOWN-CTE",
		syscall.ENOSPC:              "UNAVAILABLE",
		errors.New("disk on fire"):  "UNAVAILABLE",
	} {
		answer := s.fail("TEST", fmt.Errorf("inner secret: %w", err))
		var told *imap.Error
		require.ErrorAs(t, answer, &told)
		assert.Equal(t, imap.StatusResponseTypeNo, told.Type)
		assert.Equal(t, want, told.Code, "%v", err)
		assert.NotContains(t, told.Text, "secret")
	}
	assert.Contains(t, logged.String(), "disk on fire")
	assert.NotContains(t, logged.String(), mailbox.ErrNoMailbox.Error(), "the client's own mistake is no news")
	assert.NoError(t, s.fail("TEST", nil))
	assert.Equal(t, imap.ResponseCodeTryCreate, s.failDest("TEST", mailbox.ErrNoMailbox).(*imap.Error).Code)
}

// TestIdleThatComesTooLate starts Idle after its command has ended: the engine
// starts a goroutine for it and may be done with the command before that runs.
// It must do nothing, or it would write into the next command's answer.
func TestIdleThatComesTooLate(t *testing.T) {
	s := &session{ctx: t.Context(), o: (&Options{Authenticate: noLogin}).withDefaults(), view: new(mailbox.View)}
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
