package mailbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Bounds of a message's size in bytes.
const (
	DefaultMaxMessage = 100 << 20
	maxMessage        = 1<<32 - 1 // what IMAP can say (RFC 9051 section 9, number)
)

// AppendOptions say what a message comes with.
type AppendOptions struct {
	Flags []string
	Date  time.Time // INTERNALDATE, in the years 1 to 9999, kept in whole seconds; the zero time is now

	// Size is how many bytes the message has, if that is known. A message that does
	// not fit the quota is refused before it is read then.
	Size int64
}

// Appended says where a message is.
type Appended struct {
	UIDValidity uint32
	UID         UID
}

// Append puts a message into a mailbox. It reads r once to its end, in memory
// that does not depend on the message's size, and keeps exactly these bytes; when
// it returns nil they are durable and in the mailbox. It fails with
// [ErrNoMailbox] (before r is read), [ErrBadFlag], [ErrBadDate],
// [ErrTooManyKeywords], [ErrTooLarge] or [ErrOverQuota], or with r's error, and then nothing was added.
//
// After an error that matches [eventlog.ErrUnknownOutcome], or a cancelled
// context, the message may have been added.
func (h *Account) Append(ctx context.Context, mailbox string, r io.Reader, o AppendOptions) (Appended, error) {
	return h.appendOne(ctx, mailbox, r, o, nil)
}

func (h *Account) appendOne(ctx context.Context, mailbox string, r io.Reader, o AppendOptions, replace *replaced) (Appended, error) {
	p, err := h.NewAppender(ctx, mailbox)
	if err != nil {
		return Appended{}, err
	}
	defer p.Abort(ctx)
	p.replace = replace
	if err := p.Add(ctx, r, o); err != nil {
		return Appended{}, err
	}
	done, err := p.Commit(ctx)
	if err != nil {
		return Appended{}, err
	}
	return done[0], nil
}

// stage stores a body, encrypted to its recipient, and finds what is kept about
// it, in one pass.
func (s *Store) stage(ctx context.Context, prefix string, to *crypto.Recipient, r io.Reader) (state.NewMessage, error) {
	var id eventlog.ObjectID
	rand.Read(id[:])
	return s.stageAs(ctx, prefix, id, to, r)
}

// stageAs is stage with an ID for the body.
func (s *Store) stageAs(ctx context.Context, prefix string, id eventlog.ObjectID, to *crypto.Recipient, r io.Reader) (state.NewMessage, error) {
	mem := bodyMemories.Get().(*bodyMemory)
	defer mem.recycle()
	body := &bodyStream{bodyMemory: mem, src: r, scan: message.NewScanner(), max: s.opts.MaxMessage, now: s.opts.Now}
	w, err := crypto.NewBodyWriter(body, to)
	if err != nil {
		return state.NewMessage{}, fmt.Errorf("mailbox: new body: %w", err)
	}
	body.seal = w
	if err := s.blobs.Create(ctx, layout.BodyName(prefix, id), body); err != nil {
		return state.NewMessage{}, fmt.Errorf("mailbox: store body: %w", err)
	}
	meta := body.scan.Close()
	return state.NewMessage{
		Body: state.BodyRef{ID: id, Key: w.Key()}, Size: uint32(meta.Size), Meta: meta.Encode(), Staged: body.ended,
	}, nil
}

// notCommitted reports whether an error of a commit says for certain that it was
// not made: the disk was full.
func notCommitted(err error) bool {
	return errors.Is(err, blob.ErrNotCreated) && !errors.Is(err, eventlog.ErrUnknownOutcome)
}

// unstage removes a body that nothing points to. If that fails the object stays
// behind as garbage.
func (s *Store) unstage(ctx context.Context, prefix string, m state.NewMessage) {
	name := layout.BodyName(prefix, m.Body.ID)
	if err := s.blobs.Delete(context.WithoutCancel(ctx), name); err != nil {
		s.logger.Warn("body of a refused message stays behind", "object", name, "error", err)
	}
}

// bodyStream reads a message and yields it encrypted, scanning it on the way. It
// holds one chunk of 64 KiB. Where it can it writes what it yields
// ([io.WriterTo]), which saves a copy.
type bodyStream struct {
	*bodyMemory
	src   io.Reader
	scan  *message.Scanner
	seal  *crypto.BodyWriter // writes to the bodyStream
	to    io.Writer          // where what is sealed goes, nil if it is kept for Read
	read  int64
	max   int64
	done  bool
	now   func() time.Time
	ended time.Time // when src was at its end: before that nobody sees the object
}

