package imapadapter

import (
	"errors"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// Search handles SEARCH and UID SEARCH, with what RFC 4731 and RFC 5182 let a client ask
// for.
func (s *Session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	op := s.begin("SEARCH")
	defer op.end()
	data, err := op.search(kind, criteria, o)
	var answer *imap.Error
	if o.ReturnSave && errors.As(err, &answer) && answer.Type == imap.StatusResponseTypeNo {
		s.saved = nil // RFC 5182 section 2.1: after a NO, but not after a BAD
	}
	return data, err
}

func (op *operation) search(kind imapserver.NumKind, criteria *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	if op.deleted {
		return nil, translate.ErrDeleted
	}
	keys := translate.QueryBuilder{Set: op.set}
	query, err := keys.Query(searchKey(criteria))
	if err != nil {
		return nil, err
	}
	r := searchResult{byUID: kind == imapserver.NumKindUID, o: o}
	for found, err := range op.view.Search(op.ctx, query) {
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
		op.saved = r.saved()
	}
	return r.data(), nil
}

// searchKey returns the criteria as a search key.
func searchKey(c *imap.SearchCriteria) *wire.SearchKey {
	all := &wire.SearchKey{Name: "AND"}
	add := func(k *wire.SearchKey) { all.Args = append(all.Args, k) }
	not := func(k *wire.SearchKey) { add(&wire.SearchKey{Name: "NOT", Args: []*wire.SearchKey{k}}) }
	for _, nums := range c.SeqNum {
		set, _ := wireSet(nums)
		add(&wire.SearchKey{Name: "SEQ", Set: set})
	}
	for _, nums := range c.UID {
		set, _ := wireSet(nums)
		add(&wire.SearchKey{Name: "UID", Set: set})
	}
	for _, f := range c.Flag {
		add(flagKey(f))
	}
	for _, f := range c.NotFlag {
		not(flagKey(f))
	}
	for name, t := range map[string]time.Time{"SINCE": c.Since, "BEFORE": c.Before, "SENTSINCE": c.SentSince, "SENTBEFORE": c.SentBefore} {
		if !t.IsZero() {
			add(&wire.SearchKey{Name: name, Date: t})
		}
	}
	if c.Larger > 0 {
		add(&wire.SearchKey{Name: "LARGER", N: uint64(c.Larger)})
	}
	if c.Smaller > 0 {
		add(&wire.SearchKey{Name: "SMALLER", N: uint64(c.Smaller)})
	}
	for _, h := range c.Header {
		add(&wire.SearchKey{Name: "HEADER", Field: h.Key, Text: h.Value})
	}
	for _, t := range c.Body {
		add(&wire.SearchKey{Name: "BODY", Text: t})
	}
	for _, t := range c.Text {
		add(&wire.SearchKey{Name: "TEXT", Text: t})
	}
	for i := range c.Not {
		not(searchKey(&c.Not[i]))
	}
	for i := range c.Or {
		add(&wire.SearchKey{Name: "OR", Args: []*wire.SearchKey{searchKey(&c.Or[i][0]), searchKey(&c.Or[i][1])}})
	}
	return all
}

func flagKey(f imap.Flag) *wire.SearchKey {
	if f == translate.Recent {
		return &wire.SearchKey{Name: "RECENT"}
	}
	return &wire.SearchKey{Name: "KEYWORD", Text: string(f)}
}

// searchResult collects what was found, as far as it is asked for.
type searchResult struct {
	o     *imap.SearchOptions
	byUID bool

	count     uint32
	min, max  uint32
	firstUID  mailbox.UID
	lastUID   mailbox.UID
	seqs      imap.SeqSet
	uids      imap.UIDSet
	neighbors translate.UIDRun
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
		r.uids.AddNum(imap.UID(f.UID))
	default:
		r.seqs.AddNum(n)
	}
	if r.savesAll() {
		r.neighbors.Add(f.Index, f.UID)
	}
}

// enough reports whether nothing found later would matter.
func (r *searchResult) enough() bool {
	return !r.o.ReturnAll && !r.o.ReturnCount && !r.o.ReturnMax
}

// savesAll and saved follow the table of RFC 5182 section 2.4: MIN and MAX alone save
// only what they return.
func (r *searchResult) savesAll() bool {
	return r.o.ReturnSave && (r.o.ReturnAll || r.o.ReturnCount)
}

func (r *searchResult) saved() []mailbox.Range {
	if r.savesAll() || r.count == 0 {
		return r.neighbors.Ranges
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
