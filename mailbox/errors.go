package mailbox

import (
	"errors"
	"fmt"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Errors that callers branch on. All are found with errors.Is; the text around
// them names the operation and the object, never a secret, an address or a
// mail's content. Damaged objects are [eventlog.ErrCorrupt], a log that lost
// its end is [eventlog.ErrRolledBack], objects of a newer version are
// [eventlog.ErrNewerVersion], too many logins at once is [crypto.ErrBusy], and
// what a store or a reader returned passes through.
var (
	ErrAuth            = errors.New("wrong name or secret")
	ErrNoAccount       = errors.New("no such account")
	ErrAccountExists   = errors.New("account exists")
	ErrNoMailbox       = errors.New("no such mailbox")
	ErrDeleted         = fmt.Errorf("the mailbox was deleted: %w", ErrNoMailbox)
	ErrInbox           = errors.New("not possible with INBOX")
	ErrBadDate         = errors.New("date is not in the years 1 to 9999")
	ErrReadOnly        = errors.New("mailbox is open read-only")
	ErrTooLarge        = errors.New("message is too large")
	ErrTooManyMessages = errors.New("too many messages at once")
	ErrOverQuota       = errors.New("account is over its quota")
	ErrFull            = fmt.Errorf("account or mailbox has as many messages as it may: %w", ErrOverQuota)
	ErrNoMessage       = errors.New("no such message")
	ErrClosed          = errors.New("closed")
	ErrGone            = errors.New("account was removed")
	ErrByToken         = errors.New("not possible with an app token")
	ErrNoToken         = errors.New("no such token")
	ErrExpired         = pages.ErrExpired
	ErrRotated         = errors.New("the account has another identity now: log in again")
	ErrRotating        = errors.New("another change of the identity was faster")
	ErrSwappedKey      = errors.New("the identity and the published delivery key do not belong together")

	// What stands against an event that was asked for.
	ErrMailboxExists    = state.ErrMailboxExists
	ErrBadName          = state.ErrBadName
	ErrBadFlag          = state.ErrBadFlag
	ErrBadSpecialUse    = state.ErrBadSpecialUse
	ErrSpecialUseTaken  = fmt.Errorf("another mailbox has it: %w", ErrBadSpecialUse)
	ErrTooManyKeywords  = state.ErrTooManyKeywords
	ErrTooManyMailboxes = state.ErrTooManyMailboxes
	ErrUIDsUsedUp       = state.ErrUIDsUsedUp
)
