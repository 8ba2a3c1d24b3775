package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// write appends records to the log as they are, in one entry or several.
func write(t testing.TB, a *Account, events ...state.Event) error {
	t.Helper()
	for _, e := range events {
		_, err := a.account.committer.Commit(context.Background(), func(context.Context, *state.Account, eventlog.Position) ([]byte, error) {
			return state.EncodeEvent(e), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// An event that could not have been decided on the state stops a reader, and
// never makes it panic.
func TestEventsThatDoNotFit(t *testing.T) {
	a := inboxOf(t, 300) // in a snapshot: pages must be read
	require.NoError(t, a.Create(t.Context(), "x"))
	added := []state.NewMessage{{Body: bodyOf(1), Meta: metaOf("")}}
	var keywords []string
	for i := range MaxKeywords + 1 {
		keywords = append(keywords, fmt.Sprint("k", i))
	}
	for name, e := range map[string]state.Event{
		"second genesis":        &state.Genesis{UIDValidity: 1},
		"create: name taken":    &state.CreateMailbox{Name: Inbox},
		"delete: none":          &state.DeleteMailbox{Mailbox: 9},
		"delete: INBOX":         &state.DeleteMailbox{Mailbox: 1},
		"rename: none":          &state.RenameMailbox{Mailbox: 9, Name: "y"},
		"rename: taken":         &state.RenameMailbox{Mailbox: 1, Name: "x"},
		"add: no mailbox":       &state.AddMessages{Mailbox: 9, Messages: added},
		"add: keywords":         &state.AddMessages{Mailbox: 1, Messages: []state.NewMessage{{Flags: keywords}}},
		"flag: no mailbox":      &state.ChangeFlags{Mailbox: 9, Op: FlagsSet},
		"flag: no operation":    &state.ChangeFlags{Mailbox: 1, UIDs: state.UIDSet{{First: 1, Last: 1}}, Op: 7},
		"flag: not there":       &state.ChangeFlags{Mailbox: 1, UIDs: state.UIDSet{{First: 300, Last: 301}}, Op: FlagsSet},
		"flag: nowhere":         &state.ChangeFlags{Mailbox: 1, UIDs: state.UIDSet{{First: 5000, Last: math.MaxUint32}}, Op: FlagsSet},
		"flag: keywords":        &state.ChangeFlags{Mailbox: 1, UIDs: state.UIDSet{{First: 1, Last: 1}}, Op: FlagsSet, Flags: keywords},
		"expunge: no mailbox":   &state.ExpungeMessages{Mailbox: 9},
		"expunge: not there":    &state.ExpungeMessages{Mailbox: 1, UIDs: state.UIDSet{{First: 2, Last: 400}}},
		"copy: no source":       &state.CopyMessages{From: 9, To: 1},
		"copy: no target":       &state.CopyMessages{From: 1, To: 9},
		"copy: not there":       &state.CopyMessages{From: 1, To: 2, UIDs: state.UIDSet{{First: 1, Last: 1}, {First: 301, Last: 301}}},
		"import: no mailbox":    &state.ImportMessages{Mailbox: 9, UIDs: state.UIDSet{{First: 301, Last: 301}}, Messages: added},
		"import: too few UIDs":  &state.ImportMessages{Mailbox: 1, Messages: added},
		"import: too many UIDs": &state.ImportMessages{Mailbox: 1, UIDs: state.UIDSet{{First: 301, Last: math.MaxUint32 - 1}}, Messages: added},
		"import: UID is used":   &state.ImportMessages{Mailbox: 1, UIDs: state.UIDSet{{First: 300, Last: 300}}, Messages: added},
		"import: last UID":      &state.ImportMessages{Mailbox: 1, UIDs: state.UIDSet{{First: math.MaxUint32, Last: math.MaxUint32}}, Messages: added},
		"import: keywords":      &state.ImportMessages{Mailbox: 1, UIDs: state.UIDSet{{First: 301, Last: 301}}, Messages: []state.NewMessage{{Flags: keywords}}},
		"renew: no mailbox":     &state.RenewMailbox{Mailbox: 9, UIDValidity: 5},
		"renew: held messages":  &state.RenewMailbox{Mailbox: 1, UIDValidity: 5},
		"renew: no value":       &state.RenewMailbox{Mailbox: 2},
		"deliver, owned":        &state.Deliver{Messages: added},
		"many: one of them":     state.NewBatch(&state.Subscribe{Name: "z", On: true}, &state.DeleteMailbox{Mailbox: 9}),
		"many: gone by then":    state.NewBatch(&state.ExpungeMessages{Mailbox: 1, UIDs: state.UIDSet{{First: 1, Last: 1}}}, &state.ChangeFlags{Mailbox: 1, UIDs: state.UIDSet{{First: 1, Last: 1}}, Op: FlagsSet}),
		"many: with a delivery": state.NewBatch(&state.Deliver{Messages: added}),
	} {
		t.Run(name, func(t *testing.T) {
			_, before := a.account.committer.State()
			require.Error(t, write(t, a, e))
			_, after := a.account.committer.State()
			require.Equal(t, before, after, "nothing was written")
		})
	}
}

// Several events in one record are applied in order, each on what those before it
// made, though their pages are in the store.
func TestManyOnStoredPages(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 300)
	require.NoError(t, write(t, a, state.NewBatch(
		&state.RenameMailbox{Mailbox: 1, Name: "moved"},
		&state.ChangeFlags{Mailbox: 2, UIDs: state.UIDSet{{First: 1, Last: 300}}, Op: FlagsSet, Flags: []string{FlagSeen}},
		&state.CopyMessages{From: 2, To: 1, UIDs: state.UIDSet{{First: 7, Last: 9}}, Move: true},
		&state.ChangeFlags{Mailbox: 1, UIDs: state.UIDSet{{First: 302, Last: 302}}, Op: FlagsAdd, Flags: []string{"k"}},
	)))
	st, err := a.Status(ctx, "moved")
	require.NoError(t, err)
	require.Equal(t, 297, st.Messages)
	require.Zero(t, st.Unseen)
	v := selectInbox(t, a)
	require.Equal(t, []UID{301, 302, 303}, uidsIn(t, v, All()))
}

// UIDs are not used up by surprise.
func TestLastUIDs(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 1)
	require.NoError(t, a.Create(ctx, "full"))
	full := *a.account.state().ByName("full")
	full.UIDNext = math.MaxUint32 - 2
	s := a.account.state().WithMailbox(&full)
	s, _, err := a.account.pages.Write(ctx, s, pages.Rewrite{})
	require.NoError(t, err)
	_, head := a.account.committer.State()
	require.NoError(t, a.account.committer.Rebase(ctx, head, s))

	v := selectInbox(t, a)
	done, err := v.Copy(ctx, All(), "full")
	require.NoError(t, err)
	require.Equal(t, []UID{math.MaxUint32 - 2}, done.Dest)
	got, err := a.Append(ctx, "full", strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	require.Equal(t, UID(math.MaxUint32-1), got.UID)
	_, err = a.Append(ctx, "full", strings.NewReader(mail(1)), AppendOptions{})
	require.ErrorIs(t, err, ErrUIDsUsedUp)
	_, err = v.Copy(ctx, All(), "full")
	require.ErrorIs(t, err, ErrUIDsUsedUp)
	last, err := a.Select(ctx, "full", false)
	require.NoError(t, err)
	require.Equal(t, []UID{math.MaxUint32 - 2, math.MaxUint32 - 1}, uidsIn(t, last, All()))
	flagAll(t, last, All(), FlagsAdd, true, FlagDeleted)
	gone, err := last.Expunge(ctx, nil)
	require.NoError(t, err)
	require.Len(t, gone, 2)
	require.Len(t, syncView(t, last, false).Expunged, 2)
}

// Dates are kept as they are, whenever they are.
func TestDates(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 0)
	for _, date := range []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC),
		time.Date(1923, 5, 1, 1, 2, 3, 0, time.FixedZone("", 3600)), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC),
	} {
		got, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{Date: date})
		require.NoError(t, err)
		for range 2 {
			for m, err := range selectInbox(t, a).Messages(ctx, UIDs(got.UID)) {
				require.NoError(t, err)
				require.True(t, date.Equal(m.Date), "%v is %v", date, m.Date)
			}
			require.NoError(t, snapshotNow(ctx, a.account))
		}
	}
	_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{Date: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.ErrorIs(t, err, ErrBadDate)
}

