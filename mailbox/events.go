package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// ErrInvalidEvent is an event that cannot have happened to the [Mailbox] that it
// was applied to.
var ErrInvalidEvent = state.ErrInvalidEvent

// ErrTooOld is a position from which on the log does not have all entries any
// more: a snapshot has taken their place. Read the folders anew.
var ErrTooOld = errors.New("the log no longer goes back that far")

// Event is something that took effect in an account. It says what happened, not
// what was asked for: the UIDs that messages got, not the order to add them. The
// types are [MailboxCreated], [MailboxDeleted], [MailboxRenamed],
// [MailboxSubscribed], [UIDValidityChanged], [MessagesAdded], [FlagsChanged] and
// [MessagesExpunged]. A later version may add types; pass over what you do not
// know.
//
// At in each of them is the position in the log of the entry that holds it, which
// is also the MODSEQ that messages get. Events of one entry took effect together.
type Event interface {
	position() ModSeq
	mailbox() MailboxID // 0: of no mailbox
}

// MailboxCreated is a new mailbox, without messages.
type MailboxCreated struct {
	At          ModSeq
	Mailbox     MailboxID
	Name        string
	UIDValidity uint32
	SpecialUse  []string // RFC 6154
}

// MailboxDeleted is the end of a mailbox and of all its messages.
type MailboxDeleted struct {
	At      ModSeq
	Mailbox MailboxID
}

// MailboxRenamed is a new name of a mailbox. Its messages and numbers stay.
type MailboxRenamed struct {
	At      ModSeq
	Mailbox MailboxID
	Name    string
}

// MailboxSubscribed is a name that was subscribed to or, without Subscribed,
// unsubscribed from. No mailbox need have it.
type MailboxSubscribed struct {
	At         ModSeq
	Name       string
	Subscribed bool
}

// UIDValidityChanged is a mailbox whose UIDs mean other messages than before,
// because an older copy of the store was restored: whoever kept UIDs must forget
// them.
type UIDValidityChanged struct {
	At          ModSeq
	Mailbox     MailboxID
	UIDValidity uint32
}

// MessagesAdded are messages that came into a mailbox: by APPEND, delivery, COPY,
// MOVE or import. Their UIDs ascend, from UIDNEXT on.
type MessagesAdded struct {
	At       ModSeq
	Mailbox  MailboxID
	Messages []MessageState // a ModSeq of 0 stands for At
	UIDNext  UID            // of the mailbox afterwards; 0: one above the last UID
}

// FlagsChanged is a change of flags of messages that are in the mailbox.
type FlagsChanged struct {
	At      ModSeq
	Mailbox MailboxID
	UIDs    UIDRanges
	Op      FlagOp
	Flags   []string
}

// MessagesExpunged are messages that left a mailbox, by EXPUNGE or MOVE.
type MessagesExpunged struct {
	At      ModSeq
	Mailbox MailboxID
	UIDs    UIDRanges
}

// UIDRange is a run of UIDs. Both bounds are included.
type UIDRange struct{ First, Last UID }

// UIDRanges are runs of UIDs in ascending order that neither touch nor overlap.
type UIDRanges []UIDRange

// Len returns how many UIDs there are.
func (r UIDRanges) Len() int64 { return r.set().Count() }

// All yields the UIDs in ascending order.
func (r UIDRanges) All() iter.Seq[UID] {
	return func(yield func(UID) bool) {
		for _, run := range r {
			for u := uint64(run.First); u <= uint64(run.Last); u++ {
				if !yield(UID(u)) {
					return
				}
			}
		}
	}
}

func (r UIDRanges) set() state.UIDSet {
	s := make(state.UIDSet, len(r))
	for i, run := range r {
		s[i] = state.UIDRun(run)
	}
	return s.Normalize()
}

func uidRanges(s state.UIDSet) UIDRanges {
	r := make(UIDRanges, len(s))
	for i, run := range s {
		r[i] = UIDRange(run)
	}
	return r
}

func (e MailboxCreated) position() ModSeq     { return e.At }
func (e MailboxDeleted) position() ModSeq     { return e.At }
func (e MailboxRenamed) position() ModSeq     { return e.At }
func (e MailboxSubscribed) position() ModSeq  { return e.At }
func (e UIDValidityChanged) position() ModSeq { return e.At }
func (e MessagesAdded) position() ModSeq      { return e.At }
func (e FlagsChanged) position() ModSeq       { return e.At }
func (e MessagesExpunged) position() ModSeq   { return e.At }

