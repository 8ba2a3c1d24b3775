package imapadapter

import (
	"errors"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/mailbox"
)

// Search handles SEARCH and UID SEARCH, with what RFC 4731 and RFC 5182 let a
// client ask for.
func (s *session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	op := s.begin("SEARCH")
	defer op.end()
	data, err := s.search(op, kind, criteria, o)
	var answer *imap.Error
	if o.ReturnSave && errors.As(err, &answer) && answer.Type == imap.StatusResponseTypeNo {
		s.saved = nil // RFC 5182 section 2.1: after a NO, but not after a BAD
	}
	return data, err
}

func (s *session) search(op *operation, kind imapserver.NumKind, criteria *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	if s.deleted {
		return nil, errDeleted
	}
	query, err := s.query(criteria)
	if err != nil {
		return nil, err
	}
	r := searchResult{byUID: kind == imapserver.NumKindUID, o: o}
	for found, err := range s.view.Search(op.ctx, query) {
		if err != nil {
			return nil, op.fail(err)
		}
		r.add(found)
		op.progress()
		if r.enough() {
			break
		}
	}
	if o.ReturnSave {
		s.saved = r.saved()
	}
	return r.data(), nil
}

// searchResult gathers what was found, as far as it is asked for.
type searchResult struct {
	o     *imap.SearchOptions
	byUID bool

	count     uint32
	min, max  uint32
	firstUID  mailbox.UID
	lastUID   mailbox.UID
	seqs      imap.SeqSet
	uids      imap.UIDSet
	neighbors uidRun
}

func (r *searchResult) add(f mailbox.Found) {
	n := seqNum(f.Index)
	if r.byUID {
		n = uint32(f.UID)
	}
	if r.count == 0 {
		r.min, r.firstUID = n, f.UID
	}
	r.count++
	r.max, r.lastUID = n, f.UID
	switch {
	case !r.o.ReturnAll:
	case r.byUID:
		r.uids = addUID(r.uids, uid(f.UID))
	default:
		r.seqs = addSeq(r.seqs, n)
	}
	if r.savesAll() {
		r.neighbors.add(f.Index, f.UID)
	}
}

// enough reports whether nothing found later would matter.
func (r *searchResult) enough() bool {
	return !r.o.ReturnAll && !r.o.ReturnCount && !r.o.ReturnMax
}

// savesAll and saved follow the table of RFC 5182 section 2.4: MIN and MAX alone
// save only what they return.
func (r *searchResult) savesAll() bool {
	return r.o.ReturnSave && (r.o.ReturnAll || r.o.ReturnCount)
}

func (r *searchResult) saved() []mailbox.Range {
	if r.savesAll() || r.count == 0 {
		return r.neighbors.ranges
	}
	var out []mailbox.Range
	if r.o.ReturnMin {
		out = append(out, mailbox.Range{First: uint32(r.firstUID), Last: uint32(r.firstUID)})
	}
	if r.o.ReturnMax {
		out = append(out, mailbox.Range{First: uint32(r.lastUID), Last: uint32(r.lastUID)})
	}
	return out
}

func (r *searchResult) data() *imap.SearchData {
	d := &imap.SearchData{All: r.seqs, Min: r.min, Max: r.max, Count: r.count}
	if r.byUID {
		d.All = r.uids
	}
	return d
}

// query returns the criteria as a query. Keys that stand beside each other must
// all hold; the cheap ones come first.
func (s *session) query(c *imap.SearchCriteria) (*mailbox.Query, error) {
	var all []*mailbox.Query
	add := func(q mailbox.Query) { all = append(all, &q) }
	for _, set := range c.SeqNum {
		if err := s.addSet(add, set); err != nil {
			return nil, err
		}
	}
	for _, set := range c.UID {
		if err := s.addSet(add, set); err != nil {
			return nil, err
		}
	}
	for _, f := range c.Flag {
		add(flagQuery(f))
	}
	for _, f := range c.NotFlag {
		q := flagQuery(f)
		add(mailbox.Query{Op: mailbox.OpNot, Args: []*mailbox.Query{&q}})
	}
	addDates(add, c)
	if c.Larger > 0 {
		add(mailbox.Query{Op: mailbox.OpLarger, N: c.Larger})
	}
	if c.Smaller > 0 {
		add(mailbox.Query{Op: mailbox.OpSmaller, N: c.Smaller})
	}
	addTexts(add, c)
	for i := range c.Not {
		q, err := s.query(&c.Not[i])
		if err != nil {
			return nil, err
		}
		add(mailbox.Query{Op: mailbox.OpNot, Args: []*mailbox.Query{q}})
	}
	for i := range c.Or {
		a, err := s.query(&c.Or[i][0])
		if err != nil {
			return nil, err
		}
		b, err := s.query(&c.Or[i][1])
		if err != nil {
			return nil, err
		}
		add(mailbox.Query{Op: mailbox.OpOr, Args: []*mailbox.Query{a, b}})
	}
	switch len(all) {
	case 0:
		return &mailbox.Query{Op: mailbox.OpAll}, nil
	case 1:
		return all[0], nil
	}
	return &mailbox.Query{Op: mailbox.OpAnd, Args: all}, nil
}

func (s *session) addSet(add func(mailbox.Query), nums imap.NumSet) error {
	set, err := s.set(nums)
	if err == nil {
		add(mailbox.Query{Op: mailbox.OpSet, Set: set})
	}
	return err
}

func flagQuery(f imap.Flag) mailbox.Query {
	if f == flagRecent {
		return mailbox.Query{Op: mailbox.OpRecent}
	}
	return mailbox.Query{Op: mailbox.OpFlag, Text: string(f)}
}

func addDates(add func(mailbox.Query), c *imap.SearchCriteria) {
	for _, d := range []struct {
		op mailbox.QueryOp
		t  time.Time
	}{
		{mailbox.OpSince, c.Since},
		{mailbox.OpBefore, c.Before},
		{mailbox.OpSentSince, c.SentSince},
		{mailbox.OpSentBefore, c.SentBefore},
	} {
		if !d.t.IsZero() {
			add(mailbox.Query{Op: d.op, Time: d.t})
		}
	}
}

func addTexts(add func(mailbox.Query), c *imap.SearchCriteria) {
	for _, h := range c.Header {
		add(mailbox.Query{Op: mailbox.OpHeader, Field: h.Key, Text: h.Value})
	}
	for _, t := range c.Body {
		add(mailbox.Query{Op: mailbox.OpBody, Text: t})
	}
	for _, t := range c.Text {
		add(mailbox.Query{Op: mailbox.OpText, Text: t})
	}
}
