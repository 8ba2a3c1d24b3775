package eventlog_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

func benchLog(b *testing.B) (eventlog.Config, *eventlog.Log) {
	id, err := crypto.NewIdentity()
	require.NoError(b, err)
	cfg := eventlog.Config{Store: memblob.New(), Prefix: prefix, ID: eventlog.ID{1}, Keys: &eventlog.Keys{Identity: id}}
	l, err := eventlog.New(cfg)
	require.NoError(b, err)
	require.NoError(b, l.Begin(b.Context(), []byte("begin")))
	return cfg, l
}

func BenchmarkAppend(b *testing.B) {
	for _, kind := range []eventlog.Kind{eventlog.Owned, eventlog.Delivered} {
		b.Run(kind.String(), func(b *testing.B) {
			_, l := benchLog(b)
			record := make([]byte, 500)
			b.ReportAllocs()
			for b.Loop() {
				_, err := l.Append(b.Context(), kind, record)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const entries = 10_000
	for _, kind := range []eventlog.Kind{eventlog.Owned, eventlog.Delivered} {
		b.Run(fmt.Sprintf("%s/%d", kind, entries), func(b *testing.B) {
			cfg, l := benchLog(b)
			record := make([]byte, 500)
			for range entries - 1 {
				_, err := l.Append(b.Context(), kind, record)
				require.NoError(b, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r, err := eventlog.New(cfg)
				require.NoError(b, err)
				n := 0
				for _, err := range r.Read(b.Context()) {
					require.NoError(b, err)
					n++
				}
				require.Equal(b, entries, n)
			}
		})
	}
}

// countModel counts records: next to nothing, so that the log is what is measured.
type countModel struct{}

func (countModel) Load(_ context.Context, l *eventlog.Log) (int, error) {
	l.Seek(eventlog.Head{})
	return 0, nil
}

func (countModel) Apply(_ context.Context, n int, _ eventlog.Position, _ eventlog.Kind, _ []byte) (int, error) {
	return n + 1, nil
}

func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			_, l := benchLog(b)
			c := eventlog.NewCommitter(l, eventlog.Model[int](countModel{}), eventlog.CommitterOptions[int]{})
			require.NoError(b, c.Open(b.Context()))
			record := make([]byte, 500)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					for range (b.N + i) / callers {
						_, err := c.Commit(b.Context(), func(context.Context, int, eventlog.Position) ([]byte, error) { return record, nil })
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			_, head := c.State()
			b.ReportMetric(float64(b.N)/float64(head.Pos), "records/entry")
		})
	}
}
