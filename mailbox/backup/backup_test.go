package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/backup"
)

var cheap = crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}

func open(t *testing.T, blobs blob.Store) *mailbox.Store {
	t.Helper()
	s, err := mailbox.Open(t.Context(), blobs, mailbox.Options{Password: cheap})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func login(t *testing.T, s *mailbox.Store, name string) *mailbox.Account {
	t.Helper()
	a, err := s.Login(t.Context(), name, []byte("secret"))
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

func create(t *testing.T, s *mailbox.Store, name string) *mailbox.Account {
	t.Helper()
	require.NoError(t, s.CreateAccount(t.Context(), name, []byte("secret")))
	return login(t, s, name)
}

func mail(n int) string { return fmt.Sprintf("Subject: %d\r\n\r\nmail %d\r\n", n, n) }

func deliver(t *testing.T, s *mailbox.Store, name string, n int) {
	t.Helper()
	require.NoError(t, s.Deliver(t.Context(), []mailbox.Recipient{{Account: name}}, strings.NewReader(mail(n)))[0])
}

// texts returns the bodies of INBOX in order of UIDs.
func texts(t *testing.T, a *mailbox.Account) (out []string, uids []mailbox.UID) {
	t.Helper()
	v, err := a.Select(t.Context(), mailbox.Inbox, true)
	require.NoError(t, err)
	defer v.Close()
	for m, err := range v.Messages(t.Context(), mailbox.All()) {
		require.NoError(t, err)
		r, err := m.Open(t.Context(), 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		out, uids = append(out, string(b)), append(uids, m.UID)
	}
	return out, uids
}

// whole asserts that a store has no damage, keyless and with the keys.
func whole(t *testing.T, s *mailbox.Store, accounts ...*mailbox.Account) {
	t.Helper()
	report := func(p mailbox.Problem) {
		if !p.Harmless {
			t.Errorf("check: %v", p)
		}
	}
	_, err := s.Check(t.Context(), report)
	require.NoError(t, err)
	for _, a := range accounts {
		_, err := a.Check(t.Context(), report)
		require.NoError(t, err)
	}
}

func names(t *testing.T, s blob.Store) []string {
	t.Helper()
	var out []string
	for info, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		if !strings.HasPrefix(info.Name, "wake/") {
			out = append(out, info.Name)
		}
	}
	return out
}

func TestCopyIsIncremental(t *testing.T) {
	ctx := t.Context()
	source, target := memblob.New(), memblob.New()
	s := open(t, source)
	ann := create(t, s, "ann")
	create(t, s, "bob")
	for i := range 5 {
		deliver(t, s, "ann", i)
	}
	first, err := backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	require.Equal(t, 2, first.Accounts)
	require.Zero(t, first.Deleted, "there was nothing")
	require.Equal(t, names(t, source), names(t, target))
	again, err := backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	require.Zero(t, again.Copied)
	deliver(t, s, "ann", 5)
	more, err := backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	require.Equal(t, 2, more.Copied, "a body and an entry")

	// What must not open anything any more does not in the copy either.
	require.NoError(t, ann.SetPassword(ctx, []byte("new")))
	require.NoError(t, s.RenameAccount(ctx, "bob", "bert"))
	_, err = backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	require.Equal(t, names(t, source), names(t, target))
	c := open(t, target.Clone())
	_, err = c.Login(ctx, "ann", []byte("secret"))
	require.ErrorIs(t, err, mailbox.ErrAuth)
	require.ErrorIs(t, c.Lookup(ctx, "bob"), mailbox.ErrNoAccount)
	a, err := c.Login(ctx, "ann", []byte("new"))
	require.NoError(t, err)
	defer a.Close()
	got, _ := texts(t, a)
	require.Len(t, got, 6)
	whole(t, c, a, login(t, c, "bert"))
	seen, err := backup.Compare(ctx, source, target, func(name string, err error) { t.Errorf("%s: %v", name, err) })
	require.NoError(t, err)
	require.Equal(t, len(names(t, source)), seen.Same)
}

// The copy of a store in use is, for each account, the state of one moment: what
// was acknowledged before it began, and what follows in order without a hole.
func TestCopyOfALiveStoreIsAPrefix(t *testing.T) {
	ctx := t.Context()
	now := &clock{}
	dir := t.TempDir()
	source, err := diskblob.Open(dir, &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s, err := mailbox.Open(ctx, source, mailbox.Options{Password: cheap, Now: now.Now, Grace: time.Minute})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	users := []string{"ann", "bob"}
	var taken [2]atomic.Int64
	stop := make(chan struct{})
	var pause sync.RWMutex // held for reading by a step of a writer, else by who sets the clock
	var writers sync.WaitGroup
	for i, name := range users {
		a := create(t, s, name)
		writers.Go(func() {
			v, err := a.Select(ctx, mailbox.Inbox, false)
			if err != nil {
				t.Error(err)
				return
			}
			defer v.Close()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Flags make entries, so that snapshots are due and the log is trimmed.
				pause.RLock()
				errs := s.Deliver(ctx, []mailbox.Recipient{{Account: name}}, strings.NewReader(mail(n)))
				_, err := v.Sync(ctx, false)
				if err == nil {
					_, err = v.Store(ctx, mailbox.All(), mailbox.FlagsAdd, []string{fmt.Sprint("$k", n%8)}, mailbox.StoreOptions{})
				}
				pause.RUnlock()
				if err := errors.Join(errs[0], err); err != nil {
					t.Error(err)
					return
				}
				taken[i].Add(1)
			}
		})
	}
	defer writers.Wait()
	defer sync.OnceFunc(func() { close(stop) })()
	target := memblob.New()
	trimmed := false
	for round := 0; round < 2 || !trimmed && round < 50; round++ {
		before := [2]int64{}
		for i := range users {
			goal := taken[i].Load() + 30
			require.Eventually(t, func() bool { return taken[i].Load() >= goal || t.Failed() }, time.Minute, time.Millisecond)
			before[i] = taken[i].Load()
		}
		report, err := backup.Copy(ctx, source, target, backup.Options{})
		require.NoError(t, err, "round %d", round)
		trimmed = trimmed || report.Deleted > 0
		c, err := mailbox.Open(ctx, target.Clone(), mailbox.Options{Password: cheap, Now: now.Now, Grace: time.Minute})
		require.NoError(t, err)
		for i, name := range users {
			a, err := c.Login(ctx, name, []byte("secret"))
			require.NoError(t, err)
			got, _ := texts(t, a)
			require.GreaterOrEqual(t, int64(len(got)), before[i])
			for n, text := range got {
				require.Equal(t, mail(n), text)
			}
			whole(t, c, a)
			require.NoError(t, a.Close())
		}
		require.NoError(t, c.Close())
		pause.Lock()
		now.advance(2 * time.Minute) // what was superseded may go
		pause.Unlock()
	}
	require.True(t, trimmed, "no log was trimmed while it was copied: the test shows less than it should")
}

// clock is a wall clock that goes when it is told.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// cut is a store whose n-th create and all after it fail.
type cut struct {
	blob.Store
	left atomic.Int64
}

var errCut = errors.New("cut off")

func (s *cut) Create(ctx context.Context, name string, r io.Reader) error {
	if s.left.Add(-1) < 0 {
		return errCut
	}
	return s.Store.Create(ctx, name, r)
}

// A copy that is cut off at any moment leaves a target that is either whole as far
// as it goes, or no store yet; and the next one completes it.
func TestCopyIsCutOff(t *testing.T) {
	ctx := t.Context()
	source := memblob.New()
	s := open(t, source)
	a := create(t, s, "ann")
	for i := range 3 {
		deliver(t, s, "ann", i)
	}
	complete := memblob.New()
	_, err := backup.Copy(ctx, source, complete, backup.Options{Parallel: 1})
	require.NoError(t, err)
	for i := range 3 {
		deliver(t, s, "ann", 3+i)
	}
	_, err = a.Append(ctx, mailbox.Inbox, strings.NewReader(mail(6)), mailbox.AppendOptions{})
	require.NoError(t, err)
	for _, base := range []*memblob.Store{memblob.New(), complete} {
		for n := int64(0); ; n++ {
			target := base.Clone()
			broken := &cut{Store: target}
			broken.left.Store(n)
			_, err := backup.Copy(ctx, source, broken, backup.Options{Parallel: 1})
			if err == nil {
				require.Greater(t, n, int64(5))
				break
			}
			require.ErrorIs(t, err, errCut)
			if _, err := target.Stat(ctx, "store/format"); err == nil {
				c := open(t, target.Clone())
				if c.Lookup(ctx, "ann") == nil {
					whole(t, c, login(t, c, "ann"))
				}
			} else if n > 0 {
				_, err := mailbox.Open(ctx, target.Clone(), mailbox.Options{})
				require.ErrorContains(t, err, "not whole")
			}
			_, err = backup.Copy(ctx, source, target, backup.Options{})
			require.NoError(t, err)
			require.Equal(t, names(t, source), names(t, target))
		}
	}
}

func TestBadSourcesAndTargets(t *testing.T) {
	ctx := t.Context()
	source, target := memblob.New(), memblob.New()
	_, err := backup.Copy(ctx, source, target, backup.Options{})
	require.ErrorContains(t, err, "no store to copy")
	s := open(t, source)
	create(t, s, "ann")
	create(t, s, "bob")
	deliver(t, s, "ann", 1)
	older := source.Clone()
	deliver(t, s, "ann", 2)
	deliver(t, s, "ann", 3)
	_, err = backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	had := names(t, target)

	// A source that was set back, or went another way from there, changes nothing.
	_, err = backup.Copy(ctx, older, target, backup.Options{})
	require.ErrorIs(t, err, backup.ErrRolledBack)
	o := open(t, older)
	for i := range 4 {
		deliver(t, o, "ann", 10+i)
		_, err = backup.Copy(ctx, older, target, backup.Options{})
		require.ErrorIs(t, err, backup.ErrRolledBack)
	}
	deliver(t, o, "bob", 1) // but other accounts are copied
	_, err = backup.Copy(ctx, older, target, backup.Options{})
	require.ErrorIs(t, err, backup.ErrRolledBack)
	var bodies int
	for _, name := range names(t, target) {
		if !slices.Contains(had, name) && strings.Contains(name, "/log/") {
			bodies++
		}
	}
	require.Equal(t, 1, bodies)

	// Another store's copy, and a folder of something else, are not written to.
	other := memblob.New()
	open(t, other)
	_, err = backup.Copy(ctx, source, other, backup.Options{})
	require.ErrorIs(t, err, backup.ErrOtherStore)
	foreign := memblob.New()
	require.NoError(t, foreign.Create(ctx, "letter", strings.NewReader("x")))
	_, err = backup.Copy(ctx, source, foreign, backup.Options{})
	require.ErrorIs(t, err, backup.ErrOtherStore)
	require.Equal(t, []string{"letter"}, names(t, foreign))
}

// unreadable is a store with bodies that cannot be read.
type unreadable struct {
	blob.Store
	bad string
}

func (s *unreadable) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if name == s.bad {
		return nil, errors.New("bad sector")
	}
	return s.Store.Open(ctx, name, off, n)
}

// A body that cannot be read is named, and all else is copied, again and again.
func TestUnreadableBody(t *testing.T) {
	ctx := t.Context()
	source, target := memblob.New(), memblob.New()
	s := open(t, source)
	create(t, s, "ann")
	deliver(t, s, "ann", 1)
	bad := &unreadable{Store: source}
	for _, name := range names(t, source) {
		if strings.Contains(name, "/body/") {
			bad.bad = name
		}
	}
	for i := range 2 {
		deliver(t, s, "ann", 2+i)
		report, err := backup.Copy(ctx, bad, target, backup.Options{})
		require.ErrorContains(t, err, bad.bad)
		require.Equal(t, 1, report.Unreadable)
		have := names(t, target)
		want := slices.DeleteFunc(names(t, source), func(n string) bool { return n == bad.bad })
		require.Equal(t, want, have)
	}
}

// An account that is removed stays in the copy until it is pruned.
func TestRemovedAccount(t *testing.T) {
	ctx := t.Context()
	source, target := memblob.New(), memblob.New()
	s := open(t, source)
	create(t, s, "ann")
	create(t, s, "bob")
	deliver(t, s, "bob", 1)
	_, err := backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	require.NoError(t, s.DeleteAccount(ctx, "bob"))
	_, err = backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	c := open(t, target.Clone())
	got, _ := texts(t, login(t, c, "bob"))
	require.Equal(t, []string{mail(1)}, got)
	_, err = backup.Copy(ctx, source, target, backup.Options{Prune: true})
	require.NoError(t, err)
	p := open(t, target.Clone())
	require.ErrorIs(t, p.Lookup(ctx, "bob"), mailbox.ErrNoAccount)
	whole(t, p, login(t, p, "ann"))
	require.Less(t, len(names(t, target)), len(names(t, source))+1)
}

func TestPruneAndCompare(t *testing.T) {
	ctx := t.Context()
	source, target := memblob.New(), memblob.New()
	s := open(t, source)
	create(t, s, "ann")
	create(t, s, "bob")
	for i := range 3 {
		deliver(t, s, "ann", i)
	}
	_, err := backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	all := names(t, target)

	// Bob's account and one of Ann's bodies are deleted in the source.
	of := map[string]int{}
	for _, name := range all {
		if strings.HasPrefix(name, "acct/") {
			of[name[:5+32]]++
		}
	}
	smaller := slices.MinFunc(slices.Collect(maps.Keys(of)), func(a, b string) int { return of[a] - of[b] })
	var gone []string
	for _, name := range all {
		if strings.HasPrefix(name, smaller+"/") || strings.Contains(name, "/body/") && len(gone) < of[smaller] {
			gone = append(gone, name)
		}
		if b, err := read(ctx, source, name); strings.HasPrefix(name, "name/") && err == nil && strings.Contains(fmt.Sprintf("acct/%x", b[1:17]), smaller) {
			gone = append(gone, name)
		}
	}
	require.NoError(t, source.Delete(ctx, gone...))
	_, err = backup.Copy(ctx, source, target, backup.Options{})
	require.NoError(t, err)
	require.Equal(t, all, names(t, target), "nothing goes that was not asked for")
	seen, err := backup.Compare(ctx, source, target, func(name string, err error) { t.Errorf("%s: %v", name, err) })
	require.NoError(t, err)
	require.Equal(t, len(gone), seen.Kept)
	_, err = backup.Copy(ctx, source, target, backup.Options{Prune: true})
	require.NoError(t, err)
	require.Equal(t, names(t, source), names(t, target))

	// One byte of an object is another one.
	for _, name := range names(t, target) {
		if strings.Contains(name, "/body/") {
			b, err := read(ctx, target, name)
			require.NoError(t, err)
			b[len(b)-1] ^= 1
			require.NoError(t, target.Delete(ctx, name))
			require.NoError(t, target.Create(ctx, name, strings.NewReader(string(b))))
			var found []string
			seen, err = backup.Compare(ctx, source, target, func(name string, _ error) { found = append(found, name) })
			require.NoError(t, err)
			require.Equal(t, []string{name}, found)
			require.Equal(t, 1, seen.Different)
			break
		}
	}
}

func read(ctx context.Context, s blob.Store, name string) ([]byte, error) {
	r, err := s.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