// bodyMemory is what one body leaves to the next.
type bodyMemory struct {
	plain  [32 << 10]byte // the message, as it was read last
	sealed bytes.Buffer   // what was not handed out yet
}

var bodyMemories = sync.Pool{New: func() any { return new(bodyMemory) }}

const (
	// gathered is how much of what is sealed is gathered to be written at once: the
	// header, and the only chunk of a short message.
	gathered = 48 << 10
	// maxSealed is the room for what is sealed that is left to the next body. A
	// store that reads needs it for the header and two chunks.
	maxSealed = 160 << 10
)

// recycle gives the memory back, without the message that was in it.
func (m *bodyMemory) recycle() {
	clear(m.plain[:])
	if m.sealed.Cap() > maxSealed {
		m.sealed = bytes.Buffer{}
	}
	m.sealed.Reset()
	bodyMemories.Put(m)
}

// Write takes the body as it is sealed.
func (b *bodyStream) Write(p []byte) (int, error) {
	if b.to == nil || b.sealed.Len()+len(p) <= gathered {
		return b.sealed.Write(p)
	}
	if _, err := b.sealed.WriteTo(b.to); err != nil {
		return 0, err
	}
	return b.to.Write(p)
}

// Read implements io.Reader.
func (b *bodyStream) Read(p []byte) (int, error) {
	for b.sealed.Len() == 0 {
		if b.done {
			return 0, io.EOF
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	return b.sealed.Read(p)
}

// WriteTo implements io.WriterTo.
func (b *bodyStream) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	b.to = c
	for !b.done {
		if err := b.fill(); err != nil {
			return c.n, err
		}
	}
	_, err := b.sealed.WriteTo(c)
	return c.n, err
}

// countingWriter counts the bytes that w took.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// fill reads and seals the next of the message.
func (b *bodyStream) fill() error {
	n, err := b.src.Read(b.plain[:])
	if b.read += int64(n); b.read > b.max {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, b.max)
	}
	b.scan.Write(b.plain[:n])
	if _, err := b.seal.Write(b.plain[:n]); err != nil {
		return err
	}
	if err == io.EOF {
		b.done, b.ended = true, b.now()
		return b.seal.Close()
	}
	return err
}

// Committed is what came of one Appender.
type Committed struct {
	Appended []Appended
	Err      error
}

// CommitAll commits Appenders of one account in the order given, each all or none, as
// their [Appender.Commit] would one after the other. Those that follow each other to
// one mailbox share a log entry, and so a round trip.
func CommitAll(ctx context.Context, all []*Appender) []Committed {
	var out []Committed
	for len(all) > 0 {
		n := 1
		for messages, meta := len(all[0].staged), all[0].meta; n < len(all); n++ {
			messages, meta = messages+len(all[n].staged), meta+all[n].meta
			if !all[0].alike(all[n]) || messages > MaxAppend || meta > maxAppendMeta {
				break
			}
		}
		out = append(out, commitTogether(ctx, all[:n])...)
		all = all[n:]
	}
	return out
}

// alike reports whether two Appenders may share an entry.
func (p *Appender) alike(q *Appender) bool {
	return p.handle == q.handle && p.mailbox == q.mailbox && p.replace == nil && q.replace == nil && !p.over && !q.over
}

func commitTogether(ctx context.Context, all []*Appender) []Committed {
	out := make([]Committed, len(all))
	if len(all) > 1 {
		sum := &Appender{handle: all[0].handle, mailbox: all[0].mailbox, shared: true}
		for _, p := range all {
			sum.staged = append(sum.staged, p.staged...)
		}
		done, err := sum.Commit(ctx)
		if err == nil || !sum.refused {
			for i, p := range all {
				if notCommitted(err) {
					p.Abort(ctx)
				}
				p.over, out[i].Err = true, err
				if err == nil {
					out[i].Appended = slices.Clone(done[:len(p.staged)])
					done = done[len(p.staged):]
				}
			}
			return out
		}
		// One of them does not fit, and the others shall not suffer.
	}
	for i, p := range all {
		out[i].Appended, out[i].Err = p.Commit(ctx)
	}
	return out
}
