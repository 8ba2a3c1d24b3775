package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Found is a message that a search found.
type Found struct {
	Index  int
	UID    UID
	ModSeq ModSeq
}

// Search yields the messages of the view that match, in ascending order. Keys
// about flags, dates and sizes read pages only; keys about the header read kept
// metadata; keys about text read bodies, one message at a time and only if
// everything else matched. Messages that were expunged elsewhere are found until
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
		for c, err := range v.find(ctx, a, q, looked) {
			if err != nil {
				yield(Found{}, err)
				return
			}
			if !yield(c.found(), nil) {
				return
			}
		}
	}
}

// find yields the messages of the view that match, in ascending order, and calls
// looked as SearchWith does.
func (v *View) find(ctx context.Context, a *account, q *Query, looked func(index int), also ...*Query) iter.Seq2[*candidate, error] {
	return func(yield func(*candidate, error) bool) {
		p, err := v.plan(ctx, a, q, also...)
		if err != nil {
			yield(nil, err)
			return
		}
		t := &p.told
		near := &pages.Nearby{}
		walk := pages.Walk{
			Mailbox: t.box, Removed: t.ghosts, UIDs: p.bounds(p.query), Near: near,
			Want: func(r *state.PageRef) bool { return mayMatch(p.query, r) },
		}
		for hit, err := range a.pages.Walk(ctx, walk) {
			if err != nil {
				yield(nil, err)
				return
			}
			c := &candidate{plan: p, m: t.message(v.handle, hit, near)}
			ok, err := c.matches(ctx, p.query)
			if err != nil {
				yield(nil, err)
				return
			}
			looked(hit.Index)
			if ok && !yield(c, nil) {
				return
			}
		}
	}
}

// candidate is a message while it is being looked at.
type candidate struct {
	*plan
	m      *Message
	meta   *message.Message
	header *message.Header
	bodies []bool // which needles were found; nil as long as nobody asked
	texts  []bool
}

func (c *candidate) found() Found { return Found{c.m.Index, c.m.UID, c.m.ModSeq} }

func (c *candidate) matches(ctx context.Context, q *Query) (bool, error) {
	switch q.Op {
	case OpAll:
		return true, nil
	case OpAnd, OpOr:
		return c.combine(ctx, q)
	case OpNot:
		ok, err := c.matches(ctx, q.Args[0])
		return !ok, err
	case OpSet:
		return c.sets[q].Has(c.m.UID), nil
	case OpFlag:
		return c.m.HasFlag(q.Text), nil
	case OpRecent:
		return c.m.Recent, nil
	case OpNew:
		return c.m.Recent && !c.m.HasFlag(FlagSeen), nil
	case OpOld:
		return !c.m.Recent, nil
	case OpLarger:
		return c.m.Size > q.N, nil
	case OpSmaller:
		return c.m.Size < q.N, nil
	case OpYounger:
		return c.age() <= q.N, nil
	case OpOlder:
		return c.age() >= q.N, nil
	case OpModSeq:
		return int64(c.m.ModSeq) >= q.N, nil
	case OpBefore, OpOn, OpSince:
		return dateMatches(q.Op-OpBefore, c.m.Date, q.Time), nil
	case OpSavedBefore, OpSavedOn, OpSavedSince:
		return dateMatches(q.Op-OpSavedBefore, c.m.Saved, q.Time), nil
	case OpSentBefore, OpSentOn, OpSentSince:
		h, err := c.head(ctx)
		if err != nil {
			return false, err
		}
		sent, ok := h.Date()
		if !ok {
			sent = c.m.Date
		}
		return dateMatches(q.Op-OpSentBefore, sent, q.Time), nil
	case OpHeader:
		return c.headerMatches(ctx, q)
	case OpEmailID:
		return c.m.ID.String() == q.Text, nil
	case OpThreadID:
		id, err := c.m.ThreadID(ctx)
		return id.String() == q.Text, err
	case OpBody:
		return c.textMatches(ctx, q.Text, false)
	case OpText:
		return c.textMatches(ctx, q.Text, true)
	}
	return false, fmt.Errorf("%w: key %d is not known", ErrBadQuery, q.Op)
}

// combine asks the cheap keys first, and the costly ones only if they decide.
func (c *candidate) combine(ctx context.Context, q *Query) (bool, error) {
	for _, arg := range c.order[q] {
		ok, err := c.matches(ctx, arg)
		if err != nil {
			return false, err
		}
		if ok == (q.Op == OpOr) {
			return ok, nil
		}
	}
	return q.Op == OpAnd, nil
}

// age returns how many seconds ago the message's INTERNALDATE is.
func (c *candidate) age() int64 { return c.now.Unix() - c.m.Date.Unix() }

// dateMatches compares dates without time and zone (RFC 9051 section 6.4.4): op
// is 0 for before, 1 for on, 2 for since.
func dateMatches(op QueryOp, have, want time.Time) bool {
	day := func(t time.Time) int {
		y, m, d := t.Date()
		return (y*16+int(m))*32 + d
	}
	switch c := cmp.Compare(day(have), day(want)); op {
	case 0:
		return c < 0
	case 1:
		return c == 0
	default:
		return c >= 0
	}
}

func (c *candidate) load(ctx context.Context) (err error) {
	if c.meta == nil {
		c.meta, err = c.m.Meta(ctx)
	}
	return err
}

// maxSearchedHeader bounds how much of one header block a HEADER key looks at.
const maxSearchedHeader = 1 << 20

// head returns the message's header, from the kept metadata if that has it whole.
func (c *candidate) head(ctx context.Context) (*message.Header, error) {
	if c.header != nil {
		return c.header, nil
	}
	h, cut, err := c.m.header(ctx)
	if err != nil {
		return nil, err
	}
	if cut {
		if err := c.load(ctx); err != nil {
			return nil, err
		}
		r, err := c.m.Open(ctx, 0, min(c.meta.Root.HeaderSize, maxSearchedHeader))
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, err
		}
		h = message.ParseHeader(raw)
	}
	c.header = &h
	return c.header, nil
}

func (c *candidate) headerMatches(ctx context.Context, q *Query) (bool, error) {
	h, err := c.head(ctx)
	if err != nil {
		return false, err
	}
	want := message.Fold(q.Text)
	for v := range h.Values(q.Field) {
		if q.Text == "" || strings.Contains(message.Fold(message.DecodeHeader(v)), want) {
			return true, nil
		}
	}
	return false, nil
}

func (c *candidate) textMatches(ctx context.Context, text string, header bool) (bool, error) {
	if text == "" {
		return true, nil
	}
	needles, found := c.plan.bodies, &c.bodies
	if header {
		needles, found = c.plan.texts, &c.texts
	}
	if *found == nil {
		if err := c.load(ctx); err != nil {
			return false, err
		}
		open := func(off, n int64) (io.ReadCloser, error) { return c.m.Open(ctx, off, n) }
		hits, err := c.meta.SearchText(ctx, header, open, needles)
		if err != nil {
			return false, err
		}
		*found = hits
	}
	return (*found)[slices.Index(needles, text)], nil
}
