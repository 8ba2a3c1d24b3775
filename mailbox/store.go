package mailbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/wake"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// Options of a [Store]. The zero value is right for most.
type Options struct {
	Logger *slog.Logger // what went wrong without failing a call; default none

	// ServerKey authenticates what is kept: mail is delivered only to where a server
	// with the key led its name, and only such a server delivers. It also seals the
	// names that [Store.Accounts] lists, and whoever has a copy of the store cannot
	// test passwords without it. Keep it outside the store; all servers need the same.
	// A store without accounts takes the key that it is opened with first; see
	// [AdoptServerKey] for others. Once it has one, Open without it is [ErrServerKey].
	ServerKey crypto.ServerKey
	// OtherServerKey is one more that the store has, while a key is replaced by
	// another: first all servers get both, then the new one comes first, [Store.Rekey],
	// and when [Store.KeyStatus] says that nothing needs it the other one is dropped.
	OtherServerKey crypto.ServerKey
	// DeliveryKey, and OtherDeliveryKey, in the place of server keys let a process
	// deliver, and nothing else that needs one. See [Store.DeliveryKey].
	DeliveryKey      crypto.DirectoryKey
	OtherDeliveryKey crypto.DirectoryKey
	// WithoutServerKey opens a store that has a server key without it: to check it, and
	// to open accounts by their identity or a token. Deliveries and whatever writes
	// secrets fail with [ErrServerKey].
	WithoutServerKey bool

	Password crypto.PasswordParams // of new passwords
	Pool     *crypto.Pool          // of password derivations; default the process's

	CacheBytes   int64         // of decoded pages and metadata, for all accounts; default 8 MiB
	PollInterval time.Duration // how often other processes' commits are looked for; default 2 s; negative: never, one process alone uses the store
	MaxMessage   int64         // bytes; default [DefaultMaxMessage], at most 4 GiB - 1
	// MaxMessages bounds the messages of an account, MaxMailboxMessages those of one
	// mailbox; default [DefaultMaxMessages] and [DefaultMaxMailboxMessages]. What would
	// exceed them fails with [ErrFull], but for deliveries of processes in which the
	// account is not open. They bound the memory that an account takes.
	MaxMessages        int64
	MaxMailboxMessages int64

	Grace time.Duration // how long what was superseded is kept; default 24 h, at least a minute; all processes must agree

	NoCollect bool // never collect in the background; call [Account.Collect] then

	// Bus, if there is one, tells other processes of commits at once. The store
	// tells them too, so that PollInterval may be longer.
	Bus Bus

	// Quotas makes the limits of [Store.SetQuota] hold. It costs a listing when an
	// account is first added to or delivered to, and another every five minutes in
	// which it is. All processes should agree.
	Quotas bool

	Now func() time.Time // wall clock; default time.Now

	// Observe is told what happens. Wrap the blob store by package observeblob
	// too, with the same hooks, to have its requests among it.
	Observe observe.Hooks
}

// Store is the accounts kept in a blob.Store. Any number of Stores in any number
// of processes may use one blob.Store. Its methods may be called from many
// goroutines.
type Store struct {
	blobs    blob.Store
	opts     Options
	logger   *slog.Logger
	salt     []byte
	restored bool // from an older state, some time: accounts look whether they were told
	cache    *pages.Cache
	verified *crypto.Verified

	keys      []*crypto.StoreKey    // of the server; the first seals
	directory []crypto.DirectoryKey // what delivers of them, or of who only delivers
	keyless   bool                  // the store has a server key and this process does not
	passwords *crypto.Costs
	sampled   atomic.Bool // passwords has seen a sample of the accounts

	tallies tallies
	waker   *wake.Waker

	freshness   time.Duration
	collectPart int // see gc.Account.PartSize

	mu       sync.Mutex // protects what follows; taken before an account's
	closed   bool
	accounts map[eventlog.ID]*loading
	known    map[eventlog.ID]known
	inboxes  map[inboxKey]*inbox
	retiring sync.WaitGroup // accounts that are being closed

	upkeeping  bool           // upkeep was started
	background sync.WaitGroup // upkeep

	collecting sync.Mutex // held while an account is collected in the background
	closing    context.Context
	close      context.CancelFunc // of closing
	retired    context.Context    // ends when snapshots of accounts that are closed must
	cut        context.CancelFunc // of retired
}

