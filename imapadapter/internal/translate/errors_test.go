package translate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// TestErrors holds the answer to each error, and that it says nothing else.
func TestErrors(t *testing.T) {
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
		mailbox.ErrBusy:             "UNAVAILABLE",
		mailbox.ErrDecrypt:          "CORRUPTION",
		mailbox.ErrCorrupt:          "CORRUPTION",
		mailbox.ErrRolledBack:       "CORRUPTION",
		mailbox.ErrNewerVersion:     "CONTACTADMIN",
		mailbox.ErrUnknownOutcome:   "UNAVAILABLE",
		context.Canceled:            "UNAVAILABLE",
		context.DeadlineExceeded:    "UNAVAILABLE",
		fs.ErrNotExist:              "EXPUNGEISSUED",
		message.ErrUnknownCTE:       "UNKNOWN-CTE",
		syscall.ENOSPC:              "UNAVAILABLE",
		errors.New("disk on fire"):  "UNAVAILABLE",
	} {
		answer, trouble := Error(fmt.Errorf("inner secret: %w", err))
		assert.Equal(t, imap.StatusResponseTypeNo, answer.Type)
		assert.Equal(t, want, answer.Code, "%v", err)
		assert.NotContains(t, answer.Text, "secret")
		if want == "CORRUPTION" || want == "CONTACTADMIN" {
			assert.True(t, trouble, "%v", err)
		}
	}
	_, trouble := Error(errors.New("disk on fire"))
	assert.True(t, trouble)
	_, trouble = Error(mailbox.ErrNoMailbox)
	assert.False(t, trouble, "a mistake of the client's")
	answer, trouble := DestinationError(mailbox.ErrNoMailbox)
	assert.Equal(t, imap.ResponseCodeTryCreate, answer.Code)
	assert.False(t, trouble)
	own := Bad("own")
	answer, _ = Error(fmt.Errorf("wrapped: %w", own))
	assert.Equal(t, own, answer)
}
