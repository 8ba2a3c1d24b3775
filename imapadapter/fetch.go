package imapadapter

import (
	"errors"
	"log/slog"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// errCut is returned by a FETCH that had to cut the connection in the middle of
// a literal.
var errCut = errors.New("connection was cut in the middle of a literal")

// Fetch handles FETCH and UID FETCH. Messages are handled one after the other,
// and each is written as it is read. What cannot be had of a message is left out
// and makes the whole command fail in the end; all else is served.
func (s *session) Fetch(w *imapserver.FetchWriter, numSet imap.NumSet, o *imap.FetchOptions) error {
	op := s.begin("FETCH")
	defer op.end()
	set, err := s.selected(numSet)
	if err != nil {
		return err
	}
	f := &fetch{op: op, w: w, o: o, rev2: s.rev2()}
	if err := f.check(); err != nil {
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
	op   *operation
	w    *imapserver.FetchWriter
	o    *imap.FetchOptions
	rev2 bool

	seen    uidRun // messages that this command made \Seen
	trouble error  // the first thing that could not be had

	// Of the message at work:
	m    *mailbox.Message
	meta *message.Message                // nil if not needed, or not to be had
	out  *imapserver.FetchResponseWriter // nil until there is something to say
	src  source
}

// check refuses what the engine's parser takes although it is not IMAP.
func (f *fetch) check() error {
	for _, sec := range f.o.BodySection {
		if sec.Specifier == imap.PartSpecifierMIME && len(sec.Part) == 0 {
			return bad("BODY[MIME] needs a part number")
		}
	}
	return nil
}

// marks reports whether the command sets \Seen (RFC 9051 section 6.4.5).
func (f *fetch) marks() bool {
	for _, sec := range f.o.BodySection {
		if !sec.Peek {
			return true
		}
	}
	for _, sec := range f.o.BinarySection {
		if !sec.Peek {
			return true
		}
	}
	return false
}

// markSeen sets \Seen on all messages of the command that do not have it, in one
// entry of the log. If the client asks for the flags it gets the new ones with
// the message; otherwise Poll tells it. That they cannot be changed now is no
// reason not to let the client read, for which the time begins anew.
func (f *fetch) markSeen(set mailbox.Set) {
	f.op.timer.Stop()
	defer f.op.progress()
	mark := f.op.s.operation(f.op.name)
	defer mark.close()
	var unseen uidRun
	var err error
	for m, failed := range f.op.s.view.Messages(mark.ctx, set) {
		if failed != nil {
			err = failed
			break
		}
		if !m.HasFlag(mailbox.FlagSeen) {
			unseen.add(m.Index, m.UID)
		}
	}
	if err == nil && len(unseen.ranges) > 0 {
		_, err = f.op.s.view.Store(mark.ctx, unseen.set(), mailbox.FlagsAdd, []string{mailbox.FlagSeen}, mailbox.StoreOptions{Silent: f.o.Flags})
	}
	if err != nil {
		f.op.s.warn(f.op.name, err)
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

// response returns the writer of the message at work. The engine's lock is held
// from here until end.
func (f *fetch) response() *imapserver.FetchResponseWriter {
	if f.out == nil {
		f.out = f.w.CreateMessage(seqNum(f.m.Index))
	}
	return f.out
}

func (f *fetch) end() error {
	if f.out == nil {
		return nil
	}
	err := f.out.Close()
	f.out = nil
	return err
}

// message writes the response for one message. An error is the connection's.
func (f *fetch) message(m *mailbox.Message) (err error) {
	f.m, f.meta = m, nil
	f.src = source{ctx: f.op.ctx, m: m}
	defer func() {
		f.src.close()
		if e := f.end(); err == nil {
			err = e
		}
	}()
	f.attributes()
	if f.needsMeta() {
		if f.meta, err = m.Meta(f.op.ctx); err != nil {
			f.note(err)
			err = nil
		}
	}
	if f.meta != nil {
		if f.o.Envelope {
			f.response().WriteEnvelope(envelope(f.meta.Header))
		}
		if f.o.BodyStructure != nil {
			f.response().WriteBodyStructure(bodyStructure(f.meta.Root))
		}
	}
	if err := f.sections(); err != nil {
		return err
	}
	return f.binaries()
}

// attributes writes what is known without looking into the message.
func (f *fetch) attributes() {
	if f.o.UID {
		f.response().WriteUID(uid(f.m.UID))
	}
	if f.o.Flags {
		list := messageFlags(f.m, f.rev2)
		if f.seen.has(f.m.UID) {
			list = append(list, imap.FlagSeen)
		}
		f.response().WriteFlags(list)
	}
	if f.o.InternalDate {
		f.response().WriteInternalDate(f.m.Date)
	}
	if f.o.RFC822Size {
		f.response().WriteRFC822Size(f.m.Size)
	}
}

// needsMeta reports whether anything is asked for that the metadata answers:
// all but the whole message.
func (f *fetch) needsMeta() bool {
	if f.o.Envelope || f.o.BodyStructure != nil || len(f.o.BinarySectionSize) > 0 {
		return true
	}
	for _, sec := range f.o.BodySection {
		if !wholeMessage(sec) {
			return true
		}
	}
	for _, sec := range f.o.BinarySection {
		if len(sec.Part) > 0 {
			return true
		}
	}
	return false
}

// cut logs that a literal cannot be completed, and returns the error with which
// it is abandoned: a client that sees fewer bytes than were announced, and then
// the end of the connection, knows that they are not all. Anything else would be
// taken for more of the literal.
func (f *fetch) cut(err error) error {
	if f.op.s.ctx.Err() == nil {
		f.op.s.o.Logger.Error("imap connection cut: message cannot be read to its end",
			slog.String("command", f.op.name), slog.Any("error", err))
	}
	return errCut
}
