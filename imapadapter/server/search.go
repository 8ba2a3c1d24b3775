package server

import (
	"errors"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
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
		r.saved = nil // RFC 5182 section 2.1: after a NO, but not after a BAD
	}
	return err
}

func (r *request) find(args *wire.Search) error {
	if args.Charset != "" && r.enabled.utf8 {
		return bad("CHARSET is not used any more") // RFC 6855 section 3
	}
	b := r.queryBuilder()
	query, err := r.query(b, args)
	if err != nil {
		return err
	}
	hits := &hits{byUID: r.uid, modseq: b.ModSeq}
	if hits.o = args.Return; hits.o == nil {
		hits.o = &wire.SearchReturn{All: true}
	}
	if err := r.gather(query, hits); err != nil {
		return err
	}
	if hits.o.Relevancy {
		b.Exact = true
		if hits.exact, err = r.exactMatches(b, args.Key); err != nil {
			return err
		}
	}
	if hits.o.Save {
		r.saved = hits.saved()
	}
	if args.Return == nil && !r.enabled.rev2 {
		hits.writeSearch(r.w)
	} else if *hits.o != (wire.SearchReturn{Save: true}) { // RFC 5182 section 2.1
		hits.writeESearch(r.w, r.tag)
	}
	return nil
}

func (r *request) queryBuilder() *translate.QueryBuilder {
	return &translate.QueryBuilder{Set: r.searchSet}
}

// query returns what a client looks for in the selected mailbox.
func (r *request) query(b *translate.QueryBuilder, args *wire.Search) (*mailbox.Query, error) {
	switch {
	case r.deleted:
		return nil, errDeleted
	case args.Charset != "" && args.Charset != "US-ASCII" && args.Charset != "UTF-8":
		return nil, no("BADCHARSET (US-ASCII UTF-8)", "Only US-ASCII and UTF-8 are supported SEARCH charsets")
	case !r.uid && r.enabled.uidonly:
		return nil, errUIDRequired
	}
	query, err := b.Query(args.Key)
	if b.ModSeq && err == nil {
		r.knowsModSeq()
	}
	return query, err
}

// gather runs a search. A client that waits for long is sent how far it is.
func (r *request) gather(query *mailbox.Query, hits *hits) error {
	every := min(progressEvery, r.o.Timeout/10)
	next := time.Now().Add(every)
	looked := func(index int) {
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			r.inProgress(index+1, r.view.Len())
		}
		r.progress()
	}
	for found, err := range r.view.SearchWith(r.ctx, query, looked) {
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

// progressEvery is how long a client waits between two responses of INPROGRESS.
const progressEvery = 10 * time.Second

// inProgress writes how far a command is (RFC 9585). The tag is quoted as a string.
func (r *request) inProgress(done, of int) {
	r.w.Text("* OK [INPROGRESS (")
	r.w.String(r.tag)
	r.w.Text(" ", num(done), " ", num(of), ")] Still at work")
	r.w.end()
	r.w.flush()
	if err := r.push(); err != nil && r.w.err == nil {
		r.w.err = err
	}
}

// exactMatches returns the UIDs that match a search with its FUZZY keys taken exactly.
func (r *request) exactMatches(b *translate.QueryBuilder, key *wire.SearchKey) (translate.UIDRun, error) {
	var uids translate.UIDRun
	query, err := b.Query(key)
	if err != nil {
		return uids, err
	}
	for found, err := range r.view.Search(r.ctx, query) {
		if err != nil {
			return uids, r.fail(err)
		}
		uids.Add(found.Index, found.UID)
		r.progress()
	}
	return uids, nil
}

// hits is what a search found, as far as it is asked for.
type hits struct {
	o      *wire.SearchReturn
	byUID  bool
	modseq bool // the answer has the highest mod-sequence
	exact  translate.UIDRun

	count     uint32
	min, max  wire.Range // first and last found: number, UID
	firstMod  mailbox.ModSeq
	lastMod   mailbox.ModSeq
	highest   mailbox.ModSeq
	numbers   []wire.Range // sequence numbers or UIDs, as they are answered
	uids      []wire.Range
	neighbors translate.UIDRun
}

func (h *hits) add(f mailbox.Found) {
	n := uint32(f.Index) + 1
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
		h.neighbors.Add(f.Index, f.UID)
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
		return h.neighbors.Ranges
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
func (h *hits) writeSearch(w *output) {
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
func (h *hits) writeESearch(w *output, tag string) {
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
		w.Text(" MODSEQ ", num(h.modSeq()))
	}
	w.end()
}

// modSeq returns the mod-sequence that belongs to what is returned (RFC 7162 section
// 3.1.10).
func (h *hits) modSeq() mailbox.ModSeq {
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

func (h *hits) writePartial(w *output) {
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
func relevancy(exact translate.UIDRun, uid mailbox.UID) string {
	if exact.Has(uid) {
		return "100"
	}
	return "50"
}

// writeRelevancy scores all that was found.
func (h *hits) writeRelevancy(w *output) {
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
