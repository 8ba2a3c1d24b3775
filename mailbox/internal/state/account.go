package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

// MaxMailboxes bounds the folders of one account.
const MaxMailboxes = 10_000

// Account is what an account's events add up to at one position of its log. The zero
// Account is the state before the first event. An Account never changes; the next one
// shares what no event touched.
type Account struct {
	At              ModSeq     // of the last entry that was applied
	Mailboxes       []*Mailbox // in order of their names
	Subscribed      []string   // in order
	NextMailbox     MailboxID  // 0: no event was applied
	NextUIDValidity uint32
	Created         int64 // seconds since 1970

	// What the newest snapshot wrote and the state still refers to. Both are
	// shared by all states after it, and never changed.
	Packs    map[pack.ID]uint32 // with their sizes in bytes
	Segments map[pack.BlockID]Segment

	// Metadata of messages that an entry adds is found by the entry's position
	// and a number counted over all its records.
	slotEntry ModSeq
	slotNext  uint32
}

// ByName returns the mailbox of a name, nil if there is none.
func (s *Account) ByName(name string) *Mailbox {
	i, ok := slices.BinarySearchFunc(s.Mailboxes, name, func(m *Mailbox, n string) int { return cmp.Compare(m.Name, n) })
	if !ok {
		return nil
	}
	return s.Mailboxes[i]
}

