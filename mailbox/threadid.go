package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// ThreadID names a conversation (RFC 8474 section 5.2). It is made of the message
// alone: of the first message ID in its References, else in its In-Reply-To, else
// of its own. So every process tells the same, for ever, for every copy, and also
// for messages that came in before anybody asked; and a message never changes its
// conversation because of another. docs/decisions/thread-ids.md has the price.
type ThreadID [16]byte

// String returns the ID as 32 hexadecimal digits.
func (id ThreadID) String() string { return hex.EncodeToString(id[:]) }

// ThreadID returns the conversation that the message belongs to. It reads kept
// metadata and no body.
func (m *Message) ThreadID(ctx context.Context) (ThreadID, error) {
	h, _, err := m.header(ctx)
	if err != nil {
		return ThreadID{}, err
	}
	f := h.First("Message-ID", "References", "In-Reply-To")
	ids := readMessageIDs(f[0], f[1], f[2])
	root := ids.own
	if len(ids.refs) > 0 {
		root = ids.refs[0]
	}
	// By the account's ID, so that equal conversations of two accounts cannot be
	// told from others by who sees both.
	sum := sha256.New()
	sum.Write([]byte("letterlock/v1/thread"))
	sum.Write(m.handle.account.id[:])
	if root == "" {
		sum.Write(append([]byte{1}, m.ID[:]...)) // a conversation of its own
	} else {
		sum.Write(append([]byte{0}, root...))
	}
	return ThreadID(sum.Sum(nil)[:16]), nil
}
