package mailbox

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Compare two commits with benchstat (golang.org/x/perf/cmd/benchstat):
//
//	go test -run '^$' -bench . -count 8 ./mailbox > old.txt   # at the first
//	go test -run '^$' -bench . -count 8 ./mailbox > new.txt   # at the second
//	benchstat old.txt new.txt

func eachStore(b *testing.B, run func(*testing.B, blob.Store)) {
	b.Run("mem", func(b *testing.B) { run(b, memblob.New()) })
	b.Run("disk", func(b *testing.B) {
		d, err := diskblob.Open(b.TempDir(), nil)
		require.NoError(b, err)
		run(b, d)
	})
}

func BenchmarkAppend(b *testing.B) {
	ctx := context.Background()
	for _, size := range []int{4 << 10, 236 << 10} {
		text := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc\r\n", size/63)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			eachStore(b, func(b *testing.B, blobs blob.Store) {
				a := newUser(b, openStore(b, blobs), "ann")
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					_, err := a.Append(ctx, Inbox, strings.NewReader(text), AppendOptions{})
					require.NoError(b, err)
				}
			})
		})
	}
}

// Sixteen accounts at once, on disk, each message synced before it is
// acknowledged.
func BenchmarkAppendParallel16(b *testing.B) {
	ctx := context.Background()
	d, err := diskblob.Open(b.TempDir(), nil)
	require.NoError(b, err)
	s := openStore(b, d)
	text := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 236<<10/18)
	var accounts []*Account
	for i := range 16 {
		accounts = append(accounts, newUser(b, s, fmt.Sprint("user", i)))
	}
	b.SetBytes(int64(16 * len(text)))
	for b.Loop() {
		var wg sync.WaitGroup
		for _, a := range accounts {
			wg.Go(func() {
				if _, err := a.Append(ctx, Inbox, strings.NewReader(text), AppendOptions{}); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// Logins of a client that comes back: each closes the account, so that the next
// one reads it again, with so many entries since its last snapshot.
func BenchmarkLogin(b *testing.B) {
	ctx := context.Background()
	d, err := diskblob.Open(b.TempDir(), nil)
	require.NoError(b, err)
	for _, tail := range []int{1, closingEntries - 1} {
		s := openStore(b, d)
		name := fmt.Sprint("user", tail)
		a := newUser(b, s, name)
		token, err := a.AddToken(ctx, "laptop")
		require.NoError(b, err)
		fill(b, a, 1000)
		for i := range tail + 1 {
			_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
			require.NoError(b, err)
			if i == 0 {
				require.NoError(b, snapshotNow(ctx, a.account))
			}
		}
		require.NoError(b, a.Close())
		for _, secret := range []struct{ how, text string }{{"token", token.Export()}, {"verified", "secret of " + name}} {
			b.Run(fmt.Sprintf("%s/tail=%d", secret.how, tail), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					a, err := s.Login(ctx, name, []byte(secret.text))
					require.NoError(b, err)
					require.NoError(b, a.Close())
				}
			})
		}
	}
}

func BenchmarkDeliver(b *testing.B) {
	eachStore(b, func(b *testing.B, blobs blob.Store) {
		s := openStore(b, blobs)
		newUser(b, s, "ann")
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, s.Deliver(context.Background(), []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
		}
	})
}

func BenchmarkStore(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			eachStore(b, func(b *testing.B, blobs blob.Store) {
				a := newUser(b, openStore(b, blobs), "ann")
				fill(b, a, 1000)
				v := selectInbox(b, a)
				set := Set{Ranges: []Range{{1, uint32(n)}}, UID: true}
				ops := []FlagOp{FlagsAdd, FlagsRemove}
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					_, err := v.Store(ctx, set, ops[i%2], []string{FlagFlagged}, StoreOptions{})
					require.NoError(b, err)
					i++
				}
			})
		})
	}
}

