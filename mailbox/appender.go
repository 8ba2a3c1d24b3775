package mailbox

import (
	"context"
	"fmt"
	"io"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Bounds of what one [Appender] adds: they keep its log entry well below what an
// entry may hold.
const (
	MaxAppend     = 1000 // messages
	maxAppendMeta = 4 << 20
)

// Appender adds messages to a mailbox, all or none, in one log entry (RFC 3502).
// Each message is stored as it is added, in memory that does not depend on its
// size; [Appender.Commit] makes them appear. An Appender that is not wanted any
// more must be given up by [Appender.Abort]. It serves one goroutine at a time.
type Appender struct {
	handle  *Account
	mailbox string
	staged  []state.NewMessage
	meta    int // bytes of their metadata
	replace *replaced
	over    bool

	shared  bool // what is staged is of other Appenders, who are asked if this one is refused
	refused bool // by what Commit found in the mailbox
}

// replaced is a message that goes when others come.
type replaced struct {
	box MailboxID
	uid UID
}

// NewAppender begins to add messages to a mailbox. It fails with [ErrNoMailbox].
func (h *Account) NewAppender(ctx context.Context, mailbox string) (*Appender, error) {
	mailbox, err := CanonicalName(mailbox)
	if err != nil {
		return nil, err
	}
	a, err := h.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	if a.state().ByName(mailbox) == nil {
		// Another process may have made it: only a refusal is worth the look.
		if err := a.catchUp(ctx); err != nil {
			return nil, err
		}
		if a.state().ByName(mailbox) == nil {
			return nil, ErrNoMailbox
		}
	}
	return &Appender{handle: h, mailbox: mailbox}, nil
}

// Add stores a message. It reads r once to its end and keeps exactly these bytes.
// It fails with [ErrBadFlag], [ErrBadDate], [ErrTooLarge], [ErrTooManyMessages],
// [ErrOverQuota] or r's error; the messages before stay with the Appender.
func (p *Appender) Add(ctx context.Context, r io.Reader, o AppendOptions) error {
	flags, err := state.CanonicalFlags(o.Flags)
	if err != nil {
		return err
	}
	a, err := p.handle.use()
	if err != nil {
		return err
	}
	defer a.leave()
	if o.Date.IsZero() {
		o.Date = a.store.opts.Now()
	}
	if !state.ValidDate(o.Date.Unix()) {
		return fmt.Errorf("mailbox: append: %w", ErrBadDate)
	}
	if p.over {
		return ErrClosed
	}
	if len(p.staged) == MaxAppend {
		return ErrTooManyMessages
	}
	if o.Size > 0 {
		if err := p.fits(ctx, a, a.state(), Held{o.Size, 1}); err != nil {
			return err
		}
	}
	m, err := a.store.stage(ctx, a.prefix, a.recipient, r)
	if err != nil {
		return err
	}
	m.Date, m.Flags = o.Date.Unix(), flags
	p.staged = append(p.staged, m)
	if p.meta += len(m.Meta); len(p.staged) > 1 && p.meta > maxAppendMeta {
		err = ErrTooManyMessages
	} else {
		err = p.fits(ctx, a, a.state(), Held{}) // Commit decides
	}
	if err != nil {
		p.staged = p.staged[:len(p.staged)-1]
		p.meta -= len(m.Meta)
		a.store.unstage(ctx, a.prefix, m)
	}
	return err
}

// Commit adds the messages to the mailbox. When it returns nil they are durable
// and in the mailbox, with ascending UIDs in the order in which they were added. It
// fails with [ErrNoMailbox], [ErrTooManyKeywords], [ErrOverQuota] or, if it was to
// replace a message that is gone, [ErrNoMessage]; then nothing was added. It ends
// the Appender in any case.
//
// After an error that matches [eventlog.ErrUnknownOutcome], or a cancelled
// context, the messages may have been added, all or none.
func (p *Appender) Commit(ctx context.Context) ([]Appended, error) {
	a, err := p.handle.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	if p.over {
		return nil, ErrClosed
	}
	p.over = true
	if len(p.staged) == 0 {
		return nil, nil
	}
	now := a.store.opts.Now().Unix()
	var done []Appended
	refused := true
	err = a.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		refused = true
		e, m, first, err := p.decide(ctx, a, s, now)
		if err != nil {
			return nil, err
		}
		refused = false
		done = done[:0]
		for i := range p.staged {
			done = append(done, Appended{UIDValidity: m.UIDValidity, UID: first + UID(i)})
		}
		return e, nil
	})
	if err != nil {
		p.refused = refused
		if (refused || notCommitted(err)) && !p.shared {
			p.unstage(ctx, a)
		}
		return nil, err
	}
	return done, nil
}

