package search

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Found is a message that a search found.
type Found struct {
	Index  int
	UID    state.UID
	ModSeq state.ModSeq
}

// Message is what keys need to know of a message. What costs a read is asked of its
// Source.
type Message struct {
	Found
	Size   int64 // bytes
	Date   int64 // INTERNALDATE, seconds since 1970 UTC
	Saved  int64 // when it came into the mailbox, seconds since 1970 UTC
	Recent bool
	Source Source
}

// Source yields what is kept of one message, and its bytes.
type Source interface {
	HasFlag(flag string) bool
	EmailID() string
	ThreadID(ctx context.Context) (string, error)
	// Header returns the kept header block, and whether it is a reduced one.
	Header(ctx context.Context) (message.Header, bool, error)
	Meta(ctx context.Context) (*message.Message, error)
	Open(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// Candidate is a message while keys are tried with it. It keeps what it has read.
type Candidate struct {
	Message
	plan   *Plan
	meta   *message.Message
	header *message.Header
	bodies []bool // which needles were found; nil as long as no key needed it
	texts  []bool
	fields map[string][]bool // by the field's name in lower case: which needles were found

	keptOnly bool // a key about text is errNeedsBody
}

// Candidate returns a message, to be tried with the queries of the plan.
func (p *Plan) Candidate(m Message) *Candidate { return &Candidate{Message: m, plan: p} }

// Matches reports whether the message matches the plan's query. Keys about flags,
// dates and sizes read nothing; keys about the header read kept metadata; keys about
// text read the body, and only if everything else matched.
func (c *Candidate) Matches(ctx context.Context) (bool, error) { return c.matches(ctx, c.plan.query) }

func (c *Candidate) matches(ctx context.Context, q *Query) (bool, error) {
	switch q.Op {
	case OpAll:
		return true, nil
	case OpAnd, OpOr:
		return c.combine(ctx, q)
	case OpNot:
		ok, err := c.matches(ctx, q.Args[0])
		return !ok, err
	case OpSet:
		return q.UIDs.Has(c.UID), nil
	case OpFlag:
		return c.Source.HasFlag(q.Text), nil
	case OpRecent:
		return c.Recent, nil
	case OpNew:
		return c.Recent && !c.Source.HasFlag(state.FlagSeen), nil
	case OpOld:
		return !c.Recent, nil
	case OpLarger:
		return c.Size > q.N, nil
	case OpSmaller:
		return c.Size < q.N, nil
	case OpYounger:
		return c.age() <= q.N, nil
	case OpOlder:
		return c.age() >= q.N, nil
	case OpModSeq:
		return int64(c.ModSeq) >= q.N, nil
	case OpBefore, OpOn, OpSince:
		return dateMatches(q.Op-OpBefore, utc(c.Date), q.Time), nil
	case OpSavedBefore, OpSavedOn, OpSavedSince:
		return dateMatches(q.Op-OpSavedBefore, utc(c.Saved), q.Time), nil
	case OpSentBefore, OpSentOn, OpSentSince:
		h, err := c.head(ctx)
		if err != nil {
			return false, err
		}
		sent, ok := h.Date()
		if !ok {
			sent = utc(c.Date)
		}
		return dateMatches(q.Op-OpSentBefore, sent, q.Time), nil
	case OpHeader:
		return c.headerMatches(ctx, q)
	case OpEmailID:
		return c.Source.EmailID() == q.Text, nil
	case OpThreadID:
		id, err := c.Source.ThreadID(ctx)
		return id == q.Text, err
	case OpBody:
		return c.textMatches(ctx, q.Text, false)
	case OpText:
		return c.textMatches(ctx, q.Text, true)
	}
	return false, fmt.Errorf("%w: key %d is not known", ErrBadQuery, q.Op)
}

// combine asks the cheap keys first, and the costly ones only if they decide.
func (c *Candidate) combine(ctx context.Context, q *Query) (bool, error) {
	for _, arg := range q.Args {
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
func (c *Candidate) age() int64 { return c.plan.now.Unix() - c.Date }

// dateMatches compares dates without time and zone (RFC 9051 section 6.4.4): op
// is 0 for before, 1 for on, 2 for since.
func dateMatches(op Op, have, want time.Time) bool {
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

func utc(unix int64) time.Time { return time.Unix(unix, 0).UTC() }

func (c *Candidate) load(ctx context.Context) (err error) {
	if c.meta == nil {
		c.meta, err = c.Source.Meta(ctx)
	}
	return err
}

// maxSearchedHeader bounds how much of one header block a HEADER key looks at.
const maxSearchedHeader = 1 << 20

// head returns the message's header, from the kept metadata if that has it whole.
func (c *Candidate) head(ctx context.Context) (*message.Header, error) {
	if c.header != nil {
		return c.header, nil
	}
	h, cut, err := c.Source.Header(ctx)
	if err != nil {
		return nil, err
	}
	if cut {
		if err := c.load(ctx); err != nil {
			return nil, err
		}
		r, err := c.Source.Open(ctx, 0, min(c.meta.Root.HeaderSize, maxSearchedHeader))
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, err
		}
		h = message.ParseHeader(raw).WithCharset(c.meta.Charset())
	}
	c.header = &h
	return c.header, nil
}

func (c *Candidate) headerMatches(ctx context.Context, q *Query) (bool, error) {
	name := strings.ToLower(q.Field)
	found := c.fields[name]
	if found == nil {
		var err error
		if found, err = c.searchField(ctx, name); err != nil {
			return false, err
		}
		if c.fields == nil {
			c.fields = map[string][]bool{}
		}
		c.fields[name] = found
	}
	return found[q.needle], nil
}

// searchField reports which needles of the plan are in the texts of a field.
func (c *Candidate) searchField(ctx context.Context, name string) ([]bool, error) {
	h, err := c.head(ctx)
	if err != nil {
		return nil, err
	}
	needles := c.plan.fields[name]
	found, left := make([]bool, len(needles)), len(needles)
	for text := range h.SearchTexts(name) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		folded := message.Fold(text)
		for i, needle := range needles {
			if !found[i] && strings.Contains(folded, needle) {
				found[i] = true
				left--
			}
		}
		if left == 0 {
			break
		}
	}
	return found, nil
}

func (c *Candidate) textMatches(ctx context.Context, text string, header bool) (bool, error) {
	if text == "" {
		return true, nil
	}
	needles, found := c.plan.bodies, &c.bodies
	if header {
		needles, found = c.plan.texts, &c.texts
	}
	if *found == nil && c.keptOnly {
		return false, errNeedsBody
	}
	if *found == nil {
		if err := c.load(ctx); err != nil {
			return false, err
		}
		open := func(off, n int64) (io.ReadCloser, error) { return c.Source.Open(ctx, off, n) }
		hits, err := c.meta.SearchText(ctx, header, open, needles)
		if err != nil {
			return false, err
		}
		*found = hits
	}
	return (*found)[slices.Index(needles, text)], nil
}
