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

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// account is what all handles of one account in a process share: its keys, its
// place in the log, its newest state and who waits for changes. It is loaded
// when the first handle is opened and dropped, with its keys, when the last is
// closed.
type account struct {
	store     *Store
	id        eventlog.ID
	prefix    string
	identity  *crypto.Identity
	before    []*crypto.Identity // that it had before, newest first
	recipient *crypto.Recipient
	log       *eventlog.Log
	pages     *pages.Store
	committer *eventlog.Committer[*state.Account]
	snapshots snapshotter

	avoid atomic.Pointer[avoided] // snapshots that are known to be damaged; nil if none is

	loaded      atomic.Bool
	interrupted bool // it was opened from what a change of identity had prepared
	rotation    atomic.Pointer[rotation]

	made      time.Time    // with the monotonic clock, which nobody sets
	lastFresh atomic.Int64 // when the last look at the log began, in nanoseconds after made

	quota  atomic.Pointer[quotaNote] // nil: not known
	noting sync.Mutex                // held while the usage is noted

	mu       sync.Mutex // protects what follows
	shut     bool       // no call begins any more
	users    int        // calls under way, and whoever closes the account
	watches  map[*Watch]struct{}
	recents  map[MailboxID]UID // below: shown to a session of this process
	snapHead eventlog.Head     // of the newest snapshot known
}

// neverFresh in lastFresh makes whoever asks next look.
const neverFresh = math.MinInt64 / 2

// defaultFreshness is how old the newest state may be before a session's question
// makes the process look whether another process has written.
const defaultFreshness = 200 * time.Millisecond

func newAccount(s *Store, id eventlog.ID, identity *crypto.Identity, before ...*crypto.Identity) (*account, error) {
	a := &account{
		store: s, id: id, prefix: layout.AccountPrefix(id), identity: identity, before: before, recipient: identity.Recipient(),
		watches: map[*Watch]struct{}{}, recents: s.recentsOf(id), made: time.Now(),
	}
	a.snapshots.account = a
	if err := a.useLog(); err != nil {
		return nil, err
	}
	return a, nil
}

// useLog makes the account stand before the beginning of its log.
func (a *account) useLog() error {
	log, err := a.newLog()
	if err != nil {
		return err
	}
	s := a.store
	a.log = log
	a.pages = &pages.Store{ID: a.id, Prefix: a.prefix, Log: log, Blobs: s.blobs, Cache: s.cache}
	a.committer = eventlog.NewCommitter(log, eventlog.Model[*state.Account](model{a}), eventlog.CommitterOptions[*state.Account]{
		OnChange: a.changed, OnEntry: a.sawEntry, Logger: s.logger,
		OnCommit: s.onCommit(), OnReplay: s.onReplay(),
	})
	return nil
}

// newLog returns a handle on the account's log.
func (a *account) newLog() (*eventlog.Log, error) {
	s := a.store
	return eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: a.prefix, ID: a.id, Keys: a.keys(),
		Grace: s.opts.Grace, Seen: s.seenHead(a.id), Now: s.opts.Now, Logger: s.opts.Logger,
	})
}

// keys are what opens the account's log.
func (a *account) keys() *eventlog.Keys {
	return &eventlog.Keys{Identity: a.identity, Retired: a.before}
}

// identities are all that open bodies of the account.
func (a *account) identities() []*crypto.Identity {
	return append([]*crypto.Identity{a.identity}, a.before...)
}

// first is the identity that the account was made with.
func (a *account) first() *crypto.Identity {
	all := a.identities()
	return all[len(all)-1]
}

// wipe overwrites all keys of the account.
func (a *account) wipe() {
	a.identity.Wipe()
	wipeAll(a.before)
	a.log.Wipe()
}

// avoided is a run of snapshots.
type avoided struct{ from, to eventlog.Position }

