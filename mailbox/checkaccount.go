package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Check looks at everything of one account: the log, opened; every page, all
// metadata, and every body to its last byte, as the age tool would read it. It
// goes on past what is damaged and says what is lost, never writes, and may run
// beside everything else. report is called for each problem; the error is the
// store's or ctx's.
func (h *Account) Check(ctx context.Context, report func(Problem)) (CheckReport, error) {
	a, err := h.fresh(ctx)
	if err != nil {
		return CheckReport{}, err
	}
	defer a.leave()
	return a.check(ctx, a.state(), report)
}

// CheckLogin is [Account.Check] of an account that may be too damaged to be
// opened: it checks what the log leads to before the damage. It fails as
// [Store.Login] does for a wrong name or secret.
func (s *Store) CheckLogin(ctx context.Context, name string, secret []byte, report func(Problem)) (CheckReport, error) {
	who, err := s.identify(ctx, netip.Addr{}, name, secret)
	if err != nil {
		return CheckReport{}, err
	}
	return s.checkIdentity(ctx, who.id, who.identity, report)
}

// CheckIdentity is CheckLogin with the account's identity.
func (s *Store) CheckIdentity(ctx context.Context, name string, identity *crypto.Identity, report func(Problem)) (CheckReport, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return CheckReport{}, err
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return CheckReport{}, err
	}
	own, err := crypto.ParseIdentity(identity.Export())
	if err != nil {
		return CheckReport{}, err
	}
	return s.checkIdentity(ctx, id, own, report)
}

// checkIdentity takes identity over.
func (s *Store) checkIdentity(ctx context.Context, id eventlog.ID, identity *crypto.Identity, report func(Problem)) (CheckReport, error) {
	prefix := layout.AccountPrefix(id)
	st, wrong := s.standing(ctx, prefix, identity)
	if wrong != nil {
		st.before, _ = s.chain(ctx, prefix, identity) // it may be the key that is wrong
	}
	if errors.Is(wrong, ErrRotated) || wrong != nil && ctx.Err() != nil {
		identity.Wipe()
		return CheckReport{}, wrong
	}
	a, err := newAccount(s, id, identity, st.before...)
	if err != nil {
		identity.Wipe()
		return CheckReport{}, err
	}
	defer a.close()
	last, damage := a.salvage(ctx)
	if damage != nil && ctx.Err() != nil {
		return CheckReport{}, damage
	}
	if errors.Is(wrong, ErrSwappedKey) && last.NextMailbox == 0 {
		return CheckReport{}, wrong // nothing here is this identity's
	}
	if damage != nil {
		report(Problem{Object: eventlog.EntryFolder(a.prefix), Err: fmt.Errorf("the account cannot be opened; what the log says up to entry %d is checked: %w", last.At, damage)})
	}
	if wrong != nil {
		object := prefix + layout.PublishedKey
		if st.inEffect != nil {
			object = st.inEffect.object
		}
		report(Problem{Object: object, Err: wrong})
	}
	return a.check(ctx, last, report)
}

// salvage reads the log as far as it can be read, and returns the state there and
// why it ends.
func (a *account) salvage(ctx context.Context) (*state.Account, error) {
	m := model{a}
	s, err := m.Load(ctx, a.log)
	if err != nil {
		a.log.Seek(eventlog.Head{})
		s = &state.Account{}
	}
	for e, behind := range a.log.Read(ctx) {
		if behind != nil {
			return s, errors.Join(err, behind)
		}
		for _, record := range e.Records {
			next, behind := m.Apply(ctx, s, e.Pos, e.Kind, record)
			if behind == nil {
				s = next
			} else if e.Kind != eventlog.Delivered || !errors.Is(behind, eventlog.ErrSkip) {
				return s, errors.Join(err, behind)
			}
		}
	}
	return s, err
}

