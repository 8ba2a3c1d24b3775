package mailbox

import (
	"context"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Status is a mailbox's counts, which cost nothing to ask for.
type Status struct {
	ID            MailboxID
	Messages      int
	Unseen        int // without \Seen
	Deleted       int // with \Deleted
	Recent        int // not shown to any session that could change the mailbox
	Size          int64
	UIDNext       UID
	UIDValidity   uint32
	HighestModSeq ModSeq
}

// MailboxInfo is one line of a list of mailboxes.
type MailboxInfo struct {
	Name       string
	Exists     bool // false: only subscribed to
	Subscribed bool
	SpecialUse []string // \Sent and so on (RFC 6154)
	Status
}

// Mailboxes returns the account's mailboxes, and the names that are subscribed to
// without existing, in order of their names.
func (h *Account) Mailboxes(ctx context.Context) ([]MailboxInfo, error) {
	a, err := h.freshEnough(ctx)
	if err != nil {
		return nil, err
	}
	defer a.leave()
	s := a.state()
	out := make([]MailboxInfo, 0, len(s.Mailboxes))
	for _, m := range s.Mailboxes {
		_, subscribed := slices.BinarySearch(s.Subscribed, m.Name)
		status, err := a.status(ctx, m)
		if err != nil {
			return nil, err
		}
		out = append(out, MailboxInfo{
			Name: m.Name, Exists: true, Subscribed: subscribed, SpecialUse: slices.Clone(m.SpecialUse), Status: status,
		})
	}
	for _, name := range s.Subscribed {
		if s.ByName(name) == nil {
			out = append(out, MailboxInfo{Name: name, Subscribed: true})
		}
	}
	slices.SortFunc(out, func(a, b MailboxInfo) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Status returns the counts of one mailbox, or [ErrNoMailbox].
func (h *Account) Status(ctx context.Context, name string) (Status, error) {
	name, err := CanonicalName(name)
	if err != nil {
		return Status{}, err
	}
	a, err := h.freshEnough(ctx)
	if err != nil {
		return Status{}, err
	}
	defer a.leave()
	m := a.state().ByName(name)
	if m == nil {
		return Status{}, ErrNoMailbox
	}
	return a.status(ctx, m)
}

func counts(m *state.Mailbox) Status {
	return Status{
		ID: m.ID, Messages: m.Messages, Unseen: m.Unseen, Deleted: m.Deleted, Size: int64(m.Size),
		UIDNext: m.UIDNext, UIDValidity: m.UIDValidity, HighestModSeq: m.ModSeq,
	}
}

func (a *account) status(ctx context.Context, m *state.Mailbox) (Status, error) {
	st := counts(m)
	from := a.recentFrom(m, false)
	if from >= m.UIDNext {
		return st, nil
	}
	below, err := a.pages.RowsBelow(ctx, m, from)
	st.Recent = m.Messages - below
	return st, err
}

// Create makes a mailbox and every mailbox above it that is missing. It fails
// with [ErrMailboxExists], [ErrBadName], [ErrBadSpecialUse] (also if another
// mailbox has that use) or [ErrTooManyMailboxes].
func (h *Account) Create(ctx context.Context, name string, specialUse ...string) error {
	name, err := CanonicalName(name)
	if err != nil {
		return err
	}
	uses, err := state.CanonicalSpecialUses(specialUse)
	if err != nil {
		return err
	}
	return h.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		if s.ByName(name) != nil {
			return nil, ErrMailboxExists
		}
		for _, m := range s.Mailboxes {
			if slices.ContainsFunc(m.SpecialUse, func(u string) bool { return slices.Contains(uses, u) }) {
				return nil, ErrSpecialUseTaken
			}
		}
		if err := s.CheckRoom(name); err != nil {
			return nil, err
		}
		return &state.CreateMailbox{Name: name, SpecialUse: uses}, nil
	})
}

// Delete removes a mailbox with its messages. Mailboxes below it stay. It fails
// with [ErrNoMailbox] or [ErrInbox].
func (h *Account) Delete(ctx context.Context, name string) error {
	name, err := CanonicalName(name)
	if err != nil {
		return err
	}
	if name == Inbox {
		return ErrInbox
	}
	return h.commit(blob.Freeing(ctx), func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		m := s.ByName(name)
		if m == nil {
			return nil, ErrNoMailbox
		}
		return &state.DeleteMailbox{Mailbox: m.ID}, nil
	})
}

// Rename gives a mailbox and all below it another name, and makes what is missing
// above that. Renaming INBOX moves its messages to a new mailbox and leaves INBOX
// empty (RFC 9051 section 6.3.6). It fails with [ErrNoMailbox],
// [ErrMailboxExists], [ErrBadName] or [ErrTooManyMailboxes].
func (h *Account) Rename(ctx context.Context, from, to string) error {
	from, err := CanonicalName(from)
	if err != nil {
		return err
	}
	if to, err = CanonicalName(to); err != nil {
		return err
	}
	return h.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		m := s.ByName(from)
		if m == nil {
			return nil, ErrNoMailbox
		}
		if err := s.CheckRename(m, to); err != nil {
			return nil, err
		}
		return &state.RenameMailbox{Mailbox: m.ID, Name: to}, nil
	})
}

// Subscribe notes, or forgets, that the user wants to see a mailbox. The mailbox
// need not exist (RFC 9051 section 6.3.7).
func (h *Account) Subscribe(ctx context.Context, name string, on bool) error {
	name, err := CanonicalName(name)
	if err != nil {
		return err
	}
	return h.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		if _, have := slices.BinarySearch(s.Subscribed, name); have == on {
			return nil, nil
		}
		if on && len(s.Subscribed) >= 2*MaxMailboxes {
			return nil, ErrTooManyMailboxes
		}
		return &state.Subscribe{Name: name, On: on}, nil
	})
}

// Select opens a mailbox at the account's newest state. With readOnly the view
// refuses changes and leaves \Recent to others (EXAMINE). It fails with
// [ErrNoMailbox].
func (h *Account) Select(ctx context.Context, name string, readOnly bool) (*View, error) {
	name, err := CanonicalName(name)
	if err != nil {
		return nil, err
	}
	a, err := h.fresh(ctx)
	if err != nil {
		return nil, err
	}
	defer a.leave()
	m := a.state().ByName(name)
	if m == nil {
		return nil, ErrNoMailbox
	}
	v := &View{handle: h, account: a, readOnly: readOnly, shown: shown{box: m}}
	v.recent = v.claim(m, 1)
	if v.recents, err = v.countRecent(ctx, a, 1); err != nil {
		return nil, err
	}
	return v, nil
}
