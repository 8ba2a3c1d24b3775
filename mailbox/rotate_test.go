package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
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
	require.ErrorIs(t, err, ErrSwappedKey, "it cannot know the third")
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
		_, failed := r.RotateIdentity(ending, []byte("new"))
		cut.armed = false
		s := openAt(t, blobs, clock)
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
		opened := 0
		for _, password := range []string{"secret of ann", "new"} {
			b, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte(password))
			if err != nil {
				continue
			}
			opened++
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

// A change of identity is interrupted, and a session of the identity before goes
// on for days, writes snapshots and trims: the new one opens all of that.
func TestRotationIsInterruptedForDays(t *testing.T) {
	ctx := t.Context()
	base, clock := memblob.New(), newClock()
	first := openAt(t, base, clock)
	a := newUser(t, first, "ann")
	old, err := a.Recovery()
	require.NoError(t, err)
	add(t, a, 0)
	for _, inEffect := range []bool{false, true} {
		blobs := base.Clone()
		session, err := withIdentity(t, openAt(t, blobs, clock), old)
		require.NoError(t, err)
		ending, end := context.WithCancel(ctx)
		cut := &cutting{Store: blobs, left: 3, end: end} // what the new identity needs
		if inEffect {
			cut.left++ // and the end of the old recipient
		}
		r, err := withIdentity(t, openAt(t, cut, clock), old)
		require.NoError(t, err)
		cut.armed = true
		_, err = r.RotateIdentity(ending, []byte("new"))
		require.Error(t, err)
		cut.armed = false
		_, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("secret of ann"))
		if inEffect {
			require.ErrorIs(t, err, ErrRotated)
		} else {
			require.NoError(t, err)
		}

		trimmed := 0
		for i := range 4 {
			add(t, session, 1+i)
			trimmed += collect(t, session).Trimmed
			clock.advance(25 * time.Hour)
		}
		require.Positive(t, trimmed)

		s := openAt(t, blobs, clock)
		b, err := s.Login(ctx, "ann", []byte("new"))
		require.NoError(t, err, "in effect: %v", inEffect)
		require.Len(t, texts(t, b), 5)
		_, err = session.Append(ctx, Inbox, strings.NewReader(mail(9)), AppendOptions{})
		require.ErrorIs(t, err, ErrRotated)
		require.NoError(t, b.Close())
		for i := range 3 {
			b, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("new"))
			require.NoError(t, err)
			require.Len(t, texts(t, b), 5+i)
			add(t, b, 5+i)
			collect(t, b)
			clock.advance(25 * time.Hour)
		}
		sound(t, s, b)
		_, err = openAt(t, blobs, clock).Login(ctx, "ann", []byte("secret of ann"))
		require.ErrorIs(t, err, ErrRotated)
	}
}

