package imapadapter

import (
	"io"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// fetch handles FETCH and UID FETCH.
func (r *request) fetch() error {
	args := r.p.Fetch()
	if err := r.p.End(); err != nil {
		return err
	}
	s := r.s
	set, err := r.selected(args.Set)
	if err != nil {
		return err
	}
	switch {
	case args.Vanished && (!r.uid || !s.enabled.qresync):
		return bad("VANISHED needs UID FETCH, and QRESYNC enabled") // RFC 7162 section 3.2.6
	case args.Partial != nil && !r.uid:
		return bad("PARTIAL needs UID FETCH") // RFC 9394 section 3.3
	}
	if args.ModSeq || args.ChangedSince != nil {
		r.condstore()
	}
	args.UID = args.UID || r.uid && !s.enabled.uidonly
	args.ModSeq = args.ModSeq || s.enabled.condstore
	f := &fetch{op: r.operation, o: args, rev2: s.enabled.rev2}
	f.sink = &nativeSink{fetch: f, r: r}
	if args.Vanished {
		if err := r.vanished(mailbox.ModSeq(*args.ChangedSince), set, mailbox.Known{}); err != nil {
			return r.fail(err)
		}
	}
	if args.Partial != nil {
		if set, err = r.part(set, args); err != nil {
			return err
		}
	}
	if f.marks() && !s.view.ReadOnly() {
		f.markSeen(set)
		if args.Flags || args.ModSeq {
			// The flags and the mod-sequence of a response are of one state.
			f.seen = uidRun{}
			r.news(true)
		}
	}
	return f.serve(set)
}

// part returns the run of a set's messages that PARTIAL asks for.
func (r *request) part(set mailbox.Set, args *wire.Fetch) (mailbox.Set, error) {
	q := &mailbox.Query{Op: mailbox.OpSet, Set: set}
	if args.ChangedSince != nil {
		since := &mailbox.Query{Op: mailbox.OpModSeq, N: int64(*args.ChangedSince) + 1}
		q = &mailbox.Query{Op: mailbox.OpAnd, Args: []*mailbox.Query{q, since}}
	}
	var uids []wire.Range
	for f, err := range r.s.view.Search(r.ctx, q) {
		if err != nil {
			return set, r.fail(err)
		}
		uids = wire.Add(uids, uint32(f.UID))
	}
	return mailbox.Set{Ranges: ranges(args.Partial.Of(uids)), UID: true}, nil
}

// nativeSink writes the responses of a FETCH.
type nativeSink struct {
	*fetch
	r    *request
	open bool // a response was begun
}

// item begins one thing that is said of the message.
func (k *nativeSink) item(name ...string) {
	if k.open {
		k.r.w.Text(" ")
	} else {
		k.r.fetched(k.m)
		k.open = true
	}
	k.r.w.Text(name...)
}

func (k *nativeSink) end() error {
	if k.open {
		k.open = false
		k.r.w.Text(")")
		k.r.w.end()
	}
	return k.r.w.err
}

func (k *nativeSink) attributes(flags []string) {
	w, o, m := k.r.w, k.o, k.m
	if o.UID {
		k.item("UID ", num(m.UID))
	}
	if o.Flags {
		k.item("FLAGS ")
		w.List(flags)
	}
	if o.InternalDate {
		k.item("INTERNALDATE ")
		w.DateTime(m.Date)
	}
	if o.Size {
		k.item("RFC822.SIZE ", num(uint64(m.Size)))
	}
	if o.ModSeq {
		k.item("MODSEQ (", num(m.ModSeq), ")")
	}
	if o.EmailID {
		k.item("EMAILID (", emailID(m.ID), ")")
	}
	if o.ThreadID {
		if id, err := m.ThreadID(k.r.ctx); err != nil {
			k.note(err)
		} else {
			k.item("THREADID (", threadID(id), ")")
		}
	}
	if o.SaveDate {
		k.item("SAVEDATE ")
		w.DateTime(m.Saved)
	}
}

// emailID returns EMAILID (RFC 8474 section 5.1).
func emailID(id mailbox.EmailID) string { return "E" + id.String() }

// threadID returns THREADID (RFC 8474 section 5.2).
func threadID(id mailbox.ThreadID) string { return "T" + id.String() }

// preview writes PREVIEW (RFC 8970). What was stored before previews were is read
// for it, unless the client is in a hurry.
func (k *nativeSink) preview() {
	text, ok := k.meta.Preview, k.meta.HasPreview
	if !ok && !k.o.PreviewLazy {
		var err error
		if text, ok, err = k.m.Preview(k.r.ctx, false); err != nil {
			k.note(err)
		}
	}
	k.item("PREVIEW ")
	if ok {
		k.r.w.String(text)
	} else {
		k.r.w.Text("NIL")
	}
}

func (k *nativeSink) structure() {
	w, o := k.r.w, k.o
	if o.Envelope {
		k.item("ENVELOPE ")
		w.Envelope(k.meta.Header)
	}
	if o.Body {
		k.item("BODY ")
		w.BodyStructure(k.meta.Root, false)
	}
	if o.BodyStructure {
		k.item("BODYSTRUCTURE ")
		w.BodyStructure(k.meta.Root, true)
	}
	if o.Preview {
		k.preview()
	}
}

func (k *nativeSink) binarySize(part []int, n int64) {
	k.item("BINARY.SIZE")
	k.r.w.Part(part)
	k.r.w.Text(" ", num(uint64(n)))
}

func (k *nativeSink) literal(sec *wire.Section, n int64) io.WriteCloser {
	k.item()
	k.r.w.Section(sec)
	if n < 0 {
		k.r.w.Text(" NIL")
		return unclosed{k.r.w}
	}
	k.r.w.Text(" ")
	if sec.Binary {
		k.r.w.Text("~")
	}
	k.r.w.Literal(n)
	return unclosed{k.r.w}
}

// unclosed is a writer whose end is nothing to write.
type unclosed struct{ *responder }

func (u unclosed) Close() error { return u.err }
