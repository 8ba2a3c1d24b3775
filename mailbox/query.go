package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// QueryOp is what a [Query] asks of a message. The names are those of the search
// keys of RFC 9051 section 6.4.4.
type QueryOp uint8

const (
	OpAll    QueryOp = iota
	OpAnd            // all of Args
	OpOr             // one of Args
	OpNot            // not Args[0]
	OpSet            // in Set
	OpFlag           // has the flag Text
	OpRecent         // is \Recent for this session
	OpNew            // is \Recent and not \Seen
	OpOld            // is not \Recent
	// INTERNALDATE, by its date in UTC, against Time's date.
	OpBefore
	OpOn
	OpSince
	// The Date field, by its date as written, against Time's date; INTERNALDATE
	// where there is no such field.
	OpSentBefore
	OpSentOn
	OpSentSince
	// When the message came into the mailbox (RFC 8514), by its date in UTC.
	OpSavedBefore
	OpSavedOn
	OpSavedSince
	OpLarger  // more than N bytes
	OpSmaller // fewer than N bytes
	OpYounger // INTERNALDATE is N seconds ago or less (RFC 5032)
	OpOlder   // INTERNALDATE is N seconds ago or more
	OpModSeq  // MODSEQ is N or greater (RFC 7162)
	OpHeader  // the header field Field contains Text; if Text is empty, exists
	OpBody    // the text of the body contains Text
	OpText    // the header or the text of the body contains Text

	OpEmailID  // its EmailID, as text, is Text (RFC 8474)
	OpThreadID // its ThreadID, as text, is Text
)

// Query is a tree of search keys. The zero Query matches every message. Text is
// compared without regard to case, in Unicode, after encoded-words, charsets,
// base64 and quoted-printable were decoded; see package message.
type Query struct {
	Op    QueryOp
	Args  []*Query
	Set   Set
	Text  string
	Field string
	Time  time.Time
	N     int64
}

// Limits of a query: a client's line can hold more than it should cost.
const (
	maxQueryDepth = 100
	maxQueryKeys  = 1000
)

// ErrBadQuery is a query that is malformed or beyond the limits.
var ErrBadQuery = errors.New("malformed query")

// plan is a query that was made ready for a view.
type plan struct {
	told    told
	account *account
	query   *Query
	sets    map[*Query]state.UIDSet
	order   map[*Query][]*Query // arguments, those that cost least first
	bodies  []string            // needles of OpBody
	texts   []string            // needles of OpText
	keys    int
	now     time.Time
}

// plan prepares a query, and others that what it finds will be tried with.
func (v *View) plan(ctx context.Context, a *account, q *Query, also ...*Query) (*plan, error) {
	if q == nil {
		q = &Query{}
	}
	p := &plan{
		told: v.picture(), account: a, query: q, now: a.store.opts.Now(),
		sets: map[*Query]state.UIDSet{}, order: map[*Query][]*Query{},
	}
	for _, q := range slices.Concat([]*Query{q}, also) {
		p.keys = 0
		if err := p.prepare(ctx, q, 0); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// prepare resolves sets and collects what is to be found in bodies, so that each
// body is read once however many keys ask for it.
func (p *plan) prepare(ctx context.Context, q *Query, depth int) error {
	if p.keys++; depth > maxQueryDepth || p.keys > maxQueryKeys {
		return fmt.Errorf("%w: more than %d keys or %d levels", ErrBadQuery, maxQueryKeys, maxQueryDepth)
	}
	switch q.Op {
	case OpSet:
		set, err := p.told.resolve(ctx, p.account, q.Set)
		if err != nil {
			return err
		}
		p.sets[q] = set
	case OpBody:
		p.bodies = addNeedle(p.bodies, q.Text)
	case OpText:
		p.texts = addNeedle(p.texts, q.Text)
	case OpNot:
		if len(q.Args) != 1 {
			return fmt.Errorf("%w: NOT has %d arguments", ErrBadQuery, len(q.Args))
		}
	}
	for _, arg := range q.Args {
		if arg == nil {
			return fmt.Errorf("%w: an argument is missing", ErrBadQuery)
		}
		if err := p.prepare(ctx, arg, depth+1); err != nil {
			return err
		}
	}
	p.order[q] = slices.SortedStableFunc(slices.Values(q.Args), func(a, b *Query) int { return cmp.Compare(cost(a), cost(b)) })
	return nil
}

func addNeedle(needles []string, s string) []string {
	if s == "" || slices.Contains(needles, s) {
		return needles
	}
	return append(needles, s)
}

// bounds returns UIDs outside of which nothing matches.
func (p *plan) bounds(q *Query) state.UIDSet {
	switch q.Op {
	case OpSet:
		return p.sets[q]
	case OpAnd:
		for _, arg := range q.Args {
			if arg.Op == OpSet {
				return p.sets[arg]
			}
		}
	}
	return state.UIDSet{{First: 1, Last: maxMessage}}
}

// mayMatch reports whether a page, by what is known without reading it, may hold
// a message that matches.
func mayMatch(q *Query, r *state.PageRef) bool {
	switch q.Op {
	case OpAnd:
		for _, arg := range q.Args {
			if !mayMatch(arg, r) {
				return false
			}
		}
	case OpFlag:
		switch {
		case strings.EqualFold(q.Text, FlagDeleted):
			return r.Deleted > 0
		case strings.EqualFold(q.Text, FlagSeen):
			return r.Unseen < r.Count
		}
	case OpNot:
		if arg := q.Args[0]; arg.Op == OpFlag && strings.EqualFold(arg.Text, FlagSeen) {
			return r.Unseen > 0
		}
	case OpModSeq:
		return int64(r.MaxModSeq) >= q.N
	}
	return true
}

// cost orders keys: those that need no I/O come first.
func cost(q *Query) int {
	switch q.Op {
	case OpBody, OpText:
		return 3
	case OpHeader, OpSentBefore, OpSentOn, OpSentSince, OpThreadID:
		return 1
	case OpAnd, OpOr, OpNot:
		most := 0
		for _, arg := range q.Args {
			most = max(most, cost(arg))
		}
		return most
	}
	return 0
}
