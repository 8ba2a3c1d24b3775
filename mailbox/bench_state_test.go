package mailbox

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
)

// The parts that an operation on a mailbox is made of, over objects in memory:
// what they cost is ours, and no disk's.

const benchRows = 100_000

// Applying an event to a mailbox of many pages, all in memory.
func BenchmarkApply(b *testing.B) {
	m := newMessage{Size: 1000}
	s := applyGenesis(1, &genesis{UIDValidity: 1})
	inbox := s.byName(Inbox).id
	get := func(r *pageRef) *page { return r.page }
	apply := func(s *state, e event) *state {
		n, err := s.apply(s.at+1, e, get)
		require.NoError(b, err)
		return n
	}
	s = apply(s, &createMailbox{Name: "Sent"})
	sent := s.byName("Sent").id
	s = apply(s, &addMessages{Mailbox: inbox, Time: 1, Messages: repeat(m, benchRows)})
	for _, c := range []struct {
		name string
		e    event
	}{
		{"add-1", &addMessages{Mailbox: inbox, Time: 1, Messages: repeat(m, 1)}},
		{"flag-1", &flagMessages{Mailbox: inbox, UIDs: uidSet{{5, 5}}, Op: FlagsAdd, Flags: []string{FlagSeen}}},
		{"flag-1000", &flagMessages{Mailbox: inbox, UIDs: uidSet{{1, 1000}}, Op: FlagsAdd, Flags: []string{FlagSeen}}},
		{"copy-1000", &copyMessages{From: inbox, To: sent, UIDs: uidSet{{1, 1000}}, Time: 1}},
		{"move-1000", &copyMessages{From: inbox, To: sent, UIDs: uidSet{{1, 1000}}, Time: 1, Move: true}},
		{"expunge-1000", &expungeMessages{Mailbox: inbox, UIDs: uidSet{{1, 1000}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				apply(s, c.e)
			}
		})
	}
}

// A snapshot after one flag changed in a mailbox of many pages: what it writes
// follows the change, but for the manifest.
func BenchmarkSnapshot(b *testing.B) {
	ctx := context.Background()
	a := newUser(b, openStore(b, memblob.New()), "ann")
	fill(b, a, benchRows)
	a.account.snapshots.stop()
	v := selectInbox(b, a)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := v.Store(ctx, UIDs(1), []FlagOp{FlagsAdd, FlagsRemove}[i%2], []string{FlagFlagged}, StoreOptions{})
		require.NoError(b, err)
		require.NoError(b, a.account.writeSnapshot(ctx))
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
	fill(b, a, pageRows)
	inbox := a.account.state().byName(Inbox)
	require.Len(b, inbox.pages, 1)
	p, err := a.account.page(ctx, inbox.pages[0])
	require.NoError(b, err)
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.account.store.cache.forget(a.account.id)
			_, err := a.account.page(ctx, inbox.pages[0])
			require.NoError(b, err)
		}
	})
	b.Run("metadata", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.account.store.cache.forget(a.account.id)
			_, err := a.account.metas(ctx, p.row(0).meta)
			require.NoError(b, err)
		}
	})
}
