package mailbox

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
)

// MaxMailboxes bounds the folders of one account.
const MaxMailboxes = 10_000

// state is what an account's events add up to at one position of its log. It
// never changes; the next one shares what no event touched.
type state struct {
	at           ModSeq
	boxes        []*Mailbox // in order of their names
	subscribed   []string   // in order
	nextMailbox  MailboxID
	nextValidity uint32
	created      int64

	// Metadata of messages that an entry adds is found by the entry's position
	// and a number counted over all its records.
	slotEntry ModSeq
	slotNext  uint32
}

func (s *state) byName(name string) *Mailbox {
	i, ok := slices.BinarySearchFunc(s.boxes, name, func(m *Mailbox, n string) int { return cmp.Compare(m.name, n) })
	if !ok {
		return nil
	}
	return s.boxes[i]
}

func (s *state) byID(id MailboxID) *Mailbox {
	for _, m := range s.boxes {
		if m.id == id {
			return m
		}
	}
	return nil
}

// advanced returns the state at a later position at which nothing else changed.
func (s *state) advanced(at ModSeq) *state {
	c := *s
	c.at = at
	return &c
}

// replacing returns the state with one mailbox in the place of the one with the
// same ID.
func (s *state) replacing(m *Mailbox) *state {
	c := *s
	c.boxes = slices.Clone(s.boxes)
	for i := range c.boxes {
		if c.boxes[i].id == m.id {
			c.boxes[i] = m
		}
	}
	return &c
}

// sorted puts the mailboxes back in order after names changed.
func (s *state) sorted() *state {
	slices.SortFunc(s.boxes, func(a, b *Mailbox) int { return cmp.Compare(a.name, b.name) })
	return s
}

// errDoesNotFit is an event that could not have been decided on this state: the
// log is damaged, or written by something that breaks the rules.
var errDoesNotFit = errors.New("event does not fit the state")

// pagesFor returns the pages that apply will ask for.
func (s *state) pagesFor(e event) []*pageRef {
	var id MailboxID
	var uids uidSet
	switch e := e.(type) {
	case *flagMessages:
		id, uids = e.Mailbox, e.UIDs
	case *expungeMessages:
		id, uids = e.Mailbox, e.UIDs
	case *copyMessages:
		id, uids = e.From, e.UIDs
	default:
		return nil
	}
	m := s.byID(id)
	if m == nil {
		return nil
	}
	var refs []*pageRef
	for _, i := range m.touched(uids) {
		refs = append(refs, m.pages[i])
	}
	return refs
}

// apply returns the state after an event, but not many, of the entry at a
// position. It has no I/O, time or randomness, and leaves s as it is: get yields
// the pages that pagesFor named, read before.
func (s *state) apply(at ModSeq, e event, get pageSource) (*state, error) {
	if g, ok := e.(*genesis); ok {
		if s.nextMailbox != 0 {
			return nil, errDoesNotFit
		}
		return applyGenesis(at, g), nil
	}
	if s.nextMailbox == 0 {
		return nil, errDoesNotFit
	}
	n, err := s.applyKind(at, e, get)
	if err != nil {
		return nil, err
	}
	n.at = at
	return n, nil
}

func (s *state) applyKind(at ModSeq, e event, get pageSource) (*state, error) {
	switch e := e.(type) {
	case *createMailbox:
		return s.applyCreate(at, e)
	case *deleteMailbox:
		return s.applyDelete(e)
	case *renameMailbox:
		return s.applyRename(at, e)
	case *subscribe:
		return s.applySubscribe(e), nil
	case *addMessages:
		m := s.byID(e.Mailbox)
		if m == nil {
			return nil, errDoesNotFit
		}
		return s.applyAdd(at, m, e.Time, e.Messages)
	case *deliver:
		return s.applyAdd(at, s.folder(e.Folder), e.Time, e.Messages)
	case *flagMessages:
		return s.applyFlags(at, e, get)
	case *expungeMessages:
		m := s.byID(e.Mailbox)
		if m == nil {
			return nil, errDoesNotFit
		}
		n, fits := m.expunging(at, e.UIDs, get)
		if !fits {
			return nil, errDoesNotFit
		}
		return s.replacing(n), nil
	case *copyMessages:
		return s.applyCopy(at, e, get)
	case *seenRecent:
		return s.applyRecent(e), nil
	case *importMessages:
		return s.applyImport(at, e)
	case *restored:
		return s.applyRestored(at, e)
	case *renewMailbox:
		return s.applyRenew(at, e)
	}
	return nil, fmt.Errorf("event of kind %d: %w", e.kind(), eventlog.ErrNewerVersion)
}

