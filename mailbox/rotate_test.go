package mailbox

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// withIdentity opens an account with an identity that may be refused.
func withIdentity(t testing.TB, s *Store, recovery string) (*Account, error) {
	t.Helper()
	id, err := crypto.ParseIdentity(recovery)
	require.NoError(t, err)
	a, err := s.OpenAccount(context.Background(), "ann", id)
	if err == nil {
		t.Cleanup(func() { a.Close() })
	}
	return a, err
}

// texts returns the bytes of all messages in INBOX.
func texts(t testing.TB, a *Account) (out []string) {
	t.Helper()
	ctx := context.Background()
	for m, err := range selectInbox(t, a).Messages(ctx, All()) {
		require.NoError(t, err)
		_, err := m.Meta(ctx)
		require.NoError(t, err)
		r, err := m.Open(ctx, 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		out = append(out, string(b))
	}
	return out
}

// After a change of identity all that was there is readable, all that comes is
// sealed to the new one, and nothing that opened the account before opens it.
func TestRotateIdentity(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s, other, post := openAt(t, blobs, clock), openAt(t, blobs, clock), openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	add(t, a, 0)
	require.NoError(t, snapshotNow(ctx, a.account))
	add(t, a, 1)
	token, err := a.AddToken(ctx, "phone")
	require.NoError(t, err)
	old, err := a.Recovery()
	require.NoError(t, err)
	b := login(t, other, "ann") // another process, and one that delivers
	require.NoError(t, post.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(2)))[0])
	byToken, err := s.Login(ctx, "ann", []byte(token.Export()))
	require.NoError(t, err)
	_, err = byToken.RotateIdentity(ctx, []byte("mine"))
	require.ErrorIs(t, err, ErrByToken)
	require.NoError(t, byToken.Close())
	before := names(t, blobs)

	next, err := a.RotateIdentity(ctx, []byte("new secret"))
	require.NoError(t, err)
	require.NotEqual(t, old, next)
	_, err = a.Status(ctx, Inbox)
	require.ErrorIs(t, err, ErrClosed)
	_, err = b.Append(ctx, Inbox, strings.NewReader(mail(9)), AppendOptions{})
	require.ErrorIs(t, err, ErrRotated)

	for _, s := range []*Store{s, other, openAt(t, blobs, clock)} {
		_, err = s.Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, ErrAuth)
		_, err = s.Login(ctx, "ann", []byte(token.Export()))
		require.ErrorIs(t, err, ErrAuth)
		_, err = withIdentity(t, s, old)
		require.ErrorIs(t, err, ErrRotated)
	}
	// Who delivers and knows the old recipient still does.
	require.NoError(t, post.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(3)))[0])
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(4)))[0])
	c, err := other.Login(ctx, "ann", []byte("new secret"))
	require.NoError(t, err)
	defer c.Close()
	add(t, c, 5)
	require.Equal(t, []string{mail(0), mail(1), mail(2), mail(3), mail(4), mail(5)}, texts(t, c))
	got, err := c.Recovery()
	require.NoError(t, err)
	require.Equal(t, next, got)
	gone, err := c.Retired()
	require.NoError(t, err)
	require.Equal(t, []string{old}, gone)
	tokens, err := c.Tokens(ctx)
	require.NoError(t, err)
	require.Empty(t, tokens)
	sound(t, other, c)
	d, err := withIdentity(t, openAt(t, blobs, clock), next)
	require.NoError(t, err)
	require.Len(t, texts(t, d), 6)

	// The old identity opens nothing that was written since, but deliveries of who
	// did not know; the new one all of it.
	oldID, err := crypto.ParseIdentity(old)
	require.NoError(t, err)
	sealed := 0
	for _, name := range names(t, blobs) {
		if bytes.Contains([]byte(strings.Join(before, "\n")), []byte(name)) || !strings.Contains(name, "/body/") {
			continue
		}
		data := bytesOf(t, blobs, name)
		if _, err := oldID.OpenSealed(data, 1<<20); err != nil {
			sealed++
		}
	}
	require.Equal(t, 2, sealed)

	// And again, over two generations.
	add(t, c, 6)
	third, err := c.RotateIdentity(ctx, []byte("third"))
	require.NoError(t, err)
	e, err := s.Login(ctx, "ann", []byte("third"))
	require.NoError(t, err)
	defer e.Close()
	require.Len(t, texts(t, e), 7)
	gone, err = e.Retired()
	require.NoError(t, err)
	require.Equal(t, []string{next, old}, gone)
	_, err = withIdentity(t, openAt(t, blobs, clock), next)
	require.ErrorIs(t, err, ErrRotated)
	_, err = withIdentity(t, openAt(t, blobs, clock), old)
	require.ErrorIs(t, err, ErrRotated)
	_, err = withIdentity(t, openAt(t, blobs, clock), third)
	require.NoError(t, err)
	for range 3 {
		clock.advance(25 * time.Hour)
		collect(t, e)
	}
	require.Len(t, texts(t, e), 7)
	sound(t, s, e)
}

