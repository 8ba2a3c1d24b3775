package lmtpadapter

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/mailbox"
)

// Answers that do not come from an error of the store.
var (
	errNotOurs    = reply(550, smtp.EnhancedCode{5, 1, 2}, "No mail for this domain here")
	errBadSender  = reply(501, smtp.EnhancedCode{5, 1, 7}, "Sender address is not allowed")
	errBadRcpt    = reply(501, smtp.EnhancedCode{5, 1, 3}, "Recipient address is not allowed")
	errNested     = reply(503, smtp.EnhancedCode{5, 5, 1}, "Sender was given already")
	errTooMany    = reply(452, smtp.EnhancedCode{4, 5, 3}, "Too many recipients")
	errNotLMTP    = reply(554, smtp.EnhancedCode{5, 3, 5}, "Server is not set up for LMTP")
	errNoChunks   = reply(554, smtp.EnhancedCode{5, 3, 3}, "BDAT is not supported here, use DATA")
	errCut        = reply(421, smtp.EnhancedCode{4, 4, 2}, "Connection lost in the middle of the message")
	errStopping   = reply(421, smtp.EnhancedCode{4, 3, 2}, "Server is shutting down")
	errOutOfOrder = reply(451, smtp.EnhancedCode{4, 5, 0}, "Transaction was reset")
)

func reply(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// status is the one place where errors become answers. What it does not know is
// temporary: the client keeps the message and tries again. The texts say nothing
// of what is inside.
func status(err error) *smtp.SMTPError {
	var already *smtp.SMTPError
	switch {
	case errors.As(err, &already):
		return already
	case errors.Is(err, mailbox.ErrNoAccount):
		return reply(550, smtp.EnhancedCode{5, 1, 1}, "No such user here")
	case errors.Is(err, mailbox.ErrOverQuota) && errors.Is(err, mailbox.ErrTooLarge):
		return reply(552, smtp.EnhancedCode{5, 2, 2}, "Message is larger than the mailbox may ever be")
	case errors.Is(err, mailbox.ErrOverQuota):
		return reply(452, smtp.EnhancedCode{4, 2, 2}, "Mailbox is full, try again later")
	case errors.Is(err, mailbox.ErrTooLarge):
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "Message is too large")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return reply(452, smtp.EnhancedCode{4, 3, 1}, "No space left for mail, try again later")
	case errors.Is(err, mailbox.ErrClosed), errors.Is(err, context.Canceled):
		return reply(451, smtp.EnhancedCode{4, 3, 2}, "Mailboxes are not available, try again later")
	case errors.Is(err, mailbox.ErrUnsigned), errors.Is(err, mailbox.ErrServerKey):
		return reply(451, smtp.EnhancedCode{4, 7, 0}, "Mailbox is not authenticated, try again later")
	case errors.Is(err, mailbox.ErrGone):
		return reply(451, smtp.EnhancedCode{4, 2, 1}, "Mailbox is being removed, try again later")
	case errors.Is(err, mailbox.ErrCorrupt), errors.Is(err, fs.ErrNotExist):
		return reply(451, smtp.EnhancedCode{4, 2, 0}, "Mailbox needs attention, try again later")
	default:
		return reply(451, smtp.EnhancedCode{4, 3, 0}, "Trouble here, try again later")
	}
}
