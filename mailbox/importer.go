package mailbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Importer moves mail in from elsewhere: many messages in one entry of the log,
// their bodies stored several at a time, with the UIDs that clients know. It
// knows what of a source was imported before, also by a process that was killed.
// An account should have one at a time; two would not see each other's messages.
type Importer struct {
	handle *Account
	key    crypto.Key
	have   origins
}

// ImportMessage is a message to be imported.
type ImportMessage struct {
	// Origin tells the message from all others, wherever they come from: a server's
	// name, a mailbox, its UIDVALIDITY and the UID, for example. A message of an
	// origin that is in the account is not added again.
	Origin string
	Name   string // for the caller, as is Weight
	Weight int64
	Flags  []string
	Date   time.Time // INTERNALDATE; the zero time is now
	UID    UID       // kept if it can be; 0: the next one

	// Open returns the message's bytes. It is called once, in another goroutine, and
	// what it returns is closed; for a message that is in the account it is not.
	Open func() (io.ReadCloser, error)
}

// Imported says what became of a message.
type Imported struct {
	Present  bool  // it was in the account already
	UID      UID   // that it has, if it was added
	Keywords int   // that did not fit into the mailbox, and were left out
	Err      error // why it was not added
}

// ImportOptions say how to import into one mailbox.
type ImportOptions struct {
	// UIDValidity is that of the mailbox which the messages come from, 0 if it had
	// none. If the mailbox here never held a message it takes the value over, and
	// the messages their UIDs, so that clients need not download them again.
	UIDValidity uint32
	UIDNext     UID // at the source; once all are imported no UID below is given to another message

	// Done is told of each message, in their order: when it is durable, when it
	// was there already, or when it could not be read or taken. An error that it
	// returns ends the import. Without Done the first bad message ends it.
	Done func(ImportMessage, Imported) error
}

// ImportResult is what an import into one mailbox did.
type ImportResult struct {
	Added, Present, Failed int
	Renumbered             int  // had a UID and got another, as UIDs were not kept or it was taken
	KeptUIDs               bool // the mailbox has the source's UIDVALIDITY
}

// Bounds of an import.
const (
	importEntry   = 256     // messages of one entry
	importBytes   = 1 << 20 // of metadata and flags of one entry, about
	importBodies  = 8       // bodies that are stored at the same time
	maxKeptUIDVal = 1<<32 - 1<<24
)

// Importer returns an Importer for the account. It reads which messages there
// are, and keeps 12 bytes of each.
func (h *Account) Importer(ctx context.Context) (*Importer, error) {
	a, err := h.fresh(ctx)
	if err != nil {
		return nil, err
	}
	defer a.leave()
	have, err := a.origins(ctx)
	if err != nil {
		return nil, fmt.Errorf("mailbox: import: %w", err)
	}
	return &Importer{handle: h, key: originKey(a.first()), have: have}, nil
}

// Has reports whether a message of an origin was in the account when the
// Importer was made.
func (im *Importer) Has(text string) bool { return im.have.has(newOrigin(im.key, text)) }

// Import adds messages to a mailbox, which it makes if it is missing. Their order
// is that of their UIDs. What it says is added is durable; it goes on past
// messages that cannot be read or taken as long as Done wants it, and ends with
// the first error of the store, with [ErrOverQuota], or that messages yields because there are more that
// cannot be had. After an error it can be run again, and goes on; no other
// message should come into the mailbox meanwhile, it would take a UID.
func (im *Importer) Import(ctx context.Context, mailbox string, messages iter.Seq2[ImportMessage, error], o ImportOptions) (ImportResult, error) {
	var res ImportResult
	mailbox, err := CanonicalName(mailbox)
	if err != nil {
		return res, err
	}
	a, err := im.handle.use()
	if err != nil {
		return res, err
	}
	defer a.leave()
	if o.Done == nil {
		o.Done = func(_ ImportMessage, got Imported) error { return got.Err }
	}
	if res.KeptUIDs, err = a.prepareImport(ctx, mailbox, o.UIDValidity); err != nil {
		return res, err
	}
	if !res.KeptUIDs {
		o.UIDNext = 0
	}
	b := &importBatch{account: a, key: im.key, mailbox: mailbox, options: o, res: &res}
	for m, broken := range messages {
		if err = ctx.Err(); err != nil {
			break
		}
		switch {
		case broken != nil:
			return res, errors.Join(broken, b.flush(ctx))
		case im.Has(m.Origin):
			res.Present++
			err = o.Done(m, Imported{Present: true})
		default:
			b.start(ctx, m)
			if b.full() {
				err = b.flush(ctx)
			}
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		b.drop(ctx)
		return res, err
	}
	b.last = true
	return res, b.flush(ctx)
}

// prepareImport makes the mailbox, or renews it, and reports whether it has the
// source's UIDVALIDITY.
func (a *account) prepareImport(ctx context.Context, mailbox string, validity uint32) (kept bool, err error) {
	if validity > maxKeptUIDVal {
		validity = 0 // the account could make no mailboxes any more
	}
	err = a.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		m := s.ByName(mailbox)
		kept = validity != 0 && (m == nil || m.Unused() || m.UIDValidity == validity)
		switch {
		case m == nil:
			if err := s.CheckRoom(mailbox); err != nil {
				return nil, err
			}
			return &state.CreateMailbox{Name: mailbox, UIDValidity: validity}, nil
		case kept && m.UIDValidity != validity:
			return &state.RenewMailbox{Mailbox: m.ID, UIDValidity: validity}, nil
		}
		return nil, nil
	})
	return kept, err
}

