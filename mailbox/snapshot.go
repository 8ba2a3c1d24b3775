package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// A snapshot is worth its price when the tail after the one before has this many
// entries, and more than the manifest would weigh.
const (
	snapshotEntries = 128
	entryWeight     = 1 << 10 // bytes, for comparing entries with a manifest
	// closingEntries is the tail that is worth a snapshot when the account is
	// closed: the next login opens it.
	closingEntries = 16

	snapshotTimeout = 10 * time.Minute
	closingTime     = 10 * time.Second // for the snapshots of a store that is closed
)

// snapshotter writes an account's snapshots, one at a time, in the background.
type snapshotter struct {
	account *account

	looked atomic.Int64 // wall clock, nanoseconds, of the last look for others' snapshots

	mu      sync.Mutex // protects what follows
	running bool
	stopped bool
	cancel  context.CancelFunc
	done    sync.WaitGroup
	notNow  eventlog.Position // a failed try is not repeated before this position
}

// consider starts a snapshot if the tail outweighs one.
func (w *snapshotter) consider() {
	// What other processes' snapshots cover is trimmed a grace time later, and
	// the state in memory must not need it by then.
	stale := w.account.sinceLook() > w.account.store.opts.Grace/4
	if !stale && !w.account.outweighs(snapshotEntries) {
		return
	}
	_, head := w.account.committer.State()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running || w.stopped || head.Pos < w.notNow {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
	w.running, w.cancel = true, cancel
	w.done.Go(func() {
		defer cancel()
		err := w.account.snapshotIfDue(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = false
		if err != nil {
			w.notNow = head.Pos + snapshotEntries
			if ctx.Err() == nil {
				w.account.store.logger.Warn("snapshot failed", "log", w.account.prefix, "error", err)
			}
		}
	})
}

// sinceLook returns how long ago it was looked for others' snapshots. A clock that
// was set back proves nothing.
func (a *account) sinceLook() time.Duration {
	return elapsed(a.store.opts.Now(), time.Unix(0, a.snapshots.looked.Load()))
}

// stop ends a snapshot under way and waits for it.
func (w *snapshotter) stop() {
	w.mu.Lock()
	w.stopped = true
	if w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	w.done.Wait()
}

// outweighs reports whether at least so many entries follow the newest snapshot,
// and more than its manifest weighs; or few that changed much: half as many pages
// as entries were asked for are in memory only, and must be made anew at the next
// login.
func (a *account) outweighs(entries int) bool {
	s, head := a.committer.State()
	a.mu.Lock()
	tail := int64(head.Pos - min(a.snapHead.Pos, head.Pos))
	a.mu.Unlock()
	if tail == 0 {
		return false
	}
	weight, dirty := 0, 0
	for _, m := range s.Mailboxes {
		weight += 100 + len(m.Name) + len(m.Pages)*state.PageRefSize + len(m.Vanished)*16
		for _, r := range m.Pages {
			if r.Page != nil {
				dirty++
			}
		}
	}
	return tail >= int64(max(entries, weight/entryWeight)) || dirty >= entries/2
}

// snapshotIfDue moves the account onto the newest snapshot of other processes, writes
// one if the entries after it outweigh that, and trims the log.
func (a *account) snapshotIfDue(ctx context.Context) error {
	began := a.store.opts.Now()
	if err := a.adopt(ctx); err != nil {
		return err
	}
	if !a.outweighs(closingEntries) {
		return nil
	}
	if err := a.writeSnapshot(ctx, began, pages.Rewrite{}); err != nil {
		return err
	}
	_, err := a.log.Trim(ctx)
	return err
}

// writeSnapshot writes the newest state to the store, and moves the account onto what
// was written, so that its pages need not stay in memory. began is a time before which
// the state in memory was on the newest snapshot: what a snapshot names, old pages and
// those just written, must not have been collected meanwhile. See package gc.
func (a *account) writeSnapshot(ctx context.Context, began time.Time, also pages.Rewrite) error {
	hooks := a.store.opts.Observe
	begun := hooks.Now()
	ctx, end := hooks.Start(ctx, observe.SpanSnapshot)
	report := observe.Snapshot{}
	err := a.storeState(ctx, began, also, &report)
	end(err != nil)
	if hooks.Watched() {
		if report.Time = time.Since(begun); err != nil {
			report.Result = observe.Failed
		}
		hooks.Observer.Snapshot(report)
	}
	return err
}

func (a *account) storeState(ctx context.Context, began time.Time, also pages.Rewrite, report *observe.Snapshot) error {
	s, head := a.committer.State()
	next, objects, err := a.pages.Write(ctx, s, also)
	if err != nil {
		return err
	}
	if a.store.stoodStill(began) {
		return errStoodStill
	}
	manifest := state.EncodeSnapshot(next)
	report.Bytes, report.Pages = len(manifest), objects
	err = a.log.WriteSnapshot(ctx, head, manifest)
	if err == nil && a.store.stoodStill(began) {
		// Frozen between the two: what it names may be gone, or about to go.
		return errors.Join(errStoodStill, a.store.blobs.Delete(context.WithoutCancel(ctx), eventlog.SnapshotName(a.prefix, head.Pos)))
	}
	if errors.Is(err, fs.ErrExist) {
		// Another process was faster: its pages are the ones that are kept.
		if next, head, err = a.newestSnapshot(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return a.rebase(ctx, head, next)
}

// rebase moves the account onto a snapshot's pages. Sessions that wait are woken:
// their views are to name these pages too before the old ones are collected.
func (a *account) rebase(ctx context.Context, head eventlog.Head, s *state.Account) error {
	a.pages.Use(s)
	if err := a.committer.Rebase(ctx, head, s); err != nil {
		return err
	}
	a.sawSnapshot(head)
	a.avoid.Store(nil)
	a.signal()
	return nil
}

// adopt moves the account onto a snapshot that another process wrote, if there is
// a newer one: entries that it covers may be trimmed soon.
func (a *account) adopt(ctx context.Context) error {
	a.mu.Lock()
	known := a.snapHead
	a.mu.Unlock()
	a.snapshots.looked.Store(a.store.opts.Now().UnixNano())
	pos, err := a.log.SnapshotPosition(ctx)
	if avoid := a.avoid.Load(); err != nil || pos <= known.Pos || avoid != nil && pos <= avoid.to {
		return err
	}
	for try := 1; ; try++ {
		s, head, err := a.newestSnapshot(ctx)
		if errors.Is(err, errNoSnapshot) {
			return nil // those there are came too late, from sessions of an identity before
		}
		if err != nil || head.Pos <= known.Pos {
			return err
		}
		err = a.rebase(ctx, head, s)
		if !errors.Is(err, eventlog.ErrTrimmed) || try == adoptTries {
			return err
		}
		// It stood still again, and that one was superseded and collected too.
	}
}

// adoptTries bounds how often one call of adopt takes the newest snapshot.
const adoptTries = 3

var errStoodStill = errors.New("mailbox: stood still while a snapshot was written")

var errNoSnapshot = errors.New("no snapshot that counts")

func (a *account) newestSnapshot(ctx context.Context) (*state.Account, eventlog.Head, error) {
	snap, err := a.log.LatestSnapshot(ctx)
	if err != nil {
		return nil, eventlog.Head{}, err
	}
	// The snapshot may be ahead of this process.
	if _, err := a.committer.CatchUp(ctx); err != nil {
		return nil, eventlog.Head{}, err
	}
	if snap == nil {
		return nil, eventlog.Head{}, fmt.Errorf("mailbox: %s: %w", eventlog.SnapshotFolder(a.prefix), errNoSnapshot)
	}
	s, err := state.DecodeSnapshot(snap.Payload)
	if err != nil {
		return nil, eventlog.Head{}, fmt.Errorf("mailbox: snapshot at %d: %w: %w", snap.Pos, eventlog.ErrCorrupt, err)
	}
	return s, snap.Head, nil
}

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

// fence adds an entry that changes nothing: messages of INBOX below the first
// have been shown.
func (a *account) fence(ctx context.Context) error {
	return a.commit(ctx, func(context.Context, *state.Account, ModSeq) (state.Event, error) {
		return &state.ClearRecent{Mailbox: 1, UID: 1}, nil
	})
}
