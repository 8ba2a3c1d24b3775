package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

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
		if err := b.account.fits(ctx, s, b.held()); err != nil {
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