func applyGenesis(at ModSeq, e *genesis) *state {
	return &state{
		at: at, nextMailbox: 2, nextValidity: e.UIDValidity + 1, created: e.Time,
		boxes: []*Mailbox{{
			id: 1, name: Inbox, uidValidity: e.UIDValidity, uidNext: 1, recentFrom: 1, modseq: at, created: at,
		}},
		subscribed: []string{Inbox},
	}
}

func (s *state) applyCreate(at ModSeq, e *createMailbox) (*state, error) {
	if s.byName(e.Name) != nil {
		return nil, errDoesNotFit
	}
	c := s.withParents(at, e.Name)
	c.make(at, e.Name, e.UIDValidity, e.SpecialUse)
	return c.sorted(), nil
}

// withParents returns a copy, whose list of mailboxes may be changed, in which
// every name above a mailbox exists.
func (s *state) withParents(at ModSeq, name string) *state {
	c := *s
	c.boxes = slices.Clone(s.boxes)
	for _, p := range parents(name) {
		if s.byName(p) == nil {
			c.make(at, p, 0, nil)
		}
	}
	return &c
}

// make appends a mailbox. A UIDVALIDITY of 0 stands for the next one.
func (s *state) make(at ModSeq, name string, uidValidity uint32, special []string) {
	if uidValidity == 0 {
		uidValidity = s.nextValidity
	}
	s.boxes = append(s.boxes, &Mailbox{
		id: s.nextMailbox, name: name, uidValidity: uidValidity, uidNext: 1, recentFrom: 1,
		modseq: at, created: at, special: special,
	})
	s.nextMailbox++
	s.nextValidity = max(s.nextValidity, uidValidity+1)
}

func (s *state) applyDelete(e *deleteMailbox) (*state, error) {
	c := *s
	c.boxes = slices.DeleteFunc(slices.Clone(s.boxes), func(m *Mailbox) bool { return m.id == e.Mailbox && m.name != Inbox })
	if len(c.boxes) == len(s.boxes) {
		return nil, errDoesNotFit
	}
	return &c, nil
}

func (s *state) applyRename(at ModSeq, e *renameMailbox) (*state, error) {
	from := s.byID(e.Mailbox)
	if from == nil || s.byName(e.Name) != nil {
		return nil, errDoesNotFit
	}
	c := s.withParents(at, e.Name)
	if from.name == Inbox {
		return c.applyRenameInbox(at, from, e.Name), nil
	}
	for i, m := range c.boxes {
		rest, below := strings.CutPrefix(m.name, from.name+string(Separator))
		switch {
		case m == from:
			m = m.named(e.Name)
		case below:
			m = m.named(e.Name + string(Separator) + rest)
		}
		c.boxes[i] = m
	}
	c.sorted()
	for i := 1; i < len(c.boxes); i++ {
		if c.boxes[i].name == c.boxes[i-1].name {
			return nil, errDoesNotFit
		}
	}
	return c, nil
}

func (m *Mailbox) named(name string) *Mailbox {
	c := *m
	c.name = name
	return &c
}

// applyRenameInbox gives INBOX's messages, with their UIDs, to a new mailbox
// with a UIDVALIDITY of its own, whatever their number by sharing their pages.
func (s *state) applyRenameInbox(at ModSeq, inbox *Mailbox, name string) *state {
	c := *s
	moved := *inbox
	moved.id, moved.name, moved.uidValidity = c.nextMailbox, name, c.nextValidity
	moved.modseq, moved.created, moved.special = at, at, nil
	moved.vanished, moved.forgotten = nil, at
	c.nextMailbox++
	c.nextValidity++

	left := *inbox
	left.pages, left.exists, left.unseen, left.deleted, left.size = nil, 0, 0, 0, 0
	left.modseq, left.recentFrom = at, inbox.uidNext
	if all := inbox.assigned(1); len(all) > 0 {
		left.remember(at, all)
	}
	n := c.replacing(&left)
	n.boxes = append(n.boxes, &moved)
	return n.sorted()
}

func (s *state) applySubscribe(e *subscribe) *state {
	c := *s
	i, have := slices.BinarySearch(s.subscribed, e.Name)
	switch {
	case e.On && !have:
		c.subscribed = slices.Insert(slices.Clone(s.subscribed), i, e.Name)
	case !e.On && have:
		c.subscribed = slices.Delete(slices.Clone(s.subscribed), i, i+1)
	}
	return &c
}