// decide returns the event that adds the messages, the mailbox that they come to, and
// the first of their UIDs.
func (p *Appender) decide(ctx context.Context, a *account, s *state.Account, now int64) (e state.Event, m *state.Mailbox, first UID, err error) {
	if m = s.ByName(p.mailbox); m == nil {
		return nil, nil, 0, ErrNoMailbox
	}
	defined := *m
	for _, n := range p.staged {
		if _, defined.Keywords, err = defined.FlagBits(n.Flags); err != nil {
			return nil, nil, 0, err
		}
	}
	if first, err = m.NextUIDs(int64(len(p.staged))); err != nil {
		return nil, nil, 0, err
	}
	e = &state.AddMessages{Mailbox: m.ID, Time: now, Messages: p.staged}
	if p.replace != nil {
		gone, err := a.decideReplace(ctx, s, p.replace)
		if err != nil {
			return nil, nil, 0, err
		}
		e = state.NewBatch(e, gone)
	}
	return e, m, first, p.fits(ctx, a, s, Held{})
}

// fits reports whether there is room for the messages and for more, less the one that
// goes.
func (p *Appender) fits(ctx context.Context, a *account, s *state.Account, more Held) error {
	more.Messages += int64(len(p.staged))
	into := more.Messages
	for _, m := range p.staged {
		more.Storage += int64(m.Size)
	}
	if p.replace != nil {
		row, err := a.rowOf(ctx, s, p.replace)
		if err != nil {
			return err
		}
		more = more.plus(Held{-int64(row.Size), -1})
	}
	if to := s.ByName(p.mailbox); to != nil {
		if p.replace != nil && p.replace.box == to.ID {
			into--
		}
		return a.fits(ctx, s, to, into, more)
	}
	return a.fitsQuota(ctx, s, more)
}

// Abort gives up what was added and not committed. It may be called at any time,
// also after Commit, and then does nothing.
func (p *Appender) Abort(ctx context.Context) {
	if p.over {
		return
	}
	p.over = true
	a, err := p.handle.use()
	if err != nil {
		return // the account was closed: what was stored stays behind as garbage
	}
	defer a.leave()
	p.unstage(ctx, a)
}

// unstage removes bodies that nothing points to.
func (p *Appender) unstage(ctx context.Context, a *account) {
	for _, m := range p.staged {
		a.store.unstage(ctx, a.prefix, m)
	}
	p.staged = nil
}

// Replace adds a message to a mailbox and removes one of the view's, which need
// not be the same mailbox, both or neither, in one log entry (RFC 8508). It fails
// as [Account.Append] does, and with [ErrReadOnly], or with [ErrNoMessage] if the
// message is gone by the time the change takes effect. The view itself is told by
// the next [View.Sync].
func (v *View) Replace(ctx context.Context, uid UID, mailbox string, r io.Reader, o AppendOptions) (Appended, error) {
	if v.readOnly {
		return Appended{}, ErrReadOnly
	}
	a, err := v.use()
	if err != nil {
		return Appended{}, err
	}
	defer a.leave()
	return v.handle.appendOne(ctx, mailbox, r, o, &replaced{v.ID(), uid})
}

// decideReplace returns the event that removes the message.
func (a *account) decideReplace(ctx context.Context, s *state.Account, r *replaced) (state.Event, error) {
	row, err := a.rowOf(ctx, s, r)
	if err != nil {
		return nil, err
	}
	return &state.ExpungeMessages{Mailbox: r.box, UIDs: state.UIDSet{{First: row.UID, Last: row.UID}}}, nil
}

// rowOf finds the message that is to be replaced.
func (a *account) rowOf(ctx context.Context, s *state.Account, r *replaced) (state.Row, error) {
	m := s.ByID(r.box)
	if m == nil {
		return state.Row{}, ErrNoMailbox
	}
	k := m.PageOf(r.uid)
	if k == len(m.Pages) {
		return state.Row{}, ErrNoMessage
	}
	p, err := a.pages.Page(ctx, m.Pages[k])
	if err != nil {
		return state.Row{}, err
	}
	i, ok := p.Find(r.uid)
	if !ok {
		return state.Row{}, ErrNoMessage
	}
	return p.Row(i), nil
}
