package mailbox

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Mailbox is one folder at one position of the log: its messages with their UIDs,
// flags and MODSEQs. It is a value: it never changes, needs no store, no account
// and no key, and may be used by many goroutines. [Mailbox.Apply] returns the
// mailbox after an event and shares what the event did not touch.
//
// A Mailbox comes from [New], from [Restore], or from [Account.Mailbox]. It holds
// about 100 bytes for each message: to read a large folder page by page, use a
// [View].
type Mailbox struct {
	at      ModSeq
	deleted bool
	m       *state.Mailbox // all its pages are in memory
}

// MessageState is what a [Mailbox] knows of one message.
type MessageState struct {
	UID    UID
	Flags  []string  // system flags such as \Seen first, then keywords in byte order
	ModSeq ModSeq    // position of the entry that last changed the flags, or added the message
	Date   time.Time // INTERNALDATE, UTC, whole seconds
	Saved  time.Time // when it came into this mailbox (RFC 8514), UTC, whole seconds
	Size   int64     // bytes (RFC822.SIZE), less than 4 GiB
	Body   BodyRef
}

// BodyRef points to a message's bytes: an age file in the store, and the key that
// opens it. The key prints as a placeholder.
type BodyRef struct {
	ID  EmailID // of the object acct/<account>/body/<ID>
	Key crypto.BodyKey
}

// New returns the mailbox that an event made. It has no messages.
func New(e MailboxCreated) *Mailbox {
	return &Mailbox{at: e.At, m: &state.Mailbox{
		ID: e.Mailbox, Name: e.Name, UIDValidity: e.UIDValidity, UIDNext: 1, RecentFrom: 1,
		ModSeq: e.At, Created: e.At, SpecialUse: slices.Clone(e.SpecialUse),
	}}
}

// Restore returns the mailbox that [Mailbox.Snapshot] wrote. It refuses other
// bytes.
func Restore(snapshot []byte) (*Mailbox, error) {
	at, m, err := state.DecodeMailbox(snapshot)
	if err != nil {
		return nil, fmt.Errorf("mailbox: restore: %w", err)
	}
	return &Mailbox{at: at, m: m}, nil
}

// Snapshot returns the mailbox as bytes, which [Restore] reads. Mailboxes that hold
// the same messages at the same position have the same bytes. They contain the keys
// of the bodies: keep them as you keep the account's identity. The encoding is that
// of this version of the module and is meant for caches, not for archives.
func (m *Mailbox) Snapshot() []byte { return state.EncodeMailbox(m.at, m.m) }

// Equal reports whether two mailboxes have the same ID, name, UIDVALIDITY, UIDNEXT
// and messages. Their positions may differ.
func (m *Mailbox) Equal(other *Mailbox) bool {
	return m.deleted == other.deleted && slices.Equal(state.EncodeMailbox(0, m.m), state.EncodeMailbox(0, other.m))
}

// Position returns the position of the last entry that the mailbox knows of.
func (m *Mailbox) Position() ModSeq { return m.at }

// ID returns the mailbox's ID, which lasts as long as the mailbox.
func (m *Mailbox) ID() MailboxID { return m.m.ID }

// Name returns the mailbox's name: UTF-8, levels separated by [Separator].
func (m *Mailbox) Name() string { return m.m.Name }

// UIDValidity returns the value of RFC 9051 section 2.3.1.1.
func (m *Mailbox) UIDValidity() uint32 { return m.m.UIDValidity }

// UIDNext returns the UID that the next message will get, or a smaller one.
func (m *Mailbox) UIDNext() UID { return m.m.UIDNext }

// HighestModSeq returns the position of the entry that last changed a message of
// the mailbox or expunged one (RFC 7162 section 3.1.2.1).
func (m *Mailbox) HighestModSeq() ModSeq { return m.m.ModSeq }

// SpecialUse returns the special-use attributes (RFC 6154).
func (m *Mailbox) SpecialUse() []string { return slices.Clone(m.m.SpecialUse) }

// Deleted reports whether the last event deleted the mailbox.
func (m *Mailbox) Deleted() bool { return m.deleted }

// Len returns the number of messages.
func (m *Mailbox) Len() int { return m.m.Messages }

// Unseen returns the number of messages without \Seen.
func (m *Mailbox) Unseen() int { return m.m.Unseen }

// Messages yields the messages in ascending order of their UIDs.
func (m *Mailbox) Messages() iter.Seq[MessageState] {
	return func(yield func(MessageState) bool) {
		for _, r := range m.m.Pages {
			for i := range r.Page.Len() {
				if !yield(messageState(m.m, r.Page.Row(i))) {
					return
				}
			}
		}
	}
}

