package state

import "errors"

// What stands against an event that somebody asks for.
var (
	ErrMailboxExists    = errors.New("mailbox exists")
	ErrBadName          = errors.New("name is not allowed")
	ErrBadFlag          = errors.New("flag is not allowed")
	ErrBadSpecialUse    = errors.New("special use is not allowed")
	ErrTooManyKeywords  = errors.New("too many keywords in the mailbox")
	ErrTooManyMailboxes = errors.New("too many mailboxes")
	ErrUIDsUsedUp       = errors.New("mailbox has no UIDs left")
)
