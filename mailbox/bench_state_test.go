package mailbox

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// The parts that an operation on a mailbox is made of, over objects in memory:
// what they cost is ours, and no disk's.

// A snapshot after one flag changed in a mailbox of many pages: what it writes
// follows the change, but for the manifest.
func BenchmarkSnapshot(b *testing.B) {
	ctx := context.Background()
	a := newUser(b, openStore(b, memblob.New()), "ann")
	fill(b, a, 100_000)
	a.account.snapshots.stop()
	v := selectInbox(b, a)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := v.Store(ctx, UIDs(1), []FlagOp{FlagsAdd, FlagsRemove}[i%2], []string{FlagFlagged}, StoreOptions{})
		require.NoError(b, err)
		require.NoError(b, snapshotNow(ctx, a.account))
	}
}

// Opening an account by replaying entries that no snapshot covers.
func BenchmarkReplay(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			blobs := memblob.New()
			a := newUser(b, openStore(b, blobs), "ann")
			a.account.snapshots.stop()
			for i := range n {
				_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
				require.NoError(b, err)
			}
			recovery, err := a.Recovery()
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				c := openWith(b, openStore(b, blobs), "ann", recovery)
				// Closing would write the snapshot that is to be missing.
				c.account.snapshots.stop()
				require.Equal(b, n, selectInbox(b, c).Len())
			}
		})
	}
}

// One page, and one segment of metadata, read from the store and decoded.
func BenchmarkLoad(b *testing.B) {
	ctx := context.Background()
	a := newUser(b, openStore(b, memblob.New()), "ann")
	fill(b, a, state.PageRows)
	inbox := a.account.state().ByName(Inbox)
	require.Len(b, inbox.Pages, 1)
	p, err := a.account.pages.Page(ctx, inbox.Pages[0])
	require.NoError(b, err)
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.account.store.cache.Forget(a.account.id)
			_, err := a.account.pages.Page(ctx, inbox.Pages[0])
			require.NoError(b, err)
		}
	})
	b.Run("metadata", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.account.store.cache.Forget(a.account.id)
			_, err := a.account.pages.Metadata(ctx, p.Row(0).Meta)
			require.NoError(b, err)
		}
	})
}
