package mailbox

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox/internal/search"
)

// QueryOp is what a [Query] asks of a message, a uint8. The names are those of the
// search keys of RFC 9051 section 6.4.4.
type QueryOp = search.Op

// Search keys.
const (
	OpAll    = search.OpAll
	OpAnd    = search.OpAnd    // all of Args
	OpOr     = search.OpOr     // one of Args
	OpNot    = search.OpNot    // not Args[0]
	OpSet    = search.OpSet    // in Set
	OpFlag   = search.OpFlag   // has the flag Text
	OpRecent = search.OpRecent // is \Recent for this session
	OpNew    = search.OpNew    // is \Recent and not \Seen
	OpOld    = search.OpOld    // is not \Recent
	// INTERNALDATE, by its date in UTC, against Time's date.
	OpBefore = search.OpBefore
	OpOn     = search.OpOn
	OpSince  = search.OpSince
	// The Date field, by its date as written, against Time's date; INTERNALDATE
	// where there is no such field.
	OpSentBefore = search.OpSentBefore
	OpSentOn     = search.OpSentOn
	OpSentSince  = search.OpSentSince
	// When the message came into the mailbox (RFC 8514), by its date in UTC.
	OpSavedBefore = search.OpSavedBefore
	OpSavedOn     = search.OpSavedOn
	OpSavedSince  = search.OpSavedSince
	OpLarger      = search.OpLarger  // more than N bytes
	OpSmaller     = search.OpSmaller // fewer than N bytes
	OpYounger     = search.OpYounger // INTERNALDATE is N seconds ago or less (RFC 5032)
	OpOlder       = search.OpOlder   // INTERNALDATE is N seconds ago or more
	OpModSeq      = search.OpModSeq  // MODSEQ is N or greater (RFC 7162)
	OpHeader      = search.OpHeader  // the header field Field contains Text; if Text is empty, exists
	OpBody        = search.OpBody    // the text of the body contains Text
	OpText        = search.OpText    // the header or the text of the body contains Text

	OpEmailID  = search.OpEmailID  // its EmailID, as text, is Text (RFC 8474)
	OpThreadID = search.OpThreadID // its ThreadID, as text, is Text
)

// Query is a tree of search keys. The zero Query matches every message. Text is
// compared without regard to case, in Unicode, after encoded-words, charsets,
// base64 and quoted-printable were decoded; see package message.
type Query struct {
	Op    QueryOp
	Args  []*Query // of OpAnd, OpOr and, one, of OpNot
	Set   Set      // of OpSet
	Text  string   // of OpFlag, OpHeader, OpBody, OpText, OpEmailID, OpThreadID
	Field string   // of OpHeader
	Time  time.Time
	N     int64
}

// Limits of a query: a client's line can hold more than it should cost.
const (
	maxQueryDepth = 100
	maxQueryKeys  = 1000
)

// ErrBadQuery is a query that is malformed or beyond the limits.
var ErrBadQuery = search.ErrBadQuery

// AllWords returns a query that matches where q would match each word of its text by
// itself, in any order (the FUZZY of RFC 6203). q looks for text: its Op is OpHeader,
// OpBody or OpText.
func AllWords(q Query) *Query {
	words := strings.Fields(q.Text)
	if len(words) < 2 {
		return &q
	}
	all := &Query{Op: OpAnd}
	for _, w := range words {
		one := q
		one.Text = w
		all.Args = append(all.Args, &one)
	}
	return all
}

// queryResolver turns queries into queries over UIDs.
type queryResolver struct {
	shown   *shown
	account *account
	keys    int // so far, of one query
}

// query resolves one query. A nil query matches every message.
func (r *queryResolver) query(ctx context.Context, q *Query) (*search.Query, error) {
	if q == nil {
		return &search.Query{}, nil
	}
	r.keys = 0
	return r.node(ctx, q, 0)
}

func (r *queryResolver) node(ctx context.Context, q *Query, depth int) (*search.Query, error) {
	if r.keys++; depth > maxQueryDepth || r.keys > maxQueryKeys {
		return nil, fmt.Errorf("%w: more than %d keys or %d levels", ErrBadQuery, maxQueryKeys, maxQueryDepth)
	}
	out := &search.Query{Op: q.Op, Text: q.Text, Field: q.Field, Time: q.Time, N: q.N}
	switch q.Op {
	case OpSet:
		var err error
		if out.UIDs, err = r.shown.resolve(ctx, r.account, q.Set); err != nil {
			return nil, err
		}
	case OpNot:
		if len(q.Args) != 1 {
			return nil, fmt.Errorf("%w: NOT has %d arguments", ErrBadQuery, len(q.Args))
		}
	}
	for _, arg := range q.Args {
		if arg == nil {
			return nil, fmt.Errorf("%w: an argument is missing", ErrBadQuery)
		}
		a, err := r.node(ctx, arg, depth+1)
		if err != nil {
			return nil, err
		}
		out.Args = append(out.Args, a)
	}
	return out, nil
}
