package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/letterlock/letterlock/mailbox/internal/search"
)

// ThreadAlgorithm is a way to find conversations (RFC 5256), a uint8.
type ThreadAlgorithm = search.ThreadAlgorithm

const (
	// ThreadOrderedSubject puts messages of one base subject into a thread: the
	// oldest, with all others below it.
	ThreadOrderedSubject = search.ThreadOrderedSubject
	// ThreadReferences follows References and In-Reply-To, and joins threads of
	// one base subject.
	ThreadReferences = search.ThreadReferences
)

// Thread is a message and what follows on it. It has the fields
//
//	Found              // Index, UID, ModSeq
//	Children []*Thread
//
// UID is 0 where the message that would stand here is not among those found: its
// Children are siblings. Only a thread at the top is such.
type Thread = search.Thread

// Thread groups the messages of the view that match a query into conversations.
// Each message is in one of them, once, whatever its fields say. Threads and
// siblings are in the order of their sent dates, equal ones in that of their
// Index. No body is read but for a query that asks for one. It holds a few hundred
// bytes for each message found and each message referred to. It fails with
// [ErrBadQuery].
func (v *View) Thread(ctx context.Context, how ThreadAlgorithm, q *Query) ([]*Thread, error) {
	threader, err := search.NewThreader(how)
	if err != nil {
		return nil, err
	}
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	t := v.picture()
	r := queryResolver{told: &t, account: a}
	resolved, err := r.query(ctx, q)
	if err != nil {
		return nil, err
	}
	plan := search.NewPlan(a.store.opts.Now(), resolved)
	for c, err := range v.find(ctx, a, &t, plan, func(int) {}) {
		if err == nil {
			err = threader.Add(ctx, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return threader.Threads(), nil
}

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
	root := search.RootID(h)
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