// Pages after any history: in order, never empty, never too full, with true
// counts; a snapshot joins small ones, writes no other again, and leaves no
// message's metadata to the log.
func TestPagesAtTheirBounds(t *testing.T) {
	ctx := t.Context()
	for _, n := range []int{1, 191, 192, 193, 255, 256, 257, 511, 512, 513} {
		a := inboxOf(t, n)
		require.NoError(t, a.Create(ctx, "copy"))
		v := selectInbox(t, a)
		soundPages(t, a)
		before := a.account.state().ByName(Inbox).Pages
		require.NoError(t, snapshotNow(ctx, a.account))
		for i, r := range a.account.state().ByName(Inbox).Pages {
			require.Equal(t, before[i].ID(), r.ID(), "an unchanged page is not written again")
		}
		_, err := v.Copy(ctx, All(), "copy")
		require.NoError(t, err)
		c, err := a.Select(ctx, "copy", false)
		require.NoError(t, err)
		_, err = c.Copy(ctx, All(), "copy") // what was copied before
		require.NoError(t, err)
		syncView(t, c, false)
		_, err = c.Move(ctx, UIDs(1), "copy") // within the mailbox
		require.NoError(t, err)
		fill(t, a, 1)
		soundPages(t, a)
		c, err = a.Select(ctx, "copy", false)
		require.NoError(t, err)
		require.Equal(t, 2*n, c.Len())
		for m, err := range c.Messages(ctx, All()) {
			require.NoError(t, err)
			_, err := m.Meta(ctx)
			require.NoError(t, err)
		}
		flagAll(t, c, Set{Ranges: []Range{{2, uint32(n)}}}, FlagsAdd, true, FlagDeleted)
		_, err = c.Expunge(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, snapshotNow(ctx, a.account))
		soundPages(t, a)
	}
}