// Wherever a change of identity is interrupted, the account opens, with the old
// password or the new one, and then with all of its mail; and a login with the
// new password completes it.
func TestRotationIsInterrupted(t *testing.T) {
	ctx := t.Context()
	base, clock := memblob.New(), newClock()
	first := openAt(t, base, clock)
	a := newUser(t, first, "ann")
	old, err := a.Recovery()
	require.NoError(t, err)
	add(t, a, 0)
	_, err = a.AddToken(ctx, "phone")
	require.NoError(t, err)
	for n := 0; ; n++ {
		blobs := base.Clone()
		ending, end := context.WithCancel(ctx)
		cut := &cutting{Store: blobs, left: n, end: end}
		r, err := withIdentity(t, openAt(t, cut, clock), old)
		require.NoError(t, err)
		cut.armed = true
		returned, failed := r.RotateIdentity(ending, []byte("new"))
		cut.armed = false
		s := openAt(t, blobs, clock)
		deliver := func() error {
			return s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0]
		}
		waits := deliver()
		if waits != nil { // the change is in effect, and nobody has said yet to whom mail goes
			require.ErrorIs(t, waits, fs.ErrNotExist)
			require.NotErrorIs(t, waits, ErrNoAccount)
		}
		opened := 0
		for _, password := range []string{"secret of ann", "new"} {
			b, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte(password))
			if err != nil {
				continue
			}
			if opened++; opened == 1 && waits != nil {
				require.NoError(t, deliver(), "the login has said it")
				require.NoError(t, b.account.catchUp(ctx))
			}
			require.Equal(t, []string{mail(0), mail(1)}, texts(t, b))
			sound(t, s, b)
			require.NoError(t, b.Close())
		}
		require.Positive(t, opened, "after %d writes", n)
		b, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte("new"))
		if err != nil { // it had hardly begun
			b, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("secret of ann"))
			require.NoError(t, err)
		}
		got, err := b.Recovery()
		require.NoError(t, err)
		if got != old {
			require.Equal(t, got, returned, "after %d writes: %v", n, failed)
		}
		add(t, b, 2)
		require.Len(t, texts(t, b), 3)
		_, err = b.RotateIdentity(ctx, []byte("final"))
		require.NoError(t, err, "after %d writes", n)
		c, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte("final"))
		require.NoError(t, err)
		require.Len(t, texts(t, c), 3)
		require.NoError(t, c.Close())
		if failed == nil {
			require.NotEqual(t, old, got)
			require.Greater(t, n, 6)
			return
		}
	}
}

