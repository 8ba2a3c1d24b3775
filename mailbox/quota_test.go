package mailbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
)

func openWithQuotas(t testing.TB, blobs blob.Store) *Store {
	t.Helper()
	s, err := Open(t.Context(), blobs, Options{Password: cheap, Quotas: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func fillWith(t testing.TB, a *Account, size int) error {
	t.Helper()
	const head = "Subject: x\r\n\r\n"
	_, err := a.Append(t.Context(), Inbox, strings.NewReader(head+strings.Repeat("x", size-len(head))), AppendOptions{})
	return err
}

// Limits hold for what is added and copied, at the byte; what makes room, or needs
// none, is never refused.
func TestQuota(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openWithQuotas(t, blobs)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Copies"))
	require.NoError(t, fillWith(t, a, 1000))
	q, held, err := a.Quota(ctx)
	require.NoError(t, err)
	require.Equal(t, Quota{}, q)
	require.Equal(t, Held{1000, 1}, held)

	require.NoError(t, s.SetQuota(ctx, "Ann", Quota{Storage: 3000}))
	q, err = s.Quota(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, Quota{Storage: 3000}, q)
	require.ErrorIs(t, fillWith(t, a, 2001), ErrOverQuota)
	require.NoError(t, fillWith(t, a, 2000))
	err = fillWith(t, a, 20)
	require.ErrorIs(t, err, ErrOverQuota)
	require.NotErrorIs(t, err, ErrTooLarge)
	require.ErrorIs(t, fillWith(t, a, 3001), ErrTooLarge, "it would never fit")
	v := selectInbox(t, a)
	_, err = v.Copy(ctx, All(), "Copies")
	require.ErrorIs(t, err, ErrOverQuota)
	_, err = v.Move(ctx, UIDs(1), "Copies")
	require.NoError(t, err)
	_, err = v.Store(ctx, All(), FlagsAdd, []string{FlagDeleted}, StoreOptions{})
	require.NoError(t, err)
	deleted, err := a.DeletedStorage(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, int64(2000), deleted)
	_, err = v.Replace(ctx, 2, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err, "what it takes the place of is larger")
	_, err = a.Select(ctx, Inbox, false)
	require.NoError(t, err)
	require.NoError(t, fillWith(t, a, 500))

	// Messages, and several at once.
	_, held, err = a.Quota(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(3), held.Messages)
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{Messages: 5}))
	p, err := a.NewAppender(ctx, Inbox)
	require.NoError(t, err)
	require.NoError(t, p.Add(ctx, strings.NewReader(mail(1)), AppendOptions{}))
	require.NoError(t, p.Add(ctx, strings.NewReader(mail(2)), AppendOptions{}))
	require.ErrorIs(t, p.Add(ctx, strings.NewReader(mail(3)), AppendOptions{}), ErrOverQuota)
	require.NoError(t, fillWith(t, a, 100)) // meanwhile
	_, err = p.Commit(ctx)
	require.ErrorIs(t, err, ErrOverQuota, "it is decided on the state that it commits on")
	require.NoError(t, fillWith(t, a, 100))
	require.ErrorIs(t, fillWith(t, a, 100), ErrOverQuota)

	// Below what is there, and none.
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{Messages: 1}))
	require.ErrorIs(t, fillWith(t, a, 100), ErrOverQuota)
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{}))
	require.NoError(t, fillWith(t, a, 100))
	require.Len(t, accountObjects(t, blobs, a.account.prefix+quotaLimits), 1, "older ones are deleted")

	require.Error(t, s.SetQuota(ctx, "ann", Quota{Storage: -1}))
	require.ErrorIs(t, s.SetQuota(ctx, "nobody", Quota{}), ErrNoAccount)
	require.Error(t, openStore(t, memblob.New()).SetQuota(ctx, "ann", Quota{}))
	_, err = s.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
}

