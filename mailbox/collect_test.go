package mailbox

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// handClock is a wall clock that a test moves.
type handClock struct{ unix atomic.Int64 }

func newClock() *handClock {
	c := &handClock{}
	c.unix.Store(1_800_000_000)
	return c
}

func (c *handClock) now() time.Time          { return time.Unix(c.unix.Load(), 0) }
func (c *handClock) advance(d time.Duration) { c.unix.Add(int64(d / time.Second)) }

// openAt opens a store whose clock is moved by hand, and which collects only when
// it is told.
func openAt(t testing.TB, blobs blob.Store, c *handClock) *Store {
	t.Helper()
	s, err := Open(context.Background(), blobs, Options{Password: cheap, PollInterval: -1, NoCollect: true, Now: c.now})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		checkAtEnd(t, blobs)
	})
	s.freshness = 0
	return s
}

func collect(t testing.TB, a *Account) CollectReport {
	t.Helper()
	rep, err := a.Collect(context.Background(), CollectOptions{})
	require.NoError(t, err)
	return rep
}

// Who is alone need not wait.
func TestCollectAlone(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	clock := newClock()
	s := openAt(t, blobs, clock)
	require.NoError(t, s.CreateAccount(ctx, "ann", []byte("pw")))
	a, err := s.Login(ctx, "ann", []byte("pw"))
	require.NoError(t, err)
	defer a.Close()
	for range 3 {
		_, err := a.Append(ctx, Inbox, strings.NewReader("Subject: x\r\n\r\ny\r\n"), AppendOptions{})
		require.NoError(t, err)
	}
	bodies := func() (n int) {
		for info, err := range blobs.List(ctx, "", "") {
			require.NoError(t, err)
			if strings.Contains(info.Name, "/body/") {
				n++
			}
		}
		return n
	}
	expunge(t, a, 1, 3)
	_, err = a.Collect(ctx, CollectOptions{Alone: true, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 3, bodies(), "nothing was deleted")
	require.Equal(t, 2, collect(t, a).Marked)
	require.Equal(t, 3, bodies(), "a grace time later at the earliest")
	rep, err := a.Collect(ctx, CollectOptions{Alone: true})
	require.NoError(t, err)
	require.GreaterOrEqual(t, rep.Deleted, 2)
	require.Equal(t, 1, bodies())

	expunge(t, a, 2)
	_, err = a.Collect(ctx, CollectOptions{Alone: true})
	require.NoError(t, err)
	require.Zero(t, bodies(), "in one go")
	clock.advance(48 * time.Hour)
	collect(t, a)
	_, err = a.Check(ctx, func(p Problem) { t.Errorf("%v", p) })
	require.NoError(t, err)
}

func expunge(t testing.TB, a *Account, uids ...UID) {
	t.Helper()
	v := selectInbox(t, a)
	flagAll(t, v, UIDs(uids...), FlagsAdd, true, FlagDeleted)
	gone, err := v.Expunge(context.Background(), nil)
	require.NoError(t, err)
	require.Len(t, gone, len(uids))
}

func add(t testing.TB, a *Account, n int) {
	t.Helper()
	_, err := a.Append(context.Background(), Inbox, strings.NewReader(mail(n)), AppendOptions{})
	require.NoError(t, err)
}

// sound wants a store in which nothing is wrong, and returns its account's report.
func sound(t testing.TB, s *Store, a *Account) CheckReport {
	t.Helper()
	report := func(p Problem) {
		if !p.Harmless {
			t.Errorf("problem: %v", p)
		}
	}
	_, err := s.Check(context.Background(), report)
	require.NoError(t, err)
	rep, err := a.Check(context.Background(), report)
	require.NoError(t, err)
	return rep
}

// openAll returns all that the account's keys open in its objects, bodies with
// the identity alone.
func openAll(t testing.TB, blobs blob.Store, a *Account) []byte {
	t.Helper()
	ctx := context.Background()
	id, log := a.account.identity, a.account.log
	var all bytes.Buffer
	for info, err := range blobs.List(ctx, a.account.prefix, "") {
		require.NoError(t, err)
		folder, object, _ := strings.Cut(strings.TrimPrefix(info.Name, a.account.prefix), "/")
		switch folder {
		case "body":
			r, err := blobs.Open(ctx, info.Name, 0, -1)
			require.NoError(t, err)
			b, err := io.ReadAll(r)
			require.NoError(t, err)
			text, err := id.OpenSealed(b, 1<<20)
			require.NoError(t, err)
			all.Write(text)
		case layout.KindMark:
			oid, err := eventlog.ParseObjectID(object)
			require.NoError(t, err)
			b, err := log.GetObject(ctx, folder, oid)
			require.NoError(t, err)
			all.Write(b)
		case "log":
			e, err := log.ReadEntry(ctx, position(t, object))
			require.NoError(t, err)
			all.Write(bytes.Join(e.Records, nil))
		case "snap":
			s, err := log.ReadSnapshot(ctx, position(t, object))
			require.NoError(t, err)
			all.Write(s.Payload)
			all.Write(blocks(t, a, s.Payload))
		}
	}
	return all.Bytes()
}

// blocks opens all blocks that a manifest names.
func blocks(t testing.TB, a *Account, manifest []byte) []byte {
	t.Helper()
	s, err := state.DecodeSnapshot(manifest)
	require.NoError(t, err)
	var all bytes.Buffer
	store := a.account.pages.For(s)
	for id := range s.Segments {
		metas, err := store.ReadMetadata(t.Context(), state.MetaSource{Segment: id})
		require.NoError(t, err)
		all.Write(bytes.Join(metas, nil))
	}
	for _, m := range s.Mailboxes {
		for _, r := range m.Pages {
			p, err := store.ReadPage(t.Context(), r)
			require.NoError(t, err)
			all.Write(p.Encode())
		}
	}
	return all.Bytes()
}

func position(t testing.TB, digits string) (p eventlog.Position) {
	for _, c := range digits {
		p = p*10 + eventlog.Position(c-'0')
	}
	require.NotZero(t, p)
	return p
}

// An erased mail is erased: after it was expunged, a grace time later, no object
// of the store holds a word of it, in its body or its header, and no key for it;
// also in an account in which nothing else happens.
func TestErasedMailIsErased(t *testing.T) {
	for _, snapshots := range []bool{false, true} {
		for _, deliver := range []bool{false, true} {
			blobs, clock := memblob.New(), newClock()
			s := openAt(t, blobs, clock)
			a := newUser(t, s, "ann")
			ctx := t.Context()
			secret := "Subject: Margarethe\r\n\r\nboundless discretion\r\n"
			add(t, a, 1)
			if deliver {
				require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(secret))[0])
			} else {
				_, err := a.Append(ctx, Inbox, strings.NewReader(secret), AppendOptions{})
				require.NoError(t, err)
			}
			require.NoError(t, a.account.catchUp(ctx))
			if snapshots {
				require.NoError(t, snapshotNow(ctx, a.account))
			}
			add(t, a, 3)
			body := rowOf(t, a, a.account.state().ByName(Inbox), 2).Body
			words := [][]byte{[]byte("Margarethe"), []byte("boundless"), body.Key.File[:]}
			for _, w := range words {
				require.True(t, bytes.Contains(openAll(t, blobs, a), w))
			}
			expunge(t, a, 2)
			collect(t, a)
			clock.advance(25 * time.Hour)
			rep := collect(t, a)
			require.Positive(t, rep.Deleted)
			if snapshots {
				// The metadata stood in a segment with others', which waited its turn.
				clock.advance(25 * time.Hour)
				collect(t, a)
			}
			all := openAll(t, blobs, a)
			for i, w := range words {
				require.False(t, bytes.Contains(all, w), "word %d, snapshots %v", i, snapshots)
			}
			require.True(t, bytes.Contains(all, []byte("body of mail 3")))
			require.Equal(t, 2, sound(t, s, a).Messages)
			objects := blobs.Len()
			clock.advance(25 * time.Hour)
			rep = collect(t, a)
			clock.advance(25 * time.Hour)
			rep2 := collect(t, a)
			t.Logf("%+v\n%+v", rep, rep2)
			require.Zero(t, rep2.Deleted+rep2.Marked+rep2.Trimmed, "it comes to rest")
			require.LessOrEqual(t, blobs.Len(), objects)
		}
	}
}