// A change of identity is interrupted before its moment of effect, and a session of the
// identity goes on for days, writes snapshots and trims: nothing changed, and what was
// prepared neither opens the account nor stands in the way.
func TestRotationIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, password := range []string{"new", "secret of ann"} {
		blobs, clock, session := rotating(t, password, beforeRekey)
		trimmed := 0
		for i := range 4 {
			add(t, session, 1+i)
			trimmed += collect(t, session).Trimmed
			clock.advance(25 * time.Hour)
		}
		require.Positive(t, trimmed)
		s := openAt(t, blobs, clock)
		if password == "new" {
			_, err := s.Login(ctx, "ann", []byte("new"))
			require.ErrorIs(t, err, ErrAuth)
		}
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(5)))[0])
		for range 2 {
			b, err := s.Login(ctx, "ann", []byte("secret of ann"))
			require.NoError(t, err)
			require.Len(t, texts(t, b), 6)
			sound(t, s, b)
			require.NoError(t, b.Close())
		}
		b, err := s.Login(ctx, "ann", []byte("secret of ann"))
		require.NoError(t, err)
		_, err = b.RotateIdentity(ctx, []byte("newer"))
		require.NoError(t, err)
		b, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("newer"))
		require.NoError(t, err)
		require.Len(t, texts(t, b), 6)
		sound(t, s, b)
		require.NoError(t, b.Close())
		_, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, ErrAuth)
	}
}

// A change of identity is interrupted right after its moment of effect: it took place.
// Sessions of the identity before end, mail waits, and a login with the new password
// lets it in and deletes what is left of the old.
func TestRotationIsInterruptedInEffect(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, password := range []string{"new", "secret of ann"} {
		blobs, clock, session := rotating(t, password, afterRekey)
		_, err := session.Append(ctx, Inbox, strings.NewReader(mail(9)), AppendOptions{})
		require.ErrorIs(t, err, ErrRotated)
		require.Error(t, session.SetPassword(ctx, []byte("other")))
		post := openAt(t, blobs, clock)
		err = post.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0]
		require.ErrorIs(t, err, fs.ErrNotExist, "nobody has said yet to whom it goes")
		require.NotErrorIs(t, err, ErrNoAccount, "it is to be tried again")
		if password == "new" {
			_, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("secret of ann"))
			require.ErrorIs(t, err, ErrRotated)
		}
		clock.advance(25 * time.Hour)
		_, err = post.Sweep(ctx, SweepOptions{Logs: true})
		require.NoError(t, err)
		s := openAt(t, blobs, clock)
		for i := range 2 {
			a, err := s.Login(ctx, "ann", []byte(password))
			require.NoError(t, err)
			if i == 0 {
				require.NoError(t, post.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
				require.NoError(t, a.account.catchUp(ctx))
			}
			require.Equal(t, []string{mail(0), mail(1)}, texts(t, a))
			sound(t, s, a)
			tokens, err := a.Tokens(ctx)
			require.NoError(t, err)
			require.Empty(t, tokens)
			require.NoError(t, a.Close())
		}
		slots := 0
		for _, name := range names(t, blobs) {
			if strings.Contains(name, "/slot/") {
				slots++
			}
			require.NotContains(t, name, "/key/0000000001")
		}
		require.Equal(t, 1, slots)
	}
}

// Of two changes of identity at a time one is made: the one that began last.
func TestRotationsAtATime(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	recovery, err := a.Recovery()
	require.NoError(t, err)
	add(t, a, 0)
	hold := &holding{Store: blobs, at: "before the ring", reached: make(chan struct{}), resume: make(chan struct{})}
	frozen, err := withIdentity(t, openAt(t, hold, clock), recovery)
	require.NoError(t, err)
	hold.armed.Store(true)
	result := make(chan error)
	go func() {
		_, err := frozen.RotateIdentity(ctx, []byte("late"))
		result <- err
	}()
	<-hold.reached
	interrupted(t, blobs, clock, recovery, "given up", beforeRekey) // it began later
	close(hold.resume)
	require.ErrorIs(t, <-result, ErrRotating)
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
	_, err = a.RotateIdentity(ctx, []byte("second"))
	require.NoError(t, err)
	other := openAt(t, blobs, clock)
	require.NoError(t, other.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(2)))[0])
	for _, password := range []string{"late", "given up", "secret of ann"} {
		_, err = other.Login(ctx, "ann", []byte(password))
		require.ErrorIs(t, err, ErrAuth)
	}
	b, err := other.Login(ctx, "ann", []byte("second"))
	require.NoError(t, err)
	defer b.Close()
	require.Equal(t, []string{mail(0), mail(1), mail(2)}, texts(t, b))
	sound(t, other, b)
}

