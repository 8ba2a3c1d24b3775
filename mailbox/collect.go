package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Objects that nothing points to any more are found by one scan, which notes them
// in the store, and deleted by another, a grace time later, that finds them
// unreferenced again. Nobody is asked to wait: what keeps a writer from pointing
// to an object that is about to go are three rules.
//
//   - A message is added to the log only within a quarter of Grace after its body
//     was stored (tooLate), and that is looked at after the end of the log is known.
//   - Before it deletes, a collection adds an entry to the log that says nothing: a
//     fence. A writer that stood still before creating its entry finds its position
//     taken, and looks at its watch again.
//   - A snapshot names old pages, and those just written, for at most a quarter of
//     Grace after its writer knew the newest snapshot (stoodStill); and a collection
//     that deletes writes one of its own behind the fence, so that one which comes
//     late is never the newest.
//
// So what was noted, is a grace time old, and is not named by the state at the
// fence, will never be named again. Bodies are needed by that state alone: whatever
// snapshot one begins with, the log leads to it. Pages and metadata are needed by
// every snapshot in the store. docs/design.md has the whole argument.

// CollectOptions say how [Account.Collect] is meant.
type CollectOptions struct {
	// DryRun only counts: nothing is written or deleted.
	DryRun bool
}

// CollectReport is what a collection did, or with DryRun would do.
type CollectReport struct {
	Deleted      int   // objects that were noted a grace time ago
	DeletedBytes int64 // of those
	Noted        int   // objects that wait for a later collection to delete them
	NotedBytes   int64 // of those
	Kept         int   // objects that are needed
	KeptBytes    int64 // of those
	Rewritten    int   // metadata segments written anew without that of erased messages
	Trimmed      int   // log entries and snapshots that newer snapshots cover
	More         bool  // there is more than one run does: collect again
}

var (
	errTooLate    = errors.New("mailbox: the message was stored too long ago to be added")
	errStoodStill = errors.New("mailbox: stood still while a snapshot was written")
)

// elapsed returns how long ago from is: the larger of the distances on the wall
// clock, which may be set, and the monotonic one, which stops in a suspended
// machine; the longest duration if a clock went backwards.
func elapsed(now, from time.Time) time.Duration {
	wall, monotonic := now.Round(0).Sub(from.Round(0)), now.Sub(from)
	if wall < 0 || monotonic < 0 {
		return math.MaxInt64
	}
	return max(wall, monotonic)
}

// stoodStill reports whether so much time has passed that what was true then
// must be looked at again.
func (s *Store) stoodStill(since time.Time) bool {
	return elapsed(s.opts.Now(), since) > s.opts.Grace/4
}

// tooLate refuses to add messages whose bodies may be collected by now. It must
// run after the position of the entry is known.
func (s *Store) tooLate(e state.Event) error {
	var added []state.NewMessage
	switch e := e.(type) {
	case *state.AddMessages:
		added = e.Messages
	case *state.ImportMessages:
		added = e.Messages
	case *state.Deliver:
		added = e.Messages
	case *state.Batch:
		for _, e := range e.Events {
			if err := s.tooLate(e); err != nil {
				return err
			}
		}
	}
	for _, m := range added {
		if !m.Staged.IsZero() && s.stoodStill(m.Staged) {
			return errTooLate
		}
	}
	return nil
}

// Collect erases what nothing needs any more: bodies of expunged messages, pages
// and metadata of old snapshots, what interrupted calls left behind, and what the
// log still says of all that. It notes what it finds, and deletes what an earlier
// Collect noted at least [Options.Grace] ago: two of them, that time apart, leave
// nothing of an expunged message.
//
// It may run beside everything else, in any number of processes, and be
// interrupted at any moment: the next one goes on. It holds about 24 MB for a
// million messages, and takes more passes for more. If the account is damaged in a
// way that leaves open what is needed, it fails and deletes nothing.
//
// A Store collects by itself, at most once per Grace and account, in accounts
// that are open; see [Options.NoCollect].
func (h *Account) Collect(ctx context.Context, o CollectOptions) (CollectReport, error) {
	a, err := h.fresh(ctx)
	if err != nil {
		return CollectReport{}, err
	}
	defer a.leave()
	rep, err := a.collect(ctx, o)
	return rep, a.explain(ctx, err)
}