func (a *account) check(ctx context.Context, s *state.Account, report func(Problem)) (CheckReport, error) {
	c := &accountChecker{checker: checker{store: a.store, report: report}, a: a, bodies: map[eventlog.ObjectID]error{}}
	c.rep.Accounts, c.rep.Heads = 1, Heads{}
	if err := c.list(ctx); err != nil {
		return c.rep, err
	}
	err := c.log(ctx, eventlog.Config{
		Store: a.store.blobs, Prefix: a.prefix, ID: a.id, Keys: a.keys(),
	})
	if err != nil {
		return c.rep, err
	}
	for _, m := range s.Mailboxes {
		if err := c.box(ctx, m); err != nil {
			return c.rep, err
		}
	}
	if err := c.olderSnapshots(ctx, s); err != nil {
		return c.rep, err
	}
	if n := c.found - c.there; n > 0 {
		c.problem(Problem{Object: a.prefix + layout.BodyFolder, Err: fmt.Errorf("%d bodies that no mailbox has", n), Harmless: true})
	}
	return c.rep, nil
}

type accountChecker struct {
	checker
	a      *account
	found  int                         // body objects
	there  int                         // of those, how many a mailbox has
	bodies map[eventlog.ObjectID]error // that a mailbox has, and what is wrong with each
}

// lost reports damage and what is lost by it; it returns err if that is the end of
// the check.
func (c *accountChecker) lost(ctx context.Context, object string, err error, lost Loss) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if lost.Part != LostHeader {
		c.rep.Lost += lost.Messages
	}
	c.problem(Problem{Object: object, Err: err, Lost: &lost})
	return nil
}

// list counts the account's objects and checks their form.
func (c *accountChecker) list(ctx context.Context) error {
	for info, err := range c.store.blobs.List(ctx, c.a.prefix, "") {
		if err != nil {
			return fmt.Errorf("mailbox: check: %w", err)
		}
		c.rep.Objects++
		c.rep.Bytes += info.Size
		object := strings.TrimPrefix(info.Name, c.a.prefix)
		if strings.HasPrefix(object, layout.BodyFolder) {
			c.found++
		}
		if err := c.object(ctx, info.Name, object, info.Size); err != nil {
			return err
		}
		if strings.HasPrefix(object, layout.MarkFolder) && objectNames.MatchString(object) {
			if err := c.a.garbage().CheckMark(ctx, info.Name); errors.Is(err, eventlog.ErrCorrupt) {
				c.problem(Problem{Object: info.Name, Err: err, Harmless: true}) // it says only what may go
			}
		}
	}
	return nil
}

