package imapadapter

import (
	"errors"
	"io"
	"log/slog"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
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
	f := &fetch{op: op, o: fetchOf(o), rev2: s.rev2()}
	f.sink = &engineSink{fetch: f, w: w, o: o}
	for _, sec := range f.o.Sections {
		if sec.Kind == "MIME" && len(sec.Part) == 0 { // which the engine's parser takes
			return bad("BODY[MIME] needs a part number")
		}
	}
	if f.marks() && !s.view.ReadOnly() {
		f.markSeen(set)
	}
	return f.serve(set)
}

// fetch is the work on one FETCH.
type fetch struct {
	op   *operation
	o    *wire.Fetch
	sink fetchSink
	rev2 bool

	seen    uidRun // messages that this command made \Seen and the view does not know
	trouble error  // the first thing that could not be had

	// Of the message at work:
	m    *mailbox.Message
	meta *message.Message // nil if not needed, or not to be had
	src  source
}

// fetchSink is where the responses of a FETCH go, through the engine or without
// it. A response begins with the first thing that is said of a message: there is
// none if nothing is.
type fetchSink interface {
	// attributes writes what was asked for and is known without looking into the
	// message; structure what follows from its header and structure.
	attributes(flags []string)
	structure()
	binarySize(part []int, n int64)
	// literal returns where the n bytes of a section go. n is negative if there
	// is no such part.
	literal(sec *wire.Section, n int64) io.WriteCloser
	// end ends the response, if one was begun.
	end() error
}

// serve writes the responses for a set of messages.
func (f *fetch) serve(set mailbox.Set) error {
	since := mailbox.ModSeq(0)
	if f.o.ChangedSince != nil {
		since = mailbox.ModSeq(*f.o.ChangedSince)
	}
	for m, err := range f.op.s.view.MessagesSince(f.op.ctx, set, since) {
		if err != nil {
			return f.op.fail(err)
		}
		if err := f.message(m); err != nil {
			return err
		}
		f.op.progress()
	}
	return f.op.fail(f.trouble)
}

// marks reports whether the command sets \Seen (RFC 9051 section 6.4.5).
func (f *fetch) marks() bool {
	asks := func(sec wire.Section) bool { return !sec.Peek }
	return slices.ContainsFunc(f.o.Sections, asks) || slices.ContainsFunc(f.o.Binaries, asks)
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

// message writes the response for one message. An error is the connection's.
func (f *fetch) message(m *mailbox.Message) (err error) {
	f.m, f.meta = m, nil
	f.src = source{ctx: f.op.ctx, m: m}
	defer func() {
		f.src.close()
		if e := f.sink.end(); err == nil {
			err = e
		}
	}()
	f.sink.attributes(f.flags())
	if f.needsMeta() {
		if f.meta, err = m.Meta(f.op.ctx); err != nil {
			f.note(err)
			err = nil
		}
	}
	if f.meta != nil {
		f.sink.structure()
	}
	if err := f.sections(); err != nil {
		return err
	}
	return f.binaries()
}

// flags returns the flags of the message at work, if they are asked for.
func (f *fetch) flags() []string {
	if !f.o.Flags {
		return nil
	}
	list := shownFlags(f.m, f.rev2)
	if f.seen.has(f.m.UID) {
		list = append(list, mailbox.FlagSeen)
	}
	return list
}

// needsMeta reports whether anything is asked for that the metadata answers:
// all but the whole message.
func (f *fetch) needsMeta() bool {
	if f.o.Envelope || f.o.Body || f.o.BodyStructure || f.o.Preview || len(f.o.BinarySizes) > 0 {
		return true
	}
	parts := func(sec wire.Section) bool { return !wholeMessage(&sec) }
	return slices.ContainsFunc(f.o.Sections, parts) || slices.ContainsFunc(f.o.Binaries, parts)
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
