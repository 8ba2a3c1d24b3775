package mailbox

import (
	"encoding/hex"
)

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