// rowOf returns the message with a UID.
func rowOf(t testing.TB, a *Account, m *state.Mailbox, u UID) state.Row {
	p, err := a.account.pages.Page(context.Background(), m.Pages[m.PageOf(u)])
	require.NoError(t, err)
	i, ok := p.Find(u)
	require.True(t, ok)
	return p.Row(i)
}

// One scan deletes nothing, and nothing is deleted that came back or that is
// needed, whatever it was noted for.
func TestCollectKeepsWhatIsNeeded(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Sent"))
	for i := range 20 {
		add(t, a, i)
	}
	// A body whose message is not in the log yet is noted, and then it is.
	staged, err := s.stage(ctx, a.account.prefix, a.account.recipient, strings.NewReader(mail(99)))
	require.NoError(t, err)
	expunge(t, a, 1, 2, 3)
	dry, err := a.Collect(ctx, CollectOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 4, dry.Marked)
	before := names(t, blobs)
	require.Zero(t, dry.Deleted)
	rep := collect(t, a)
	require.Equal(t, 4, rep.Marked)
	require.Zero(t, rep.Deleted)
	require.Subset(t, names(t, blobs), before)
	err = a.account.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		return &state.AddMessages{Mailbox: 1, Time: 1, Messages: []state.NewMessage{staged}}, nil
	})
	require.NoError(t, err)
	// A message whose one copy is expunged stays for the other.
	v := selectInbox(t, a)
	_, err = v.Copy(ctx, UIDs(5), "Sent")
	require.NoError(t, err)
	expunge(t, a, 5)

	clock.advance(23 * time.Hour)
	require.Zero(t, collect(t, a).Deleted, "the grace time is not over")
	clock.advance(2 * time.Hour)
	dry, err = a.Collect(ctx, CollectOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 3, dry.Deleted)
	require.Equal(t, 3, collect(t, a).Deleted)
	for range 3 {
		clock.advance(25 * time.Hour)
		collect(t, a)
	}
	require.Equal(t, 18, sound(t, s, a).Messages)
	st, err := a.Status(ctx, "Sent")
	require.NoError(t, err)
	require.Equal(t, 1, st.Messages)
	// And another process opens it from what is left.
	recovery, err := a.Recovery()
	require.NoError(t, err)
	other := openAt(t, blobs, clock)
	b := openWith(t, other, "ann", recovery)
	require.Equal(t, 18, sound(t, other, b).Messages)
}