// A change of identity stands still before it publishes its recipient, and the
// identity is changed twice meanwhile: no mail is sealed to the one that came late.
func TestFrozenRotationPublishesNothing(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	recovery, err := a.Recovery()
	require.NoError(t, err)
	add(t, a, 0)
	hold := &holding{Store: blobs, at: "before the recipient", reached: make(chan struct{}), resume: make(chan struct{})}
	frozen, err := withIdentity(t, openAt(t, hold, clock), recovery)
	require.NoError(t, err)
	hold.armed.Store(true)
	result := make(chan error)
	go func() {
		_, err := frozen.RotateIdentity(ctx, []byte("late"))
		result <- err
	}()
	<-hold.reached
	for _, password := range []string{"second", "third"} {
		_, err = a.RotateIdentity(ctx, []byte(password))
		require.NoError(t, err)
		a, err = s.Login(ctx, "ann", []byte(password))
		require.NoError(t, err)
		defer a.Close()
	}
	before := names(t, blobs)
	close(hold.resume)
	require.ErrorIs(t, <-result, ErrRotating)
	require.Subset(t, before, names(t, blobs))

	other := openAt(t, blobs, clock)
	require.NoError(t, other.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
	b, err := other.Login(ctx, "ann", []byte("third"))
	require.NoError(t, err)
	defer b.Close()
	require.Equal(t, []string{mail(0), mail(1)}, texts(t, b))
	sound(t, other, b)
}

// Who has the old identity and may write the store can neither lead mail back to
// it unnoticed nor write as the owner.
func TestRetiredIdentityForgesNothing(t *testing.T) {
	ctx := t.Context()
	damages(t)
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	old, err := a.Recovery()
	require.NoError(t, err)
	add(t, a, 0)
	prefix, id := a.account.prefix, a.account.id
	published := bytesOf(t, blobs, prefix+layout.PublishedKey)
	next, err := a.RotateIdentity(ctx, []byte("new"))
	require.NoError(t, err)

	forge := blobs.Clone()
	put(t, forge, prefix+layout.PublishedKey, published)
	_, err = withIdentity(t, openAt(t, forge, clock), next)
	require.ErrorIs(t, err, ErrSwappedKey, "the old recipient was put back")

	forge = blobs.Clone()
	thief, err := crypto.NewIdentity()
	require.NoError(t, err)
	p := publication{object: keyObject(prefix, 1), number: 1, recipient: thief.Recipient()}
	put(t, forge, p.object, []byte(p.recipient.String()+"\n"))
	_, err = withIdentity(t, openAt(t, forge, clock), next)
	require.ErrorIs(t, err, ErrSwappedKey)

	// An entry and a snapshot under the retired identity, after the change.
	oldID, err := crypto.ParseIdentity(old)
	require.NoError(t, err)
	keyless, err := eventlog.New(eventlog.Config{Store: blobs, Prefix: prefix, ID: id})
	require.NoError(t, err)
	head, err := keyless.FindHead(ctx)
	require.NoError(t, err)
	forge = blobs.Clone()
	forged, err := eventlog.New(eventlog.Config{Store: forge, Prefix: prefix, ID: id, Keys: &eventlog.Keys{Identity: oldID}})
	require.NoError(t, err)
	_, err = forged.FindHead(ctx)
	require.NoError(t, err)
	_, err = forged.Append(ctx, eventlog.Owned, state.EncodeEvent(&state.DeleteMailbox{Mailbox: 1}))
	require.NoError(t, err)
	_, err = withIdentity(t, openAt(t, forge, clock), next)
	require.ErrorIs(t, err, eventlog.ErrCorrupt)
	require.ErrorContains(t, err, "retired")

	forge = blobs.Clone()
	for _, name := range names(t, forge) {
		if strings.Contains(name, "/snap/") {
			require.NoError(t, forge.Delete(ctx, name))
		}
	}
	forged, err = eventlog.New(eventlog.Config{Store: forge, Prefix: prefix, ID: id, Keys: &eventlog.Keys{Identity: oldID}})
	require.NoError(t, err)
	empty := state.NewAccount(1, &state.Genesis{UIDValidity: 1})
	require.NoError(t, forged.WriteSnapshot(ctx, head, state.EncodeSnapshot(empty)))
	b, err := withIdentity(t, openAt(t, forge, clock), next)
	require.NoError(t, err)
	require.Len(t, texts(t, b), 1, "the snapshot of the retired identity is passed over")

}

// Who has an identity before, and so all before it, cannot let a snapshot of these
// count at a position after the change, by a note that it may not make.
func TestStolenIdentityReachesNoFurther(t *testing.T) {
	ctx := t.Context()
	damages(t)
	blobs, clock := memblob.New(), newClock()
	a := newUser(t, openAt(t, blobs, clock), "ann")
	first, err := a.Recovery()
	require.NoError(t, err)
	add(t, a, 0)
	stolen, err := a.RotateIdentity(ctx, []byte("second"))
	require.NoError(t, err)
	b, err := withIdentity(t, openAt(t, blobs, clock), stolen)
	require.NoError(t, err)
	next, err := b.RotateIdentity(ctx, []byte("third"))
	require.NoError(t, err)
	s := openAt(t, blobs, clock)
	c, err := withIdentity(t, s, next)
	require.NoError(t, err)
	add(t, c, 1)
	_, head := c.account.committer.State()
	prefix, id := c.account.prefix, c.account.id

	thief, err := crypto.ParseIdentity(stolen)
	require.NoError(t, err)
	require.NoError(t, s.noteOverdue(ctx, prefix, thief, head.Pos))
	for _, name := range names(t, blobs) {
		if strings.Contains(name, "/snap/") || strings.Contains(name, "/log/") && !strings.HasSuffix(name, fmt.Sprintf("%016d", head.Pos)) {
			require.NoError(t, blobs.Delete(ctx, name))
		}
	}
	firstID, err := crypto.ParseIdentity(first)
	require.NoError(t, err)
	forged, err := eventlog.New(eventlog.Config{Store: blobs, Prefix: prefix, ID: id, Keys: &eventlog.Keys{Identity: firstID}})
	require.NoError(t, err)
	empty := state.NewAccount(1, &state.Genesis{UIDValidity: 1})
	require.NoError(t, forged.WriteSnapshot(ctx, head, state.EncodeSnapshot(empty)))
	_, err = withIdentity(t, openAt(t, blobs, clock), next)
	require.ErrorIs(t, err, eventlog.ErrCorrupt)
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

// interrupted changes the identity of an account, and is cut off after so many
// writes and deletes.
func interrupted(t *testing.T, blobs *memblob.Store, clock *handClock, recovery, password string, writes int) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	cut := &cutting{Store: blobs, left: writes, end: end}
	a, err := withIdentity(t, openAt(t, cut, clock), recovery)
	require.NoError(t, err)
	cut.armed = true
	_, err = a.RotateIdentity(ctx, []byte(password))
	require.Error(t, err)
	cut.armed = false
}

// rotating is an account with one message whose change of identity was interrupted
// after so many writes, and a session of the identity before.
func rotating(t *testing.T, password string, writes int) (blobs *memblob.Store, clock *handClock, session *Account) {
	t.Helper()
	blobs, clock = memblob.New(), newClock()
	session = newUser(t, openAt(t, blobs, clock), "ann")
	add(t, session, 0)
	recovery, err := session.Recovery()
	require.NoError(t, err)
	interrupted(t, blobs, clock, recovery, password, writes)
	return blobs, clock, session
}

const (
	untilPublished = 3 // ring, slot, next recipient
	untilInEffect  = 4 // and the end of the old one
	untilFenced    = 6 // a note, and an entry under the new identity
)

// From the moment at which mail is sealed to the next identity, a session of the
// one before goes no further: it would give UIDs that mail has which it cannot see.
func TestRetiredSessionStopsAtUnreadableMail(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	blobs, clock, session := rotating(t, "new", untilInEffect)
	add(t, session, 1) // nobody knows yet
	post := openAt(t, blobs, clock)
	require.NoError(t, post.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(2)))[0])
	_, err := session.Append(ctx, Inbox, strings.NewReader(mail(9)), AppendOptions{})
	require.ErrorIs(t, err, ErrRotated)
	a, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte("new"))
	require.NoError(t, err)
	defer a.Close()
	require.Equal(t, []string{mail(0), mail(1), mail(2)}, texts(t, a))
	sound(t, post, a)
}