// known is what a process remembers of an account, open or not.
type known struct {
	head    eventlog.Head     // the furthest seen: a log never gets shorter
	epoch   eventlog.Epoch    // of its log, when it was opened last
	recents map[MailboxID]UID // shown to sessions, but not yet said in the log
	collect time.Time         // when to look next whether a collection is due
	login   bool              // somebody logged in
}

// maxKnown bounds of how many accounts a process remembers something, at about
// 100 bytes each. A log that is rolled back is noticed by a process that
// remembers it.
const maxKnown = 1 << 16

// loading is an account that is, or is about to be, open.
type loading struct {
	ready   chan struct{} // closed when account or err is set
	account *account
	err     error
	by      *crypto.Recipient // of the identity that it is opened with
	refs    int               // protected by Store.mu
}

const (
	formatVersion = "letterlock store 2\n"
	saltSize      = 32

	defaultCache = 8 << 20
	defaultPoll  = 2 * time.Second
)

// Open returns the accounts of a blob store, and makes an empty store ready on
// first use. Close it when all accounts are closed.
func Open(ctx context.Context, blobs blob.Store, o Options) (*Store, error) {
	return open(ctx, blobs, o, false)
}

// open also lets a store adopt a server key.
func open(ctx context.Context, blobs blob.Store, o Options, adopt bool) (*Store, error) {
	if blobs == nil {
		return nil, errors.New("mailbox: open: no blob store")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Pool == nil {
		o.Pool = crypto.DefaultPool()
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.PollInterval == 0 {
		o.PollInterval = defaultPoll
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.MaxMessage < 0 || o.MaxMessage > maxMessage {
		return nil, fmt.Errorf("mailbox: MaxMessage %d is not 1 to %d", o.MaxMessage, int64(maxMessage))
	}
	if o.MaxMessages == 0 {
		o.MaxMessages = DefaultMaxMessages
	}
	if o.MaxMailboxMessages == 0 {
		o.MaxMailboxMessages = DefaultMaxMailboxMessages
	}
	if o.MaxMessages < 0 || o.MaxMailboxMessages < 0 {
		return nil, errors.New("mailbox: MaxMessages or MaxMailboxMessages is negative")
	}
	if o.Grace == 0 {
		o.Grace = eventlog.DefaultGrace
	}
	if o.Grace < time.Minute {
		return nil, fmt.Errorf("mailbox: Grace of %v is under a minute", o.Grace)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		blobs: blobs, opts: o, logger: o.Logger, cache: pages.NewCache(o.CacheBytes), freshness: defaultFreshness, collectPart: defaultCollectPart,
		verified: crypto.NewVerified(crypto.VerifiedOptions{}), passwords: crypto.NewCosts(o.Password),
		tallies:  tallies{max: maxTallies, of: map[eventlog.ID]tally{}},
		accounts: map[eventlog.ID]*loading{}, known: map[eventlog.ID]known{}, inboxes: map[inboxKey]*inbox{},
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.retired, s.cut = context.WithCancel(context.Background())
	salt, err := storeSalt(ctx, blobs)
	if err != nil {
		return nil, err
	}
	s.salt = salt
	if err := s.useKeys(ctx, adopt); err != nil {
		return nil, err
	}
	if s.restored, err = wasRestored(ctx, blobs); err != nil {
		return nil, err
	}
	s.waker, err = wake.New(ctx, wake.Config{
		Blobs: blobs, Accounts: wakeable{s}, Bus: o.Bus, PollInterval: o.PollInterval, Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// storeSalt reads the store's salt, or makes one in an empty store.
func storeSalt(ctx context.Context, blobs blob.Store) ([]byte, error) {
	for range 2 {
		b, err := layout.ReadAll(ctx, blobs, layout.Format, len(formatVersion)+saltSize)
		if err == nil {
			salt, ok := bytes.CutPrefix(b, []byte(formatVersion))
			if !ok || len(salt) != saltSize {
				return nil, fmt.Errorf("mailbox: %s: not a letterlock store of this version: %w", layout.Format, eventlog.ErrNewerVersion)
			}
			return salt, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("mailbox: open store: %w", err)
		}
		if _, err := blobs.Stat(ctx, layout.Copying); err == nil {
			return nil, fmt.Errorf("mailbox: %s: a store is being copied here and is not whole", layout.Copying)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("mailbox: open store: %w", err)
		}
		fresh := append([]byte(formatVersion), make([]byte, saltSize)...)
		rand.Read(fresh[len(formatVersion):])
		if err := blobs.Create(ctx, layout.Format, bytes.NewReader(fresh)); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("mailbox: make store: %w", err)
		}
	}
	return nil, fmt.Errorf("mailbox: %s: %w", layout.Format, fs.ErrNotExist)
}

// stillThere returns an error if the store is not the one that was opened.
func (s *Store) stillThere(ctx context.Context) error {
	b, err := layout.ReadAll(ctx, s.blobs, layout.Format, len(formatVersion)+saltSize)
	if err == nil && !bytes.HasSuffix(b, s.salt) {
		err = errors.New("another store than the one that was opened")
	}
	if err != nil {
		return fmt.Errorf("mailbox: %s: the store is gone: %v", layout.Format, err)
	}
	return nil
}

// Ping returns an error if the store cannot be reached, or is not the one any more
// that was opened. It costs one request.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.stillThere(ctx)
}

// usable fails once the store is closed.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return nil
}

// Close ends the store's background work and waits for it. Calls on accounts that
// are still open, and deliveries, fail with [ErrClosed] from then on; those under
// way are not waited for. Where the blob store does not answer, it takes about a
// quarter of a minute at most: another process completes what was interrupted.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.close()
	open := make([]*loading, 0, len(s.accounts))
	for _, l := range s.accounts {
		open = append(open, l)
	}
	clear(s.accounts)
	s.retiring.Add(len(open))
	s.mu.Unlock()
	cut := time.AfterFunc(closingTime, s.cut)
	for _, l := range open {
		<-l.ready
		s.retire(l.account)
	}
	s.retiring.Wait()
	cut.Stop()
	s.cut()
	s.waker.Close()
	s.background.Wait()
	return nil
}

// Hooks returns [Options.Observe], for adapters.
func (s *Store) Hooks() observe.Hooks { return s.opts.Observe }

// Pool returns the pool of password derivations.
func (s *Store) Pool() *crypto.Pool { return s.opts.Pool }

// StoreStats are what a Store holds in memory.
type StoreStats struct {
	Accounts    int    // open, by any number of sessions each
	Inboxes     int    // accounts whose place in the log is remembered for delivery
	CacheBytes  int64  // of decoded pages and metadata
	CacheItems  int    // of these
	CacheHits   uint64 // so far
	CacheMisses uint64
}

// Stats returns what the store holds in memory.
func (s *Store) Stats() StoreStats {
	c := s.cache.Stats()
	st := StoreStats{CacheBytes: c.Bytes, CacheItems: c.Items, CacheHits: c.Hits, CacheMisses: c.Misses}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Accounts, st.Inboxes = len(s.accounts), len(s.inboxes)
	return st
}

// MaxMessage returns the largest message that is taken, in bytes.
func (s *Store) MaxMessage() int64 { return s.opts.MaxMessage }

// attach returns a handle on an account, which it opens if no handle is open. It
// takes the claimant over, and fails with ErrSwappedKey if its identity is not the
// account's or not the one that mail is delivered to, with ErrRotated if another
// follows it, and with eventlog.ErrNotInEffect if it never came to be the account's.
func (s *Store) attach(ctx context.Context, c *claimant) (*Account, error) {
	for {
		l, first, err := s.join(c.id, c.identity.Recipient())
		if err != nil {
			c.wipe()
			return nil, err
		}
		if first {
			s.lead(ctx, l, c)
			if l.err != nil {
				return nil, l.err
			}
			return s.handle(c.id, l, c.name), nil
		}
		select {
		case <-l.ready:
			err = l.err
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil && l.account.recipient.Equal(c.identity.Recipient()) {
			c.wipe() // the one that is loaded serves
			err := l.account.stillGetsMail(ctx, c)
			if err != nil {
				s.release(c.id, l)
				return nil, err
			}
			return s.handle(c.id, l, c.name), nil
		}
		if err == nil {
			err = s.isBeside(ctx, l.account, c)
		}
		s.release(c.id, l)
		if err == nil {
			s.expelThis(l.account) // its identity was replaced
			continue
		}
		// That another caller gave up, or has another identity, is no reason to fail
		// this one.
		gaveUp := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
			l.err != nil && !l.by.Equal(c.identity.Recipient())
		if !gaveUp || ctx.Err() != nil {
			c.wipe()
			return nil, err
		}
	}
}

// isBeside says why an identity does not open an account that is open by another one,
// or returns nil if it is the one in effect now.
func (s *Store) isBeside(ctx context.Context, a *account, c *claimant) error {
	switch {
	case c.follows(a.recipient):
		if a.enter() != nil {
			return nil // it was closed, perhaps for that
		}
		defer a.leave()
		if err := a.catchUp(ctx); errors.Is(err, ErrRotated) {
			return nil
		} else if err != nil {
			return err
		}
		return fmt.Errorf("mailbox: open account %v: %w", c.id, eventlog.ErrNotInEffect)
	case slices.ContainsFunc(a.before, func(i *crypto.Identity) bool { return i.Recipient().Equal(c.identity.Recipient()) }):
		return fmt.Errorf("mailbox: open account %v: %w", c.id, ErrRotated)
	}
	return fmt.Errorf("mailbox: open account %v: %w", c.id, ErrSwappedKey)
}

// join returns the account that is or is being opened, or makes the caller open
// it.
func (s *Store) join(id eventlog.ID, by *crypto.Recipient) (l *loading, first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, ErrClosed
	}
	l = s.accounts[id]
	if first = l == nil; first {
		l = &loading{ready: make(chan struct{}), by: by}
		s.accounts[id] = l
	}
	l.refs++
	return l, first, nil
}

// lead opens the account for all who joined.
func (s *Store) lead(ctx context.Context, l *loading, c *claimant) {
	l.account, l.err = s.load(ctx, c)
	if l.err != nil {
		s.mu.Lock()
		if s.accounts[c.id] == l {
			delete(s.accounts, c.id) // who comes next tries anew
		}
		s.mu.Unlock()
	}
	close(l.ready)
}

func (s *Store) handle(id eventlog.ID, l *loading, name string) *Account {
	return &Account{account: l.account, name: name, detach: sync.OnceFunc(func() { s.release(id, l) })}
}

func (s *Store) load(ctx context.Context, c *claimant) (*account, error) {
	a, err := newAccount(s, c.id, c.identity, c.before...)
	if err != nil {
		c.wipe()
		return nil, err
	}
	s.waker.Announce()
	ctx, end := s.opts.Observe.Start(ctx, observe.SpanLoad)
	if err = a.open(ctx); err == nil {
		if err := a.completeInterrupted(ctx, c.slot); err != nil {
			s.logger.Warn("a change of identity that was interrupted is not completed", "log", a.prefix, "error", err)
		}
		err = a.settle(ctx, c)
	}
	if err == nil {
		err = c.broken
	}
	if err != nil {
		err = s.isSwapped(ctx, c, a.explain(err))
	}
	end(err != nil)
	if err != nil {
		a.close()
		return nil, err
	}
	a.loaded.Store(true)
	s.startBackground()
	return a, nil
}

// isSwapped turns what looks like damage into ErrSwappedKey if the identity is not
// one that mail goes to, or into ErrRotated if it was the account's.
func (s *Store) isSwapped(ctx context.Context, c *claimant, err error) error {
	if !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrTrimmed) && !errors.Is(err, eventlog.ErrNotInEffect) {
		return err
	}
	mine := c.identity.Recipient()
	claims, behind := s.claims(ctx, c.id, mine)
	if behind == nil && !slices.ContainsFunc(claims, mine.Equal) {
		if c.broken == nil {
			return fmt.Errorf("mailbox: open account %v: %w: %w", c.id, ErrRotated, err) // it was the account's once
		}
		return s.swapped(layout.AccountPrefix(c.id))
	}
	if c.broken != nil && !errors.Is(err, eventlog.ErrNotInEffect) {
		return c.broken // this is why
	}
	return err
}

// release gives back a handle. The last one closes the account.
func (s *Store) release(id eventlog.ID, l *loading) {
	s.mu.Lock()
	l.refs--
	last := l.refs == 0 && s.accounts[id] == l
	if last {
		delete(s.accounts, id)
		s.retiring.Add(1)
		if l.account != nil {
			s.keepRecents(l.account)
		}
	}
	s.mu.Unlock()
	if last {
		s.retire(l.account)
	}
}

// retire closes an account, if it came to be opened, after a last snapshot if
// that makes the next login cheaper. It ends one of s.retiring.
func (s *Store) retire(a *account) {
	if a == nil {
		s.retiring.Done()
		return
	}
	if !a.outweighs(closingEntries) && !a.collectDue() {
		a.close()
		s.retiring.Done()
		return
	}
	a.shutOut()
	go func() {
		defer s.retiring.Done()
		defer a.leave()
		a.snapshots.stop()
		ctx, cancel := context.WithTimeout(s.retired, snapshotTimeout)
		defer cancel()
		if err := a.snapshotIfDue(ctx); err != nil && s.retired.Err() == nil {
			s.logger.Warn("snapshot failed", "log", a.prefix, "error", err)
		}
		a.collectIfDue(s.closing)
	}()
}

// forget drops what the cache holds of an account that was closed, unless it was
// opened anew meanwhile.
func (s *Store) forget(a *account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[a.id] == nil {
		s.cache.Forget(a.id)
	}
}

// openAccount returns the account if it is open in this process, else nil.
func (s *Store) openAccount(id eventlog.ID) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.accounts[id]; l != nil {
		select {
		case <-l.ready:
			return l.account
		default:
		}
	}
	return nil
}

// seenHead returns the furthest head of an account's log that is remembered.
func (s *Store) seenHead(id eventlog.ID) eventlog.Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id].head
}