// sourceReader remembers that it was the source that failed, and not the store.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// importBatch is the messages of one entry: their bodies are stored, many at a
// time, before the entry is.
type importBatch struct {
	account *account
	key     crypto.Key
	mailbox string
	options ImportOptions
	res     *ImportResult
	last    bool // no message follows

	items []*importItem
	bytes atomic.Int64 // of metadata and flags that are staged
	busy  sync.WaitGroup
	slots chan struct{}
}

// importItem is a message of a batch on its way.
type importItem struct {
	msg    ImportMessage
	staged state.NewMessage
	got    Imported
	fatal  error // the store's, or the caller gave up
}

// start begins to store a body. It waits while too many are under way.
func (b *importBatch) start(ctx context.Context, m ImportMessage) {
	if b.slots == nil {
		b.slots = make(chan struct{}, importBodies)
	}
	it := &importItem{msg: m}
	b.items = append(b.items, it)
	b.slots <- struct{}{}
	b.busy.Go(func() {
		defer func() { <-b.slots }()
		b.stage(ctx, it)
		size := len(it.staged.Meta)
		for _, f := range it.staged.Flags {
			size += len(f) + 3
		}
		b.bytes.Add(int64(size))
	})
}

func (b *importBatch) full() bool {
	return len(b.items) >= importEntry || b.bytes.Load() >= importBytes
}

// stage stores one body, and tells a bad message from a store that fails.
func (b *importBatch) stage(ctx context.Context, it *importItem) {
	m, s := it.msg, b.account.store
	date := m.Date
	if date.IsZero() {
		date = s.opts.Now()
	}
	r, err := m.Open()
	if err != nil {
		it.got.Err = err
		return
	}
	flags, err := state.CanonicalFlags(m.Flags)
	if err == nil && !state.ValidDate(date.Unix()) {
		err = ErrBadDate
	}
	if err != nil {
		it.got.Err = errors.Join(err, r.Close())
		return
	}
	src := &sourceReader{r: r}
	it.staged, err = s.stageAs(ctx, b.account.prefix, newOrigin(b.key, m.Origin).body(), b.account.recipient, src)
	if closed := r.Close(); err == nil && closed != nil {
		s.unstage(ctx, b.account.prefix, it.staged)
		src.err, err = closed, closed
	}
	switch {
	case err == nil:
		it.staged.Date, it.staged.Flags = date.Unix(), flags
	case src.err != nil:
		it.got.Err = src.err
	case errors.Is(err, ErrTooLarge):
		it.got.Err = err
	default:
		it.fatal = err
	}
}

// flush commits what is staged and tells of it. Whatever it returns, the batch is
// empty afterwards.
func (b *importBatch) flush(ctx context.Context) error {
	b.busy.Wait()
	for _, it := range b.items {
		if it.fatal != nil {
			b.drop(ctx)
			return it.fatal
		}
	}
	if err := b.commit(ctx); err != nil {
		return err
	}
	items := b.items
	b.items = nil
	b.bytes.Store(0)
	for _, it := range items {
		switch {
		case it.got.Err != nil:
			b.res.Failed++
		default:
			b.res.Added++
			if it.msg.UID != 0 && it.got.UID != it.msg.UID {
				b.res.Renumbered++
			}
		}
		if err := b.options.Done(it.msg, it.got); err != nil {
			return err
		}
	}
	return nil
}