// A snapshot of a session that went on under the identity before is passed over, and
// keeps nobody from checking and collecting the account.
func TestLateSnapshotIsPassedOver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	session := newUser(t, openAt(t, blobs, clock), "ann")
	add(t, session, 0)
	add(t, session, 1)
	expunge(t, session, 2)
	collect(t, session)
	clock.advance(25 * time.Hour) // so that the next one deletes
	recovery, err := session.Recovery()
	require.NoError(t, err)
	interrupted(t, blobs, clock, recovery, "new", untilInEffect)
	add(t, session, 1)
	require.NoError(t, snapshotNow(ctx, session.account))
	s := openAt(t, blobs, clock)
	a, err := s.Login(ctx, "ann", []byte("new"))
	require.NoError(t, err)
	defer a.Close()
	sound(t, s, a)
	require.Positive(t, collect(t, a).Deleted)
	require.Equal(t, []string{mail(0), mail(1)}, texts(t, a))
	sound(t, s, a)
}

// A change to the password that the account has is completed by the next login, and
// does not stand in the way of another.
func TestInterruptedRotationToTheSamePassword(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for writes := untilPublished; writes <= untilFenced; writes++ {
		blobs, clock, session := rotating(t, "secret of ann", writes)
		old, err := session.Recovery()
		require.NoError(t, err)
		knows := openAt(t, blobs, clock)
		if writes == untilPublished {
			_, err := session.RotateIdentity(ctx, []byte("secret of ann"))
			require.ErrorIs(t, err, ErrRotating)
			knows = session.account.store // it remembers the password, but not for which slot
		}
		for range 2 { // the second time it remembers the password
			a, err := knows.Login(ctx, "ann", []byte("secret of ann"))
			require.NoError(t, err)
			recovery, err := a.Recovery()
			require.NoError(t, err)
			require.False(t, old == recovery, "the login completed the change")
			require.NoError(t, a.Close())
		}
		a, err := knows.Login(ctx, "ann", []byte("secret of ann"))
		require.NoError(t, err)
		_, err = a.RotateIdentity(ctx, []byte("secret of ann"))
		require.NoError(t, err)
		// Where the slot before was not deleted, it is not the one remembered.
		a, err = knows.Login(ctx, "ann", []byte("secret of ann"))
		require.NoError(t, err)
		require.Equal(t, []string{mail(0)}, texts(t, a))
		require.NoError(t, a.Close())
	}
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
	interrupted(t, blobs, clock, recovery, "secret of ann", untilInEffect)
	a, err = s.Login(ctx, "ann", []byte("secret of ann"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
}

// A session of the identity before does not delete the slot of the next one.
func TestRetiredSessionSetsNoPassword(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for writes, want := range map[int]error{untilPublished: ErrRotating, untilInEffect: ErrRotated, untilFenced: ErrRotated} {
		blobs, clock, session := rotating(t, "new", writes)
		before := names(t, blobs)
		require.ErrorIs(t, session.SetPassword(ctx, []byte("other")), want)
		require.Equal(t, before, names(t, blobs))
		a, err := openAt(t, blobs, clock).Login(ctx, "ann", []byte("new"))
		require.NoError(t, err)
		require.NoError(t, a.SetPassword(ctx, []byte("other")))
		require.NoError(t, a.Close())
	}
}

// Who completes a change for which others went on for days is interrupted too,
// before the snapshot under the new identity: the next login completes it.
func TestCompletionIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	blobs, clock, session := rotating(t, "new", untilInEffect)
	trimmed := 0
	for i := range 4 {
		add(t, session, 1+i)
		trimmed += collect(t, session).Trimmed
		clock.advance(25 * time.Hour)
	}
	require.Positive(t, trimmed)
	base := blobs
	for writes := range 20 {
		blobs := base.Clone()
		ending, end := context.WithCancel(ctx)
		cut := &cutting{Store: blobs, left: writes, end: end, armed: true}
		a, failed := openAt(t, cut, clock).Login(ending, "ann", []byte("new"))
		if failed == nil {
			require.NoError(t, a.Close())
		}
		cut.armed = false
		s := openAt(t, blobs, clock)
		for range 2 {
			a, err := s.Login(ctx, "ann", []byte("new"))
			require.NoError(t, err, "after %d writes", writes)
			require.Len(t, texts(t, a), 5)
			sound(t, s, a)
			require.NoError(t, a.Close())
		}
		if failed == nil {
			require.GreaterOrEqual(t, writes, 3, "a note, an entry, a snapshot")
			return
		}
	}
	require.Fail(t, "the login was always interrupted")
}