// Who has the old identity and may write the store can neither lead mail back to
// it unnoticed nor write as the owner, nor change what the owner reads.
func TestRetiredIdentityForgesNothing(t *testing.T) {
	ctx := t.Context()
	damages(t)
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	add(t, a, 0)
	require.NoError(t, snapshotNow(ctx, a.account))
	prefix := a.account.prefix
	published := bytesOf(t, blobs, keyring.Name{Epoch: 1, Claim: true}.Object(prefix))
	next, err := a.RotateIdentity(ctx, []byte("new"))
	require.NoError(t, err)
	b, err := withIdentity(t, s, next)
	require.NoError(t, err)
	add(t, b, 1)
	require.NoError(t, snapshotNow(ctx, b.account))
	_, head := b.account.committer.State()

	second := keyring.Name{Epoch: 2, Claim: true}.Object(prefix)
	forge := blobs.Clone()
	put(t, forge, second, published)
	_, err = withIdentity(t, openAt(t, forge, clock), next)
	require.ErrorIs(t, err, ErrSwappedKey, "the old recipient was put back")
	require.NoError(t, forge.Delete(ctx, second))
	_, err = withIdentity(t, openAt(t, forge, clock), next)
	require.NoError(t, err)
	require.Equal(t, bytesOf(t, blobs, second), bytesOf(t, forge, second), "one that was lost is published again")

	// Packs written anew by who knows the keys of the blocks that were there before the
	// change, which the newest snapshot names too.
	forge = blobs.Clone()
	for _, name := range names(t, forge) {
		if strings.HasPrefix(name, prefix+layout.PackFolder) {
			b := bytesOf(t, forge, name)
			b[20] ^= 1 // in its first block; zeros end it
			put(t, forge, name, b)
		}
	}
	c, err := withIdentity(t, openAt(t, forge, clock), next)
	if err == nil {
		read := 0
		for m, err := range selectInbox(t, c).Messages(ctx, All()) {
			if err == nil {
				_, err = m.Meta(ctx)
			}
			if err != nil {
				require.ErrorIs(t, err, eventlog.ErrCorrupt)
				break
			}
			read++
		}
		require.Less(t, read, 2)
	}

	// A snapshot under the identity before, where that of the owner was.
	forge = blobs.Clone()
	for _, name := range names(t, forge) {
		if strings.Contains(name, "/snap/") {
			require.NoError(t, forge.Delete(ctx, name))
		}
	}
	require.NoError(t, forge.Create(ctx, eventlog.SnapshotName(prefix, head.Pos), bytes.NewReader(bytesOf(t, blobs, eventlog.SnapshotName(prefix, head.Pos))[:69])))
	c, err = withIdentity(t, openAt(t, forge, clock), next)
	require.NoError(t, err)
	require.Len(t, texts(t, c), 2, "it reads the log from its beginning")
}

const frozenRotated = "testdata/store-rotated"

// A store whose account had two identities, and a collection, must open for ever.
func TestFrozenRotatedStoreOpens(t *testing.T) {
	ctx := t.Context()
	if *golden.Update {
		writeFrozenRotated(t)
	}
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(frozenRotated, "objects"))))
	d, err := diskblob.Open(dir, &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	s := openStore(t, d)
	lines, err := os.ReadFile(filepath.Join(frozenRotated, "recovery.txt"))
	require.NoError(t, err)
	identities := strings.Fields(string(lines))
	a, err := withIdentity(t, s, identities[0])
	require.NoError(t, err)
	gone, err := a.Retired()
	require.NoError(t, err)
	require.Equal(t, identities[1:], gone)
	require.Equal(t, []string{mail(0), mail(2), mail(3)}, texts(t, a))
	sound(t, s, a)
	b, err := s.Login(ctx, "ann", []byte("new"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	add(t, a, 4)
	require.Len(t, texts(t, a), 4)
}

func writeFrozenRotated(t *testing.T) {
	ctx := t.Context()
	require.NoError(t, os.RemoveAll(frozenRotated))
	dir := t.TempDir()
	d, err := diskblob.Open(dir, &diskblob.Options{NoSync: true})
	require.NoError(t, err)
	clock := newClock()
	s := openAt(t, d, clock)
	a := newUser(t, s, "ann")
	old, err := a.Recovery()
	require.NoError(t, err)
	for i := range 3 {
		add(t, a, i)
	}
	expunge(t, a, 2)
	collect(t, a)
	next, err := a.RotateIdentity(ctx, []byte("new"))
	require.NoError(t, err)
	b, err := withIdentity(t, s, next)
	require.NoError(t, err)
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(3)))[0])
	require.NoError(t, b.account.catchUp(ctx))
	require.NoError(t, os.CopyFS(filepath.Join(frozenRotated, "objects"), os.DirFS(dir)))
	require.NoError(t, os.WriteFile(filepath.Join(frozenRotated, "recovery.txt"), []byte(next+"\n"+old+"\n"), 0o644))
}