// ByID returns the mailbox of an ID, nil if there is none.
func (s *Account) ByID(id MailboxID) *Mailbox {
	for _, m := range s.Mailboxes {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// advancedTo returns the state at a later position at which nothing else changed.
func (s *Account) advancedTo(at ModSeq) *Account {
	c := *s
	c.At = at
	return &c
}

// WithMailbox returns the state with one mailbox in the place of the one with the
// same ID.
func (s *Account) WithMailbox(m *Mailbox) *Account {
	c := *s
	c.Mailboxes = slices.Clone(s.Mailboxes)
	for i := range c.Mailboxes {
		if c.Mailboxes[i].ID == m.ID {
			c.Mailboxes[i] = m
		}
	}
	return &c
}

// sorted puts the mailboxes back in order after names changed.
func (s *Account) sorted() *Account {
	slices.SortFunc(s.Mailboxes, func(a, b *Mailbox) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// ErrInvalidEvent is an event that could not have been decided on this state: the
// log is damaged, or written by something that breaks the rules.
var ErrInvalidEvent = errors.New("event does not fit the state")

// PagesFor returns the pages that Apply will ask for. Those in memory are among them.
func (s *Account) PagesFor(e Event) []*PageRef {
	var id MailboxID
	var uids UIDSet
	switch e := e.(type) {
	case *ChangeFlags:
		id, uids = e.Mailbox, e.UIDs
	case *ExpungeMessages:
		id, uids = e.Mailbox, e.UIDs
	case *CopyMessages:
		id, uids = e.From, e.UIDs
	default:
		return nil
	}
	m := s.ByID(id)
	if m == nil {
		return nil
	}
	var refs []*PageRef
	for _, i := range m.PagesOf(uids) {
		refs = append(refs, m.Pages[i])
	}
	return refs
}

// Apply returns the state after an event of the entry at a position; the events of a
// [Batch] are applied one by one. It does no I/O and leaves s as it is: get yields the
// pages that PagesFor named, read before. It fails with [ErrInvalidEvent], or with
// [eventlog.ErrSkip] where readers must pass over the event.
func (s *Account) Apply(at ModSeq, e Event, get PageSource) (*Account, error) {
	if g, ok := e.(*Genesis); ok {
		if s.NextMailbox != 0 {
			return nil, ErrInvalidEvent
		}
		return NewAccount(at, g), nil
	}
	if s.NextMailbox == 0 {
		return nil, ErrInvalidEvent
	}
	n, err := s.applyKind(at, e, get)
	if err != nil {
		return nil, err
	}
	n.At = at
	return n, nil
}

func (s *Account) applyKind(at ModSeq, e Event, get PageSource) (*Account, error) {
	switch e := e.(type) {
	case *CreateMailbox:
		return s.applyCreate(at, e)
	case *DeleteMailbox:
		return s.applyDelete(e)
	case *RenameMailbox:
		return s.applyRename(at, e)
	case *Subscribe:
		return s.applySubscribe(e), nil
	case *AddMessages:
		m := s.ByID(e.Mailbox)
		if m == nil {
			return nil, ErrInvalidEvent
		}
		return s.applyAdd(at, m, e.Time, e.Messages)
	case *Deliver:
		return s.applyAdd(at, s.DeliveryMailbox(e.Folder), e.Time, e.Messages)
	case *ChangeFlags:
		return s.applyFlags(at, e, get)
	case *ExpungeMessages:
		m := s.ByID(e.Mailbox)
		if m == nil {
			return nil, ErrInvalidEvent
		}
		n, err := m.Expunge(at, e.UIDs, get)
		if err != nil {
			return nil, err
		}
		return s.WithMailbox(n), nil
	case *CopyMessages:
		return s.applyCopy(at, e, get)
	case *ClearRecent:
		return s.applyRecent(e), nil
	case *ImportMessages:
		return s.applyImport(at, e)
	case *RenewAll:
		return s.applyRestored(at, e)
	case *RenewMailbox:
		return s.applyRenew(at, e)
	case *BeginRekey:
		return s.advancedTo(s.At), nil
	}
	return nil, fmt.Errorf("event of kind %d: %w", e.Kind(), eventlog.ErrNewerVersion)
}

func NewAccount(at ModSeq, e *Genesis) *Account {
	return &Account{
		At: at, NextMailbox: 2, NextUIDValidity: e.UIDValidity + 1, Created: e.Time,
		Mailboxes: []*Mailbox{{
			ID: 1, Name: Inbox, UIDValidity: e.UIDValidity, UIDNext: 1, RecentFrom: 1, ModSeq: at, Created: at,
		}},
		Subscribed: []string{Inbox},
	}
}

func (s *Account) applyCreate(at ModSeq, e *CreateMailbox) (*Account, error) {
	if s.ByName(e.Name) != nil {
		return nil, ErrInvalidEvent
	}
	c := s.withparents(at, e.Name)
	c.make(at, e.Name, e.UIDValidity, e.SpecialUse)
	return c.sorted(), nil
}

// withParents returns a copy, whose list of mailboxes may be changed, in which
// every name above a mailbox exists.
func (s *Account) withparents(at ModSeq, name string) *Account {
	c := *s
	c.Mailboxes = slices.Clone(s.Mailboxes)
	for _, p := range parents(name) {
		if s.ByName(p) == nil {
			c.make(at, p, 0, nil)
		}
	}
	return &c
}

// make appends a mailbox. A UIDVALIDITY of 0 stands for the next one.
func (s *Account) make(at ModSeq, name string, uidValidity uint32, special []string) {
	if uidValidity == 0 {
		uidValidity = s.NextUIDValidity
	}
	s.Mailboxes = append(s.Mailboxes, &Mailbox{
		ID: s.NextMailbox, Name: name, UIDValidity: uidValidity, UIDNext: 1, RecentFrom: 1,
		ModSeq: at, Created: at, SpecialUse: special,
	})
	s.NextMailbox++
	s.NextUIDValidity = max(s.NextUIDValidity, uidValidity+1)
}

func (s *Account) applyDelete(e *DeleteMailbox) (*Account, error) {
	c := *s
	c.Mailboxes = slices.DeleteFunc(slices.Clone(s.Mailboxes), func(m *Mailbox) bool { return m.ID == e.Mailbox && m.Name != Inbox })
	if len(c.Mailboxes) == len(s.Mailboxes) {
		return nil, ErrInvalidEvent
	}
	return &c, nil
}

func (s *Account) applyRename(at ModSeq, e *RenameMailbox) (*Account, error) {
	from := s.ByID(e.Mailbox)
	if from == nil || s.ByName(e.Name) != nil {
		return nil, ErrInvalidEvent
	}
	c := s.withparents(at, e.Name)
	if from.Name == Inbox {
		return c.applyRenameInbox(at, from, e.Name), nil
	}
	for i, m := range c.Mailboxes {
		rest, below := strings.CutPrefix(m.Name, from.Name+string(Separator))
		switch {
		case m == from:
			m = m.named(e.Name)
		case below:
			m = m.named(e.Name + string(Separator) + rest)
		}
		c.Mailboxes[i] = m
	}
	c.sorted()
	for i := 1; i < len(c.Mailboxes); i++ {
		if c.Mailboxes[i].Name == c.Mailboxes[i-1].Name {
			return nil, ErrInvalidEvent
		}
	}
	return c, nil
}

func (m *Mailbox) named(name string) *Mailbox {
	c := *m
	c.Name = name
	return &c
}

// applyRenameInbox gives INBOX's messages, with their UIDs, to a new mailbox
// with a UIDVALIDITY of its own, whatever their number by sharing their pages.
func (s *Account) applyRenameInbox(at ModSeq, inbox *Mailbox, name string) *Account {
	c := *s
	moved := *inbox
	moved.ID, moved.Name, moved.UIDValidity = c.NextMailbox, name, c.NextUIDValidity
	moved.ModSeq, moved.Created, moved.SpecialUse = at, at, nil
	moved.Vanished, moved.Forgotten = nil, at
	c.NextMailbox++
	c.NextUIDValidity++

	left := *inbox
	left.Pages, left.Messages, left.Unseen, left.Deleted, left.Size = nil, 0, 0, 0, 0
	left.ModSeq, left.RecentFrom = at, inbox.UIDNext
	if all := inbox.Assigned(1); len(all) > 0 {
		left.remember(at, all)
	}
	n := c.WithMailbox(&left)
	n.Mailboxes = append(n.Mailboxes, &moved)
	return n.sorted()
}

func (s *Account) applySubscribe(e *Subscribe) *Account {
	c := *s
	i, have := slices.BinarySearch(s.Subscribed, e.Name)
	switch {
	case e.On && !have:
		c.Subscribed = slices.Insert(slices.Clone(s.Subscribed), i, e.Name)
	case !e.On && have:
		c.Subscribed = slices.Delete(slices.Clone(s.Subscribed), i, i+1)
	}
	return &c
}

// DeliveryMailbox returns the mailbox that mail for a folder goes to: of that name, else
// the first in order whose name is equal without regard to ASCII case, else
// INBOX. Whoever delivers may not know how the user writes it. Other letters
// count as they are: what their cases are changes with every version of Unicode,
// and two readers of the log must never disagree.
func (s *Account) DeliveryMailbox(name string) *Mailbox {
	if m := s.ByName(name); m != nil {
		return m
	}
	for _, m := range s.Mailboxes {
		if equalFoldASCII(m.Name, name) {
			return m
		}
	}
	return s.ByName(Inbox)
}

func (s *Account) applyAdd(at ModSeq, m *Mailbox, now int64, messages []NewMessage) (*Account, error) {
	if _, err := m.NextUIDs(int64(len(messages))); err != nil {
		return nil, fmt.Errorf("%w: %w", eventlog.ErrSkip, err)
	}
	c := *s
	defined := *m
	rows, err := c.rows(at, &defined, now, messages)
	if err != nil {
		return nil, err
	}
	return c.WithMailbox(defined.adding(at, rows)), nil
}

// rows returns what a mailbox keeps of new messages, still without UIDs, and
// defines their keywords in it. It counts their metadata's places in the state.
func (s *Account) rows(at ModSeq, m *Mailbox, now int64, messages []NewMessage) ([]Row, error) {
	if s.slotEntry != at {
		s.slotEntry, s.slotNext = at, 0
	}
	rows := make([]Row, len(messages))
	for i, msg := range messages {
		flags, words, err := m.FlagBits(msg.Flags)
		if err != nil {
			return nil, ErrInvalidEvent
		}
		m.Keywords = words
		rows[i] = Row{
			Flags: flags, Size: msg.Size, Date: msg.Date, Saved: Seconds(now), Body: msg.Body,
			Meta: MetaSource{Entry: at}, Slot: s.slotNext,
		}
		s.slotNext++
	}
	return rows, nil
}

func (s *Account) applyFlags(at ModSeq, e *ChangeFlags, get PageSource) (*Account, error) {
	m := s.ByID(e.Mailbox)
	if m == nil {
		return nil, ErrInvalidEvent
	}
	n, err := m.ChangeFlags(at, e.UIDs, e.Op, e.Flags, get)
	if err != nil {
		return nil, err
	}
	return s.WithMailbox(n), nil
}

func (s *Account) applyCopy(at ModSeq, e *CopyMessages, get PageSource) (*Account, error) {
	from, to := s.ByID(e.From), s.ByID(e.To)
	if from == nil || to == nil {
		return nil, ErrInvalidEvent
	}
	if _, err := to.NextUIDs(e.UIDs.Count()); err != nil {
		return nil, ErrInvalidEvent
	}
	defined := *to
	translate := map[FlagBits]FlagBits{}
	var rows []Row
	for _, i := range from.PagesOf(e.UIDs) {
		p := get(from.Pages[i])
		for j, u := range p.UIDs {
			if !e.UIDs.Has(u) {
				continue
			}
			r := p.Row(j)
			bits, ok := translate[r.Flags]
			if !ok {
				var err error
				if bits, defined.Keywords, err = defined.FlagBits(r.Flags.Names(from.Keywords)); err != nil {
					return nil, ErrInvalidEvent
				}
				translate[r.Flags] = bits
			}
			r.Flags, r.Saved, r.ModSeq = bits, Seconds(e.Time), 0
			rows = append(rows, r)
		}
	}
	if int64(len(rows)) != e.UIDs.Count() {
		return nil, ErrInvalidEvent
	}
	n := s.WithMailbox(defined.adding(at, rows))
	if !e.Move {
		return n, nil
	}
	// From the new state: a message may be moved within its mailbox, where it
	// gets a new UID.
	left, err := n.ByID(e.From).Expunge(at, e.UIDs, get)
	if err != nil {
		return nil, err
	}
	return n.WithMailbox(left), nil
}

func (s *Account) applyRecent(e *ClearRecent) *Account {
	m := s.ByID(e.Mailbox)
	if m == nil || e.UID <= m.RecentFrom || e.UID > m.UIDNext {
		return s.advancedTo(s.At)
	}
	c := *m
	c.RecentFrom = e.UID
	return s.WithMailbox(&c)
}

// ModSeq is a modification sequence (RFC 7162): the position in the account's
// log of the entry that last changed the thing it stands beside.
type ModSeq uint64

// MailboxID names a mailbox for its whole life, whatever it is renamed to. An
// account never gives one ID to two mailboxes.
type MailboxID uint32
