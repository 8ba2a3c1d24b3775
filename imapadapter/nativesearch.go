package imapadapter

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// search handles SEARCH and UID SEARCH.
func (r *request) search() error {
	args := r.p.Search()
	if err := r.p.End(); err != nil {
		return err
	}
	err := r.find(args)
	var answer *imap.Error
	if args.Return != nil && args.Return.Save && errors.As(err, &answer) && answer.Type == imap.StatusResponseTypeNo {
		r.s.saved = nil // RFC 5182 section 2.1: after a NO, but not after a BAD
	}
	return err
}

func (r *request) find(args *wire.Search) error {
	s := r.s
	if args.Charset != "" && s.enabled.utf8 {
		return bad("CHARSET is not used any more") // RFC 6855 section 3
	}
	b := queryBuilder{r: r}
	query, err := r.query(&b, args)
	if err != nil {
		return err
	}
	hits := &hits{byUID: r.uid, modseq: b.modseq}
	if hits.o = args.Return; hits.o == nil {
		hits.o = &wire.SearchReturn{All: true}
	}
	if err := r.gather(query, hits); err != nil {
		return err
	}
	if hits.o.Relevancy {
		b.exact = true
		if hits.exact, err = r.exactly(&b, args.Key); err != nil {
			return err
		}
	}
	if hits.o.Save {
		s.saved = hits.saved()
	}
	if args.Return == nil && !s.enabled.rev2 {
		hits.writeSearch(r.w)
	} else if *hits.o != (wire.SearchReturn{Save: true}) { // RFC 5182 section 2.1
		hits.writeESearch(r.w, r.tag)
	}
	return nil
}

// query returns what a client looks for in the selected mailbox.
func (r *request) query(b *queryBuilder, args *wire.Search) (*mailbox.Query, error) {
	switch {
	case r.s.deleted:
		return nil, errDeleted
	case args.Charset != "" && args.Charset != "US-ASCII" && args.Charset != "UTF-8":
		return nil, no("BADCHARSET (US-ASCII UTF-8)", "Only US-ASCII and UTF-8 are supported SEARCH charsets")
	case !r.uid && r.s.enabled.uidonly:
		return nil, badCode("UIDREQUIRED", "Sequence numbers are not used any more")
	}
	query, err := b.query(args.Key)
	if b.modseq && err == nil {
		r.condstore()
	}
	return query, err
}

// gather runs a search, and tells the client that waits for long how far it is.
func (r *request) gather(query *mailbox.Query, hits *hits) error {
	every := min(progressEvery, r.s.o.Timeout/10)
	next := time.Now().Add(every)
	looked := func(index int) {
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			r.inProgress(index+1, r.s.view.Len())
		}
		r.progress()
	}
	for found, err := range r.s.view.SearchWith(r.ctx, query, looked) {
		if err != nil {
			return r.fail(err)
		}
		hits.add(found)
		if hits.enough() {
			break
		}
	}
	return nil
}

// progressEvery is how long a client waits between two words of INPROGRESS.
const progressEvery = 10 * time.Second

// inProgress tells how far a command is (RFC 9585). The tag is quoted as a string.
func (r *request) inProgress(done, of int) {
	r.w.Text("* OK [INPROGRESS (")
	r.w.String(r.tag)
	r.w.Text(" ", num(done), " ", num(of), ")] Still at work")
	r.w.end()
	r.w.flush()
	if err := r.s.guard.push(); err != nil && r.w.err == nil {
		r.w.err = err
	}
}

// exactly returns the UIDs that match a search with its FUZZY keys taken exactly.
func (r *request) exactly(b *queryBuilder, key *wire.SearchKey) (uidRun, error) {
	var uids uidRun
	query, err := b.query(key)
	if err != nil {
		return uids, err
	}
	for found, err := range r.s.view.Search(r.ctx, query) {
		if err != nil {
			return uids, r.fail(err)
		}
		uids.add(found.Index, found.UID)
		r.progress()
	}
	return uids, nil
}

// queryBuilder turns search keys into a query.
type queryBuilder struct {
	r      *request
	exact  bool // FUZZY does nothing
	modseq bool // a key was MODSEQ
}

