package e2e

import (
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// go-imap's own client uses the extensions that it knows beyond what all the
// other tests use of it.
func TestImapclientExtensions(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	must(t, "", "account", "quota", "ann", "-store", dir, "-messages", "100")
	s := start(t, dir)
	c := dial(t, s.imap, nil)

	id, err := c.ID(&imap.IDData{Name: "e2e", Version: "1"}).Wait()
	require.NoError(t, err)
	assert.Equal(t, "letterlock", id.Name)
	space, err := c.Namespace().Wait()
	require.NoError(t, err)
	assert.Equal(t, []imap.NamespaceDescriptor{{Delim: '/'}}, space.Personal)

	for _, text := range []string{
		"From: c@example.org\r\nSubject: Beta\r\nMessage-ID: <1@example.org>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\nfirst\r\n",
		"From: a@example.org\r\nSubject: alpha\r\nMessage-ID: <2@example.org>\r\nDate: Sun, 1 Mar 2026 10:00:00 +0000\r\n\r\nsecond\r\n",
		"From: b@example.org\r\nSubject: Re: beta\r\nMessage-ID: <3@example.org>\r\nIn-Reply-To: <1@example.org>\r\nDate: Tue, 3 Mar 2026 10:00:00 +0000\r\n\r\nthird\r\n",
	} {
		_, _, err := appendMail(c, "INBOX", []byte(text))
		require.NoError(t, err)
	}
	sel, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	require.NoError(t, err)
	require.Positive(t, sel.HighestModSeq)

	t.Run("SORT and THREAD", func(t *testing.T) {
		for key, want := range map[imapclient.SortKey][]uint32{
			imapclient.SortKeySubject: {2, 1, 3},
			imapclient.SortKeyFrom:    {2, 3, 1},
			imapclient.SortKeyDate:    {2, 1, 3},
			imapclient.SortKeyArrival: {1, 2, 3},
		} {
			got, err := c.UIDSort(&imapclient.SortOptions{SearchCriteria: &imap.SearchCriteria{}, SortCriteria: []imapclient.SortCriterion{{Key: key}}}).Wait()
			require.NoError(t, err)
			assert.Equal(t, want, got, "%s", key)
		}
		threads, err := c.UIDThread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}).Wait()
		require.NoError(t, err)
		assert.Equal(t, []imapclient.ThreadData{{Chain: []uint32{2}}, {Chain: []uint32{1, 3}}}, threads)
	})

	t.Run("ESEARCH", func(t *testing.T) {
		got, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{"beta"}},
			&imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnAll: true, ReturnCount: true}).Wait()
		require.NoError(t, err)
		assert.Equal(t, []uint32{1, 3, 2}, []uint32{got.Min, got.Max, got.Count})
		assert.Equal(t, []imap.UID{1, 3}, got.AllUIDs())
	})

	t.Run("CONDSTORE", func(t *testing.T) {
		store := func(uid imap.UID, flag imap.Flag, unchangedSince uint64) []*imapclient.FetchMessageBuffer {
			t.Helper()
			got, err := c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag}},
				&imap.StoreOptions{UnchangedSince: unchangedSince}).Collect()
			require.NoError(t, err)
			return got
		}
		require.Len(t, store(2, imap.FlagFlagged, sel.HighestModSeq), 1)
		store(2, imap.FlagDeleted, sel.HighestModSeq) // what it builds on is no longer so
		changed, err := c.Fetch(imap.UIDSet{{Start: 1}}, &imap.FetchOptions{Flags: true, UID: true, ModSeq: true, ChangedSince: sel.HighestModSeq}).Collect()
		require.NoError(t, err)
		require.Len(t, changed, 1)
		assert.Equal(t, imap.UID(2), changed[0].UID)
		assert.Contains(t, changed[0].Flags, imap.FlagFlagged)
		assert.NotContains(t, changed[0].Flags, imap.FlagDeleted)
		assert.Greater(t, changed[0].ModSeq, sel.HighestModSeq)
		found, err := c.UIDSearch(&imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: changed[0].ModSeq}}, nil).Wait()
		require.NoError(t, err)
		assert.Equal(t, []imap.UID{2}, found.AllUIDs())
		assert.Equal(t, changed[0].ModSeq, found.ModSeq)
		status, err := c.Status("INBOX", &imap.StatusOptions{HighestModSeq: true, NumMessages: true, Size: true, NumDeleted: true}).Wait()
		require.NoError(t, err)
		assert.GreaterOrEqual(t, status.HighestModSeq, changed[0].ModSeq)
		require.NotNil(t, status.NumDeleted)
		assert.Zero(t, *status.NumDeleted)
	})

	t.Run("LIST-STATUS and SPECIAL-USE", func(t *testing.T) {
		require.NoError(t, c.Create("Sent", &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrSent}}).Wait())
		boxes, err := c.List("", "*", &imap.ListOptions{ReturnSpecialUse: true, ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
		require.NoError(t, err)
		require.Len(t, boxes, 2)
		for _, box := range boxes {
			require.NotNil(t, box.Status, box.Mailbox)
			assert.Equal(t, strings.EqualFold(box.Mailbox, "INBOX"), *box.Status.NumMessages == 3)
			if box.Mailbox == "Sent" {
				assert.Contains(t, box.Attrs, imap.MailboxAttrSent)
			}
		}
	})

	t.Run("QUOTA", func(t *testing.T) {
		roots, err := c.GetQuotaRoot("INBOX").Wait()
		require.NoError(t, err)
		require.Len(t, roots, 1)
		assert.Equal(t, imapclient.QuotaResourceData{Usage: 3, Limit: 100}, roots[0].Resources[imap.QuotaResourceMessage])
	})

	require.NoError(t, c.Unauthenticate().Wait())
	require.NoError(t, c.Login("ann", password).Wait())
	require.NoError(t, c.Logout().Wait())
	s.stop(t)
	checked(t, dir)
}
