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
)

// write appends records to the log as they are, in one entry or several.
func write(t testing.TB, a *Account, events ...event) error {
	t.Helper()
	for _, e := range events {
		_, err := a.account.committer.Commit(context.Background(), func(context.Context, *state, eventlog.Position) ([]byte, error) {
			return encodeEvent(e), nil
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
	added := []newMessage{{Body: bodyOf(1), Meta: metaOf("")}}
	var keywords []string
	for i := range MaxKeywords + 1 {
		keywords = append(keywords, fmt.Sprint("k", i))
	}
	for name, e := range map[string]event{
		"second genesis":        &genesis{UIDValidity: 1},
		"create: name taken":    &createMailbox{Name: Inbox},
		"delete: none":          &deleteMailbox{Mailbox: 9},
		"delete: INBOX":         &deleteMailbox{Mailbox: 1},
		"rename: none":          &renameMailbox{Mailbox: 9, Name: "y"},
		"rename: taken":         &renameMailbox{Mailbox: 1, Name: "x"},
		"add: no mailbox":       &addMessages{Mailbox: 9, Messages: added},
		"add: keywords":         &addMessages{Mailbox: 1, Messages: []newMessage{{Flags: keywords}}},
		"flag: no mailbox":      &flagMessages{Mailbox: 9, Op: FlagsSet},
		"flag: no operation":    &flagMessages{Mailbox: 1, UIDs: uidSet{{1, 1}}, Op: 7},
		"flag: not there":       &flagMessages{Mailbox: 1, UIDs: uidSet{{300, 301}}, Op: FlagsSet},
		"flag: nowhere":         &flagMessages{Mailbox: 1, UIDs: uidSet{{5000, math.MaxUint32}}, Op: FlagsSet},
		"flag: keywords":        &flagMessages{Mailbox: 1, UIDs: uidSet{{1, 1}}, Op: FlagsSet, Flags: keywords},
		"expunge: no mailbox":   &expungeMessages{Mailbox: 9},
		"expunge: not there":    &expungeMessages{Mailbox: 1, UIDs: uidSet{{2, 400}}},
		"copy: no source":       &copyMessages{From: 9, To: 1},
		"copy: no target":       &copyMessages{From: 1, To: 9},
		"copy: not there":       &copyMessages{From: 1, To: 2, UIDs: uidSet{{1, 1}, {301, 301}}},
		"import: no mailbox":    &importMessages{Mailbox: 9, UIDs: uidSet{{301, 301}}, Messages: added},
		"import: too few UIDs":  &importMessages{Mailbox: 1, Messages: added},
		"import: too many UIDs": &importMessages{Mailbox: 1, UIDs: uidSet{{301, math.MaxUint32 - 1}}, Messages: added},
		"import: UID is used":   &importMessages{Mailbox: 1, UIDs: uidSet{{300, 300}}, Messages: added},
		"import: last UID":      &importMessages{Mailbox: 1, UIDs: uidSet{{math.MaxUint32, math.MaxUint32}}, Messages: added},
		"import: keywords":      &importMessages{Mailbox: 1, UIDs: uidSet{{301, 301}}, Messages: []newMessage{{Flags: keywords}}},
		"renew: no mailbox":     &renewMailbox{Mailbox: 9, UIDValidity: 5},
		"renew: held messages":  &renewMailbox{Mailbox: 1, UIDValidity: 5},
		"renew: no value":       &renewMailbox{Mailbox: 2},
		"deliver, owned":        &deliver{Messages: added},
		"many: one of them":     newMany(&subscribe{Name: "z", On: true}, &deleteMailbox{Mailbox: 9}),
		"many: gone by then":    newMany(&expungeMessages{Mailbox: 1, UIDs: uidSet{{1, 1}}}, &flagMessages{Mailbox: 1, UIDs: uidSet{{1, 1}}, Op: FlagsSet}),
		"many: with a delivery": newMany(&deliver{Messages: added}),
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
	require.NoError(t, write(t, a, newMany(
		&renameMailbox{Mailbox: 1, Name: "moved"},
		&flagMessages{Mailbox: 2, UIDs: uidSet{{1, 300}}, Op: FlagsSet, Flags: []string{FlagSeen}},
		&copyMessages{From: 2, To: 1, UIDs: uidSet{{7, 9}}, Move: true},
		&flagMessages{Mailbox: 1, UIDs: uidSet{{302, 302}}, Op: FlagsAdd, Flags: []string{"k"}},
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
	full := *a.account.state().byName("full")
	full.uidNext = math.MaxUint32 - 2
	s := a.account.state().replacing(&full)
	snap := &snapshotWriter{account: a.account, at: map[metaPlace]metaPlace{}}
	s, err := snap.write(ctx, s)
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
			require.NoError(t, a.account.writeSnapshot(ctx))
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
		before := a.account.state().byName(Inbox).pages
		require.NoError(t, a.account.writeSnapshot(ctx))
		for i, r := range a.account.state().byName(Inbox).pages {
			require.Equal(t, before[i].id, r.id, "an unchanged page is not written again")
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
		require.NoError(t, a.account.writeSnapshot(ctx))
		soundPages(t, a)
	}
}

// soundPages checks the pages of all mailboxes after a snapshot.
func soundPages(t *testing.T, a *Account) {
	t.Helper()
	for _, m := range a.account.state().boxes {
		last, sum := UID(0), &Mailbox{}
		for i, r := range m.pages {
			require.Nil(t, r.page)
			p, err := a.account.page(t.Context(), r)
			require.NoError(t, err)
			require.LessOrEqual(t, p.len(), pageRows)
			for j, u := range p.uids {
				require.Greater(t, u, last)
				last = u
				require.Zero(t, p.sources[p.srcs[j]].entry, "metadata is still in the log")
			}
			sum.count(p.ref())
			if i > 0 && i < len(m.pages)-1 {
				require.Greater(t, m.pages[i-1].count+r.count, pageRows/2)
			}
		}
		require.Equal(t, m.exists, sum.exists)
		require.Equal(t, m.unseen, sum.unseen)
		require.Equal(t, m.deleted, sum.deleted)
		require.Equal(t, m.size, sum.size)
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
	require.NoError(t, a.account.writeSnapshot(ctx))
	for _, name := range accountObjects(t, blobs, a.account.prefix+"log/") {
		require.NoError(t, blobs.Delete(ctx, name))
	}
	s.cache.forget(a.account.id)
	n := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		require.NotZero(t, m.page.sources[m.page.srcs[m.i]].entry, "the picture is an old one")
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