// openSound opens the newest state. If what the newest snapshot names is damaged,
// so that the entries after it cannot be applied, an older one may do.
func (a *account) openSound(ctx context.Context) error {
	err := a.committer.Open(ctx)
	if err == nil || !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	snaps, behind := a.log.Snapshots(ctx)
	if behind != nil {
		return err
	}
	for i := len(snaps) - 1; i >= 0; i-- {
		a.avoid.Store(&avoided{from: snaps[i], to: snaps[len(snaps)-1]})
		if a.committer.Open(ctx) == nil {
			a.store.logger.Warn("opened from an older snapshot", "log", a.prefix, "error", err)
			return nil
		}
	}
	return err
}

// open reads the account's state.
func (a *account) open(ctx context.Context) error {
	if err := a.openSound(ctx); err != nil {
		return err
	}
	if s, _ := a.committer.State(); s.NextMailbox == 0 {
		return fmt.Errorf("mailbox: %slog: the first entry is missing: %w", a.prefix, eventlog.ErrCorrupt)
	}
	if err := a.renewRestored(ctx); err != nil {
		return err
	}
	_, head := a.committer.State()
	a.store.saw(a.id, head)
	a.lastFresh.Store(int64(time.Since(a.made)))
	a.snapshots.looked.Store(a.store.opts.Now().UnixNano())
	return nil
}

// enter lets a call use the account; leave ends it. It fails with ErrClosed once
// the account is being closed.
func (a *account) enter() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shut {
		return ErrClosed
	}
	a.users++
	return nil
}

// leave ends what enter or shutOut began. After shutOut the last to leave lets go
// of the keys: until then the calls under way need them.
func (a *account) leave() {
	a.mu.Lock()
	a.users--
	last := a.shut && a.users == 0
	a.mu.Unlock()
	if last {
		a.store.forget(a)
		a.wipe()
	}
}

// shutOut makes calls fail from now on and wakes who waits, so that they notice.
// It is called once, and counts as entered.
func (a *account) shutOut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shut = true
	a.users++
	for w := range a.watches {
		w.signal()
	}
}

// close lets go of the account, at once or when the last call on it has ended.
func (a *account) close() {
	a.shutOut()
	a.snapshots.stop()
	a.leave()
}

func (a *account) state() *state.Account {
	s, _ := a.committer.State()
	return s
}

// changed is called after every entry: it wakes those who wait.
func (a *account) changed(_ *state.Account, h eventlog.Head) {
	a.store.saw(a.id, h)
	a.signal()
}

// sawEntry keeps what the next listing asks for.
func (a *account) sawEntry(e eventlog.Entry) {
	a.pages.CacheEntry(e)
	if r := a.rotation.Load(); r != nil {
		r.saw(e)
	}
}

// signal wakes those who wait.
func (a *account) signal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for w := range a.watches {
		w.signal()
	}
}

// freshen looks whether another process has written, unless somebody just did.
func (a *account) freshen(ctx context.Context) error {
	if time.Since(a.made)-time.Duration(a.lastFresh.Load()) < a.store.freshness {
		return nil
	}
	return a.catchUp(ctx)
}

// catchUp reads what other processes, and deliveries in this one, have written.
func (a *account) catchUp(ctx context.Context) error {
	look := a.look()
	_, err := a.committer.CatchUp(ctx)
	if err != nil {
		return a.explain(err)
	}
	a.looked(look)
	if a.sinceLook() > a.store.opts.Grace/2 {
		// It stood still: the pages that it knows may be collected by now.
		return a.explain(a.adopt(ctx))
	}
	a.snapshots.consider()
	return nil
}

// look is a moment at which it began to be found out what the log holds.
type look struct{ at, before int64 }

func (a *account) look() look {
	return look{int64(time.Since(a.made)), a.lastFresh.Load()}
}

// looked notes that the state holds all that was in the log at a moment; but not if
// somebody knew better meanwhile, such as a delivery that the look did not see.
func (a *account) looked(l look) {
	if l.at > l.before {
		a.lastFresh.CompareAndSwap(l.before, l.at)
	}
}

// sawSnapshot notes the newest snapshot.
func (a *account) sawSnapshot(h eventlog.Head) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h.Pos > a.snapHead.Pos {
		a.snapHead = h
	}
}