// saw notes how far an account's log goes.
func (s *Store) saw(id eventlog.ID, h eventlog.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[id]; h.Pos > k.head.Pos {
		k.head = h
		s.remember(id, k)
	}
}

// committed notes an entry that this process appended.
func (s *Store) committed(id eventlog.ID, h eventlog.Head) { s.saw(id, h) }

// remember notes something of an account, and forgets any other, but one that is
// open, where there are too many. Called with the mutex.
func (s *Store) remember(id eventlog.ID, k known) {
	s.known[id] = k
	if len(s.known) <= maxKnown {
		return
	}
	for other := range s.known { // in random order
		if other != id && s.accounts[other] == nil {
			delete(s.known, other)
			return
		}
	}
}

// keepRecents remembers for the next login what was shown to sessions of an
// account that is about to be closed. Called with the mutex.
func (s *Store) keepRecents(a *account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := s.known[a.id]
	k.recents = nil
	if len(a.recents) > 0 {
		k.recents = maps.Clone(a.recents)
	}
	s.remember(a.id, k)
}

// recentsOf returns what keepRecents remembered.
func (s *Store) recentsOf(id eventlog.ID) map[MailboxID]UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	recents := map[MailboxID]UID{}
	maps.Copy(recents, s.known[id].recents)
	return recents
}

// nameHash is how a name is looked up: nobody without the store can list or
// compare names, and the store's owner can only test a guess.
func (s *Store) nameHash(name string) string {
	h := hmac.New(sha256.New, s.salt)
	h.Write([]byte(name))
	return fmt.Sprintf("%s%x", layout.NameFolder, h.Sum(nil))
}
