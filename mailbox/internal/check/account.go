package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/gc"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Account is an account whose keys are at hand.
type Account struct {
	Store
	Keys       *eventlog.Keys
	Identities []*crypto.Identity // that open its bodies
	Pages      *pages.Store
	Garbage    *gc.Account
}

// Check looks at everything of one account, as far as a state leads to it: the log,
// opened; every page, all metadata, and every body to its last byte, as the age tool
// would read it.
func (a *Account) Check(ctx context.Context, s *state.Account, report func(Problem)) (Report, error) {
	c := &accountChecker{checker: checker{Store: &a.Store, report: report}, a: a, bodies: map[eventlog.ObjectID]error{}}
	c.rep.Accounts, c.rep.Heads = 1, map[eventlog.ID]eventlog.Head{}
	if err := c.list(ctx); err != nil {
		return c.rep, err
	}
	err := c.log(ctx, eventlog.Config{
		Store: a.Blobs, Prefix: a.Pages.Prefix, ID: a.Pages.ID, Keys: a.Keys,
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
		c.problem(Problem{Object: a.Pages.Prefix + layout.BodyFolder, Err: fmt.Errorf("%d bodies that no mailbox has", n), Harmless: true})
	}
	return c.rep, nil
}

type accountChecker struct {
	checker
	a      *Account
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
	for info, err := range c.Blobs.List(ctx, c.a.Pages.Prefix, "") {
		if err != nil {
			return fmt.Errorf("mailbox: check: %w", err)
		}
		c.rep.Objects++
		c.rep.Bytes += info.Size
		object := strings.TrimPrefix(info.Name, c.a.Pages.Prefix)
		if strings.HasPrefix(object, layout.BodyFolder) {
			c.found++
		}
		if err := c.object(ctx, info.Name, object, info.Size); err != nil {
			return err
		}
		if strings.HasPrefix(object, layout.MarkFolder) && objectNames.MatchString(object) {
			if err := c.a.Garbage.CheckMark(ctx, info.Name); errors.Is(err, eventlog.ErrCorrupt) {
				c.problem(Problem{Object: info.Name, Err: err, Harmless: true}) // it says only what may go
			}
		}
	}
	return nil
}

func (c *accountChecker) box(ctx context.Context, m *state.Mailbox) error {
	last := state.UID(0)
	for _, r := range m.Pages {
		name := layout.PackName(c.a.Pages.Prefix, r.Block.Pack)
		p, err := c.a.Pages.Page(ctx, r)
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
	name := layout.BodyName(c.a.Pages.Prefix, r.Body.ID)
	meta, err := c.a.Pages.Message(ctx, r.Meta, r.Slot)
	if err == nil && meta.Size != int64(r.Size) {
		err = eventlog.ErrCorrupt
	}
	if err != nil {
		object := c.a.Pages.SegmentName(r.Meta.Segment)
		if r.Meta.Entry != 0 {
			object = eventlog.EntryName(c.a.Pages.Prefix, eventlog.Position(r.Meta.Entry))
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
	info, err := c.Blobs.Stat(ctx, name)
	if err != nil {
		return err
	}
	if want := r.Body.Key.EncryptedSize(int64(r.Size)); info.Size != want {
		return fmt.Errorf("%d bytes, want %d: %w", info.Size, want, eventlog.ErrCorrupt)
	}
	if err := c.ageHeader(ctx, name, r.Body.Key); err != nil {
		return err
	}
	body, err := c.a.Pages.OpenBody(ctx, r.Body, int64(r.Size), 0, -1)
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
	for _, identity := range c.a.Identities {
		head, err := c.Blobs.Open(ctx, name, 0, crypto.MaxBodyHeader)
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
	seen := map[pack.BlockID]bool{}
	for _, m := range s.Mailboxes {
		for _, r := range m.Pages {
			if r.Page == nil {
				seen[r.ID()] = true
			}
		}
	}
	snaps, err := c.a.Pages.Log.Snapshots(ctx)
	if err != nil {
		return err
	}
	for _, pos := range snaps {
		_, old, err := c.a.Pages.ReadSnapshot(ctx, pos)
		if err != nil {
			continue // the check of the log names it
		}
		if err := c.olderSnapshot(ctx, pos, old, seen); err != nil {
			return err
		}
	}
	return nil
}

// olderSnapshot reads the pages of a snapshot that were not seen in others.
func (c *accountChecker) olderSnapshot(ctx context.Context, pos eventlog.Position, old *state.Account, seen map[pack.BlockID]bool) error {
	for _, m := range old.Mailboxes {
		for _, r := range m.Pages {
			if seen[r.ID()] {
				continue
			}
			seen[r.ID()] = true
			_, err := c.a.Pages.ReadPage(ctx, r)
			if err == nil {
				continue
			}
			if _, gone := c.Blobs.Stat(ctx, eventlog.SnapshotName(c.a.Pages.Prefix, pos)); errors.Is(gone, fs.ErrNotExist) {
				return nil // it was trimmed meanwhile
			}
			err = fmt.Errorf("nothing is lost, but the snapshot at %d cannot stand in for a newer one: %w", pos, err)
			if err := c.wrong(ctx, layout.PackName(c.a.Pages.Prefix, r.Block.Pack), err); err != nil {
				return err
			}
		}
	}
	return nil
}
