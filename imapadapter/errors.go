package imapadapter

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Response codes that the engine has no name for.
const (
	codeReadOnly      imap.ResponseCode = "READ-ONLY"     // RFC 9051 section 7.1
	codeUseAttr       imap.ResponseCode = "USEATTR"       // RFC 6154 section 6
	codeExpungeIssued imap.ResponseCode = "EXPUNGEISSUED" // RFC 5530
)

// answers says what a client is told of an error: the first that errors.Is
// finds. Those of the client's own doing come first, and only the rest is
// logged. The texts are the same whatever the cause, so that nothing internal
// leaks.
var answers = []struct {
	is     error
	code   imap.ResponseCode
	text   string
	logged bool
}{
	{mailbox.ErrAuth, imap.ResponseCodeAuthenticationFailed, "Authentication failed", false},
	{mailbox.ErrNoAccount, imap.ResponseCodeAuthenticationFailed, "Authentication failed", false},
	{crypto.ErrBusy, imap.ResponseCodeUnavailable, "Too many logins at once, try again later", true},
	{mailbox.ErrNoMailbox, imap.ResponseCodeNonExistent, "No such mailbox", false},
	{mailbox.ErrMailboxExists, imap.ResponseCodeAlreadyExists, "Mailbox already exists", false},
	{mailbox.ErrInbox, imap.ResponseCodeCannot, "Not possible with INBOX", false},
	{mailbox.ErrBadName, imap.ResponseCodeCannot, "Mailbox name is not allowed", false},
	{mailbox.ErrBadFlag, imap.ResponseCodeCannot, "Flag is not allowed", false},
	{mailbox.ErrBadDate, imap.ResponseCodeCannot, "Date is not possible", false},
	{mailbox.ErrBadSpecialUse, codeUseAttr, "Special use is not supported", false},
	{mailbox.ErrReadOnly, codeReadOnly, "Mailbox is open read-only", false},
	{mailbox.ErrTooManyKeywords, imap.ResponseCodeLimit, "Too many keywords in the mailbox", false},
	{mailbox.ErrTooManyMailboxes, imap.ResponseCodeLimit, "Too many mailboxes", false},
	{mailbox.ErrUIDsUsedUp, imap.ResponseCodeLimit, "Mailbox has no UIDs left", false},
	{mailbox.ErrOverQuota, imap.ResponseCodeOverQuota, "Account is full", false},
	{mailbox.ErrTooManyMessages, imap.ResponseCodeLimit, "Too many messages at once", false},
	{mailbox.ErrNoMessage, codeExpungeIssued, "The message is no longer there", false},
	{mailbox.ErrTooLarge, imap.ResponseCodeTooBig, "Message is too large", false},
	{mailbox.ErrBadQuery, imap.ResponseCodeLimit, "Search is too complex", false},
	{message.ErrUnknownCTE, imap.ResponseCodeUnknownCTE, "Unknown content transfer encoding", false},
	{mailbox.ErrRotated, imap.ResponseCodeUnavailable, "Account has other keys now, log in again", false},
	{mailbox.ErrClosed, imap.ResponseCodeUnavailable, "Account is being closed, try again later", false},
	{context.Canceled, imap.ResponseCodeUnavailable, "Took too long, try again later", true},
	{context.DeadlineExceeded, imap.ResponseCodeUnavailable, "Took too long, try again later", true},
	{eventlog.ErrUnknownOutcome, imap.ResponseCodeUnavailable, "It is not known whether this was done", true},
	{syscall.ENOSPC, imap.ResponseCodeUnavailable, "No space left, try again later", true},
	{syscall.EDQUOT, imap.ResponseCodeUnavailable, "No space left, try again later", true},
	{mailbox.ErrSwappedKey, imap.ResponseCodeContactAdmin, "Account is damaged", true},
	{eventlog.ErrNewerVersion, imap.ResponseCodeContactAdmin, "Mailbox was written by a newer version", true},
	{eventlog.ErrRolledBack, imap.ResponseCodeCorruption, "Mailbox is damaged", true},
	{eventlog.ErrCorrupt, imap.ResponseCodeCorruption, "Mailbox is damaged", true},
	{crypto.ErrDecrypt, imap.ResponseCodeCorruption, "Mailbox is damaged", true},
	{fs.ErrNotExist, codeExpungeIssued, "Some of the messages are no longer there", true},
}

// fail returns what the client is told of an error, and logs the error if the
// client is not its cause. What is not known is trouble of the store, such as a
// full disk, and a NO [UNAVAILABLE]: the client may try again.
func (s *session) fail(command string, err error) error {
	var answer *imap.Error
	if err == nil || errors.As(err, &answer) {
		return err
	}
	for _, a := range answers {
		if !errors.Is(err, a.is) {
			continue
		}
		if a.logged {
			s.warn(command, err)
		}
		return no(a.code, a.text)
	}
	s.warn(command, err)
	return no(imap.ResponseCodeUnavailable, "Temporary trouble, try again later")
}

// failDest is fail for commands whose destination may be missing (RFC 9051
// section 6.3.12 and 6.4.7).
func (s *session) failDest(command string, err error) error {
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return no(imap.ResponseCodeTryCreate, "No such mailbox")
	}
	return s.fail(command, err)
}

// warn logs trouble, but not that of a connection which is gone: there it only
// says that the work was cancelled.
func (s *session) warn(command string, err error) {
	if s.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	s.o.Logger.Warn("imap command failed", slog.Uint64("session", s.id), slog.String("command", command), slog.Any("error", err))
}

func no(code imap.ResponseCode, text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

func badCode(code imap.ResponseCode, text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Code: code, Text: text}
}

func bad(text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeClientBug, Text: text}
}
