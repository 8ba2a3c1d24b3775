package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// RotateIdentity gives the account a new identity: what is to be done when the old
// one, or a password or token together with a copy of the store, may have come to
// others. New mail, entries, snapshots and secrets are sealed under the new one;
// what is there stays as it is, and readable: the old identity is kept, sealed
// under the new one. So who has the old one can go on reading what they could read
// until now, and nothing that comes.
//
// password becomes the account's password; it may be the one it has. All tokens
// are revoked: nobody but their devices has the secrets that the new identity would
// have to be sealed under. All sessions, in every process, end with [ErrRotated] or
// [ErrClosed] and must log in again. Mail that is being delivered by who knows the
// old recipient arrives and is readable.
//
// It returns the new recovery identity, as [Account.Recovery] does. If it is
// interrupted, either the account has its old identity still, and the next login
// with the password completes the change; or it has the new one. It fails with
// [ErrByToken], and with [ErrRotating] if another change was begun and not completed:
// log in with its password.
func (h *Account) RotateIdentity(ctx context.Context, password []byte) (recovery string, err error) {
	a, err := h.useSecrets()
	if err != nil {
		return "", err
	}
	next, err := a.rotate(ctx, password)
	a.leave()
	if err != nil {
		return "", fmt.Errorf("mailbox: change identity: %w", err)
	}
	defer next.Wipe()
	a.store.expel(a.id)
	return next.Export(), nil
}

func (a *account) rotate(ctx context.Context, password []byte) (*crypto.Identity, error) {
	s := a.store
	if err := a.catchUp(ctx); err != nil {
		return nil, err
	}
	now, err := s.publication(ctx, a.prefix, a.recipient)
	if err != nil {
		return nil, err
	}
	if now.follows(a.identity) {
		return nil, ErrRotated
	}
	if !now.recipient.Equal(a.recipient) {
		return nil, s.swapped(now)
	}
	next, err := crypto.NewIdentity()
	if err != nil {
		return nil, err
	}
	old, err := s.slotNames(ctx, a.prefix+layout.SlotFolder)
	if err == nil {
		err = a.prepare(ctx, next, now, password, old)
	}
	if err == nil {
		// From here on mail is sealed to the new recipient.
		err = s.blobs.Delete(ctx, now.object)
	}
	if err == nil {
		err = s.completeRotation(ctx, a.id, next)
	}
	if err == nil {
		err = s.deleteSlots(ctx, old)
	}
	if err != nil {
		next.Wipe()
		return nil, err
	}
	return next, nil
}

// prepare writes all that the new identity needs, last its recipient: of several
// changes at a time one can.
func (a *account) prepare(ctx context.Context, next *crypto.Identity, now *publication, password []byte, slots []string) error {
	s := a.store
	_, head := a.committer.State()
	slot, err := crypto.NewPasswordSlot(ctx, next, a.id, password, s.opts.Password, s.opts.Pool)
	if err != nil {
		return err
	}
	ring := ringObject(a.prefix, next.Recipient())
	if err := s.blobs.Create(ctx, ring, bytes.NewReader(sealRetired(next, ring, retired{a.identity, head.Pos}))); err != nil {
		return err
	}
	slotObject := slotName(a.prefix, slot)
	if err := s.blobs.Create(ctx, slotObject, bytes.NewReader(slot.Marshal())); err != nil {
		return err
	}
	p := publication{object: keyObject(a.prefix, now.number+1), number: now.number + 1, recipient: next.Recipient()}
	err = s.blobs.Create(ctx, p.object, bytes.NewReader(p.encode(a.identity)))
	if err != nil {
		if there, behind := s.readPublication(ctx, a.prefix, p.number, p.recipient); behind == nil && there.recipient.Equal(p.recipient) {
			err = nil // only the answer was lost
		}
	}
	var late bool
	if err == nil {
		late, err = a.publishedLate(ctx, now, &p, next)
	}
	if late && err == nil || errors.Is(err, fs.ErrExist) {
		a.forgetPasswords(slots)
		// It never was anybody's: nobody loses anything by it.
		return errors.Join(ErrRotating, s.blobs.Delete(context.WithoutCancel(ctx), slotObject, ring))
	}
	return err
}