// stopping is a store that fails for good from a write on.
type stopping struct {
	*memblob.Store
	stop    func(name string, kind byte) (before, after bool)
	end     func() // the process ends
	stopped atomic.Bool
}

func (s *stopping) Create(ctx context.Context, name string, r io.Reader) error {
	if s.stopped.Load() {
		return fs.ErrPermission
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	kind := byte(0)
	if strings.Contains(name, "/log/") {
		kind = b[4]
	}
	before, after := s.stop(name, kind)
	if before || after {
		s.stopped.Store(true)
		defer s.end()
	}
	if before {
		return fs.ErrPermission
	}
	return s.Store.Create(ctx, name, bytes.NewReader(b))
}

func (s *stopping) Delete(ctx context.Context, names ...string) error {
	if s.stopped.Load() {
		return fs.ErrPermission
	}
	return s.Store.Delete(ctx, names...)
}

// Where a change of identity is interrupted: before or after its moment of effect.
func beforeRekey(_ string, kind byte) (before, after bool) {
	return kind == 0x83 || kind == 0xc3, false
}
func afterRekey(_ string, kind byte) (before, after bool) { return false, kind == 0x83 || kind == 0xc3 }

// interrupted changes the identity of an account, and is cut off.
func interrupted(t *testing.T, blobs *memblob.Store, clock *handClock, recovery, password string, stop func(string, byte) (bool, bool)) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	cut := &stopping{Store: blobs, stop: stop, end: end}
	a, err := withIdentity(t, openAt(t, cut, clock), recovery)
	require.NoError(t, err)
	_, err = a.RotateIdentity(ctx, []byte(password))
	require.Error(t, err)
	require.True(t, cut.stopped.Load())
}

// rotating is an account with one message and a token whose change of identity was
// interrupted, and a session of the identity before.
func rotating(t *testing.T, password string, stop func(string, byte) (bool, bool)) (blobs *memblob.Store, clock *handClock, session *Account) {
	t.Helper()
	blobs, clock = memblob.New(), newClock()
	session = newUser(t, openAt(t, blobs, clock), "ann")
	add(t, session, 0)
	_, err := session.AddToken(t.Context(), "phone")
	require.NoError(t, err)
	recovery, err := session.Recovery()
	require.NoError(t, err)
	interrupted(t, blobs, clock, recovery, password, stop)
	return blobs, clock, session
}

// Who remembers that the password opens the slot of the identity before finds the
// one after it, which the same password opens.
func TestRememberedPasswordOfTheIdentityBefore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann") // logged in by the password
	recovery, err := a.Recovery()
	require.NoError(t, err)
	require.NoError(t, a.Close())
	interrupted(t, blobs, clock, recovery, "secret of ann", afterRekey)
	a, err = s.Login(ctx, "ann", []byte("secret of ann"))
	require.NoError(t, err)
	got, err := a.Recovery()
	require.NoError(t, err)
	require.False(t, got == recovery)
	require.NoError(t, a.Close())
}

// A password that is set while the identity is changed does not lock the account.
func TestSetPasswordWhileRotating(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	blobs, clock, session := rotating(t, "new", beforeRekey)
	require.NoError(t, session.SetPassword(ctx, []byte("other")), "nothing changed")
	a, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte("other"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
}