// folder returns the mailbox that mail for a folder goes to: of that name, else
// the first in order whose name is equal without regard to ASCII case, else
// INBOX. Whoever delivers may not know how the user writes it. Other letters
// count as they are: what their cases are changes with every version of Unicode,
// and two readers of the log must never disagree.
func (s *state) folder(name string) *Mailbox {
	if m := s.byName(name); m != nil {
		return m
	}
	for _, m := range s.boxes {
		if equalASCII(m.name, name) {
			return m
		}
	}
	return s.byName(Inbox)
}

func (s *state) applyAdd(at ModSeq, m *Mailbox, now int64, messages []newMessage) (*state, error) {
	if _, err := m.nextUIDs(int64(len(messages))); err != nil {
		return nil, fmt.Errorf("%w: %w", eventlog.ErrSkip, err)
	}
	c := *s
	defined := *m
	rows, err := c.rows(at, &defined, now, messages)
	if err != nil {
		return nil, err
	}
	return c.replacing(defined.adding(at, rows)), nil
}

// rows returns what a mailbox keeps of new messages, still without UIDs, and
// defines their keywords in it. It counts their metadata's places in the state.
func (s *state) rows(at ModSeq, m *Mailbox, now int64, messages []newMessage) ([]row, error) {
	if s.slotEntry != at {
		s.slotEntry, s.slotNext = at, 0
	}
	rows := make([]row, len(messages))
	for i, msg := range messages {
		flags, words, err := m.bits(msg.Flags)
		if err != nil {
			return nil, errDoesNotFit
		}
		m.keywords = words
		rows[i] = row{
			flags: flags, size: msg.Size, date: msg.Date, saved: seconds(now), body: msg.Body,
			meta: metaSource{entry: at}, slot: s.slotNext,
		}
		s.slotNext++
	}
	return rows, nil
}

func (s *state) applyFlags(at ModSeq, e *flagMessages, get pageSource) (*state, error) {
	m := s.byID(e.Mailbox)
	if m == nil || e.Op < FlagsSet || e.Op > FlagsRemove {
		return nil, errDoesNotFit
	}
	defined := *m
	bits := m.knownBits(e.Flags)
	if e.Op != FlagsRemove {
		var err error
		if bits, defined.keywords, err = m.bits(e.Flags); err != nil {
			return nil, errDoesNotFit
		}
	}
	change := func(was flagBits) flagBits { return was.change(e.Op, bits) }
	n, fits := defined.flagging(at, e.UIDs, change, get)
	if !fits {
		return nil, errDoesNotFit
	}
	return s.replacing(n), nil
}

func (s *state) applyCopy(at ModSeq, e *copyMessages, get pageSource) (*state, error) {
	from, to := s.byID(e.From), s.byID(e.To)
	if from == nil || to == nil {
		return nil, errDoesNotFit
	}
	if _, err := to.nextUIDs(e.UIDs.count()); err != nil {
		return nil, errDoesNotFit
	}
	defined := *to
	translate := map[flagBits]flagBits{}
	var rows []row
	for _, i := range from.touched(e.UIDs) {
		p := get(from.pages[i])
		for j, u := range p.uids {
			if !e.UIDs.has(u) {
				continue
			}
			r := p.row(j)
			bits, ok := translate[r.flags]
			if !ok {
				var err error
				if bits, defined.keywords, err = defined.bits(r.flags.names(from.keywords)); err != nil {
					return nil, errDoesNotFit
				}
				translate[r.flags] = bits
			}
			r.flags, r.saved = bits, seconds(e.Time)
			rows = append(rows, r)
		}
	}
	if int64(len(rows)) != e.UIDs.count() {
		return nil, errDoesNotFit
	}
	n := s.replacing(defined.adding(at, rows))
	if !e.Move {
		return n, nil
	}
	// From the new state: a message may be moved within its mailbox, where it
	// gets a new UID.
	left, fits := n.byID(e.From).expunging(at, e.UIDs, get)
	if !fits {
		return nil, errDoesNotFit
	}
	return n.replacing(left), nil
}

func (s *state) applyRecent(e *seenRecent) *state {
	m := s.byID(e.Mailbox)
	if m == nil || e.UID <= m.recentFrom || e.UID > m.uidNext {
		return s.advanced(s.at)
	}
	c := *m
	c.recentFrom = e.UID
	return s.replacing(&c)
}

// ModSeq is a modification sequence (RFC 7162): the position in the account's
// log of the entry that last changed the thing it stands beside.
type ModSeq uint64

// MailboxID names a mailbox for its whole life, whatever it is renamed to. An
// account never gives one ID to two mailboxes.
type MailboxID uint32