// forgetPasswords makes a login look at all slots: the password that is remembered
// for one may be that of another change too, which is to be completed.
func (a *account) forgetPasswords(slots []string) {
	for _, name := range slots {
		if id, err := crypto.ParseSlotID(strings.TrimPrefix(name, a.prefix+passwordSlots)); err == nil {
			a.store.verified.Forget(a.id, id)
		}
	}
}

// publishedLate takes back a recipient that got a number which others had used and
// given up by then, and reports whether it did: its writer stood still, and the
// identity was changed twice meanwhile. Mail must not be sealed to it.
func (a *account) publishedLate(ctx context.Context, now, p *publication, next *crypto.Identity) (bool, error) {
	_, err := a.store.blobs.Stat(ctx, now.object)
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err // as it should be: what it follows is there
	}
	after, err := a.store.publicationAfter(ctx, a.prefix, p.number, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil // a login with the new password completed the change
	case err != nil || after.follows(next):
		return false, err
	}
	return true, a.store.blobs.Delete(context.WithoutCancel(ctx), p.object)
}

// slotNames returns the slots whose names begin with a prefix.
func (s *Store) slotNames(ctx context.Context, prefix string) (out []string, err error) {
	for info, err := range s.blobs.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: list slots: %w", err)
		}
		out = append(out, info.Name)
	}
	return out, nil
}

// completeRotation makes the log go on under the identity in effect: an entry of
// its own ends what the one before may seal, and a snapshot begins it anew.
func (s *Store) completeRotation(ctx context.Context, id eventlog.ID, identity *crypto.Identity) error {
	own, err := crypto.ParseIdentity(identity.Export())
	if err != nil {
		return err
	}
	before, err := s.chain(ctx, layout.AccountPrefix(id), own)
	if err != nil {
		own.Wipe()
		return err
	}
	a, err := newAccount(s, id, own, before...)
	if err != nil {
		own.Wipe()
		wipeAll(before)
		return err
	}
	defer a.close()
	if err = a.open(ctx); err == nil {
		err = a.beginAnew(ctx)
	}
	return a.explain(ctx, err) // the identity may have been changed again
}

// settleRotation completes a change that was interrupted, when the account was
// opened with the identity that was to come.
func (a *account) settleRotation(ctx context.Context, st standingOf) error {
	switch {
	case st.pending != nil && a.log.Renewed():
		now, err := a.store.publication(ctx, a.prefix, a.recipient)
		if err != nil || now.recipient.Equal(a.recipient) {
			return err // another completed it meanwhile
		}
		if now.follows(a.identity) {
			return fmt.Errorf("mailbox: %s: %w", now.object, ErrRotated)
		}
		// The change had been completed: somebody put the old recipient back.
		return a.store.swapped(now)
	case st.pending != nil:
		if err := a.store.blobs.Delete(ctx, st.inEffect.object); err != nil {
			return fmt.Errorf("mailbox: change identity: %w", err)
		}
	case len(a.before) == 0 || a.log.Renewed() && !a.overdue:
		return nil
	}
	return a.beginAnew(ctx)
}

// openInterrupted opens an account that did not open because the change of its
// identity was interrupted long ago, and who has the one before went on writing:
// until the new one sealed something, their snapshots count however late they came,
// and then those of which it says so.
func (a *account) openInterrupted(ctx context.Context, failed error) error {
	if len(a.before) == 0 || !errors.Is(failed, eventlog.ErrCorrupt) {
		return failed
	}
	sealed, err := a.sealedAny(ctx)
	until := eventlog.Position(math.MaxUint64)
	if err == nil && sealed {
		until, err = a.store.overdue(ctx, a.prefix, a.identity)
	}
	if err != nil {
		return err // it may be no damage
	}
	extended := false
	extend := func(r *retired, until eventlog.Position) {
		if until > r.until {
			r.until, extended = until, true
		}
	}
	extend(&a.before[0], until)
	for i := range a.before[1:] {
		// The identity may have been changed again before there was a snapshot under
		// the one that completed a change. What that one says counts as far as its own
		// snapshots: who stole it must not reach further by the one before.
		until, err := a.store.overdue(ctx, a.prefix, a.before[i].identity)
		if err != nil {
			return err
		}
		extend(&a.before[i+1], min(until, a.before[i].until))
	}
	if !extended {
		return failed
	}
	a.overdue = true
	a.avoid.Store(nil)
	a.log.Wipe()
	if err := a.useLog(); err != nil {
		return err
	}
	return a.openSound(ctx)
}

