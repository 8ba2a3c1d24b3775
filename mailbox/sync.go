package mailbox

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Sync moves the view to the account's newest state and returns what changed. With
// holdExpunges the view keeps expunged messages, as IMAP requires while FETCH, STORE
// and SEARCH are answered (RFC 9051 section 7.5.1), and a later Sync reports them. After
// an error the view is unchanged.
func (v *View) Sync(ctx context.Context, holdExpunges bool) (*Changes, error) {
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	if err := a.freshen(ctx); err != nil {
		return nil, err
	}
	was, c := v.picture(), &Changes{}
	next := a.state().ByID(was.box.ID)
	if next == nil {
		next = was.box.Emptied()
		c.MailboxDeleted = true
	}
	n, changed, silenced, err := v.follow(ctx, a, &was, next)
	if err != nil {
		return nil, err
	}
	if !holdExpunges {
		if c.Expunged, err = n.reportExpunged(ctx, a); err != nil {
			return nil, err
		}
	}
	near := &pages.Nearby{}
	for hit, err := range a.pages.Walk(ctx, pages.Walk{Mailbox: n.box, Removed: n.expunged, UIDs: changed, Near: near}) {
		if err != nil {
			return nil, err
		}
		c.Updated = append(c.Updated, n.message(v.handle, hit, near))
	}
	for hit, err := range a.pages.Walk(ctx, pages.Walk{Mailbox: n.box, Removed: n.expunged, UIDs: silenced, Near: near}) {
		if err != nil {
			return nil, err
		}
		c.Silenced = append(c.Silenced, n.message(v.handle, hit, near))
	}
	if len(next.Keywords) != len(was.box.Keywords) {
		c.Flags = next.Flags()
	}
	c.Exists, c.Recent, c.HighestModSeq = n.len(), n.recents, next.ModSeq
	c.ExistsChanged = c.Exists != was.len()-len(c.Expunged)
	c.RecentChanged = c.Recent != was.recents
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, ErrClosed
	}
	v.shown, v.silent = *n, nil
	return c, nil
}

// follow returns next as the session sees it, with messages that were expunged since in
// expunged; the UIDs whose flags changed in a way that the session does not know; and
// those whose change it knows.
func (v *View) follow(ctx context.Context, a *account, was *shown, next *state.Mailbox) (n *shown, changed, silenced state.UIDSet, err error) {
	expect := v.expectation(next)
	gone, err := a.pages.Diff(ctx, was.box, next, func(u UID, old, now state.FlagBits) {
		if flags, silent := expect(u, old); !silent || flags != now {
			changed.Add(u)
		} else {
			silenced.Add(u)
		}
	})
	if err != nil {
		return nil, nil, nil, err
	}
	n = &shown{box: next, expunged: was.expunged, recents: was.recents}
	if len(gone) > 0 {
		n.expunged = slices.Concat(n.expunged, gone)
		slices.SortFunc(n.expunged, func(a, b pages.Removed) int { return cmp.Compare(a.UID, b.UID) })
	}
	n.recent = v.claim(next, was.box.UIDNext)
	more, err := n.countRecent(ctx, a, was.box.UIDNext)
	n.recents += more
	return n, changed, silenced, err
}

// silentChange is a change of flags that the session made and that Sync does not report
// to it (FLAGS.SILENT).
type silentChange struct {
	uids  state.UIDSet
	op    FlagOp
	flags []string
}

// maxSilent bounds how many silent changes a view remembers between two Syncs.
// Sync reports those that are forgotten.
const maxSilent = 64

// silence records a change that Sync does not report to the session.
func (v *View) silence(c silentChange) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.silent) == maxSilent {
		v.silent = slices.Delete(v.silent, 0, 1)
	}
	v.silent = append(v.silent, c)
}

// expectation returns which flags the session expects a message to have: those that it
// has seen, with its own silent changes. If the message has others, somebody else
// changed it too, and Sync must report it (RFC 9051 section 6.4.6).
func (v *View) expectation(next *state.Mailbox) func(u UID, old state.FlagBits) (flags state.FlagBits, silent bool) {
	v.mu.Lock()
	changes := slices.Clone(v.silent)
	v.mu.Unlock()
	bits := make([]state.FlagBits, len(changes))
	for i, c := range changes {
		bits[i] = next.KnownFlagBits(c.flags)
	}
	return func(u UID, flags state.FlagBits) (_ state.FlagBits, silent bool) {
		for i, c := range changes {
			if c.uids.Has(u) {
				flags, silent = flags.Change(c.op, bits[i]), true
			}
		}
		return flags, silent
	}
}

// claim makes the messages from a UID on, as far as no other session has been
// shown them, \Recent for this one, and returns all that are. A session that reads
// only leaves them \Recent for the next (RFC 3501 section 6.3.2). The view keeps
// what it claimed also if it is not moved on: nobody else will get it.
func (v *View) claim(box *state.Mailbox, from UID) state.UIDSet {
	from = max(from, v.account.recentFrom(box, !v.readOnly))
	v.mu.Lock()
	defer v.mu.Unlock()
	if more := box.Assigned(from); len(more) > 0 {
		v.recent = append(slices.Clone(v.recent), more...).Normalize()
	}
	return v.recent
}

// countRecent returns how many messages from a UID on are \Recent.
func (t *shown) countRecent(ctx context.Context, a *account, from UID) (int, error) {
	n := 0
	for _, r := range t.recent[t.recent.Index(from):] {
		below, err := a.pages.RowsBelow(ctx, t.box, max(r.First, from))
		if err != nil {
			return 0, err
		}
		upTo, err := a.pages.RowsBelow(ctx, t.box, r.Last+1)
		if err != nil {
			return 0, err
		}
		n += upTo - below
	}
	return n, nil
}