func (e MailboxCreated) mailbox() MailboxID     { return e.Mailbox }
func (e MailboxDeleted) mailbox() MailboxID     { return e.Mailbox }
func (e MailboxRenamed) mailbox() MailboxID     { return e.Mailbox }
func (e MailboxSubscribed) mailbox() MailboxID  { return 0 }
func (e UIDValidityChanged) mailbox() MailboxID { return e.Mailbox }
func (e MessagesAdded) mailbox() MailboxID      { return e.Mailbox }
func (e FlagsChanged) mailbox() MailboxID       { return e.Mailbox }
func (e MessagesExpunged) mailbox() MailboxID   { return e.Mailbox }

// Events yields what happened in the account after a position, from the log, up to
// its present end: 0 yields all there was. It fails with [ErrTooOld] if the entries
// from there on are not all in the log any more; they stay for [Options.Grace] after
// a snapshot. To follow an account, take [Account.Mailbox] or the last event's
// position, wait for a [Watch], and ask again.
//
// It reads the log from the newest snapshot at or before the position, so what it
// costs follows what happened since. Messages of one event are in memory together.
func (h *Account) Events(ctx context.Context, after ModSeq) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		a, err := h.use()
		if err != nil {
			yield(nil, err)
			return
		}
		defer a.leave()
		if err := a.replay(ctx, after, func(e Event) bool { return yield(e, nil) }); err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, eventlog.ErrTrimmed) {
				err = fmt.Errorf("mailbox: events after %d: %w", after, ErrTooOld)
			}
			yield(nil, err)
		}
	}
}

