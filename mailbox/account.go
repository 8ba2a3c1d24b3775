package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
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
	before    []retired // identities that it had before, newest first
	recipient *crypto.Recipient
	log       *eventlog.Log
	committer *eventlog.Committer[*state.Account]
	snapshots snapshotter

	avoid atomic.Pointer[avoided] // snapshots that are known to be damaged; nil if none is

	overdue bool // it was opened from a snapshot that came late, see openInterrupted

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

func accountPrefix(id eventlog.ID) string { return "acct/" + id.String() + "/" }

func bodyName(prefix string, id eventlog.ObjectID) string {
	return fmt.Sprintf("%sbody/%x", prefix, id[:])
}

func newAccount(s *Store, id eventlog.ID, identity *crypto.Identity, before ...retired) (*account, error) {
	a := &account{
		store: s, id: id, prefix: accountPrefix(id), identity: identity, before: before, recipient: identity.Recipient(),
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
	a.committer = eventlog.NewCommitter(log, eventlog.Model[*state.Account](model{a}), eventlog.CommitterOptions[*state.Account]{
		OnChange: a.changed, OnEntry: a.noteEntry, OnJunk: a.passOver, Logger: s.logger, Observe: s.opts.Observe,
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
	k := &eventlog.Keys{Identity: a.identity}
	for _, r := range a.before {
		k.Retired = append(k.Retired, eventlog.Retired{Identity: r.identity, Until: r.until})
	}
	return k
}

// identities are all that open bodies of the account.
func (a *account) identities() []*crypto.Identity {
	all := []*crypto.Identity{a.identity}
	for _, r := range a.before {
		all = append(all, r.identity)
	}
	return all
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
	err := a.openSound(ctx)
	if err != nil {
		err = a.openInterrupted(ctx, err)
	}
	if err != nil {
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
		return a.explain(ctx, err)
	}
	a.looked(look)
	if a.sinceLook() > a.store.opts.Grace/2 {
		// It stood still: the pages that it knows may be collected by now.
		return a.explain(ctx, a.adopt(ctx))
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

// page returns a page, from the state, the cache or the store.
func (a *account) page(ctx context.Context, r *state.PageRef) (*state.Page, error) {
	if r.Page != nil {
		return r.Page, nil
	}
	v, err := a.store.cache.load(ctx, cacheKey{account: a.id, object: r.ID}, func() (any, int64, error) {
		p, err := a.readPage(ctx, r)
		if err != nil {
			return nil, 0, err
		}
		return p, p.Memory(), nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*state.Page), nil
}

// readPage reads a page from the store, and leaves the cache to those who read
// what they need: a walk over all pages would empty it.
func (a *account) readPage(ctx context.Context, r *state.PageRef) (*state.Page, error) {
	b, err := a.log.GetObject(ctx, objectPage, r.ID)
	if err != nil {
		return nil, err
	}
	p, err := state.DecodePage(b)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s%s/%x: %w: %w", a.prefix, objectPage, r.ID[:], eventlog.ErrCorrupt, err)
	}
	if p.Len() != r.Count || p.UIDs[0] != r.First || p.UIDs[p.Len()-1] != r.Last {
		return nil, fmt.Errorf("mailbox: %s%s/%x: not the page that was named: %w", a.prefix, objectPage, r.ID[:], eventlog.ErrCorrupt)
	}
	return p, nil
}

// Kinds of sealed objects.
const (
	objectPage = "page"
	objectMeta = "meta"
	objectMark = "gc" // what a collection noted: see collectmark.go
)

// metas returns the encoded metadata of all messages of a source.
func (a *account) metas(ctx context.Context, src state.MetaSource) ([][]byte, error) {
	v, err := a.store.cache.load(ctx, sourceKey(a.id, src), func() (any, int64, error) {
		metas, err := a.readMetas(ctx, src)
		if err != nil {
			return nil, 0, err
		}
		return metas, metasMemory(metas), nil
	})
	if err != nil {
		return nil, err
	}
	return v.([][]byte), nil
}

func sourceKey(account eventlog.ID, src state.MetaSource) cacheKey {
	return cacheKey{account: account, object: src.Segment, position: src.Entry}
}

func metasMemory(metas [][]byte) int64 {
	size := int64(0)
	for _, m := range metas {
		size += int64(len(m)) + 24
	}
	return size
}

func (a *account) readMetas(ctx context.Context, src state.MetaSource) ([][]byte, error) {
	if src.Entry != 0 {
		entry, err := a.log.ReadEntry(ctx, eventlog.Position(src.Entry))
		if err != nil {
			return nil, err
		}
		return state.EntryMetadata(entry)
	}
	b, err := a.log.GetObject(ctx, objectMeta, src.Segment)
	if err != nil {
		return nil, err
	}
	metas, err := state.DecodeSegment(b)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s%s/%x: %w: %w", a.prefix, objectMeta, src.Segment[:], eventlog.ErrCorrupt, err)
	}
	return metas, nil
}

// noteEntry keeps the metadata of an entry that was read or appended: the next
// listing asks for it, and the next snapshot.
func (a *account) noteEntry(e eventlog.Entry) {
	if metas, err := state.EntryMetadata(e); err == nil && len(metas) > 0 {
		src := state.MetaSource{Entry: ModSeq(e.Pos)}
		a.store.cache.put(sourceKey(a.id, src), metas, metasMemory(metas))
	}
}

// meta returns a message's metadata.
func (a *account) meta(ctx context.Context, src state.MetaSource, slot uint32) (*message.Message, error) {
	metas, err := a.metas(ctx, src)
	if err != nil {
		return nil, err
	}
	return a.decodeMeta(metas, slot)
}

func (a *account) decodeMeta(metas [][]byte, slot uint32) (*message.Message, error) {
	if int64(slot) >= int64(len(metas)) {
		return nil, fmt.Errorf("mailbox: %s: metadata %d is not in its source: %w", a.prefix, slot, eventlog.ErrCorrupt)
	}
	m, err := message.Decode(metas[slot])
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: metadata %d: %w: %w", a.prefix, slot, eventlog.ErrCorrupt, err)
	}
	return m, nil
}

// openBody returns plaintext of a message with one read of the store.
func (a *account) openBody(ctx context.Context, b state.BodyRef, size, off, n int64) (io.ReadCloser, error) {
	return openBody(ctx, a.store.blobs, bodyName(a.prefix, b.ID), b.Key, size, off, n)
}

func openBody(ctx context.Context, blobs blob.Store, name string, key crypto.BodyKey, size, off, n int64) (io.ReadCloser, error) {
	srcOff, srcLen := key.Span(size, off, n)
	if srcLen == 0 {
		return io.NopCloser(eofReader{}), nil
	}
	src, err := blobs.Open(ctx, name, srcOff, srcLen)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read body: %w", err)
	}
	r, err := key.NewReader(src, size, off, n)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mailbox: %s: %w", name, err), src.Close())
	}
	return &bodyReader{r: r, src: src, name: name}, nil
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// bodyReader names the object in the errors of a body.
type bodyReader struct {
	r    io.Reader
	src  io.Closer
	name string
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, crypto.ErrDecrypt) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("mailbox: %s: %w: %w", b.name, eventlog.ErrCorrupt, err)
	}
	return n, fmt.Errorf("mailbox: %s: %w", b.name, err)
}

func (b *bodyReader) Close() error {
	if c, ok := b.r.(io.Closer); ok {
		_ = c.Close() // it only gives memory back
	}
	return b.src.Close()
}

// sawSnapshot notes the newest snapshot.
func (a *account) sawSnapshot(h eventlog.Head) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h.Pos > a.snapHead.Pos {
		a.snapHead = h
	}
}