// query returns a key as a query. Its depth was bounded by the parser.
func (b *queryBuilder) query(k *wire.SearchKey) (*mailbox.Query, error) {
	if op, ok := groupOps[k.Name]; ok {
		q := &mailbox.Query{Op: op}
		for _, arg := range k.Args {
			a, err := b.query(arg)
			if err != nil {
				return nil, err
			}
			q.Args = append(q.Args, a)
		}
		return q, nil
	}
	switch k.Name {
	case "SEQ", "UID":
		set, err := b.r.set(k.Set, k.Name == "UID")
		return &mailbox.Query{Op: mailbox.OpSet, Set: set}, err
	case "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN":
		return &mailbox.Query{Op: mailbox.OpFlag, Text: `\` + k.Name}, nil
	case "KEYWORD":
		return &mailbox.Query{Op: mailbox.OpFlag, Text: k.Text}, nil
	case "EMAILID":
		return &mailbox.Query{Op: mailbox.OpEmailID, Text: strings.TrimPrefix(k.Text, "E")}, nil
	case "THREADID":
		return &mailbox.Query{Op: mailbox.OpThreadID, Text: strings.TrimPrefix(k.Text, "T")}, nil
	case "MODSEQ":
		b.modseq = true
		return &mailbox.Query{Op: mailbox.OpModSeq, N: int64(k.N)}, nil
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		return b.text(k, mailbox.Query{Op: mailbox.OpHeader, Field: k.Name})
	case "HEADER":
		return b.text(k, mailbox.Query{Op: mailbox.OpHeader, Field: k.Field})
	case "BODY":
		return b.text(k, mailbox.Query{Op: mailbox.OpBody})
	case "TEXT":
		return b.text(k, mailbox.Query{Op: mailbox.OpText})
	}
	return &mailbox.Query{Op: plainOps[k.Name], Time: k.Date, N: int64(k.N)}, nil
}

var groupOps = map[string]mailbox.QueryOp{"AND": mailbox.OpAnd, "OR": mailbox.OpOr, "NOT": mailbox.OpNot}

// plainOps are the keys whose argument is a date, a number or nothing.
var plainOps = map[string]mailbox.QueryOp{
	"ALL": mailbox.OpAll, "SAVEDATESUPPORTED": mailbox.OpAll, // RFC 8514 section 4.3: all mailboxes do
	"NEW": mailbox.OpNew, "OLD": mailbox.OpOld, "RECENT": mailbox.OpRecent,
	"BEFORE": mailbox.OpBefore, "ON": mailbox.OpOn, "SINCE": mailbox.OpSince,
	"SENTBEFORE": mailbox.OpSentBefore, "SENTON": mailbox.OpSentOn, "SENTSINCE": mailbox.OpSentSince,
	"SAVEDBEFORE": mailbox.OpSavedBefore, "SAVEDON": mailbox.OpSavedOn, "SAVEDSINCE": mailbox.OpSavedSince,
	"LARGER": mailbox.OpLarger, "SMALLER": mailbox.OpSmaller,
	"OLDER": mailbox.OpOlder, "YOUNGER": mailbox.OpYounger,
}

// text returns a key that looks for text. FUZZY text (RFC 6203) is found if all of
// its words are, in any order.
func (b *queryBuilder) text(k *wire.SearchKey, q mailbox.Query) (*mailbox.Query, error) {
	if !utf8.ValidString(k.Text) || !utf8.ValidString(k.Field) {
		return nil, no("BADCHARSET (US-ASCII UTF-8)", "Text is not UTF-8")
	}
	q.Text = k.Text
	words := strings.Fields(k.Text)
	if !k.Fuzzy || b.exact || len(words) < 2 {
		return &q, nil
	}
	all := &mailbox.Query{Op: mailbox.OpAnd}
	for _, w := range words {
		arg := q
		arg.Text = w
		all.Args = append(all.Args, &arg)
	}
	return all, nil
}

// hits is what a search found, as far as it is asked for.
type hits struct {
	o      *wire.SearchReturn
	byUID  bool
	modseq bool // the answer tells the highest mod-sequence
	exact  uidRun

	count     uint32
	min, max  wire.Range // first and last found: number, UID
	firstMod  mailbox.ModSeq
	lastMod   mailbox.ModSeq
	highest   mailbox.ModSeq
	numbers   []wire.Range // sequence numbers or UIDs, as they are answered
	uids      []wire.Range
	neighbors uidRun
}

func (h *hits) add(f mailbox.Found) {
	n := seqNum(f.Index)
	if h.byUID {
		n = uint32(f.UID)
	}
	at := wire.Range{First: n, Last: uint32(f.UID)}
	if h.count == 0 {
		h.min, h.firstMod = at, f.ModSeq
	}
	h.max, h.lastMod = at, f.ModSeq
	h.count++
	h.highest = max(h.highest, f.ModSeq)
	if h.o.All || h.o.Partial != nil {
		h.numbers = wire.Add(h.numbers, n)
	}
	if h.o.Partial != nil || h.o.Relevancy {
		h.uids = wire.Add(h.uids, uint32(f.UID))
	}
	if h.savesAll() {
		h.neighbors.add(f.Index, f.UID)
	}
}

// enough reports whether nothing found later would matter.
func (h *hits) enough() bool {
	o := h.o
	return o.Min && !o.All && !o.Count && !o.Max && o.Partial == nil && !o.Relevancy
}

// savesAll and saved follow the table of RFC 5182 section 2.4: MIN and MAX alone
// save only what they return. PARTIAL saves what it returns, too (RFC 9394 section
// 3.2).
func (h *hits) savesAll() bool {
	o := h.o
	return o.Save && (o.All || o.Count || !o.Min && !o.Max && o.Partial == nil)
}

func (h *hits) saved() []mailbox.Range {
	switch {
	case h.savesAll() || h.count == 0:
		return h.neighbors.ranges
	case h.o.Partial != nil:
		return ranges(h.o.Partial.Of(h.uids))
	}
	var out []mailbox.Range
	if h.o.Min {
		out = append(out, mailbox.Range{First: h.min.Last, Last: h.min.Last})
	}
	if h.o.Max {
		out = append(out, mailbox.Range{First: h.max.Last, Last: h.max.Last})
	}
	return out
}

// writeSearch writes a SEARCH response (RFC 3501 section 7.2.5).
func (h *hits) writeSearch(w *responder) {
	w.Text("* SEARCH")
	for _, r := range h.numbers {
		for n := uint64(r.First); n <= uint64(r.Last); n++ {
			w.Text(" ")
			w.Num(n)
		}
	}
	if h.modseq && h.count > 0 {
		w.Text(" (MODSEQ ", num(h.highest), ")")
	}
	w.end()
}

// writeESearch writes an ESEARCH response (RFC 9051 section 7.3.4).
func (h *hits) writeESearch(w *responder, tag string) {
	o := h.o
	w.Text("* ESEARCH (TAG ")
	w.String(tag)
	w.Text(")")
	if h.byUID {
		w.Text(" UID")
	}
	if o.All && h.count > 0 {
		w.Text(" ALL ")
		w.Set(h.numbers)
	}
	if o.Min && h.count > 0 {
		w.Text(" MIN ", num(h.min.First))
	}
	if o.Max && h.count > 0 {
		w.Text(" MAX ", num(h.max.First))
	}
	if o.Count {
		w.Text(" COUNT ", num(h.count))
	}
	if o.Partial != nil {
		h.writePartial(w)
	}
	if o.Relevancy && h.count > 0 {
		h.writeRelevancy(w)
	}
	if h.modseq && h.count > 0 {
		w.Text(" MODSEQ ", num(h.told()))
	}
	w.end()
}

// told returns the mod-sequence that belongs to what is returned (RFC 7162 section
// 3.1.10).
func (h *hits) told() mailbox.ModSeq {
	o := h.o
	switch {
	case o.All || o.Count || o.Partial != nil || !o.Min && !o.Max:
		return h.highest
	case o.Min && o.Max:
		return max(h.firstMod, h.lastMod)
	case o.Min:
		return h.firstMod
	}
	return h.lastMod
}

func (h *hits) writePartial(w *responder) {
	p := h.o.Partial
	w.Text(" PARTIAL (")
	w.PartialRange(p)
	w.Text(" ")
	if part := p.Of(h.numbers); len(part) > 0 {
		w.Set(part)
	} else {
		w.Text("NIL")
	}
	w.Text(")")
}

// relevancy scores a message that was found (RFC 6203 section 4): whether it has
// the text as it was given, or only its words.
func relevancy(exact uidRun, uid mailbox.UID) string {
	if exact.has(uid) {
		return "100"
	}
	return "50"
}

// writeRelevancy scores all that was found.
func (h *hits) writeRelevancy(w *responder) {
	w.Text(" RELEVANCY (")
	sep := ""
	for _, r := range h.uids {
		for n := uint64(r.First); n <= uint64(r.Last); n++ {
			w.Text(sep, relevancy(h.exact, mailbox.UID(n)))
			sep = " "
		}
	}
	w.Text(")")
}
