package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/search"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Found is a message that a search found. It has the fields
//
//	Index  int // place in the view, from 0
//	UID    UID
//	ModSeq ModSeq
type Found = search.Found

// Search yields the messages of the view that match, in ascending order. Keys
// about flags, dates and sizes read pages only; keys about the header read kept
// metadata; keys about text read bodies, up to 16 at a time and only if everything
// else matched. Messages that were expunged elsewhere are found until
// the session is told. A message that cannot be read ends the search with an
// error.
func (v *View) Search(ctx context.Context, q *Query) iter.Seq2[Found, error] {
	return v.SearchWith(ctx, q, func(int) {})
}

// SearchWith is Search that calls looked with the Index of each message that it
// looked at, so that a long search can be told from one that hangs.
func (v *View) SearchWith(ctx context.Context, q *Query, looked func(index int)) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		a, err := v.use()
		if err != nil {
			yield(Found{}, err)
			return
		}
		defer a.leave()
		t := v.picture()
		r := queryResolver{shown: &t, account: a}
		resolved, err := r.query(ctx, q)
		if err != nil {
			yield(Found{}, err)
			return
		}
		plan := search.NewPlan(a.store.opts.Now(), resolved)
		for c, err := range v.find(ctx, a, &t, plan, looked) {
			if err != nil {
				yield(Found{}, err)
				return
			}
			if !yield(c.Found, nil) {
				return
			}
		}
	}
}

// find yields the messages of the view that match a plan's query, in ascending order,
// and calls looked as SearchWith does. It ends with the first error.
func (v *View) find(ctx context.Context, a *account, t *shown, plan *search.Plan, looked func(index int)) iter.Seq2[*search.Candidate, error] {
	return func(yield func(*search.Candidate, error) bool) {
		for m, err := range search.Match(ctx, v.candidates(ctx, a, t, plan)) {
			if err != nil {
				yield(nil, err)
				return
			}
			looked(m.Index)
			if m.OK && !yield(m.Candidate, nil) {
				return
			}
		}
	}
}

// candidates yields the messages of the view that a plan must try.
func (v *View) candidates(ctx context.Context, a *account, t *shown, plan *search.Plan) iter.Seq2[*search.Candidate, error] {
	return func(yield func(*search.Candidate, error) bool) {
		near := &pages.Nearby{}
		walk := pages.Walk{Mailbox: t.box, Removed: t.expunged, UIDs: plan.UIDs(), Want: plan.Want, Near: near}
		for hit, err := range a.pages.Walk(ctx, walk) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(plan.Candidate(t.message(v.handle, hit, near).searched()), nil) {
				return
			}
		}
	}
}

// source is a message as a search reads it.
type source struct{ *Message }

func (m *Message) searched() search.Message {
	return search.Message{
		Found: Found{Index: m.Index, UID: m.UID, ModSeq: m.ModSeq},
		Size:  m.Size, Date: m.page.Dates[m.i], Saved: int64(m.page.Saved[m.i]), Recent: m.Recent, Source: source{m},
	}
}

func (s source) EmailID() string { return s.ID.String() }

func (s source) ThreadID(ctx context.Context) (string, error) {
	id, err := s.Message.ThreadID(ctx)
	return id.String(), err
}

func (s source) Header(ctx context.Context) (message.Header, bool, error) { return s.header(ctx) }

// SortKey is a criterion of [View.Sort], a uint8. The names are those of RFC 5256
// section 3 and RFC 5957.
type SortKey = search.SortKey

// Sort keys.
const (
	SortArrival     = search.SortArrival     // INTERNALDATE
	SortCc          = search.SortCc          // local part of the first address of Cc
	SortDate        = search.SortDate        // the Date field, else INTERNALDATE
	SortFrom        = search.SortFrom        // local part of the first address of From
	SortSize        = search.SortSize        // bytes
	SortSubject     = search.SortSubject     // base subject, see [message.BaseSubject]
	SortTo          = search.SortTo          // local part of the first address of To
	SortDisplayFrom = search.SortDisplayFrom // what a reader shows of the first address of From
	SortDisplayTo   = search.SortDisplayTo   // the same of To
	SortMatch       = search.SortMatch       // what matches SortBy.Query, then what does not
)

// SortBy is a criterion and its direction.
type SortBy struct {
	Key     SortKey
	Reverse bool
	Query   *Query // of SortMatch
}

// Sort returns the messages of the view that match a query, in the order of the
// criteria, the first counting most. Messages equal in all of them are in the
// order of their Index. Texts are compared as by [message.Collate], their first 256
// bytes. No body is read but for a query that asks for one, and then once. It holds a
// few hundred bytes for each message found. It fails with [ErrBadQuery].
func (v *View) Sort(ctx context.Context, by []SortBy, q *Query) ([]Found, error) {
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	t := v.picture()
	r := queryResolver{shown: &t, account: a}
	resolved, err := r.query(ctx, q)
	if err != nil {
		return nil, err
	}
	criteria, matched, err := r.criteria(ctx, by)
	if err != nil {
		return nil, err
	}
	sorter, err := search.NewSorter(criteria)
	if err != nil {
		return nil, err
	}
	plan := search.NewPlan(a.store.opts.Now(), resolved, matched...)
	for c, err := range v.find(ctx, a, &t, plan, func(int) {}) {
		if err == nil {
			err = sorter.Add(ctx, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return sorter.Sorted(), nil
}

// criteria resolves the queries of sort criteria. A query that stands in several is
// resolved once: equal criteria count once.
func (r *queryResolver) criteria(ctx context.Context, by []SortBy) (out []search.SortBy, queries []*search.Query, err error) {
	known := map[*Query]*search.Query{}
	for _, b := range by {
		c := search.SortBy{Key: b.Key, Reverse: b.Reverse}
		if b.Key == SortMatch && b.Query != nil {
			if known[b.Query] == nil {
				if known[b.Query], err = r.query(ctx, b.Query); err != nil {
					return nil, nil, err
				}
				queries = append(queries, known[b.Query])
			}
			c.Query = known[b.Query]
		}
		out = append(out, c)
	}
	return out, queries, nil
}

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
	r := queryResolver{shown: &t, account: a}
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
