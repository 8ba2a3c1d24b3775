package mailbox

import (
	"encoding/hex"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// UID is a message's unique identifier in its mailbox (RFC 9051 section
// 2.3.1.1), a uint32: 1 to 4294967295, assigned in ascending order, never used twice.
type UID = state.UID

// ModSeq is a modification sequence (RFC 7162), a uint64: the position in the
// account's log of the entry that last changed what it stands beside.
type ModSeq = state.ModSeq

// MailboxID names a mailbox for its whole life, whatever it is renamed to, as a
// uint32. An account never gives one ID to two mailboxes.
type MailboxID = state.MailboxID

// FlagOp is a flag operation of [View.Store]: [FlagsSet], [FlagsAdd] or
// [FlagsRemove]. Its String method returns the operation's name.
type FlagOp = state.FlagOp

// Flag operations of [View.Store].
const (
	FlagsSet    = state.FlagsSet    // replace all flags
	FlagsAdd    = state.FlagsAdd    // +FLAGS
	FlagsRemove = state.FlagsRemove // -FLAGS
)

// System flags of RFC 9051 section 2.3.2. \Recent belongs to sessions, not to
// messages, and is never stored.
const (
	FlagSeen     = state.FlagSeen
	FlagAnswered = state.FlagAnswered
	FlagFlagged  = state.FlagFlagged
	FlagDeleted  = state.FlagDeleted
	FlagDraft    = state.FlagDraft
)

// Limits of flags.
const (
	MaxKeywords   = state.MaxKeywords   // different keywords in one mailbox
	MaxFlagLength = state.MaxFlagLength // bytes of one keyword
)

// Separator stands between the levels of a mailbox's name.
const Separator = state.Separator

// Inbox is the mailbox that always exists. Its name, alone or as a first level,
// is written in any case (RFC 9051 section 5.1).
const Inbox = state.Inbox

// Limits of mailboxes.
const (
	MaxMailboxes    = state.MaxMailboxes    // of one account
	MaxMailboxName  = state.MaxMailboxName  // bytes
	MaxMailboxLevel = state.MaxMailboxLevel // bytes of one level: what clients that keep folders can hold
	MaxMailboxDepth = state.MaxMailboxDepth // levels
)

// CanonicalName returns a mailbox name as it is stored, or what is wrong with
// it: [ErrBadName]. A name is UTF-8 of up to [MaxMailboxName] bytes in levels
// separated by [Separator], each of 1 to [MaxMailboxLevel] bytes, without control
// characters and without the wildcards "*" and "%" of LIST. A first level that is "inbox" in
// any case becomes [Inbox]. A separator at the end, with which clients say that
// they will make children, is dropped (RFC 9051 section 6.3.4).
func CanonicalName(name string) (string, error) { return state.CanonicalName(name) }

// CheckFlag returns nil if a message can have a flag, else [ErrBadFlag]: the system
// flags above, and keywords that are atoms of up to [MaxFlagLength] bytes.
func CheckFlag(f string) error { return state.CheckFlag(f) }

// EmailID names the bytes of a message (RFC 8474 section 5.1): it is the same
// for every copy of the message in its account.
type EmailID [16]byte

// String returns the ID as 32 hexadecimal digits.
func (id EmailID) String() string { return hex.EncodeToString(id[:]) }

// Star stands for "*", the last message, as a bound of a [Range].
const Star = 0

// Range is a run of numbers. Both bounds are included and may come in either
// order; [Star] is the number of the last message.
type Range struct {
	First, Last uint32
}

// Set names messages of a [View].
type Set struct {
	Ranges []Range
	UID    bool // the numbers are UIDs; else sequence numbers, which begin at 1
}

// UIDs returns the set of messages with the given UIDs.
func UIDs(uids ...UID) Set {
	s := Set{UID: true}
	for _, u := range uids {
		s.Ranges = append(s.Ranges, Range{uint32(u), uint32(u)})
	}
	return s
}

// All returns the set of all messages.
func All() Set { return Set{Ranges: []Range{{1, Star}}, UID: true} }