// reportExpunged returns the expunged messages as Sync reports them.
func (t *shown) reportExpunged(ctx context.Context, a *account) ([]Expunged, error) {
	if len(t.expunged) == 0 {
		return nil, nil
	}
	// Those before one have been reported by then: messages before it are in the mailbox.
	below, err := a.pages.Below(ctx, t.box, t.expunged)
	if err != nil {
		return nil, err
	}
	out := make([]Expunged, len(t.expunged))
	for i, g := range t.expunged {
		out[i] = Expunged{Index: below[i], UID: g.UID}
		if t.recent.Has(g.UID) {
			t.recents--
		}
	}
	t.expunged = nil
	return out, nil
}

// recentFrom returns the UID from which on messages have not been shown to a
// session, and with claim takes them for the caller. m may be older than the
// newest state, which has what a.recents no longer does.
func (a *account) recentFrom(m *state.Mailbox, claim bool) UID {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := max(m.RecentFrom, a.recents[m.ID])
	if now := a.state().ByID(m.ID); now != nil {
		from = max(from, now.RecentFrom)
	}
	if claim {
		a.recents[m.ID] = max(from, m.UIDNext)
	}
	return from
}

// shown returns the events that note what has been shown to sessions since the
// log last said so. They ride along with what is written anyway: a mailbox that
// is only read costs no entry, at the price that a crash may make mail \Recent
// once more.
func (a *account) shown(s *state.Account) []state.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.recents) == 0 {
		return nil
	}
	var out []state.Event
	for _, m := range s.Mailboxes {
		if from := a.recents[m.ID]; from > m.RecentFrom {
			out = append(out, &state.ClearRecent{Mailbox: m.ID, UID: min(from, m.UIDNext)})
		}
	}
	// What the log says by now need not be remembered; s does not tell, as it may
	// hold records that are not in the log yet.
	kept := make(map[MailboxID]UID, len(a.recents))
	for _, m := range a.state().Mailboxes {
		if from := a.recents[m.ID]; from > m.RecentFrom {
			kept[m.ID] = from
		}
	}
	a.recents = kept
	return out
}

// Known is what a client that comes back says of a mailbox: that the messages had
// these sequence numbers when it was last told (RFC 7162 section 3.2.5.2). Both
// are in ascending order and of one length.
type Known struct {
	Seqs []uint32
	UIDs []UID
}

// Vanished returns the UIDs of a set that were expunged after a position, as far
// as the session was told (RFC 7162 section 3.2.6). The ranges are ascending and
// may hold UIDs that were expunged before or never used; where the expunges since
// then are no longer known, they are all that are not in the mailbox, less those
// that known proves to have been gone before.
func (v *View) Vanished(ctx context.Context, since ModSeq, set Set, known Known) ([]Range, error) {
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	t := v.picture()
	within := t.named(set)
	gone, ok := t.box.VanishedSince(since)
	if ok {
		gone = gone.Intersect(within)
	} else {
		from, err := t.intact(ctx, a, known)
		if err != nil {
			return nil, err
		}
		if gone, err = t.absent(ctx, a, within.Intersect(state.UIDSet{{First: from, Last: math.MaxUint32}})); err != nil {
			return nil, err
		}
	}
	var expunged state.UIDSet // a later Sync reports them
	for _, g := range t.expunged {
		expunged.Add(g.UID)
	}
	var out []Range
	for _, r := range gone.Without(expunged) {
		out = append(out, Range{uint32(r.First), uint32(r.Last)})
	}
	return out, nil
}

// named returns the UIDs that a set of UIDs names, as far as they were given out.
func (t *shown) named(set Set) state.UIDSet {
	all := t.box.Assigned(1)
	if len(all) == 0 {
		return nil
	}
	top := uint32(all[0].Last)
	var out state.UIDSet
	for _, r := range set.Ranges {
		first, last := r.First, r.Last
		if first == Star {
			first = top
		}
		if last == Star {
			last = top
		}
		if first > last {
			first, last = last, first
		}
		if first = max(first, 1); first <= top {
			out = append(out, state.UIDRun{First: UID(first), Last: UID(min(last, top))})
		}
	}
	return out.Normalize()
}

// intact returns the UID from which on something may be missing that known has:
// where a message has the sequence number that it had, none below it is gone.
func (t *shown) intact(ctx context.Context, a *account, known Known) (UID, error) {
	var failed error
	n := sort.Search(min(len(known.Seqs), len(known.UIDs)), func(i int) bool {
		below, err := a.pages.RowsBelow(ctx, t.box, known.UIDs[i])
		if err != nil {
			failed = err
		}
		return err != nil || uint32(below)+1 < known.Seqs[i]
	})
	if failed != nil || n == 0 {
		return 1, failed
	}
	return known.UIDs[n-1], nil
}

// absent returns the UIDs of a set that no message has. It reads only pages with
// gaps.
func (t *shown) absent(ctx context.Context, a *account, within state.UIDSet) (state.UIDSet, error) {
	var there state.UIDSet
	for _, i := range t.box.PagesOf(within) {
		r := t.box.Pages[i]
		if r.Dense() {
			there = append(there, state.UIDRun{First: r.First, Last: r.Last})
			continue
		}
		p, err := a.pages.Page(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, u := range p.UIDs {
			there.Add(u)
		}
	}
	return within.Without(there), nil
}