// replay reads the log on a handle of its own and calls yield with each event after
// a position, until yield returns false.
func (a *account) replay(ctx context.Context, after ModSeq, yield func(Event) bool) error {
	log, err := a.newLog()
	if err != nil {
		return err
	}
	defer log.Wipe()
	s, err := a.startBefore(ctx, log, after)
	if err != nil {
		return err
	}
	for entry, err := range log.Read(ctx) {
		if err != nil {
			return err
		}
		at := ModSeq(entry.Pos)
		for _, record := range entry.Records {
			r := resolver{account: a, at: at}
			next, err := a.pages.Apply(ctx, s, at, entry.Kind, record, r.step)
			if errors.Is(err, eventlog.ErrSkip) {
				continue
			}
			if err != nil {
				return err
			}
			s = next
			if at <= after {
				continue
			}
			if more, err := r.resolve(ctx, yield); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// startBefore puts a log at the newest snapshot at or before a position and returns
// its state.
func (a *account) startBefore(ctx context.Context, log *eventlog.Log, at ModSeq) (*state.Account, error) {
	snaps, err := log.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, pos := range slices.Backward(snaps) {
		if ModSeq(pos) > at {
			continue
		}
		snap, err := log.ReadSnapshot(ctx, pos)
		if err != nil {
			return nil, err
		}
		s, err := state.DecodeSnapshot(snap.Payload)
		if err != nil {
			return nil, fmt.Errorf("mailbox: snapshot at %d: %w: %w", snap.Pos, eventlog.ErrCorrupt, err)
		}
		log.Seek(snap.Head)
		return s, nil
	}
	log.Seek(eventlog.Head{})
	return &state.Account{}, nil
}

// resolver turns events of the log, which need the state to be understood, into
// those that users see, which do not.
type resolver struct {
	account *account
	at      ModSeq
	steps   []step
	out     []Event
}

// step is an event of the log and the states before and after it.
type step struct {
	before *state.Account
	event  state.Event
	after  *state.Account
}

func (r *resolver) step(before *state.Account, e state.Event, after *state.Account) {
	r.steps = append(r.steps, step{before, e, after})
}

// resolve yields what the steps did. It reports whether to go on.
func (r *resolver) resolve(ctx context.Context, yield func(Event) bool) (bool, error) {
	for _, s := range r.steps {
		r.out = r.out[:0]
		if err := r.events(ctx, s); err != nil {
			return false, err
		}
		for _, e := range r.out {
			if !yield(e) {
				return false, nil
			}
		}
	}
	return true, nil
}

func (r *resolver) add(e Event) { r.out = append(r.out, e) }

func (r *resolver) events(ctx context.Context, s step) error {
	switch e := s.event.(type) {
	case *state.Subscribe:
		r.add(MailboxSubscribed{At: r.at, Name: e.Name, Subscribed: e.On})
	case *state.Genesis:
		r.created(s)
		r.add(MailboxSubscribed{At: r.at, Name: Inbox, Subscribed: true})
	case *state.CreateMailbox:
		r.created(s)
	case *state.DeleteMailbox:
		r.add(MailboxDeleted{At: r.at, Mailbox: e.Mailbox})
	case *state.RenewMailbox:
		r.add(MailboxDeleted{At: r.at, Mailbox: e.Mailbox})
		r.created(s)
	case *state.RenameMailbox:
		return r.renamed(ctx, s, e)
	case *state.RenewAll:
		for _, m := range s.after.Mailboxes {
			r.add(UIDValidityChanged{At: r.at, Mailbox: m.ID, UIDValidity: m.UIDValidity})
		}
	case *state.AddMessages:
		return r.added(ctx, s, e.Mailbox)
	case *state.Deliver:
		return r.added(ctx, s, s.before.DeliveryMailbox(e.Folder).ID)
	case *state.ImportMessages:
		return r.added(ctx, s, e.Mailbox)
	case *state.CopyMessages:
		if err := r.added(ctx, s, e.To); err != nil {
			return err
		}
		if e.Move {
			r.add(MessagesExpunged{At: r.at, Mailbox: e.From, UIDs: uidRanges(e.UIDs)})
		}
	case *state.ChangeFlags:
		r.add(FlagsChanged{At: r.at, Mailbox: e.Mailbox, UIDs: uidRanges(e.UIDs), Op: e.Op, Flags: e.Flags})
	case *state.ExpungeMessages:
		r.add(MessagesExpunged{At: r.at, Mailbox: e.Mailbox, UIDs: uidRanges(e.UIDs)})
	}
	return nil
}

// created adds an event for each new mailbox, those above one first.
func (r *resolver) created(s step) []*state.Mailbox {
	var made []*state.Mailbox
	for _, m := range s.after.Mailboxes {
		if s.before.ByID(m.ID) == nil {
			made = append(made, m)
			r.add(MailboxCreated{At: r.at, Mailbox: m.ID, Name: m.Name, UIDValidity: m.UIDValidity, SpecialUse: slices.Clone(m.SpecialUse)})
		}
	}
	return made
}

// renamed adds the events of a rename. That of INBOX makes a mailbox and moves the
// messages to it.
func (r *resolver) renamed(ctx context.Context, s step, e *state.RenameMailbox) error {
	for _, m := range r.created(s) {
		if m.Messages == 0 && m.UIDNext == 1 {
			continue
		}
		if err := r.addedFrom(ctx, m, 1); err != nil {
			return err
		}
	}
	for _, m := range s.after.Mailboxes {
		if was := s.before.ByID(m.ID); was != nil && was.Name != m.Name {
			r.add(MailboxRenamed{At: r.at, Mailbox: m.ID, Name: m.Name})
		}
	}
	if from := s.before.ByID(e.Mailbox); from.Name == Inbox {
		var uids state.UIDSet
		for _, ref := range from.Pages {
			p, err := r.account.pages.Page(ctx, ref)
			if err != nil {
				return err
			}
			for _, u := range p.UIDs {
				uids.Add(u)
			}
		}
		r.add(MessagesExpunged{At: r.at, Mailbox: from.ID, UIDs: uidRanges(uids)})
	}
	return nil
}

// added adds the event for what came into a mailbox.
func (r *resolver) added(ctx context.Context, s step, id MailboxID) error {
	return r.addedFrom(ctx, s.after.ByID(id), s.before.ByID(id).UIDNext)
}

// addedFrom is added for the messages from a UID on.
func (r *resolver) addedFrom(ctx context.Context, m *state.Mailbox, from UID) error {
	e := MessagesAdded{At: r.at, Mailbox: m.ID, UIDNext: m.UIDNext}
	for _, ref := range m.Pages[m.PageOf(from):] {
		p, err := r.account.pages.Page(ctx, ref)
		if err != nil {
			return err
		}
		for i := range p.Len() {
			if p.UIDs[i] >= from {
				e.Messages = append(e.Messages, messageState(m, p.Row(i)))
			}
		}
	}
	r.add(e)
	return nil
}
