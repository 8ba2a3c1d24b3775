package server

import (
	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

var sortKeys = map[string]mailbox.SortKey{
	"ARRIVAL": mailbox.SortArrival, "CC": mailbox.SortCc, "DATE": mailbox.SortDate, "FROM": mailbox.SortFrom,
	"SIZE": mailbox.SortSize, "SUBJECT": mailbox.SortSubject, "TO": mailbox.SortTo,
	"DISPLAYFROM": mailbox.SortDisplayFrom, "DISPLAYTO": mailbox.SortDisplayTo,
	"RELEVANCY": mailbox.SortMatch, // RFC 6203 section 6
}

// sort handles SORT and UID SORT (RFC 5256).
func (r *request) sort() error {
	args := r.p.Sort()
	if err := r.p.End(); err != nil {
		return err
	}
	b := r.queryBuilder()
	query, err := r.query(b, &args.Search)
	if err != nil {
		return err
	}
	b.Exact = true // for RELEVANCY
	exact, err := b.Query(args.Key)
	if err != nil {
		return err
	}
	by := make([]mailbox.SortBy, len(args.Keys))
	for i, k := range args.Keys {
		by[i] = mailbox.SortBy{Key: sortKeys[k.Name], Reverse: k.Reverse}
		if k.Name == "RELEVANCY" {
			by[i].Query = exact
		}
	}
	found, err := r.view.Sort(r.ctx, by, query)
	if err != nil {
		return r.fail(err)
	}
	if args.Return == nil {
		r.w.Text("* SORT")
		for _, f := range found {
			r.w.Text(" ", r.number(f))
		}
		if b.ModSeq && len(found) > 0 { // RFC 7162 section 3.1.6
			r.w.Text(" (MODSEQ ", num(highest(found)), ")")
		}
		r.w.end()
		return nil
	}
	var scored translate.UIDRun
	if args.Return.Relevancy {
		if scored, err = r.exactMatches(b, args.Key); err != nil {
			return err
		}
	}
	r.writeESort(args.Return, found, scored, b.ModSeq)
	return nil
}

// number returns how a message is named in the answer.
func (r *request) number(f mailbox.Found) string {
	if r.uid {
		return num(f.UID)
	}
	return num(f.Index + 1)
}

func highest(found []mailbox.Found) (n mailbox.ModSeq) {
	for _, f := range found {
		n = max(n, f.ModSeq)
	}
	return n
}

// writeESort writes an ESEARCH response (RFC 5267 section 3): MIN and MAX are the
// first and the last in the order that was asked for, and lists are in that order too.
func (r *request) writeESort(o *wire.SearchReturn, found []mailbox.Found, exact translate.UIDRun, modseq bool) {
	w, some := r.w, len(found) > 0
	w.Text("* ESEARCH (TAG ")
	w.String(r.tag)
	w.Text(")")
	if r.uid {
		w.Text(" UID")
	}
	if o.All && some {
		w.Text(" ALL ")
		r.writeOrder(found)
	}
	if o.Min && some {
		w.Text(" MIN ", r.number(found[0]))
	}
	if o.Max && some {
		w.Text(" MAX ", r.number(found[len(found)-1]))
	}
	if o.Count {
		w.Text(" COUNT ", num(len(found)))
	}
	if o.Partial != nil {
		w.Text(" PARTIAL (")
		w.PartialRange(o.Partial)
		w.Text(" ")
		if part := partOf(o.Partial, found); len(part) > 0 {
			r.writeOrder(part)
		} else {
			w.Text("NIL")
		}
		w.Text(")")
	}
	if o.Relevancy && some {
		w.Text(" RELEVANCY (")
		for i, f := range found {
			if i > 0 {
				w.Text(" ")
			}
			w.Text(relevancy(exact, f.UID))
		}
		w.Text(")")
	}
	if modseq && some {
		w.Text(" MODSEQ ", num(highest(found)))
	}
	w.end()
}

// writeOrder writes results in their order. Neighbours that ascend are one range.
func (r *request) writeOrder(found []mailbox.Found) {
	var runs []wire.Range
	for _, f := range found {
		n := uint32(f.Index) + 1
		if r.uid {
			n = uint32(f.UID)
		}
		runs = wire.Add(runs, n)
	}
	r.w.Set(runs)
}

// partOf returns the run of results that is asked for.
func partOf(p *wire.PartialRange, found []mailbox.Found) []mailbox.Found {
	n := int64(len(found))
	first, last := min(p.First, p.Last), max(p.First, p.Last)
	if first < 0 {
		first, last = n+first+1, n+last+1
	}
	first, last = max(first, 1), min(last, n)
	if first > last {
		return nil
	}
	return found[first-1 : last]
}

// thread handles THREAD and UID THREAD (RFC 5256).
func (r *request) thread() error {
	args := r.p.Thread()
	if err := r.p.End(); err != nil {
		return err
	}
	b := r.queryBuilder()
	query, err := r.query(b, &args.Search)
	if err != nil {
		return err
	}
	how := mailbox.ThreadReferences
	if args.Algorithm == "ORDEREDSUBJECT" {
		how = mailbox.ThreadOrderedSubject
	}
	threads, err := r.view.Thread(r.ctx, how, query)
	if err != nil {
		return r.fail(err)
	}
	r.w.Text("* THREAD")
	if len(threads) > 0 {
		r.w.Text(" ")
	}
	for _, t := range threads {
		r.w.Text("(")
		r.writeThread(t)
		r.w.Text(")")
	}
	r.w.end()
	return nil
}

// writeThread writes what stands in the parentheses of a thread (RFC 5256 section
// 4): a message and the only one that follows it beside each other, several that
// follow it in parentheses each. Package mailbox bounds how deep they lie.
func (r *request) writeThread(t *mailbox.Thread) {
	for t.UID != 0 {
		r.w.Text(r.number(t.Found))
		if len(t.Children) == 0 {
			return
		}
		r.w.Text(" ")
		if len(t.Children) > 1 {
			break
		}
		t = t.Children[0]
	}
	for _, c := range t.Children {
		r.w.Text("(")
		r.writeThread(c)
		r.w.Text(")")
	}
}