func (a *account) collect(ctx context.Context, o CollectOptions) (CollectReport, error) {
	c := &collector{a: a, dry: o.DryRun}
	if err := c.run(blob.Freeing(ctx)); err != nil {
		return c.rep, fmt.Errorf("mailbox: collect: %w", err)
	}
	return c.rep, nil
}

// collector is one run.
type collector struct {
	a     *account
	dry   bool
	rep   CollectReport
	now   time.Time // when it began: what was noted a grace time before may go
	marks *marks
	known map[eventlog.ObjectID]int // how many messages' metadata a segment holds
	notes *noter
}

func (c *collector) run(ctx context.Context) error {
	c.now = c.a.store.opts.Now()
	var err error
	if c.marks, err = c.a.readMarks(ctx, c.now); err != nil {
		return err
	}
	c.rep.More = c.marks.left
	if !c.dry {
		if err := c.a.adopt(ctx); err != nil {
			return err
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
	}
	c.notes = newNoter(c)
	s := c.a.state()
	for _, part := range parts(s) {
		if err := c.part(ctx, s, part); err != nil {
			return err
		}
	}
	if c.dry {
		return nil
	}
	return c.notes.finish(ctx)
}

// settle brings the log and the snapshots to where they say nothing of what is
// gone, as far as that can be done now, and puts up the fence if anything is
// about to be deleted.
func (c *collector) settle(ctx context.Context) error {
	began := c.a.store.opts.Now()
	plan, err := c.plan(ctx)
	if err != nil {
		return err
	}
	if plan.snapshot {
		if plan.fence {
			if err := c.a.fence(ctx); err != nil {
				return err
			}
		}
		if err := c.a.writeSnapshot(ctx, began, plan.rewrite); err != nil {
			return err
		}
		c.rep.Rewritten = len(plan.rewrite.Segments)
	}
	trim, err := c.a.log.Trim(ctx)
	c.rep.Trimmed = trim.Entries + trim.Snapshots
	return err
}

// fence adds an entry that changes nothing: messages of INBOX below the first
// have been shown.
func (a *account) fence(ctx context.Context) error {
	return a.commit(ctx, func(context.Context, *state.Account, ModSeq) (state.Event, error) {
		return &state.ClearRecent{Mailbox: 1, UID: 1}, nil
	})
}

// part deletes and notes one part of the bodies, and with the first part all
// pages and metadata.
func (c *collector) part(ctx context.Context, s *state.Account, part idRange) error {
	live := newSurvey(part)
	if err := live.state(ctx, c.a, s); err != nil {
		return err
	}
	kept := newSurvey(part)
	if c.marks.any() {
		if err := c.a.surveySnapshots(ctx, live, kept); err != nil {
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
		{layout.KindMetadata, markMeta, live.metas, kept.metas},
		{layout.KindPage, markPage, live.pages, kept.pages},
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

// kind goes through the objects of a kind: those in live are needed; those in kept
// are needed still, but not when what is superseded now has been trimmed.
func (c *collector) kind(ctx context.Context, folder string, kind byte, live, kept idSet, part idRange) error {
	var batch []string
	var bytes int64
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if !c.dry {
			if err := c.a.store.blobs.Delete(ctx, batch...); err != nil {
				return err
			}
		}
		c.rep.Deleted += len(batch)
		c.rep.DeletedBytes += bytes
		batch, bytes = batch[:0], 0
		return nil
	}
	prefix := c.a.prefix + folder + "/"
	for info, err := range c.a.store.blobs.List(ctx, prefix, part.after(prefix)) {
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
			batch = append(batch, info.Name)
			if bytes += info.Size; len(batch) == deleteBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		default:
			c.rep.Noted++
			c.rep.NotedBytes += info.Size
			if err := c.notes.add(ctx, kind, id); err != nil {
				return err
			}
		}
	}
	return flush()
}