// soundPages checks the pages of all mailboxes after a snapshot.
func soundPages(t *testing.T, a *Account) {
	t.Helper()
	for _, m := range a.account.state().Mailboxes {
		last, sum := UID(0), &state.Mailbox{}
		for i, r := range m.Pages {
			require.Nil(t, r.Page)
			p, err := a.account.pages.Page(t.Context(), r)
			require.NoError(t, err)
			require.LessOrEqual(t, p.Len(), state.PageRows)
			for j, u := range p.UIDs {
				require.Greater(t, u, last)
				last = u
				require.Zero(t, p.Sources[p.SourceIndex[j]].Entry, "metadata is still in the log")
			}
			is := p.Ref()
			sum.Messages, sum.Unseen, sum.Deleted = sum.Messages+is.Count, sum.Unseen+is.Unseen, sum.Deleted+is.Deleted
			sum.Size += is.Size
			if i > 0 && i < len(m.Pages)-1 {
				require.Greater(t, m.Pages[i-1].Count+r.Count, state.PageRows/2)
			}
		}
		require.Equal(t, m.Messages, sum.Messages)
		require.Equal(t, m.Unseen, sum.Unseen)
		require.Equal(t, m.Deleted, sum.Deleted)
		require.Equal(t, m.Size, sum.Size)
	}
}

// A session that was told of a message long ago reads its header and structure
// though the log entry that held them has been trimmed, and the message expunged.
func TestMetaOfTrimmedEntries(t *testing.T) {
	damages(t)
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	for i := range 3 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	v, other := selectInbox(t, a), selectInbox(t, a)
	flagAll(t, other, UIDs(2), FlagsAdd, true, FlagDeleted)
	_, err := other.Expunge(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, snapshotNow(ctx, a.account))
	for _, name := range accountObjects(t, blobs, a.account.prefix+"log/") {
		require.NoError(t, blobs.Delete(ctx, name))
	}
	s.cache.Forget(a.account.id)
	n := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		require.NotZero(t, m.page.Sources[m.page.SourceIndex[m.i]].Entry, "the picture is an old one")
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		require.Contains(t, string(meta.Header), fmt.Sprintf("Subject: mail %d\r\n", n))
		n++
	}
	require.Equal(t, 3, n)
	// What is lost for good says so.
	for _, name := range accountObjects(t, blobs, a.account.prefix+"body/") {
		require.NoError(t, blobs.Delete(ctx, name))
	}
	for m, err := range v.Messages(ctx, UIDs(2)) {
		require.NoError(t, err)
		_, err := m.Meta(ctx)
		require.True(t, errors.Is(err, fs.ErrNotExist), "%v", err)
	}
}

// A copy fails with what is missing: its destination, its source, or all messages that
// the client named by their numbers.
func TestCopyOfWhatIsGone(t *testing.T) {
	ctx := t.Context()
	a := inboxOf(t, 2)
	require.NoError(t, a.Create(ctx, "Box"))
	_, err := a.Append(ctx, "Box", strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	box, err := a.Select(ctx, "Box", false)
	require.NoError(t, err)
	defer box.Close()
	v, other := selectInbox(t, a), selectInbox(t, a)
	_, err = v.Copy(ctx, All(), "missing")
	require.ErrorIs(t, err, ErrNoMailbox)
	require.NotErrorIs(t, err, ErrDeleted)

	_, err = other.Store(ctx, UIDs(1), FlagsAdd, []string{FlagDeleted}, StoreOptions{})
	require.NoError(t, err)
	_, err = other.Expunge(ctx, nil)
	require.NoError(t, err)
	_, err = v.Copy(ctx, Set{Ranges: []Range{{1, 1}}}, "Box")
	require.ErrorIs(t, err, ErrNoMessage)
	done, err := v.Copy(ctx, UIDs(1), "Box")
	require.NoError(t, err)
	require.Empty(t, done.Source)
	done, err = v.Copy(ctx, Set{Ranges: []Range{{1, 2}}}, "Box")
	require.NoError(t, err)
	require.Equal(t, []UID{2}, done.Source)

	require.NoError(t, a.Delete(ctx, "Box"))
	_, err = box.Copy(ctx, All(), "INBOX")
	require.ErrorIs(t, err, ErrDeleted)
	_, err = box.Expunge(ctx, nil)
	require.ErrorIs(t, err, ErrDeleted)
	_, err = box.Store(ctx, All(), FlagsAdd, []string{FlagSeen}, StoreOptions{})
	require.ErrorIs(t, err, ErrDeleted)
}