// Message returns the message with a UID, and whether there is one.
func (m *Mailbox) Message(u UID) (MessageState, bool) {
	k := m.m.PageOf(u)
	if k == len(m.m.Pages) {
		return MessageState{}, false
	}
	p := m.m.Pages[k].Page
	i, ok := p.Find(u)
	if !ok {
		return MessageState{}, false
	}
	return messageState(m.m, p.Row(i)), true
}

func messageState(m *state.Mailbox, r state.Row) MessageState {
	flags := r.Flags.Names(nil)
	flags = append(flags, slices.Sorted(slices.Values(r.Flags.Names(m.Keywords)[len(flags):]))...)
	return MessageState{
		UID: r.UID, Flags: flags, ModSeq: r.ModSeq, Size: int64(r.Size),
		Date: time.Unix(r.Date, 0).UTC(), Saved: time.Unix(int64(r.Saved), 0).UTC(),
		Body: BodyRef{ID: EmailID(r.Body.ID), Key: r.Body.Key},
	}
}

func (s MessageState) row() state.Row {
	return state.Row{
		UID: s.UID, ModSeq: s.ModSeq, Size: uint32(s.Size), Date: s.Date.Unix(), Saved: state.Seconds(s.Saved.Unix()),
		Body: state.BodyRef{ID: eventlog.ObjectID(s.Body.ID), Key: s.Body.Key},
	}
}

// Apply returns the mailbox after an event. An event of another mailbox changes
// nothing but the position. Apply is pure: it leaves m as it is, and equal
// mailboxes and events have equal results. It fails with [ErrInvalidEvent] if the
// event cannot have happened to m: it is of an earlier position, a message to
// change is not there, a UID is not above those before.
func (m *Mailbox) Apply(e Event) (*Mailbox, error) {
	at := e.position()
	if at < m.at || m.deleted {
		return nil, fmt.Errorf("mailbox: apply %T at %d to a mailbox at %d: %w", e, at, m.at, ErrInvalidEvent)
	}
	next := &Mailbox{at: at, m: m.m}
	if e.mailbox() != m.m.ID {
		return next, nil
	}
	var err error
	switch e := e.(type) {
	case MessagesAdded:
		next.m, err = m.add(e)
	case FlagsChanged:
		next.m, err = m.changeFlags(e)
	case MessagesExpunged:
		next.m, err = m.m.Expunge(at, e.UIDs.set(), state.InMemory)
	case MailboxDeleted:
		next.m, next.deleted = m.m.Emptied(), true
	case MailboxRenamed:
		c := *m.m
		c.Name = e.Name
		next.m = &c
	case UIDValidityChanged:
		c := *m.m
		c.UIDValidity, c.Created, c.ModSeq = e.UIDValidity, at, at
		next.m = &c
	default: // it is made once, by New
		err = ErrInvalidEvent
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: apply %T at %d: %w", e, at, err)
	}
	return next, nil
}

func (m *Mailbox) add(e MessagesAdded) (*state.Mailbox, error) {
	rows, flags := make([]state.Row, len(e.Messages)), make([][]string, len(e.Messages))
	for i, s := range e.Messages {
		if s.Size < 0 || s.Size != int64(uint32(s.Size)) {
			return nil, ErrInvalidEvent
		}
		var err error
		if flags[i], err = state.CanonicalFlags(s.Flags); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
		}
		rows[i] = s.row()
	}
	return m.m.Place(e.At, rows, flags, e.UIDNext)
}

func (m *Mailbox) changeFlags(e FlagsChanged) (*state.Mailbox, error) {
	flags, err := state.CanonicalFlags(e.Flags)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	return m.m.ChangeFlags(e.At, e.UIDs.set(), e.Op, flags, state.InMemory)
}

// Mailbox returns a mailbox of the account as it is now. It reads all pages of the
// folder, and fails with [ErrNoMailbox]. With [Account.Events] after its Position
// it is kept up to date.
func (h *Account) Mailbox(ctx context.Context, name string) (*Mailbox, error) {
	name, err := CanonicalName(name)
	if err != nil {
		return nil, err
	}
	a, err := h.fresh(ctx)
	if err != nil {
		return nil, err
	}
	defer a.leave()
	s := a.state()
	m := s.ByName(name)
	if m == nil {
		return nil, fmt.Errorf("mailbox: read folder: %w", ErrNoMailbox)
	}
	c := *m
	c.Pages = make([]*state.PageRef, len(m.Pages))
	for i, r := range m.Pages {
		if c.Pages[i], err = a.inMemory(ctx, r); err != nil {
			return nil, err
		}
	}
	return &Mailbox{at: s.At, m: &c}, nil
}

// inMemory returns a reference that has its page.
func (a *account) inMemory(ctx context.Context, r *state.PageRef) (*state.PageRef, error) {
	if r.Page != nil {
		return r, nil
	}
	p, err := a.pages.ReadPage(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read folder: %w", err)
	}
	c := *r
	c.Block, c.Page = pack.Ref{}, p
	return &c, nil
}