// Who delivers without the keys goes by what was noted of the usage, and by what
// it delivered itself; a session that makes room is heard of.
func TestQuotaOfDeliveries(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s, lmtp := openWithQuotas(t, blobs), openWithQuotas(t, blobs)
	a := newUser(t, s, "ann")
	deliver := func(size int) error {
		return lmtp.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader("\r\n"+strings.Repeat("x", size-2)))[0]
	}
	look := func() { lmtp.forgetQuota(a.account.id) } // as after five minutes
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{Storage: 10_000}))
	require.NoError(t, fillWith(t, a, 4000)) // 40 % is worth a note

	require.NoError(t, deliver(4000))
	require.ErrorIs(t, deliver(4000), ErrOverQuota)
	require.ErrorIs(t, deliver(20_000), ErrTooLarge)
	require.NoError(t, deliver(1000))
	// The next look finds the same note and does not forget what came since.
	lmtp.mu.Lock()
	for _, in := range lmtp.inboxes {
		in.made = in.made.Add(-2 * inboxLife)
	}
	lmtp.mu.Unlock()
	require.ErrorIs(t, deliver(2000), ErrOverQuota)

	// The session reads what came and makes room: its change is noted.
	v := selectInbox(t, a)
	require.Equal(t, 3, v.Len())
	_, err := v.Store(ctx, All(), FlagsAdd, []string{FlagDeleted}, StoreOptions{})
	require.NoError(t, err)
	_, err = v.Expunge(ctx, nil)
	require.NoError(t, err)
	look()
	require.NoError(t, deliver(9000))
	require.ErrorIs(t, deliver(2000), ErrOverQuota)
	require.Len(t, accountObjects(t, blobs, a.account.prefix+quotaUsage), 1)

	// In the process that has the account open the state itself tells.
	require.NoError(t, a.account.catchUp(ctx))
	err = s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(strings.Repeat("x", 2000)))[0]
	require.ErrorIs(t, err, ErrOverQuota)
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{}))
	look()
	require.NoError(t, deliver(20_000))
}

// A delivery that is refused leaves nothing, and reads nothing if the account is
// full already; the others of the transaction get theirs.
func TestQuotaRefusesEarly(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openWithQuotas(t, blobs)
	a, b := newUser(t, s, "ann"), newUser(t, s, "bob")
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{Messages: 1}))
	require.NoError(t, fillWith(t, a, 100))
	errs := s.Deliver(ctx, []Recipient{{Account: "ann"}, {Account: "bob"}}, strings.NewReader(mail(1)))
	require.ErrorIs(t, errs[0], ErrOverQuota)
	require.NoError(t, errs[1])
	require.Equal(t, 1, total(t, b))
	require.Len(t, accountObjects(t, blobs, a.account.prefix+"body/"), 1)
	broken := errors.New("broken")
	errs = s.Deliver(ctx, []Recipient{{Account: "ann"}}, readerFunc(func([]byte) (int, error) { return 0, broken }))
	require.ErrorIs(t, errs[0], ErrOverQuota)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A warm delivery costs no request more with quotas than without, nor does a warm
// append.
func TestQuotaCosts(t *testing.T) {
	ctx := t.Context()
	cost := func(quotas bool) (deliver, appended map[blobtest.Class]blobtest.Count) {
		count := blobtest.NewCounting(memblob.New(), kindOf)
		s, err := Open(ctx, count, Options{Password: cheap, Quotas: quotas, PollInterval: -1})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		a := newUser(t, s, "ann")
		if quotas {
			require.NoError(t, s.SetQuota(ctx, "ann", Quota{Storage: 1 << 30, Messages: 1 << 20}))
		}
		one := func() {
			require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
		}
		require.NoError(t, fillWith(t, a, 100))
		calls := func(do func()) map[blobtest.Class]blobtest.Count {
			count.Reset()
			do()
			all := count.All()
			for k, c := range all {
				all[k] = blobtest.Count{Calls: c.Calls}
			}
			return all
		}
		appended = calls(func() { require.NoError(t, fillWith(t, a, 100)) })
		require.NoError(t, a.Close()) // or it reads what is delivered
		one()
		return calls(one), appended
	}
	d0, a0 := cost(false)
	d1, a1 := cost(true)
	require.Equal(t, d0, d1)
	require.Equal(t, a0, a1)
}