func BenchmarkCopyMove1000(b *testing.B) {
	ctx := context.Background()
	eachStore(b, func(b *testing.B, blobs blob.Store) {
		a := newUser(b, openStore(b, blobs), "ann")
		fill(b, a, 1000)
		for _, name := range []string{"Sent", "Archive"} {
			require.NoError(b, a.Create(ctx, name))
		}
		inbox := selectInbox(b, a)
		b.ReportAllocs()
		for b.Loop() {
			_, err := inbox.Copy(ctx, All(), "Sent")
			require.NoError(b, err)
			sent, err := a.Select(ctx, "Sent", false)
			require.NoError(b, err)
			_, err = sent.Move(ctx, All(), "Archive")
			require.NoError(b, err)
		}
	})
}

// How opening, selecting, appending and flagging grow with the mailbox.
func BenchmarkSize(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		blobs := memblob.New()
		s := openStore(b, blobs)
		a := newUser(b, s, "ann")
		fill(b, a, n)
		recovery, err := a.Recovery()
		require.NoError(b, err)
		name := func(what string) string { return fmt.Sprintf("%s/%d", what, n) }
		b.Run(name("select"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				selectInbox(b, a).Close()
			}
		})
		b.Run(name("open"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cold := openStore(b, blobs)
				c := openWith(b, cold, "ann", recovery)
				selectInbox(b, c).Close()
				c.Close()
			}
		})
		b.Run(name("append"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
				require.NoError(b, err)
			}
		})
		b.Run(name("flag"), func(b *testing.B) {
			v := selectInbox(b, a)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				_, err := v.Store(ctx, UIDs(UID(1+i%900)), []FlagOp{FlagsAdd, FlagsRemove}[i/900%2], []string{FlagFlagged}, StoreOptions{})
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkListing1000(b *testing.B) {
	ctx := context.Background()
	a := newUser(b, openStore(b, memblob.New()), "ann")
	for i := range 1000 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(b, err)
	}
	a.account.snapshots.stop()
	require.NoError(b, snapshotNow(ctx, a.account))
	v := selectInbox(b, a)
	b.ReportAllocs()
	for b.Loop() {
		a.account.store.cache.Forget(a.account.id)
		for m, err := range v.Messages(ctx, All()) {
			require.NoError(b, err)
			meta, err := m.Meta(ctx)
			require.NoError(b, err)
			message.ParseEnvelope(message.ParseHeader(meta.Header))
		}
	}
}

func BenchmarkReadBody(b *testing.B) {
	ctx := context.Background()
	d, err := diskblob.Open(b.TempDir(), nil)
	require.NoError(b, err)
	a := newUser(b, openStore(b, d), "ann")
	const size = 8 << 20
	_, err = a.Append(ctx, Inbox, bigMail(size), AppendOptions{})
	require.NoError(b, err)
	v := selectInbox(b, a)
	for _, r := range []struct {
		name   string
		off, n int64
	}{{"whole", 0, -1}, {"first-64KiB", 0, 64 << 10}, {"middle-2KiB", size / 2, 2 << 10}} {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for m, err := range v.Messages(ctx, All()) {
					require.NoError(b, err)
					body, err := m.Open(ctx, r.off, r.n)
					require.NoError(b, err)
					n, err := io.Copy(io.Discard, body)
					require.NoError(b, err)
					b.SetBytes(n)
					body.Close()
				}
			}
		})
	}
}

func BenchmarkSearchText100(b *testing.B) {
	ctx := context.Background()
	d, err := diskblob.Open(b.TempDir(), &diskblob.Options{NoSync: true})
	require.NoError(b, err)
	a := newUser(b, openStore(b, d), "ann")
	text := "Subject: x\r\n\r\n" + strings.Repeat("lorem ipsum dolor sit amet, consectetur\r\n", 236<<10/41)
	for range 100 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(text), AppendOptions{})
		require.NoError(b, err)
	}
	v := selectInbox(b, a)
	b.SetBytes(int64(100 * len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range v.Search(ctx, &Query{Op: OpText, Text: "not in there"}) {
			require.NoError(b, err)
			b.Fatal("found")
		}
	}
}