// drop removes bodies that no entry will name.
func (b *importBatch) drop(ctx context.Context) {
	b.busy.Wait()
	for _, it := range b.items {
		if it.fatal == nil && it.got.Err == nil {
			b.account.store.unstage(ctx, b.account.prefix, it.staged)
		}
	}
	b.items = nil
	b.bytes.Store(0)
}

func (b *importBatch) commit(ctx context.Context) error {
	now := b.account.store.opts.Now().Unix()
	refused := true
	err := b.account.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		refused = true
		m := s.ByName(b.mailbox)
		if m == nil {
			return nil, ErrNoMailbox
		}
		e, err := b.event(m, now)
		if e == nil || err != nil {
			return nil, err
		}
		if err := b.account.fits(ctx, s, m, b.held().Messages, b.held()); err != nil {
			return nil, err
		}
		refused = false
		return e, nil
	})
	switch {
	case err != nil && refused:
		b.drop(ctx)
	case err != nil:
		b.items = nil // an entry may name the bodies
	}
	return err
}

// held returns what the batch adds to the account.
func (b *importBatch) held() Held {
	var h Held
	for _, it := range b.items {
		if it.got.Err == nil {
			h = h.plus(Held{Storage: int64(it.staged.Size), Messages: 1})
		}
	}
	return h
}

// event decides the UIDs and keywords of the batch; nil if there is nothing to
// do.
func (b *importBatch) event(m *state.Mailbox, now int64) (state.Event, error) {
	e := &state.ImportMessages{Mailbox: m.ID, Time: now}
	keep := b.options.UIDValidity != 0 && m.UIDValidity == b.options.UIDValidity
	defined, next := *m, m.UIDNext
	for _, it := range b.items {
		if it.got.Err != nil {
			continue
		}
		had := UID(0)
		if keep {
			had = it.msg.UID
		}
		uid, err := state.ImportUID(next, had)
		if err != nil {
			return nil, err
		}
		next = uid + 1
		msg := it.staged
		msg.Flags, it.got.Keywords = defined.Fitting(msg.Flags)
		it.got.UID = uid
		e.UIDs.Add(uid)
		e.Messages = append(e.Messages, msg)
	}
	if b.last && keep && b.options.UIDNext > next {
		e.UIDNext = b.options.UIDNext
	}
	if len(e.Messages) == 0 && e.UIDNext == 0 {
		return nil, nil
	}
	return e, nil
}

// An origin is where an imported message comes from, hashed under a key of the
// account. It is the beginning of the ID of the message's body, so it becomes
// durable with the message, in the same entry, and stays with every copy of it:
// an import that was killed at any moment finds by it what is done. To others it
// looks as random as all IDs.
type origin [12]byte

func originKey(identity *crypto.Identity) crypto.Key {
	return identity.Derive("letterlock/v1/import")
}

func newOrigin(key crypto.Key, text string) origin {
	h := hmac.New(sha256.New, key.Bytes())
	h.Write([]byte(text))
	return origin(h.Sum(nil)[:len(origin{})])
}

// body returns an ID for the body. Another try gets another: the body of the
// first may lie in the store, and its key is lost.
func (o origin) body() eventlog.ObjectID {
	var id eventlog.ObjectID
	copy(id[:], o[:])
	rand.Read(id[len(o):])
	return id
}

// origins is the beginnings of all bodies' IDs of an account, sorted: 12 bytes a
// message.
type origins []origin

func (o origins) has(x origin) bool {
	_, ok := slices.BinarySearchFunc(o, x, func(a, b origin) int { return bytes.Compare(a[:], b[:]) })
	return ok
}

// origins reads the pages of all mailboxes.
func (a *account) origins(ctx context.Context) (origins, error) {
	s := a.state()
	n := 0
	for _, m := range s.Mailboxes {
		n += m.Messages
	}
	all := make(origins, 0, n)
	for _, m := range s.Mailboxes {
		for _, ref := range m.Pages {
			p, err := a.pages.Page(ctx, ref)
			if err != nil {
				return nil, err
			}
			for i := range p.Bodies {
				all = append(all, origin(p.Bodies[i].ID[:len(origin{})]))
			}
		}
	}
	slices.SortFunc(all, func(a, b origin) int { return bytes.Compare(a[:], b[:]) })
	return all, nil
}
