package search

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Op is what a [Query] asks of a message. The names are those of the search keys of
// RFC 9051 section 6.4.4.
type Op uint8

const (
	OpAll    Op = iota
	OpAnd       // all of Args
	OpOr        // one of Args
	OpNot       // not Args[0]
	OpSet       // in UIDs
	OpFlag      // has the flag Text
	OpRecent    // is \Recent for this session
	OpNew       // is \Recent and not \Seen
	OpOld       // is not \Recent
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

// Query is a tree of search keys over UIDs. The zero Query matches every message.
type Query struct {
	Op    Op
	Args  []*Query // of OpNot: one
	UIDs  state.UIDSet
	Text  string
	Field string
	Time  time.Time
	N     int64

	needle int // of OpHeader: its place among the needles of the field, set by NewPlan
}

// ErrBadQuery is a query that is malformed or beyond the limits.
var ErrBadQuery = errors.New("malformed query")

// Plan is a query that was made ready to be tried with messages.
type Plan struct {
	query  *Query
	bodies []string            // needles of OpBody
	texts  []string            // needles of OpText
	fields map[string][]string // needles of OpHeader, folded, by the field's name in lower case
	now    time.Time
}

// NewPlan prepares a query, and others that what it finds will be tried with. It
// orders the arguments of each key, those that cost least first, and collects what is
// to be found in bodies, so that each body is read once however many keys need it.
func NewPlan(now time.Time, q *Query, also ...*Query) *Plan {
	p := &Plan{query: q, now: now, fields: map[string][]string{}}
	p.prepare(q)
	for _, q := range also {
		p.prepare(q)
	}
	return p
}

func (p *Plan) prepare(q *Query) {
	switch q.Op {
	case OpBody:
		p.bodies = addNeedle(p.bodies, q.Text)
	case OpText:
		p.texts = addNeedle(p.texts, q.Text)
	case OpHeader:
		p.addField(q)
	}
	for _, arg := range q.Args {
		p.prepare(arg)
	}
	slices.SortStableFunc(q.Args, func(a, b *Query) int { return cmp.Compare(cost(a), cost(b)) })
}

func addNeedle(needles []string, s string) []string {
	if s == "" || slices.Contains(needles, s) {
		return needles
	}
	return append(needles, s)
}

// addField collects what is to be found in a field, so that its texts are decoded and
// folded once however many keys need them.
func (p *Plan) addField(q *Query) {
	name, needle := strings.ToLower(q.Field), message.Fold(q.Text)
	if q.needle = slices.Index(p.fields[name], needle); q.needle < 0 {
		q.needle = len(p.fields[name])
		p.fields[name] = append(p.fields[name], needle)
	}
}

// UIDs returns a set outside of which nothing matches.
func (p *Plan) UIDs() state.UIDSet {
	switch q := p.query; q.Op {
	case OpSet:
		return q.UIDs
	case OpAnd:
		for _, arg := range q.Args {
			if arg.Op == OpSet {
				return arg.UIDs
			}
		}
	}
	return state.AllUIDs()
}

// Want reports whether a page, by what is known without reading it, may hold a message
// that matches.
func (p *Plan) Want(r *state.PageRef) bool { return mayMatch(p.query, r) }

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
		case strings.EqualFold(q.Text, state.FlagDeleted):
			return r.Deleted > 0
		case strings.EqualFold(q.Text, state.FlagSeen):
			return r.Unseen < r.Count
		}
	case OpNot:
		if arg := q.Args[0]; arg.Op == OpFlag && strings.EqualFold(arg.Text, state.FlagSeen) {
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
