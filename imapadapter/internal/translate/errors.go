package translate

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Response codes that go-imap has no name for.
const (
	codeReadOnly      imap.ResponseCode = "READ-ONLY"     // RFC 9051 section 7.1
	codeUseAttr       imap.ResponseCode = "USEATTR"       // RFC 6154 section 6
	codeExpungeIssued imap.ResponseCode = "EXPUNGEISSUED" // RFC 5530
)

// answers maps errors to answers: the first counts that errors.Is finds. Mistakes of the
// client's come first, and are not logged. The texts do not depend on the cause, so
// that nothing internal leaks.
var answers = []struct {
	is     error
	code   imap.ResponseCode
	text   string
	logged bool
}{
	{mailbox.ErrAuth, imap.ResponseCodeAuthenticationFailed, "Authentication failed", false},
	{mailbox.ErrNoAccount, imap.ResponseCodeAuthenticationFailed, "Authentication failed", false},
	{mailbox.ErrBusy, imap.ResponseCodeUnavailable, "Too many logins at once, try again later", true},
	{mailbox.ErrDeleted, imap.ResponseCodeNonExistent, "The selected mailbox was deleted", false},
	{mailbox.ErrNoMailbox, imap.ResponseCodeNonExistent, "No such mailbox", false},
	{mailbox.ErrMailboxExists, imap.ResponseCodeAlreadyExists, "Mailbox already exists", false},
	{mailbox.ErrInbox, imap.ResponseCodeCannot, "Not possible with INBOX", false},
	{mailbox.ErrBadName, imap.ResponseCodeCannot, "Mailbox name is not allowed", false},
	{mailbox.ErrBadFlag, imap.ResponseCodeCannot, "Flag is not allowed", false},
	{mailbox.ErrBadDate, imap.ResponseCodeCannot, "Date is not possible", false},
	{mailbox.ErrSpecialUseTaken, codeUseAttr, "Another mailbox has this special use", false},
	{mailbox.ErrBadSpecialUse, codeUseAttr, "Special use is not supported", false},
	{mailbox.ErrReadOnly, codeReadOnly, "Mailbox is open read-only", false},
	{mailbox.ErrTooManyKeywords, imap.ResponseCodeLimit, "Too many keywords in the mailbox", false},
	{mailbox.ErrTooManyMailboxes, imap.ResponseCodeLimit, "Too many mailboxes", false},
	{mailbox.ErrUIDsUsedUp, imap.ResponseCodeLimit, "Mailbox has no UIDs left", false},
	{mailbox.ErrFull, imap.ResponseCodeLimit, "Account or mailbox has too many messages", false},
	{mailbox.ErrOverQuota, imap.ResponseCodeOverQuota, "Account is full", false},
	{mailbox.ErrTooManyMessages, imap.ResponseCodeLimit, "Too many messages at once", false},
	{mailbox.ErrNoMessage, codeExpungeIssued, "The message is no longer there", false},
	{mailbox.ErrTooLarge, imap.ResponseCodeTooBig, "Message is too large", false},
	{mailbox.ErrBadQuery, imap.ResponseCodeLimit, "Search is too complex", false},
	{message.ErrUnknownCTE, imap.ResponseCodeUnknownCTE, "Unknown content transfer encoding", false},
	{mailbox.ErrGone, imap.ResponseCodeUnavailable, "Account was removed", false},
	{mailbox.ErrServerKey, imap.ResponseCodeUnavailable, "Server lacks a key, try again later", true},
	{mailbox.ErrUnsigned, imap.ResponseCodeUnavailable, "Account is not authenticated, try again later", true},
	{mailbox.ErrRotated, imap.ResponseCodeUnavailable, "Account has other keys now, log in again", false},
	{mailbox.ErrClosed, imap.ResponseCodeUnavailable, "Account is being closed, try again later", false},
	{context.Canceled, imap.ResponseCodeUnavailable, "Took too long, try again later", true},
	{context.DeadlineExceeded, imap.ResponseCodeUnavailable, "Took too long, try again later", true},
	{mailbox.ErrUnknownOutcome, imap.ResponseCodeUnavailable, "It is not known whether this was done", true},
	{syscall.ENOSPC, imap.ResponseCodeUnavailable, "No space left, try again later", true},
	{syscall.EDQUOT, imap.ResponseCodeUnavailable, "No space left, try again later", true},
	{mailbox.ErrSwappedKey, imap.ResponseCodeContactAdmin, "Account is damaged", true},
	{mailbox.ErrNewerVersion, imap.ResponseCodeContactAdmin, "Mailbox was written by a newer version", true},
	{mailbox.ErrRolledBack, imap.ResponseCodeCorruption, "Mailbox is damaged", true},
	{mailbox.ErrCorrupt, imap.ResponseCodeCorruption, "Mailbox is damaged", true},
	{mailbox.ErrDecrypt, imap.ResponseCodeCorruption, "Mailbox is damaged", true},
	{fs.ErrNotExist, codeExpungeIssued, "Some of the messages are no longer there", true},
}

// Error returns the answer to a client for an error of package mailbox, and whether the
// error is trouble of the server's, which belongs in its log. An [imap.Error] is its own
// answer. An error that is not known, such as that of a full disk, is answered by NO
// [UNAVAILABLE]: the client may try again.
func Error(err error) (answer *imap.Error, trouble bool) {
	if errors.As(err, &answer) {
		return answer, false
	}
	for _, a := range answers {
		if errors.Is(err, a.is) {
			return No(a.code, a.text), a.logged
		}
	}
	return No(imap.ResponseCodeUnavailable, "Temporary trouble, try again later"), true
}

// DestinationError is Error for commands whose destination may be missing (RFC 9051
// sections 6.3.12 and 6.4.7).
func DestinationError(err error) (answer *imap.Error, trouble bool) {
	if errors.Is(err, mailbox.ErrNoMailbox) && !errors.Is(err, mailbox.ErrDeleted) {
		return No(imap.ResponseCodeTryCreate, "No such mailbox"), false
	}
	return Error(err)
}

// ErrDeleted is the answer to commands for messages of a mailbox that was deleted, when
// the client was notified of that.
var ErrDeleted, _ = Error(mailbox.ErrDeleted)

// No returns the answer NO. The code may be empty.
func No(code imap.ResponseCode, text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// Bad returns the answer BAD to a mistake of the client's.
func Bad(text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeClientBug, Text: text}
}