func (c *accountChecker) box(ctx context.Context, m *state.Mailbox) error {
	last := UID(0)
	for _, r := range m.Pages {
		name := c.a.log.ObjectName(layout.KindPage, r.ID)
		p, err := c.a.pages.Page(ctx, r)
		if err != nil {
			err = fmt.Errorf("%d messages of mailbox %d are lost: %w", r.Count, m.ID, err)
			c.rep.Messages += r.Count
			if err := c.lost(ctx, name, err, Loss{m.ID, r.First, r.Last, r.Count, LostMessage}); err != nil {
				return err
			}
			last = r.Last
			continue
		}
		if is := *p.Ref(); is.Count != r.Count || is.Unseen != r.Unseen || is.Deleted != r.Deleted || is.Size != r.Size || is.MaxModSeq != r.MaxModSeq {
			c.problem(Problem{Object: name, Err: fmt.Errorf("other counts than the snapshot says: %w", eventlog.ErrCorrupt)})
		}
		for i := range p.Len() {
			c.rep.Messages++
			row := p.Row(i)
			if row.UID <= last || row.UID >= m.UIDNext {
				c.problem(Problem{Object: name, Err: fmt.Errorf("UID %d is out of order in mailbox %d: %w", row.UID, m.ID, eventlog.ErrCorrupt)})
			}
			last = row.UID
			if err := c.message(ctx, m, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// message checks one message's metadata and, once for all its copies, its body.
func (c *accountChecker) message(ctx context.Context, m *state.Mailbox, r state.Row) error {
	name := layout.BodyName(c.a.prefix, r.Body.ID)
	meta, err := c.a.pages.Message(ctx, r.Meta, r.Slot)
	if err == nil && meta.Size != int64(r.Size) {
		err = eventlog.ErrCorrupt
	}
	if err != nil {
		object := c.a.log.ObjectName(layout.KindMetadata, r.Meta.Segment)
		if r.Meta.Entry != 0 {
			object = eventlog.EntryName(c.a.prefix, eventlog.Position(r.Meta.Entry))
		}
		err = fmt.Errorf("header and structure of UID %d in mailbox %d are lost: %w", r.UID, m.ID, err)
		if err := c.lost(ctx, object, err, Loss{m.ID, r.UID, r.UID, 1, LostHeader}); err != nil {
			return err
		}
	}
	err, known := c.bodies[r.Body.ID]
	if !known {
		err = c.body(ctx, name, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			c.there++
		}
		c.bodies[r.Body.ID] = err
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("UID %d in mailbox %d is lost: %w", r.UID, m.ID, err)
	return c.lost(ctx, name, err, Loss{m.ID, r.UID, r.UID, 1, LostBody})
}

// body reads a body whole, as the mailbox does and, its header, as age does.
func (c *accountChecker) body(ctx context.Context, name string, r state.Row) error {
	info, err := c.store.blobs.Stat(ctx, name)
	if err != nil {
		return err
	}
	if want := r.Body.Key.EncryptedSize(int64(r.Size)); info.Size != want {
		return fmt.Errorf("%d bytes, want %d: %w", info.Size, want, eventlog.ErrCorrupt)
	}
	if err := c.ageHeader(ctx, name, r.Body.Key); err != nil {
		return err
	}
	body, err := c.a.pages.OpenBody(ctx, r.Body, int64(r.Size), 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if err == nil && n != int64(r.Size) {
		err = eventlog.ErrCorrupt
	}
	return err
}

// ageHeader makes sure that the age tool reads the body with an identity of the
// account.
func (c *accountChecker) ageHeader(ctx context.Context, name string, want crypto.BodyKey) error {
	var last error
	for _, identity := range c.a.identities() {
		head, err := c.store.blobs.Open(ctx, name, 0, crypto.MaxBodyHeader)
		if err != nil {
			return err
		}
		key, err := crypto.RecoverBodyKey(head, identity)
		head.Close()
		if err == nil && key == want {
			return nil
		}
		if last = err; err == nil {
			last = errors.New("header holds another key")
		}
	}
	return fmt.Errorf("the age tool cannot read it: %w: %w", eventlog.ErrCorrupt, last)
}

// olderSnapshots reads the pages that only older snapshots have: accounts are
// opened from these if the newest is damaged.
func (c *accountChecker) olderSnapshots(ctx context.Context, s *state.Account) error {
	seen := map[eventlog.ObjectID]bool{}
	for _, m := range s.Mailboxes {
		for _, r := range m.Pages {
			if r.Page == nil {
				seen[r.ID] = true
			}
		}
	}
	snaps, err := c.a.log.Snapshots(ctx)
	if err != nil {
		return err
	}
	for _, pos := range snaps {
		_, old, err := c.a.pages.ReadSnapshot(ctx, pos)
		if err != nil {
			continue // the check of the log names it
		}
		for _, m := range old.Mailboxes {
			for _, r := range m.Pages {
				if seen[r.ID] {
					continue
				}
				seen[r.ID] = true
				_, err := c.a.pages.ReadPage(ctx, r)
				if err == nil {
					continue
				}
				if _, gone := c.store.blobs.Stat(ctx, eventlog.SnapshotName(c.a.prefix, pos)); errors.Is(gone, fs.ErrNotExist) {
					break // it was trimmed meanwhile
				}
				err = fmt.Errorf("nothing is lost, but the snapshot at %d cannot stand in for a newer one: %w", pos, err)
				if err := c.wrong(ctx, c.a.log.ObjectName(layout.KindPage, r.ID), err); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