// beginAnew ends what the identity before may seal, by an entry, and begins the log
// anew by a snapshot. Between the two, snapshots up to the entry must go on to count:
// sessions that do not know of the change may have written late ones, and trimmed the
// log by them.
func (a *account) beginAnew(ctx context.Context) error {
	began := a.store.opts.Now()
	for {
		_, head := a.committer.State()
		if err := a.store.noteOverdue(ctx, a.prefix, a.identity, head.Pos); err != nil {
			return err
		}
		err := a.commit(ctx, func(_ context.Context, _ *state.Account, at ModSeq) (state.Event, error) {
			if at > ModSeq(head.Pos)+1 {
				return nil, errOvertaken
			}
			return &state.ClearRecent{Mailbox: 1, UID: 1}, nil // it changes nothing
		})
		if err == nil {
			return a.writeSnapshot(ctx, began, pages.Rewrite{})
		}
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

var errOvertaken = errors.New("others wrote meanwhile")

// sealedAny reports whether an entry or a snapshot in the store was sealed under
// the account's newest identity.
func (a *account) sealedAny(ctx context.Context) (bool, error) {
	snaps, err := a.log.Snapshots(ctx)
	for _, pos := range snaps {
		_, err := a.log.ReadSnapshot(ctx, pos)
		if err != nil && !errors.Is(err, eventlog.ErrCorrupt) {
			return false, err
		}
	}
	if err != nil {
		return false, err
	}
	for info, err := range a.log.List(ctx, 0) {
		if err == nil && info.Kind == eventlog.Owned {
			_, err = a.log.ReadEntry(ctx, info.Pos)
		}
		if err != nil && !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return a.log.Renewed(), nil
}

// inEffect returns nil if the account still has this identity, or is about to get
// it; ErrRotated if another process gave it the next one; and ErrSwappedKey if mail
// goes to a recipient that this identity knows nothing of.
func (a *account) inEffect(ctx context.Context) error {
	p, err := a.store.publication(ctx, a.prefix, a.recipient)
	switch {
	case err != nil:
		return err
	case p.recipient.Equal(a.recipient):
		return nil
	case p.follows(a.identity):
		return fmt.Errorf("mailbox: %s: %w", p.object, ErrRotated)
	case slices.ContainsFunc(a.before, func(r retired) bool { return p.recipient.Equal(r.identity.Recipient()) }):
		return nil
	}
	return a.store.swapped(p)
}

// keepsIdentity fails if the account has another identity, or is about to get one.
func (a *account) keepsIdentity(ctx context.Context) error {
	if err := a.inEffect(ctx); err != nil {
		return err
	}
	p, err := a.store.publication(ctx, a.prefix, a.recipient)
	if err != nil {
		return err
	}
	next, err := a.store.readPublication(ctx, a.prefix, p.number+1, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && next.follows(a.identity):
		return ErrRotating
	}
	return err
}

// passOver decides whether a delivery that does not open is nobody's noise. From
// the moment at which the account has its next identity, mail is sealed to that: a
// session of this one would not see the mail, and all that it wrote after it would be
// of other messages than those who see it find.
func (a *account) passOver(ctx context.Context, e eventlog.Entry) error {
	if !errors.Is(e.Junk, crypto.ErrDecrypt) {
		return nil
	}
	return a.inEffect(ctx)
}

// explain turns what does not open into ErrRotated if that is why, and ends the
// account's sessions in this process. Where that cannot be found out now, it must
// not look like damage.
func (a *account) explain(ctx context.Context, err error) error {
	why := err
	if errors.Is(err, eventlog.ErrCorrupt) {
		why = a.inEffect(ctx)
	}
	switch {
	case errors.Is(why, ErrRotated):
		a.store.inBackground(func() { a.store.expelThis(a) })
		return fmt.Errorf("mailbox: %s: %w", a.prefix, ErrRotated)
	case why == nil, errors.Is(why, eventlog.ErrCorrupt), errors.Is(why, ErrSwappedKey), errors.Is(why, fs.ErrNotExist):
		return err
	}
	return why
}

// Retired returns the identities that the account had before, newest first: with
// them the age tool opens the bodies of their time. It fails with [ErrByToken].
func (h *Account) Retired() ([]string, error) {
	a, err := h.useSecrets()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	var out []string
	for _, r := range a.before {
		out = append(out, r.identity.Export())
	}
	return out, nil
}