// A writer that stood still between storing a body and adding it to the log, while
// the body was collected, fails; with and without the account's keys.
func TestFrozenWriterCannotAddWhatWasCollected(t *testing.T) {
	for _, deliver := range []bool{false, true} {
		for _, frozenAt := range []string{"before the decision", "before the entry"} {
			ctx := t.Context()
			mem, clock := memblob.New(), newClock()
			busy := openAt(t, mem, clock)
			a := newUser(t, busy, "ann")
			recovery, err := a.Recovery()
			require.NoError(t, err)
			add(t, a, 1)

			hold := &holding{Store: mem, at: frozenAt, reached: make(chan struct{}), resume: make(chan struct{})}
			frozen := openAt(t, hold, clock)
			f := openWith(t, frozen, "ann", recovery)
			require.NoError(t, frozen.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(2)))[0])
			hold.armed.Store(true)
			result := make(chan error)
			go func() {
				if deliver {
					result <- frozen.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(3)))[0]
					return
				}
				_, err := f.Append(ctx, Inbox, strings.NewReader(mail(3)), AppendOptions{})
				result <- err
			}()
			<-hold.reached
			require.Equal(t, 1, collect(t, a).Marked)
			clock.advance(25 * time.Hour)
			require.Equal(t, 1, collect(t, a).Deleted)
			close(hold.resume)
			require.ErrorIs(t, <-result, errTooLate, "%s, deliver %v", frozenAt, deliver)
			require.Equal(t, 2, sound(t, busy, a).Messages)
		}
	}
}