// The objects of a quota, byte for byte, and what is none of them.
func TestQuotaObjectsAreFrozen(t *testing.T) {
	want, err := os.ReadFile("testdata/quota.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), quotaText(limitsHead, 1<<30, 0)+quotaText(usageHead, 123_456, 789))
	storage, messages, err := parseQuota(limitsHead, []byte(quotaText(limitsHead, 1<<30, 0)))
	require.NoError(t, err)
	require.Equal(t, []int64{1 << 30, 0}, []int64{storage, messages})
	for _, bad := range []string{
		"", "letterlock quota 2\nstorage 1\nmessages 1\n", "letterlock quota 1\nstorage -1\nmessages 1\n",
		"letterlock quota 1\nstorage 01\nmessages 1\n", "letterlock quota 1\nstorage 1\nmessages 1\nmore",
		"letterlock usage 1\nstorage 1\nmessages 1\n", "letterlock quota 1\nstorage 99999999999999999999\nmessages 1\n",
	} {
		_, _, err := parseQuota(limitsHead, []byte(bad))
		require.ErrorIs(t, err, eventlog.ErrCorrupt, "%q", bad)
	}
}

// Limits hold for any number of accounts that one process delivers to in turn,
// more than it remembers inboxes or tallies of.
func TestQuotaOfManyAccounts(t *testing.T) {
	ctx := t.Context()
	const users, limit = 1100, 2
	for name, most := range map[string]int{"tallies for all": maxTallies, "tallies for few": 100} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(ctx, memblob.New(), Options{Password: cheap, Quotas: true, PollInterval: -1})
			require.NoError(t, err)
			defer s.Close()
			s.tallies.max = most
			require.Greater(t, users, maxInboxes)
			for i := range users {
				newTokenUser(t, s, fmt.Sprint("user", i))
				require.NoError(t, s.SetQuota(ctx, fmt.Sprint("user", i), Quota{Messages: limit}))
			}
			for round := range 3 {
				for i := range users {
					err := s.Deliver(ctx, []Recipient{{Account: fmt.Sprint("user", i)}}, strings.NewReader(mail(round)))[0]
					if round < limit {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, ErrOverQuota, "user %d", i)
					}
				}
			}
			require.LessOrEqual(t, len(s.tallies.of), most)
		})
	}
}

// The caps of messages hold for an account and for a mailbox, whatever adds the messages.
func TestMessageCaps(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, memblob.New(), Options{Password: cheap, MaxMessages: 6, MaxMailboxMessages: 4})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Copies"))
	add(t, a, 0)
	for range 2 { // a client doubles its mailbox, as often as it can
		_, err = selectInbox(t, a).Copy(ctx, All(), Inbox)
		require.NoError(t, err)
	}
	v := selectInbox(t, a)
	_, err = v.Copy(ctx, All(), Inbox)
	require.ErrorIs(t, err, ErrFull)
	require.ErrorIs(t, fillWith(t, a, 100), ErrFull)
	require.ErrorIs(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0], ErrFull)
	_, err = v.Replace(ctx, 1, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err, "there are no more than before")
	_, err = v.Copy(ctx, UIDs(2, 3, 4), "Copies")
	require.ErrorIs(t, err, ErrFull, "the account would have 7")
	_, err = v.Copy(ctx, UIDs(2, 3), "Copies")
	require.NoError(t, err)
	_, err = a.Append(ctx, "Copies", strings.NewReader(mail(1)), AppendOptions{})
	require.ErrorIs(t, err, ErrFull)
	_, err = v.Move(ctx, UIDs(2, 3), "Copies")
	require.NoError(t, err, "the account has as many as before")
	_, err = v.Move(ctx, UIDs(4), "Copies")
	require.ErrorIs(t, err, ErrFull)
	_, err = v.Replace(ctx, 4, "Copies", strings.NewReader(mail(1)), AppendOptions{})
	require.ErrorIs(t, err, ErrFull)
	_, held, err := a.Quota(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(6), held.Messages)

	_, err = Open(ctx, memblob.New(), Options{MaxMessages: -1})
	require.Error(t, err)
}
