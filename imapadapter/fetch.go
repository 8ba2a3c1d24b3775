package imapadapter

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// errCut is returned by a FETCH that had to cut the connection in the middle of a
// literal.
var errCut = errors.New("connection was cut in the middle of a literal")

// Fetch handles FETCH and UID FETCH. Messages are handled one after the other, and each
// is written as it is read. What cannot be read of a message is left out and makes the
// whole command fail in the end; all else is served.
func (s *Session) Fetch(w *imapserver.FetchWriter, nums imap.NumSet, o *imap.FetchOptions) error {
	op := s.begin("FETCH")
	defer op.end()
	set, err := s.selected(nums)
	if err != nil {
		return err
	}
	f := &fetch{operation: op, w: w, items: o}
	if err := f.parseSections(); err != nil {
		return err
	}
	if f.marks() && !s.view.ReadOnly() {
		f.markSeen(set)
	}
	for m, err := range s.view.Messages(op.ctx, set) {
		if err != nil {
			return op.fail(err)
		}
		if err := f.message(m); err != nil {
			return err
		}
		op.progress()
	}
	return op.fail(f.trouble)
}

// fetch is the work on one FETCH.
type fetch struct {
	*operation
	w     *imapserver.FetchWriter
	items *imap.FetchOptions

	sections []mailbox.Section // BODY[...] of the items, then BINARY[...]
	seen     translate.UIDRun  // messages that this command made \Seen and the view does not know
	trouble  error             // the first thing that could not be read

	// Of the message at work:
	m    *mailbox.Message
	meta *message.Message                // nil if not needed, or not to be read
	out  *imapserver.FetchResponseWriter // nil before the first item
}

