package mailbox

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// StoreOptions say how [View.Store] is meant.
type StoreOptions struct {
	// Silent keeps Sync from echoing the change to this view (FLAGS.SILENT).
	Silent bool
	// UnchangedSince, if set, leaves messages alone whose MODSEQ is greater
	// (RFC 7162 section 3.1.3). It is decided on the very state that the change
	// commits on.
	UnchangedSince *ModSeq
}

// Store changes flags of messages, all in one log entry, and returns the UIDs of
// those that failed UnchangedSince. Messages that are gone are left out. The view
// itself is told by the next [View.Sync]. It fails with [ErrReadOnly],
// [ErrBadFlag], [ErrTooManyKeywords] or, if the mailbox was deleted, [ErrDeleted].
func (v *View) Store(ctx context.Context, set Set, op FlagOp, flags []string, o StoreOptions) (modified []UID, err error) {
	if v.readOnly {
		return nil, ErrReadOnly
	}
	if flags, err = state.CanonicalFlags(flags); err != nil {
		return nil, err
	}
	if op < FlagsSet || op > FlagsRemove {
		return nil, fmt.Errorf("%w: %v", ErrBadFlag, op)
	}
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	t := v.picture()
	uids, err := t.resolve(ctx, a, set)
	if err != nil || len(uids) == 0 {
		return nil, err
	}
	if op != FlagsRemove && slices.Contains(flags, FlagDeleted) {
		ctx = blob.Freeing(ctx) // what cannot be marked cannot be expunged
	}
	var d flagDecision
	err = a.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (_ state.Event, err error) {
		m := s.ByID(t.box.ID)
		if m == nil {
			return nil, ErrDeleted
		}
		if d, err = a.decideFlags(ctx, m, uids, op, flags, o.UnchangedSince); err != nil || len(d.changed) == 0 {
			return nil, err
		}
		return &state.ChangeFlags{Mailbox: m.ID, UIDs: d.changed, Op: op, Flags: flags}, nil
	})
	if err != nil {
		return nil, err
	}
	if o.Silent {
		v.silence(silentChange{d.asked, op, flags})
	}
	return d.modified, nil
}

// flagDecision says of messages that are there which of them a Store changes.
type flagDecision struct {
	asked    state.UIDSet // all but those in modified
	changed  state.UIDSet // those of asked that have other flags now
	modified []UID        // changed by somebody since
}

// decideFlags finds the messages whose flags the operation changes, and those
// that were changed since.
func (a *account) decideFlags(ctx context.Context, m *state.Mailbox, uids state.UIDSet, op FlagOp, flags []string, since *ModSeq) (d flagDecision, err error) {
	bits := m.KnownFlagBits(flags)
	if op != FlagsRemove {
		if bits, _, err = m.FlagBits(flags); err != nil {
			return d, err
		}
	}
	for h, err := range a.pages.Walk(ctx, pages.Walk{Mailbox: m, UIDs: uids}) {
		if err != nil {
			return d, err
		}
		uid, was := h.Page.UIDs[h.Row], h.Page.Flags[h.Row]
		if since != nil && h.Page.ModSeqs[h.Row] > *since {
			d.modified = append(d.modified, uid)
			continue
		}
		d.asked.Add(uid)
		if was.Change(op, bits) != was {
			d.changed.Add(uid)
		}
	}
	return d, nil
}

// Copied is what [View.Copy] and [View.Move] did. Source and Dest are parallel
// and ascending; both are empty if no message was there.
type Copied struct {
	UIDValidity  uint32 // of the destination
	Source, Dest []UID
}

// Copy puts messages into another mailbox of the account, all in one log entry
// and whatever their size: the copies point to the same bytes. It fails with
// [ErrNoMailbox] if there is no mailbox dest, with [ErrDeleted] if the view's mailbox
// was deleted, with [ErrTooManyKeywords] if the destination cannot take the messages'
// keywords, with [ErrFull], and with [ErrNoMessage] if set has sequence numbers and all of its messages
// were expunged. Other messages that are gone are left out.
func (v *View) Copy(ctx context.Context, set Set, dest string) (Copied, error) {
	return v.copy(ctx, set, dest, false)
}

// Move is Copy and the removal of the originals in one step (RFC 6851), in the
// same log entry. It fails as Copy does, and with [ErrReadOnly].
func (v *View) Move(ctx context.Context, set Set, dest string) (Copied, error) {
	if v.readOnly {
		return Copied{}, ErrReadOnly
	}
	return v.copy(ctx, set, dest, true)
}

