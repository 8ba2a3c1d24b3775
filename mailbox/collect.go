package mailbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/gc"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// CollectOptions say how [Account.Collect] is meant.
type CollectOptions struct {
	// DryRun only counts: nothing is written or deleted.
	DryRun bool

	// Alone states that nobody else uses the account before Collect returns: no other
	// process, and no other Account of this one. Then nobody is about to refer to what
	// nothing refers to, and what is marked is deleted at once, not a grace time
	// later. What the log says of it goes with the log, a grace time later. If the
	// statement is wrong, mail that is just being delivered may be lost.
	Alone bool
}

// CollectReport is what a collection did, or with DryRun would do.
type CollectReport struct {
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

// Collect erases what nothing needs any more: bodies of expunged messages, pages
// and metadata of old snapshots, what interrupted calls left behind, and what the
// log still says of all that. It marks what it finds, and deletes what an earlier
// Collect marked at least [Options.Grace] ago: two of them, that time apart, leave
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
	return rep, a.explain(err)
}

func (a *account) collect(ctx context.Context, o CollectOptions) (CollectReport, error) {
	ctx = blob.Freeing(ctx)
	g := a.garbage()
	if o.Alone {
		g.Grace = 0
	}
	rep, err := g.Collect(ctx, o.DryRun)
	if err == nil && o.Alone && !o.DryRun {
		marked := rep // by the first one
		rep, err = g.Collect(ctx, false)
		rep.Deleted += marked.Deleted
		rep.DeletedBytes += marked.DeletedBytes
		rep.Rewritten += marked.Rewritten
		rep.Trimmed += marked.Trimmed
	}
	if err != nil {
		err = fmt.Errorf("mailbox: collect: %w", err)
	}
	return CollectReport(rep), err
}

// garbage returns the account as a collection works on it.
func (a *account) garbage() *gc.Account {
	return &gc.Account{Host: gcHost{a}, Pages: a.pages, Grace: a.store.opts.Grace, Now: a.store.opts.Now, PartSize: a.store.collectPart}
}

// gcHost is an account as package gc needs it.
type gcHost struct{ account *account }

func (h gcHost) State() (*state.Account, eventlog.Head) { return h.account.committer.State() }

func (h gcHost) Adopt(ctx context.Context) error { return h.account.adopt(ctx) }

func (h gcHost) Fence(ctx context.Context) error { return h.account.fence(ctx) }

func (h gcHost) WriteSnapshot(ctx context.Context, began time.Time, also pages.Rewrite) error {
	return h.account.writeSnapshot(ctx, began, also)
}

// Collecting in the background costs a process nothing as long as nothing is due: what
// is known of an account in memory says when to look in the store for the time of the
// last collection, which is one small listing per Grace and account.

const collectTimeout = 30 * time.Minute

// defaultCollectPart is how many messages one pass of a collection keeps in mind: 8 MiB.
const defaultCollectPart = 1 << 20

// collectDue reports whether it is time to look whether the account should be
// collected. It costs nothing.
func (a *account) collectDue() bool {
	s := a.store
	now := s.opts.Now()
	if s.opts.NoCollect || now.Sub(time.Unix(a.state().Created, 0)) < s.opts.Grace {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.known[a.id].collect
	return !s.closed && (now.After(due) || due.Sub(now) > 2*s.opts.Grace) // or the clock was set back
}

// collectIfDue collects, unless the last time, by whatever process, was less than
// about a grace time ago. One account is collected at a time.
func (a *account) collectIfDue(ctx context.Context) {
	s := a.store
	if !a.collectDue() || !s.collecting.TryLock() {
		return
	}
	defer s.collecting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	now := s.opts.Now()
	// So that the accounts which a process opened together come one by one, and
	// of several processes one is first.
	jitter := rand.N(s.opts.Grace/8 + 1)
	last, err := a.garbage().LastCollection(ctx)
	next := now.Add(s.opts.Grace / 4)
	if err == nil {
		if next = last.Add(s.opts.Grace + jitter); !next.After(now) {
			next = now.Add(s.opts.Grace + jitter)
			_, err = a.collect(ctx, CollectOptions{})
		}
	}
	if err != nil {
		next = now.Add(s.opts.Grace / 4)
		if ctx.Err() == nil {
			s.logger.Warn("account could not be collected", "log", a.prefix, "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[a.id]
	k.collect = next
	s.remember(a.id, k)
}
