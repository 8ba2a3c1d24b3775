package server

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// errCut is why a connection ends in the middle of a literal.
var errCut = errors.New("connection was cut in the middle of a literal")

// fetch handles FETCH and UID FETCH. Messages are handled one after the other, and each
// is written as it is read. What cannot be had of a message is left out and makes the
// whole command fail in the end; all else is served.
func (r *request) fetch() error {
	args := r.p.Fetch()
	if err := r.p.End(); err != nil {
		return err
	}
	set, err := r.selected(args.Set)
	if err != nil {
		return err
	}
	switch {
	case args.Vanished && (!r.uid || !r.enabled.qresync):
		return bad("VANISHED needs UID FETCH, and QRESYNC enabled") // RFC 7162 section 3.2.6
	case args.Partial != nil && !r.uid:
		return bad("PARTIAL needs UID FETCH") // RFC 9394 section 3.3
	}
	if args.ModSeq || args.ChangedSince != nil {
		r.knowsModSeq()
	}
	args.UID = args.UID || r.uid && !r.enabled.uidonly
	args.ModSeq = args.ModSeq || r.enabled.condstore
	f := newFetch(r, args)
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
	if f.marks() && !r.view.ReadOnly() {
		f.markSeen(set)
		if args.Flags || args.ModSeq {
			// The flags and the mod-sequence of a response are of one state.
			f.seen = translate.UIDRun{}
			r.update(true)
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
	for f, err := range r.view.Search(r.ctx, q) {
		if err != nil {
			return set, r.fail(err)
		}
		uids = wire.Add(uids, uint32(f.UID))
	}
	return mailbox.Set{Ranges: ranges(args.Partial.Of(uids)), UID: true}, nil
}

// fetch is the work on one FETCH.
type fetch struct {
	*request
	o        *wire.Fetch
	asked    []*wire.Section   // BODY[...], then BINARY[...]
	sections []mailbox.Section // what they name

	seen    translate.UIDRun // messages that this command made \Seen and the view does not know
	trouble error            // the first thing that could not be had

	// Of the message at work:
	m    *mailbox.Message
	meta *message.Message // nil if not needed, or not to be had
	open bool             // a response was begun
}

var sectionKinds = map[string]mailbox.SectionKind{
	"": mailbox.SectionAll, "HEADER": mailbox.SectionHeader, "TEXT": mailbox.SectionText, "MIME": mailbox.SectionMIME,
	"HEADER.FIELDS": mailbox.SectionHeaderFields, "HEADER.FIELDS.NOT": mailbox.SectionHeaderFieldsNot,
}

func newFetch(r *request, o *wire.Fetch) *fetch {
	f := &fetch{request: r, o: o}
	for _, list := range [][]wire.Section{o.Sections, o.Binaries} {
		for i := range list {
			asked := &list[i]
			s := mailbox.Section{Part: asked.Part, Kind: sectionKinds[asked.Kind], Fields: asked.Fields, Decode: asked.Binary}
			if p := asked.Partial; p != nil {
				s.Offset, s.Count = p.Offset, p.Count
			}
			f.asked, f.sections = append(f.asked, asked), append(f.sections, s)
		}
	}
	return f
}

// serve writes the responses for a set of messages.
func (f *fetch) serve(set mailbox.Set) error {
	since := mailbox.ModSeq(0)
	if f.o.ChangedSince != nil {
		since = mailbox.ModSeq(*f.o.ChangedSince)
	}
	for m, err := range f.view.MessagesSince(f.ctx, set, since) {
		if err != nil {
			return f.fail(err)
		}
		if err := f.one(m); err != nil {
			return err
		}
		f.progress()
	}
	return f.fail(f.trouble)
}

// marks reports whether the command sets \Seen (RFC 9051 section 6.4.5).
func (f *fetch) marks() bool {
	return slices.ContainsFunc(f.asked, func(s *wire.Section) bool { return !s.Peek })
}

// markSeen sets \Seen on all messages of the command that do not have it, in one entry
// of the log. A client that asks for the flags gets the new ones with the message;
// another gets them after the command. That they cannot be changed now is no reason not
// to let the client read, which has a time of its own.
func (f *fetch) markSeen(set mailbox.Set) {
	mark := f.begin(f.name)
	defer mark.end()
	var unseen translate.UIDRun
	var err error
	for m, failed := range f.view.Messages(mark.ctx, set) {
		if failed != nil {
			err = failed
			break
		}
		if !m.HasFlag(mailbox.FlagSeen) {
			unseen.Add(m.Index, m.UID)
		}
	}
	if err == nil && len(unseen.Ranges) > 0 {
		_, err = f.view.Store(mark.ctx, unseen.Set(), mailbox.FlagsAdd, []string{mailbox.FlagSeen}, mailbox.StoreOptions{Silent: f.o.Flags})
	}
	f.progress()
	if err != nil {
		mark.warn(err)
		return
	}
	f.seen = unseen
}

// note keeps the first trouble for the tagged answer.
func (f *fetch) note(err error) {
	if f.trouble == nil {
		f.trouble = err
	}
}

// one writes the response for one message. A response begins with the first thing that
// there is to say: there is none if nothing is. An error is the connection's.
func (f *fetch) one(m *mailbox.Message) error {
	f.m, f.meta = m, nil
	f.attributes()
	if f.needsMeta() {
		meta, err := m.Meta(f.ctx)
		if err != nil {
			f.note(err)
		}
		f.meta = meta
	}
	if f.meta != nil {
		f.structure()
	}
	if len(f.sections) > 0 || len(f.o.BinarySizes) > 0 {
		if err := f.content(); err != nil {
			return err
		}
	}
	if f.open {
		f.open = false
		f.w.Text(")")
		f.w.end()
	}
	return f.w.err
}

// needsMeta reports whether anything is asked for that the metadata answers: all but the
// whole message.
func (f *fetch) needsMeta() bool {
	o := f.o
	return o.Envelope || o.Body || o.BodyStructure || o.Preview || len(o.BinarySizes) > 0 ||
		slices.ContainsFunc(f.sections, func(s mailbox.Section) bool { return !s.Whole() })
}

// item begins one item of the response.
func (f *fetch) item(name ...string) {
	if f.open {
		f.w.Text(" ")
	} else {
		f.fetched(f.m)
		f.open = true
	}
	f.w.Text(name...)
}

// attributes writes what is known without looking into the message.
func (f *fetch) attributes() {
	w, o, m := f.w, f.o, f.m
	if o.UID {
		f.item("UID ", num(m.UID))
	}
	if o.Flags {
		f.item("FLAGS ")
		w.List(f.flags())
	}
	if o.InternalDate {
		f.item("INTERNALDATE ")
		w.DateTime(m.Date)
	}
	if o.Size {
		f.item("RFC822.SIZE ", num(uint64(m.Size)))
	}
	if o.ModSeq {
		f.item("MODSEQ (", num(m.ModSeq), ")")
	}
	if o.EmailID {
		f.item("EMAILID (E", m.ID.String(), ")") // RFC 8474 section 5.1
	}
	if o.ThreadID {
		if id, err := m.ThreadID(f.ctx); err != nil {
			f.note(err)
		} else {
			f.item("THREADID (T", id.String(), ")") // RFC 8474 section 5.2
		}
	}
	if o.SaveDate {
		f.item("SAVEDATE ")
		w.DateTime(m.Saved)
	}
}

// flags returns the flags of the message at work.
func (f *fetch) flags() []string {
	list := translate.MessageFlags(f.m, !f.enabled.rev2)
	if f.seen.Has(f.m.UID) {
		list = append(list, mailbox.FlagSeen)
	}
	return list
}

// structure writes what follows from the message's header and structure.
func (f *fetch) structure() {
	w, o := f.w, f.o
	if o.Envelope {
		f.item("ENVELOPE ")
		w.Envelope(f.meta.HeaderFields())
	}
	if o.Body {
		f.item("BODY ")
		w.BodyStructure(f.meta.Root, false)
	}
	if o.BodyStructure {
		f.item("BODYSTRUCTURE ")
		w.BodyStructure(f.meta.Root, true)
	}
	if o.Preview {
		f.preview()
	}
}

// preview writes PREVIEW (RFC 8970). What was stored before previews were is read for
// it, unless the client is in a hurry.
func (f *fetch) preview() {
	text, ok := f.meta.Preview, f.meta.HasPreview
	if !ok && !f.o.PreviewLazy {
		var err error
		if text, ok, err = f.m.Preview(f.ctx, false); err != nil {
			f.note(err)
		}
	}
	f.item("PREVIEW ")
	if ok {
		f.w.String(text)
	} else {
		f.w.Text("NIL")
	}
}

// content writes sections, and the sizes of decoded parts.
func (f *fetch) content() error {
	r := f.m.Sections(f.ctx, f.meta)
	r.Progress = f.progress
	defer r.Close()
	if len(f.sections) > 1 {
		r.Plan(f.sections)
	}
	bodies := len(f.o.Sections)
	for i := range bodies {
		if err := f.section(r, i); err != nil {
			return err
		}
	}
	for _, part := range f.o.BinarySizes {
		if f.meta == nil {
			continue
		}
		n, err := r.DecodedSize(part)
		if err != nil {
			f.note(err)
			continue
		}
		f.item("BINARY.SIZE")
		f.w.Part(part)
		f.w.Text(" ", num(uint64(n)))
	}
	for i := bodies; i < len(f.sections); i++ {
		if err := f.section(r, i); err != nil {
			return err
		}
	}
	return nil
}

// section writes one section. Bytes that cannot be had are noted, and the item is left
// out, as long as nothing was announced: the first block is read before that. An error
// is the connection's.
func (f *fetch) section(r *mailbox.SectionReader, i int) error {
	if f.meta == nil && !f.sections[i].Whole() {
		return nil
	}
	data, err := r.Open(&f.sections[i])
	if err != nil {
		f.note(err)
		return nil
	}
	if data.Reader != nil {
		return f.stream(data, f.asked[i])
	}
	f.item()
	f.w.Section(f.asked[i])
	if data.Missing {
		f.w.Text(" NIL")
		return f.w.err
	}
	f.announce(f.asked[i], data.Size)
	_, err = f.w.Write(data.Bytes)
	return err
}

// announce writes the header of a literal.
func (f *fetch) announce(asked *wire.Section, n int64) {
	f.w.Text(" ")
	if asked.Binary {
		f.w.Text("~")
	}
	f.w.Literal(n)
}

// blockSize is how much of a body is read and written at once.
const blockSize = 32 << 10

// blocks are the buffers through which bodies pass.
var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// stream writes a section that is read from the store.
func (f *fetch) stream(data mailbox.SectionData, asked *wire.Section) error {
	block := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(block)
	left := data.Size
	chunk := block[:min(left, blockSize)]
	if _, err := io.ReadFull(data.Reader, chunk); err != nil {
		f.note(unexpected(err))
		return nil
	}
	f.item()
	f.w.Section(asked)
	f.announce(asked, left)
	for {
		f.progress()
		if _, err := f.w.Write(chunk); err != nil {
			return err
		}
		if left -= int64(len(chunk)); left == 0 {
			return nil
		}
		chunk = block[:min(left, blockSize)]
		if _, err := io.ReadFull(data.Reader, chunk); err != nil {
			return f.cut(unexpected(err))
		}
	}
}

// unexpected makes an end an error: bytes are missing.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cut logs that a literal cannot be completed, and returns the error that ends the
// connection: a client that gets fewer bytes than were announced, and then the end of the
// connection, knows that they are not all. Anything else would be taken for more of the
// literal.
func (f *fetch) cut(err error) error {
	if f.life.Err() == nil {
		f.conn.o.Logger.Error("imap connection cut: message cannot be read to its end", slog.String("command", f.name), slog.Any("error", err))
	}
	return errCut
}