func (v *View) copy(ctx context.Context, set Set, dest string, move bool) (done Copied, err error) {
	if dest, err = CanonicalName(dest); err != nil {
		return Copied{}, err
	}
	a, err := v.use()
	if err != nil {
		return Copied{}, err
	}
	defer a.leave()
	t := v.picture()
	uids, err := t.resolve(ctx, a, set)
	if err != nil {
		return Copied{}, err
	}
	now := a.store.opts.Now().Unix()
	err = a.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (_ state.Event, err error) {
		from, to := s.ByID(t.box.ID), s.ByName(dest)
		switch {
		case from == nil:
			return nil, ErrDeleted
		case to == nil:
			return nil, ErrNoMailbox
		}
		var there state.UIDSet
		var size Held
		room, inMailbox := a.room(s, to)
		switch {
		case move && from == to:
			room = math.MaxInt64
		case move:
			room = inMailbox
		default:
			room = min(room, inMailbox)
		}
		if there, size, done, err = a.decideCopy(ctx, from, to, uids, room); err != nil {
			return nil, err
		}
		switch {
		case len(there) == 0 && len(uids) > 0 && !set.UID:
			return nil, ErrNoMessage
		case len(there) == 0:
			return nil, nil
		}
		if !move {
			if err := a.fitsQuota(ctx, s, size); err != nil {
				return nil, err
			}
		}
		return &state.CopyMessages{From: from.ID, To: to.ID, UIDs: there, Move: move, Time: now}, nil
	})
	if err != nil {
		return Copied{}, err
	}
	return done, nil
}

// decideCopy finds the messages to copy. It fails with [ErrFull] if there are more than
// there is room for.
func (a *account) decideCopy(ctx context.Context, from, to *state.Mailbox, uids state.UIDSet, room int64) (there state.UIDSet, size Held, done Copied, err error) {
	defined := *to
	known := map[state.FlagBits]bool{}
	done.UIDValidity = to.UIDValidity
	for h, err := range a.pages.Walk(ctx, pages.Walk{Mailbox: from, UIDs: uids}) {
		if err != nil {
			return nil, Held{}, Copied{}, err
		}
		if int64(len(done.Source)) >= room {
			return nil, Held{}, Copied{}, ErrFull
		}
		if bits := h.Page.Flags[h.Row]; !known[bits] {
			known[bits] = true
			if _, defined.Keywords, err = defined.FlagBits(bits.Names(from.Keywords)); err != nil {
				return nil, Held{}, Copied{}, err
			}
		}
		there.Add(h.Page.UIDs[h.Row])
		size = size.plus(Held{int64(h.Page.Sizes[h.Row]), 1})
		done.Source = append(done.Source, h.Page.UIDs[h.Row])
	}
	first, err := to.NextUIDs(int64(len(done.Source)))
	if err != nil {
		return nil, Held{}, Copied{}, err
	}
	for i := range done.Source {
		done.Dest = append(done.Dest, first+UID(i))
	}
	return there, size, done, nil
}

// Expunge removes the messages that have \Deleted and, if within is not nil, are
// in that set, all in one log entry, and returns their UIDs. The view itself is
// told by the next [View.Sync]. It fails with [ErrReadOnly] or, if the mailbox
// was deleted, [ErrDeleted].
func (v *View) Expunge(ctx context.Context, within *Set) (gone []UID, err error) {
	if v.readOnly {
		return nil, ErrReadOnly
	}
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	t := v.picture()
	uids := state.AllUIDs()
	if within != nil {
		if uids, err = t.resolve(ctx, a, *within); err != nil {
			return nil, err
		}
	}
	err = a.commit(blob.Freeing(ctx), func(ctx context.Context, s *state.Account, at ModSeq) (_ state.Event, err error) {
		m := s.ByID(t.box.ID)
		if m == nil {
			return nil, ErrDeleted
		}
		var set state.UIDSet
		if gone, set, err = a.deletedIn(ctx, m, uids); err != nil || len(set) == 0 {
			return nil, err
		}
		return &state.ExpungeMessages{Mailbox: m.ID, UIDs: set}, nil
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// deletedIn returns the messages of a set that have \Deleted, as a list and as a set.
func (a *account) deletedIn(ctx context.Context, m *state.Mailbox, within state.UIDSet) (list []UID, set state.UIDSet, err error) {
	for _, r := range m.Pages {
		if r.Deleted == 0 || !within.Touches(r.First, r.Last) {
			continue
		}
		p, err := a.pages.Page(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		for i, f := range p.Flags {
			if u := p.UIDs[i]; f&state.Deleted != 0 && within.Has(u) {
				set.Add(u)
				list = append(list, u)
			}
		}
	}
	return list, set, nil
}