// holding is a store that stops a process once.
type holding struct {
	*memblob.Store
	at              string
	armed           atomic.Bool
	reached, resume chan struct{}
}

func (h *holding) Create(ctx context.Context, name string, r io.Reader) error {
	entry := strings.Contains(name, "/log/")
	if entry && h.at == "before the entry" || strings.Contains(name, "/ring/") && h.at == "before the ring" {
		h.stop()
	}
	err := h.Store.Create(ctx, name, r)
	if strings.Contains(name, "/body/") && h.at == "before the decision" {
		h.stop()
	}
	return err
}

func (h *holding) stop() {
	if h.armed.CompareAndSwap(true, false) {
		close(h.reached)
		<-h.resume
	}
}

// A snapshot whose writer stood still, while what it names was collected, never
// becomes what the account is opened from.
func TestFrozenSnapshotDoesNoHarm(t *testing.T) {
	ctx := t.Context()
	mem, clock := memblob.New(), newClock()
	busy := openAt(t, mem, clock)
	a := newUser(t, busy, "ann")
	recovery, err := a.Recovery()
	require.NoError(t, err)
	for i := range 10 {
		add(t, a, i)
	}
	hold := &holdingSnapshot{Store: mem, reached: make(chan struct{}), resume: make(chan struct{})}
	frozen := openAt(t, hold, clock)
	f := openWith(t, frozen, "ann", recovery)
	result := make(chan error)
	go func() { result <- snapshotNow(ctx, f.account) }()
	<-hold.reached
	add(t, a, 10)
	collect(t, a)
	clock.advance(25 * time.Hour)
	require.Positive(t, collect(t, a).Deleted, "the pages that the snapshot is to name")
	close(hold.resume)
	require.ErrorIs(t, <-result, errStoodStill)
	require.Equal(t, 11, sound(t, busy, a).Messages)
	require.NoError(t, f.account.catchUp(ctx))
	require.Equal(t, 11, sound(t, frozen, f).Messages)
}

type holdingSnapshot struct {
	*memblob.Store
	reached, resume chan struct{}
}

func (h *holdingSnapshot) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.Contains(name, "/snap/") {
		close(h.reached)
		<-h.resume
	}
	return h.Store.Create(ctx, name, r)
}