// parseSections translates the sections that are asked for.
func (f *fetch) parseSections() error {
	for _, s := range f.items.BodySection {
		sec := mailbox.Section{Part: s.Part}
		switch {
		case len(s.HeaderFields) > 0:
			sec.Kind, sec.Fields = mailbox.SectionHeaderFields, s.HeaderFields
		case len(s.HeaderFieldsNot) > 0:
			sec.Kind, sec.Fields = mailbox.SectionHeaderFieldsNot, s.HeaderFieldsNot
		case s.Specifier == imap.PartSpecifierHeader:
			sec.Kind = mailbox.SectionHeader
		case s.Specifier == imap.PartSpecifierText:
			sec.Kind = mailbox.SectionText
		case s.Specifier == imap.PartSpecifierMIME && len(s.Part) == 0: // which the engine's parser takes
			return translate.Bad("BODY[MIME] needs a part number")
		case s.Specifier == imap.PartSpecifierMIME:
			sec.Kind = mailbox.SectionMIME
		}
		if err := f.addSection(sec, s.Partial); err != nil {
			return err
		}
	}
	for _, s := range f.items.BinarySection {
		if err := f.addSection(mailbox.Section{Part: s.Part, Decode: true}, s.Partial); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetch) addSection(sec mailbox.Section, p *imap.SectionPartial) error {
	if p != nil {
		if p.Size == 0 {
			return translate.Bad("A range of no bytes") // RFC 9051 section 9, partial
		}
		sec.Offset, sec.Count = p.Offset, p.Size
	}
	f.sections = append(f.sections, sec)
	return nil
}

// marks reports whether the command sets \Seen (RFC 9051 section 6.4.5).
func (f *fetch) marks() bool {
	return slices.ContainsFunc(f.items.BodySection, func(s *imap.FetchItemBodySection) bool { return !s.Peek }) ||
		slices.ContainsFunc(f.items.BinarySection, func(s *imap.FetchItemBinarySection) bool { return !s.Peek })
}

// markSeen sets \Seen on all messages of the command that do not have it, in one entry
// of the log. If the client asks for the flags it gets the new ones with the message;
// otherwise Poll writes them. That they cannot be changed now is no reason not to let the
// client read, for which the time begins anew.
func (f *fetch) markSeen(set mailbox.Set) {
	f.timer.Stop()
	defer f.progress()
	mark := f.operation.operation(f.name)
	defer mark.close()
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
		_, err = f.view.Store(mark.ctx, unseen.Set(), mailbox.FlagsAdd, []string{mailbox.FlagSeen}, mailbox.StoreOptions{Silent: f.items.Flags})
	}
	if err != nil {
		f.warn(err)
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

// response begins the response for the message at work, if nothing was written of it
// yet. The engine's lock is held from then on until the response is closed.
func (f *fetch) response() *imapserver.FetchResponseWriter {
	if f.out == nil {
		f.out = f.w.CreateMessage(seqNum(f.m.Index))
	}
	return f.out
}

// message writes the response for one message, if there is anything to write. An error
// is the connection's.
func (f *fetch) message(m *mailbox.Message) (err error) {
	f.m, f.meta, f.out = m, nil, nil
	defer func() {
		if f.out != nil {
			if e := f.out.Close(); err == nil {
				err = e
			}
		}
	}()
	f.attributes()
	if f.needsMeta() {
		if f.meta, err = m.Meta(f.ctx); err != nil {
			f.note(err)
		}
	}
	if f.meta != nil && f.items.Envelope {
		f.response().WriteEnvelope(translate.Envelope(f.meta.Header))
	}
	if f.meta != nil && f.items.BodyStructure != nil {
		f.response().WriteBodyStructure(translate.BodyStructure(f.meta.Root))
	}
	r := m.Sections(f.ctx, f.meta)
	r.Progress = f.progress
	defer r.Close()
	r.Plan(f.sections)
	f.binarySizes(r)
	for i := range f.sections {
		if f.meta == nil && !f.sections[i].Whole() {
			continue
		}
		if err := f.section(r, i); err != nil {
			return err
		}
	}
	return nil
}

// attributes writes what is known without looking into the message.
func (f *fetch) attributes() {
	if f.items.UID {
		f.response().WriteUID(imap.UID(f.m.UID))
	}
	if f.items.Flags {
		list := messageFlags(f.m, f.rev2())
		if f.seen.Has(f.m.UID) {
			list = append(list, imap.FlagSeen)
		}
		f.response().WriteFlags(list)
	}
	if f.items.InternalDate {
		f.response().WriteInternalDate(f.m.Date)
	}
	if f.items.RFC822Size {
		f.response().WriteRFC822Size(f.m.Size)
	}
}

// needsMeta reports whether anything is asked for that the metadata answers: all but the
// whole message.
func (f *fetch) needsMeta() bool {
	return f.items.Envelope || f.items.BodyStructure != nil || len(f.items.BinarySectionSize) > 0 ||
		slices.ContainsFunc(f.sections, func(s mailbox.Section) bool { return !s.Whole() })
}

func (f *fetch) binarySizes(r *mailbox.SectionReader) {
	for _, sec := range f.items.BinarySectionSize {
		if f.meta == nil {
			return
		}
		n, err := r.DecodedSize(sec.Part)
		if err != nil {
			f.note(err)
			continue
		}
		f.response().WriteBinarySectionSize(sec, uint32(min(n, math.MaxUint32)))
	}
}

// section writes one section. Bytes that cannot be read are noted, and the section left
// out, as long as nothing was announced. The engine cannot write NIL for a part that is
// not there: it is empty.
func (f *fetch) section(r *mailbox.SectionReader, i int) error {
	data, err := r.Open(&f.sections[i])
	if err != nil {
		f.note(err)
		return nil
	}
	if data.Reader != nil {
		return f.stream(data.Reader, data.Size, i)
	}
	w := f.literal(i, data.Size)
	if _, err := w.Write(data.Bytes); err != nil {
		return f.abandon(w, err)
	}
	return w.Close()
}

// literal begins the literal of a section.
func (f *fetch) literal(i int, n int64) io.WriteCloser {
	if bodies := f.items.BodySection; i < len(bodies) {
		return f.response().WriteBodySection(bodies[i], n)
	}
	return f.response().WriteBinarySection(f.items.BinarySection[i-len(f.items.BodySection)], n)
}

// blocks are the buffers through which bodies pass.
var blocks = sync.Pool{New: func() any { return new([transferBlock]byte) }}

// stream writes the literal of a section from a reader of n bytes. The first block is
// read before the literal is announced.
func (f *fetch) stream(r io.Reader, n int64, i int) error {
	block := blocks.Get().(*[transferBlock]byte)
	defer blocks.Put(block)
	chunk := block[:min(n, transferBlock)]
	if _, err := io.ReadFull(r, chunk); err != nil {
		f.note(err)
		return nil
	}
	w := f.literal(i, n)
	for {
		f.progress()
		if err := f.conn.NetConn().SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
			return f.abandon(w, err)
		}
		if _, err := w.Write(chunk); err != nil {
			return f.abandon(w, err)
		}
		if n -= int64(len(chunk)); n == 0 {
			return w.Close()
		}
		chunk = block[:min(n, transferBlock)]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return f.abandon(w, f.cut(err))
		}
	}
}

// abandon ends a literal that was not written to its end. The connection is useless
// then, and is closed before anything else can be sent on it.
func (f *fetch) abandon(w io.Closer, err error) error {
	_ = f.conn.NetConn().Close()
	_ = w.Close()
	return err
}

// cut logs that a literal cannot be completed, and returns the error with which it is
// abandoned: a client that sees fewer bytes than were announced, and then the end of the
// connection, knows that some are missing. Anything else would be taken for more of the
// literal.
func (f *fetch) cut(err error) error {
	if f.Session.ctx.Err() == nil {
		f.o.Logger.Error("imap connection cut: message cannot be read to its end",
			slog.Uint64("session", f.id), slog.String("command", f.name), slog.Any("error", err))
	}
	return errCut
}
