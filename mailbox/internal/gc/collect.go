// Package gc collects garbage: it deletes objects of an account that nothing needs.
//
// Objects that nothing points to any more are found by one scan, which marks them
// in the store, and deleted by another, a grace time later, that finds them
// unreferenced again. No process waits for another. Three rules keep a writer from
// pointing to an object that is about to be deleted.
//
//   - A message is added to the log only within a quarter of Grace after its body
//     was stored (package mailbox: tooLate). The writer reads the clock after it knows
//     the end of the log.
//   - Before it deletes, a collection adds an entry to the log that changes nothing: a
//     fence. A writer that was suspended before creating its entry finds its position
//     taken, and reads the clock again.
//   - A snapshot names old pages, and those just written, for at most a quarter of
//     Grace after its writer knew the newest snapshot (package mailbox: stoodStill); and a collection
//     that deletes writes one of its own behind the fence, so that one which comes
//     late is never the newest.
//
// So what was marked, is a grace time old, and is not named by the state at the
// fence, will never be named again. Bodies are needed by that state alone: whatever
// snapshot one begins with, the log leads to it. Pages and metadata are needed by
// every snapshot in the store. docs/design.md has the whole argument.
package gc

import (
	"context"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Host is the open account that a collection works on.
type Host interface {
	State() (*state.Account, eventlog.Head)
	// Adopt moves the account onto the newest snapshot in the store.
	Adopt(ctx context.Context) error
	// Fence adds an entry that changes nothing.
	Fence(ctx context.Context) error
	// WriteSnapshot writes a snapshot. began is a time before which the state was on
	// the newest snapshot.
	WriteSnapshot(ctx context.Context, began time.Time, also pages.Rewrite) error
}

// Account is what a collection works with.
type Account struct {
	Host
	Pages *pages.Store
	Grace time.Duration
	Now   func() time.Time

	// PartSize is of how many messages one pass keeps the bodies in mind, at 8 bytes
	// each. An account of more takes several passes.
	PartSize int
}

// Report is what a collection did, or would do.
type Report struct {
	Deleted      int   // objects that were marked a grace time ago
	DeletedBytes int64 // of those
	Marked       int   // objects that wait for a later collection to delete them
	MarkedBytes  int64 // of those
	Kept         int   // objects that are needed
	KeptBytes    int64 // of those
	Rewritten    int   // metadata segments written anew without that of erased messages
	Trimmed      int   // log entries and snapshots that newer snapshots cover
	More         bool  // there is more than one run does: collect again
}

// Collect runs one collection. With dry it only counts: nothing is written or deleted.
func (a *Account) Collect(ctx context.Context, dry bool) (Report, error) {
	c := &collector{a: a, dry: dry}
	err := c.run(ctx)
	return c.rep, err
}

// LastCollection returns when the account was collected last, by whatever process; the
// zero time if it was not.
func (a *Account) LastCollection(ctx context.Context) (time.Time, error) {
	m, err := a.readMarks(ctx, a.Now())
	if err != nil {
		return time.Time{}, err
	}
	return m.newest, nil
}

// collector is one run.
type collector struct {
	a      *Account
	dry    bool
	rep    Report
	now    time.Time // when it began: what was marked a grace time before may go
	marks  *marks
	writer *markWriter
}

func (c *collector) run(ctx context.Context) error {
	c.now = c.a.Now()
	var err error
	if c.marks, err = c.a.readMarks(ctx, c.now); err != nil {
		return err
	}
	c.rep.More = c.marks.left
	if !c.dry {
		if err := c.a.Adopt(ctx); err != nil {
			return err
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
	}
	c.writer = newMarkWriter(c)
	s, _ := c.a.State()
	for _, part := range parts(s, c.a.PartSize) {
		if err := c.part(ctx, s, part); err != nil {
			return err
		}
	}
	if c.dry {
		return nil
	}
	return c.writer.finish(ctx)
}

// settle brings the log and the snapshots to where they say nothing of what is
// gone, as far as that can be done now, and puts up the fence if anything is
// about to be deleted.
func (c *collector) settle(ctx context.Context) error {
	began := c.a.Now()
	plan, err := c.plan(ctx)
	if err != nil {
		return err
	}
	if plan.snapshot {
		if plan.fence {
			if err := c.a.Fence(ctx); err != nil {
				return err
			}
		}
		if err := c.a.WriteSnapshot(ctx, began, plan.rewrite); err != nil {
			return err
		}
		c.rep.Rewritten = len(plan.rewrite.Segments)
	}
	trim, err := c.a.Pages.Log.Trim(ctx)
	c.rep.Trimmed = trim.Entries + trim.Snapshots
	return err
}

// part deletes and marks one part of the bodies, and with the first part all
// pages and metadata.
func (c *collector) part(ctx context.Context, s *state.Account, part idRange) error {
	live := newSurvey(part)
	if err := live.state(ctx, c.a, s); err != nil {
		return err
	}
	kept := newSurvey(part)
	if c.marks.any() {
		if err := c.a.surveySnapshots(ctx, kept); err != nil {
			return err
		}
	}
	live.sort()
	kept.sort()
	kinds := []struct {
		name string
		kind byte
		live idSet
		kept idSet
	}{
		{"body", markBody, live.bodies, nil},
		{layout.KindPack, markPack, live.packs, kept.packs},
	}
	if part.first != 0 {
		kinds = kinds[:1]
	}
	for _, k := range kinds {
		all := part
		if k.kind != markBody {
			all = everything
		}
		if err := c.kind(ctx, k.name, k.kind, k.live, k.kept, all); err != nil {
			return err
		}
	}
	return nil
}

// deleteBatch is how many objects are deleted by one call.
const deleteBatch = 256

// deletion deletes objects in batches, and counts them.
type deletion struct {
	c     *collector
	names []string
	bytes int64
}

func (d *deletion) add(ctx context.Context, info blob.Info) error {
	d.names = append(d.names, info.Name)
	if d.bytes += info.Size; len(d.names) == deleteBatch {
		return d.flush(ctx)
	}
	return nil
}

func (d *deletion) flush(ctx context.Context) error {
	if len(d.names) == 0 {
		return nil
	}
	if !d.c.dry {
		if err := d.c.a.Pages.Blobs.Delete(ctx, d.names...); err != nil {
			return err
		}
	}
	d.c.rep.Deleted += len(d.names)
	d.c.rep.DeletedBytes += d.bytes
	d.names, d.bytes = d.names[:0], 0
	return nil
}

// kind goes through the objects of a kind: those in live are needed; those in kept
// are needed still, but not when what is superseded now has been trimmed.
func (c *collector) kind(ctx context.Context, folder string, kind byte, live, kept idSet, part idRange) error {
	gone := deletion{c: c}
	prefix := c.a.Pages.Prefix + folder + "/"
	for info, err := range c.a.Pages.Blobs.List(ctx, prefix, part.after(prefix)) {
		if err != nil {
			return err
		}
		id, err := eventlog.ParseObjectID(info.Name[len(prefix):])
		if err != nil {
			continue // not ours: check names it
		}
		short := shorten(id)
		if short > part.last {
			break
		}
		switch {
		case live.has(short):
			c.rep.Kept++
			c.rep.KeptBytes += info.Size
		case c.marks.aged[kind].has(short) && !kept.has(short):
			if err := gone.add(ctx, info); err != nil {
				return err
			}
		default:
			c.rep.Marked++
			c.rep.MarkedBytes += info.Size
			if err := c.writer.add(ctx, kind, id); err != nil {
				return err
			}
		}
	}
	return gone.flush(ctx)
}