// A session that was told of messages long ago gets a clear answer for those that
// were erased since, and all others.
func TestSessionsThatLagBehindACollection(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s, other := openAt(t, blobs, clock), openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Sent"))
	for i := range 5 {
		add(t, a, i)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
	b := login(t, other, "ann")
	old := selectInbox(t, b)
	expunge(t, a, 2)
	for range 4 {
		collect(t, a)
		clock.advance(25 * time.Hour)
	}
	read := func(uid UID) error {
		for m, err := range old.Messages(ctx, UIDs(uid)) {
			if err != nil {
				return err
			}
			r, err := m.Open(ctx, 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return err
		}
		return nil
	}
	err := read(2)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, eventlog.ErrCorrupt)
	done, err := old.Copy(ctx, UIDs(2), "Sent")
	if err == nil {
		require.Empty(t, done.Source)
	} else {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	// The view cannot be brought up to date any more, and says so; a new one can.
	other.cache.Forget(b.account.id)
	_, err = old.Sync(ctx, false)
	require.ErrorIs(t, err, ErrExpired)
	require.Equal(t, 4, selectInbox(t, b).Len())

	// One that was moved on in time goes on, whatever was collected.
	fresh := selectInbox(t, b)
	for i := range 4 {
		add(t, a, 10+i)
		expunge(t, a, UID(3+i))
		_, err := fresh.Sync(ctx, false)
		require.NoError(t, err)
		clock.advance(25 * time.Hour)
		require.NoError(t, b.account.catchUp(ctx))
		collect(t, a)
		_, err = fresh.Sync(ctx, false)
		require.NoError(t, err)
		n := 0
		for m, err := range fresh.Messages(ctx, All()) {
			require.NoError(t, err)
			r, err := m.Open(ctx, 0, -1)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			n++
		}
		require.Equal(t, 4, n)
	}
}

// What a collection was interrupted at any request, the next one finishes.
func TestCollectIsResumed(t *testing.T) {
	ctx := t.Context()
	for n := 1; ; n++ {
		blobs, clock := memblob.New(), newClock()
		s := openAt(t, blobs, clock)
		a := newUser(t, s, "ann")
		recovery, err := a.Recovery()
		require.NoError(t, err)
		for i := range 6 {
			add(t, a, i)
		}
		require.NoError(t, snapshotNow(ctx, a.account))
		expunge(t, a, 2, 3)
		collect(t, a)
		clock.advance(25 * time.Hour)
		ending, end := context.WithCancel(ctx)
		cut := &cutting{Store: blobs, left: n, end: end}
		c := openWith(t, openAt(t, cut, clock), "ann", recovery)
		cut.armed = true
		_, err = c.Collect(ending, CollectOptions{})
		cut.armed = false
		sound(t, s, a)
		for range 3 {
			clock.advance(25 * time.Hour)
			collect(t, a)
		}
		require.Equal(t, 4, sound(t, s, a).Messages)
		bodies := 0
		for _, name := range names(t, blobs) {
			if strings.Contains(name, "/body/") {
				bodies++
			}
		}
		require.Equal(t, 4, bodies)
		if err == nil {
			require.Greater(t, n, 5)
			return
		}
	}
}

// cutting is a store that fails for good after some writes and deletes.
type cutting struct {
	*memblob.Store
	armed bool
	left  int
	end   func() // the process ends
}

func (c *cutting) spend() error {
	if !c.armed {
		return nil
	}
	if c.left--; c.left < 0 {
		c.end()
		return fs.ErrPermission
	}
	return nil
}

func (c *cutting) Create(ctx context.Context, name string, r io.Reader) error {
	if err := c.spend(); err != nil {
		return err
	}
	return c.Store.Create(ctx, name, r)
}

func (c *cutting) Delete(ctx context.Context, names ...string) error {
	for _, n := range names { // a process may end between any two
		if err := c.spend(); err != nil {
			return err
		}
		if err := c.Store.Delete(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// An account that is too large for one pass is collected in several.
func TestCollectInParts(t *testing.T) {
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	s.collectPart = 10
	a := newUser(t, s, "ann")
	for i := range 100 {
		add(t, a, i)
	}
	expunge(t, a, 1, 2, 3, 50, 51, 52, 99)
	require.Equal(t, 7, collect(t, a).Marked)
	clock.advance(25 * time.Hour)
	require.Equal(t, 7, collect(t, a).Deleted)
	require.Equal(t, 93, sound(t, s, a).Messages)
}

// A damaged account is not collected: what is needed cannot be told.
func TestDamagedAccountIsNotCollected(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	for i := range 5 {
		add(t, a, i)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
	expunge(t, a, 1)
	collect(t, a)
	clock.advance(25 * time.Hour)
	s.cache.Forget(a.account.id)
	pages, _ := packsOf(t, a)
	require.NoError(t, blobs.Delete(ctx, pages...))
	before := names(t, blobs)
	_, err := a.Collect(ctx, CollectOptions{})
	require.Error(t, err)
	for _, name := range before {
		if strings.Contains(name, "/body/") {
			require.Contains(t, names(t, blobs), name)
		}
	}
}

// Background collection happens once per Grace, by whichever process, and not in
// a new account.
func TestCollectsByItself(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	open := func() *Store {
		s, err := Open(ctx, blobs, Options{Password: cheap, PollInterval: -1, Now: clock.now})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	s, other := open(), open()
	a := newUser(t, s, "ann")
	b := login(t, other, "ann")
	add(t, a, 1)
	expunge(t, a, 1)
	marks := func() (n int) {
		for _, name := range names(t, blobs) {
			if strings.Contains(name, "/gc/") {
				n++
			}
		}
		return n
	}
	bodies := func() (n int) {
		for _, name := range names(t, blobs) {
			if strings.Contains(name, "/body/") {
				n++
			}
		}
		return n
	}
	a.account.collectIfDue(ctx)
	require.Zero(t, marks(), "the account is young")
	clock.advance(25 * time.Hour)
	a.account.collectIfDue(ctx)
	require.Equal(t, 1, marks())
	clock.advance(12 * time.Hour)
	before := names(t, blobs)
	a.account.collectIfDue(ctx)
	b.account.collectIfDue(ctx)
	require.Equal(t, before, names(t, blobs))
	require.Equal(t, 1, bodies())
	clock.advance(24 * time.Hour)
	// The last one to leave sees to it.
	require.NoError(t, a.Close())
	s.retiring.Wait()
	require.Zero(t, bodies())
	require.Equal(t, 1, marks())
}

// An account that was removed leaves nothing, wherever the removal was
// interrupted, and its name can be used again.
func TestDeleteAccount(t *testing.T) {
	ctx := t.Context()
	base, clock := memblob.New(), newClock()
	first := openAt(t, base, clock)
	add(t, newUser(t, first, "bob"), 7)
	others := names(t, base)
	ann := newUser(t, first, "ann")
	for i := range 3 {
		add(t, ann, i)
	}
	require.NoError(t, snapshotNow(ctx, ann.account))
	recovery, err := ann.Recovery()
	require.NoError(t, err)
	for n := 0; ; n++ {
		blobs := base.Clone()
		s := openAt(t, blobs, clock)
		a := openWith(t, s, "ann", recovery)
		in, err := s.inbox(ctx, "ann")
		require.NoError(t, err)
		require.NoError(t, in.ready(ctx))

		cut := &cutting{Store: blobs, left: n, armed: true, end: func() {}}
		err = openAt(t, cut, clock).DeleteAccount(ctx, "ann")
		finished := err == nil
		if !finished {
			if err := s.DeleteAccount(ctx, "ann"); err != nil {
				require.ErrorIs(t, err, ErrNoAccount) // Sweep does the rest
			}
		} else {
			require.ErrorIs(t, s.DeleteAccount(ctx, "ann"), ErrNoAccount)
			s.expel(a.account.id)
		}
		require.ErrorIs(t, s.Lookup(ctx, "ann"), ErrNoAccount)
		require.ErrorIs(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0], ErrNoAccount)

		// A delivery that had begun ends after it.
		staged, err := s.stage(ctx, in.prefix, in.recipient(), strings.NewReader(mail(1)))
		require.NoError(t, err)
		_ = in.deliver(ctx, "", 1, staged)
		require.NoError(t, s.CreateAccount(ctx, "ann", []byte("new")))
		_, err = s.Check(ctx, func(p Problem) { require.True(t, p.Harmless, p) })
		require.NoError(t, err)
		clock.advance(25 * time.Hour)
		for range 2 {
			_, err = s.Sweep(ctx, SweepOptions{Logs: true})
			require.NoError(t, err)
		}
		require.NoError(t, s.DeleteAccount(ctx, "ann"))
		clock.advance(25 * time.Hour)
		rep, err := s.Sweep(ctx, SweepOptions{Logs: true})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Objects, "the tombstone")
		require.Equal(t, others, names(t, blobs))
		if finished {
			require.Greater(t, n, 5)
			return
		}
	}
}

// Removing an account ends its sessions here.
func TestDeleteAccountEndsSessions(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	watch := a.Watch()
	defer watch.Close()
	require.ErrorIs(t, s.DeleteAccount(ctx, "nobody"), ErrNoAccount)
	require.NoError(t, s.DeleteAccount(ctx, "Ann"))
	<-watch.C
	_, err := a.Status(ctx, Inbox)
	require.ErrorIs(t, err, ErrClosed)
	require.Empty(t, a.account.identity.Export(), "its keys are gone")

	// In another process too, which finds out by itself.
	newUser(t, s, "bob")
	other := openStore(t, s.blobs)
	b := login(t, other, "bob")
	require.False(t, other.wasRemoved(ctx, b.account))
	require.NoError(t, s.DeleteAccount(ctx, "bob"))
	require.True(t, other.wasRemoved(ctx, b.account))
	other.expelThis(b.account)
	_, err = b.Status(ctx, Inbox)
	require.ErrorIs(t, err, ErrClosed)
}

func TestGoneCodec(t *testing.T) {
	g := gone{id: eventlog.ID{1}, since: time.Unix(5, 0), name: "name/" + strings.Repeat("ab", 32)}
	golden.Equal(t, "gone", g.encode())
}

// What a collection holds does not follow the account: 8 bytes a message for what
// is needed, and some pages. LETTERLOCK_COLLECT says of how many messages; a
// million take a while.
func TestCollectMemory(t *testing.T) {
	ctx := t.Context()
	messages := 20_000
	if n := os.Getenv("LETTERLOCK_COLLECT"); n != "" {
		var err error
		messages, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	d, err := diskblob.Open(t.TempDir(), &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	clock := newClock()
	scales := &weighing{Store: d}
	s := openAt(t, scales, clock)
	a := newUser(t, s, "ann")
	fill(t, a, messages)
	for range 2 { // what the snapshots of filling left
		collect(t, a)
		clock.advance(25 * time.Hour)
	}
	junk := messages / 20
	for i := range junk {
		name := layout.BodyName(a.account.prefix, eventlog.ObjectID{byte(i), byte(i >> 8), byte(i >> 16), 1, 15: byte(i)})
		require.NoError(t, d.Create(ctx, name, strings.NewReader("x")))
	}
	limit := int64(16*messages + 1<<20)
	for i := range 2 {
		scales.begin()
		rep := collect(t, a)
		got := scales.end(t)
		t.Logf("%d messages, %d objects of garbage: %d marked, %d deleted, holds at most %d KiB", messages, junk, rep.Marked, rep.Deleted, got>>10)
		require.Less(t, got, limit)
		if i == 0 {
			require.GreaterOrEqual(t, rep.Marked, junk)
		} else {
			require.GreaterOrEqual(t, rep.Deleted, junk)
		}
		clock.advance(25 * time.Hour)
	}
}

// weighing is a store that weighs the heap when it is written to.
type weighing struct {
	blob.Store
	base, peak int64 // base 0: not now
	weighed    int
}

func (w *weighing) heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (w *weighing) begin() { w.weighed, w.base = 0, w.heap(); w.peak = w.base }

func (w *weighing) end(t *testing.T) int64 {
	require.Positive(t, w.weighed)
	grew := w.peak - w.base
	w.base = 0
	return grew
}

func (w *weighing) weigh() {
	if w.base != 0 && w.weighed < 50 {
		w.weighed++
		w.peak = max(w.peak, w.heap())
	}
}

func (w *weighing) Create(ctx context.Context, name string, r io.Reader) error {
	w.weigh()
	return w.Store.Create(ctx, name, r)
}

func (w *weighing) Delete(ctx context.Context, names ...string) error {
	w.weigh()
	return w.Store.Delete(ctx, names...)
}
