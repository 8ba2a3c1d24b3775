package mailbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// stuck is a store that deletes nothing, as if the process had been killed there.
type stuck struct {
	blob.Store
	on bool
}

var errStuck = errors.New("stuck")

func (s *stuck) Delete(ctx context.Context, names ...string) error {
	if s.on {
		return errStuck
	}
	return s.Store.Delete(ctx, names...)
}

func TestRenameAccount(t *testing.T) {
	ctx := t.Context()
	blobs := &stuck{Store: memblob.New()}
	s, err := Open(ctx, blobs, Options{Password: cheap, ServerKey: crypto.NewServerKey()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	a := newUser(t, s, "ann")
	newUser(t, s, "bob")
	mailTo := func(name string) error {
		return s.Deliver(ctx, []Recipient{{Account: name}}, strings.NewReader(mail(1)))[0]
	}
	names := func() map[string]bool {
		out := map[string]bool{}
		for name, err := range s.Accounts(ctx) {
			require.NoError(t, err)
			out[name] = true
		}
		return out
	}
	require.ErrorIs(t, s.RenameAccount(ctx, "eve", "ann"), ErrNoAccount)
	require.ErrorIs(t, s.RenameAccount(ctx, "ann", "bob"), ErrAccountExists)
	require.ErrorIs(t, s.RenameAccount(ctx, "ann", ""), ErrBadName)
	require.NoError(t, s.RenameAccount(ctx, "ann", "ANN"))

	// Between its two steps both names lead to the account.
	blobs.on = true
	require.ErrorIs(t, s.RenameAccount(ctx, "ann", "anna"), errStuck)
	require.NoError(t, mailTo("ann"))
	require.NoError(t, mailTo("anna"))
	require.Equal(t, map[string]bool{"ann": true, "anna": true, "bob": true}, names())

	blobs.on = false
	require.NoError(t, s.RenameAccount(ctx, "ann", "anna"))
	require.ErrorIs(t, mailTo("ann"), ErrNoAccount)
	require.NoError(t, mailTo("anna"))
	require.Equal(t, map[string]bool{"anna": true, "bob": true}, names())
	_, err = s.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrAuth)
	again, err := s.Login(ctx, "anna", []byte("secret of ann"))
	require.NoError(t, err)
	defer again.Close()
	st, err := a.Status(ctx, Inbox)
	require.NoError(t, err, "the session that was open goes on")
	require.Equal(t, 3, st.Messages)
	_, err = s.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
}

// Both names go with an account that an interrupted rename left with two.
func TestDeleteAccountWithTwoNames(t *testing.T) {
	ctx := t.Context()
	clock := newClock()
	base := memblob.New()
	blobs := &stuck{Store: base}
	s := openAt(t, blobs, clock)
	newUser(t, s, "bob")
	newUser(t, s, "ann")
	blobs.on = true
	require.ErrorIs(t, s.RenameAccount(ctx, "ann", "anna"), errStuck)
	blobs.on = false
	require.NoError(t, s.DeleteAccount(ctx, "anna"))
	require.ErrorIs(t, s.Lookup(ctx, "anna"), ErrNoAccount)
	require.Error(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
	for range 2 {
		_, err := s.Sweep(ctx, SweepOptions{})
		require.NoError(t, err)
		clock.advance(25 * time.Hour)
	}
	require.ErrorIs(t, s.Lookup(ctx, "ann"), ErrNoAccount)
	require.NoError(t, s.CreateAccount(ctx, "ann", []byte("new")))
	require.NoError(t, s.Lookup(ctx, "bob"))
	for _, object := range names(t, base) {
		require.False(t, strings.HasPrefix(object, layout.RemovedFolder), object)
	}
}

func TestUsageAndHistory(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	_, err := s.Usage(ctx, "bob")
	require.ErrorIs(t, err, ErrNoAccount)
	require.NoError(t, a.Create(ctx, "Work"))
	for i := range 4 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, openStore(t, blobs).Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(9)))[0])
	v := selectInbox(t, a)
	_, err = v.Copy(ctx, UIDs(1, 2), "Work")
	require.NoError(t, err)
	require.NoError(t, snapshotNow(ctx, a.account))
	_, err = v.Store(ctx, UIDs(3), FlagsAdd, []string{FlagDeleted}, StoreOptions{})
	require.NoError(t, err)
	_, err = v.Expunge(ctx, nil)
	require.NoError(t, err)

	u, err := s.Usage(ctx, "ANN")
	require.NoError(t, err)
	c, err := a.Contents(ctx)
	require.NoError(t, err)
	require.Equal(t, u, c.Usage)
	require.Equal(t, 5, u.Bodies.Objects)
	require.Equal(t, u.Total.Bytes, u.Bodies.Bytes+u.Entries.Bytes+u.Snapshots.Bytes+u.Keys.Bytes)
	require.Equal(t, 2, c.Mailboxes)
	require.Equal(t, 6, c.Messages)
	// The body of the message that is gone. The page that it stood on lies in a pack
	// that holds another page too.
	require.Equal(t, 1, c.Garbage.Objects)
	require.Positive(t, c.Garbage.Bytes)

	var keyless, keyed []LogEntry
	for e, err := range s.Log(ctx, "ann", 0) {
		require.NoError(t, err)
		require.Empty(t, e.Events)
		keyless = append(keyless, e)
	}
	var text []string
	for e, err := range a.Log(ctx, 0) {
		require.NoError(t, err)
		keyed = append(keyed, LogEntry{EntryInfo: e.EntryInfo})
		text = append(text, e.Events...)
	}
	require.Equal(t, keyless, keyed)
	require.Len(t, keyless, u.Entries.Objects)
	all := strings.Join(text, "\n")
	for _, want := range []string{
		"begin: INBOX", `create mailbox "Work"`, "add 1 messages to mailbox 1", "deliver 1 messages to folder",
		"copy 2 messages from mailbox 1 to mailbox 2", `add flags \Deleted of 1 messages`, "expunge 1 messages from mailbox 1",
	} {
		require.Contains(t, all, want)
	}
	require.NotContains(t, all, "body of mail")
	for e, err := range s.Log(ctx, "ann", eventlog.Position(len(keyless)-1)) {
		require.NoError(t, err)
		require.Equal(t, eventlog.Position(len(keyless)), e.Pos)
	}
	for _, err := range s.Log(ctx, "bob", 0) {
		require.ErrorIs(t, err, ErrNoAccount)
	}
	for kind := range byte(255) {
		e := state.NewEvent(kind)
		if _, batch := e.(*state.Batch); e == nil || batch {
			continue
		}
		require.NotEmpty(t, describe(e), "kind %d", kind)
		require.NotContains(t, describe(e)[0], "event of kind", "kind %d", kind)
	}
}

// What is left of an account that was never made is no damage.
func TestCheckOfAHalfMadeAccount(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	newUser(t, s, "ann")
	require.NoError(t, blobs.Create(ctx, "acct/"+strings.Repeat("0", 32)+"/key/0001", strings.NewReader("cut")))
	_, err := s.Check(ctx, func(p Problem) { require.True(t, p.Harmless, "%v", p) })
	require.NoError(t, err)
}
