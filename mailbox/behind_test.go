package mailbox

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
)

// A process that stood still for days holds a state whose pages were collected,
// while the log still goes on from where it is. It cannot apply what follows to
// that state; it must load anew, and not fail for ever.
func TestStoodStillBehindACollection(t *testing.T) {
	ctx := t.Context()
	for _, first := range []string{"look", "change", "append", "late change"} {
		blobs, clock := memblob.New(), newClock()
		s, other := openAt(t, blobs, clock), openAt(t, blobs, clock)
		a := newUser(t, s, "ann")
		require.NoError(t, a.Create(ctx, "Sent"))
		for i := range 5 {
			add(t, a, i)
			_, err := a.Append(ctx, "Sent", strings.NewReader(mail(10+i)), AppendOptions{})
			require.NoError(t, err)
		}
		require.NoError(t, snapshotNow(ctx, a.account))
		b := login(t, other, "ann")
		late, err := b.Select(ctx, "Sent", false)
		require.NoError(t, err)
		page := b.account.state().ByName("Sent").Pages[0]
		require.Nil(t, page.Page, "it stands in the store")
		expunge(t, a, 2)
		// The metadata of both mailboxes share a segment, which is written anew, and
		// with it the page of a mailbox that did not change.
		gone := func() bool {
			other.cache.Forget(b.account.id)
			_, err := b.account.pages.Page(ctx, page)
			return err != nil
		}
		for n := 0; !gone(); n++ {
			require.Less(t, n, 10)
			_, err := b.account.committer.CatchUp(ctx)
			require.NoError(t, err, "what was written till now is easily applied")
			collect(t, a)
			clock.advance(25 * time.Hour)
		}
		_, err = b.account.pages.Page(ctx, page)
		require.ErrorIs(t, err, fs.ErrNotExist)
		sent, err := a.Select(ctx, "Sent", false)
		require.NoError(t, err)
		flagAll(t, sent, UIDs(2), FlagsAdd, true, "$two")

		switch first {
		case "look":
			v, err := b.Select(ctx, "Sent", false)
			require.NoError(t, err)
			require.Equal(t, 5, v.Len())
		case "change":
			v, err := b.Select(ctx, "Sent", false)
			require.NoError(t, err)
			_, err = v.Store(ctx, UIDs(3), FlagsAdd, []string{"$three"}, StoreOptions{})
			require.NoError(t, err)
		case "late change":
			_, err = late.Store(ctx, Set{Ranges: []Range{{3, 3}}, UID: true}, FlagsAdd, []string{"$three"}, StoreOptions{})
			require.NoError(t, err)
		case "append":
			add(t, b, 6)
		}
		require.NoError(t, a.account.catchUp(ctx))
		require.Equal(t, content(t, a), content(t, b))
		sound(t, s, a)
	}
}
