package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/eventlog"
)

// TestDamagedOnTheWay: what does not open is read again before it is called
// damaged, also where a cache kept what came the first time.
func TestDamagedOnTheWay(t *testing.T) {
	for _, how := range []string{"plain", "cached", "noticed"} {
		cached := how == "cached"
		for _, at := range []int64{0, 5, 60, 1 << 30} {
			t.Run(fmt.Sprintf("%s/%d", how, at), func(t *testing.T) {
				ctx := t.Context()
				w := newWorld(t)
				l := w.begin(3)
				big := strings.Repeat("big ", 100_000)
				_, err := l.Append(ctx, eventlog.Owned, []byte(big))
				require.NoError(t, err)
				_, err = l.Append(ctx, eventlog.Delivered, []byte("mail"))
				require.NoError(t, err)
				id, err := l.PutObject(ctx, "page", []byte("columns"))
				require.NoError(t, err)
				want := w.records()

				wire := blobtest.NewFlipping(w.mem)
				var store blob.Store = wire
				if cached {
					store, err = cacheblob.Open(wire, t.TempDir(), cacheblob.Options{Cacheable: func(string) bool { return true }})
					require.NoError(t, err)
				}
				if how == "noticed" {
					wire.Notice()
				}
				wire.Flip(at, nil)
				reader := w.handle(store)
				var got []string
				for e, err := range reader.Read(ctx) {
					require.NoError(t, err)
					assert.NoError(t, e.Junk)
					for _, r := range e.Records {
						got = append(got, string(r))
					}
				}
				assert.Equal(t, want, got)
				assert.Equal(t, 6, wire.Flipped())

				wire.Flip(at, nil)
				if !cached { // nothing comes over the wire again
					e, err := reader.ReadEntry(ctx, 6)
					require.NoError(t, err)
					assert.Equal(t, "mail", string(e.Records[0]))
				}
				page, err := reader.GetObject(ctx, "page", id)
				require.NoError(t, err)
				assert.Equal(t, "columns", string(page))
				require.NoError(t, l.WriteSnapshot(ctx, reader.Head(), []byte("state")))
				s, err := reader.ReadSnapshot(ctx, reader.Head().Pos)
				require.NoError(t, err)
				assert.Equal(t, "state", string(s.Payload))
				assert.Positive(t, wire.Flipped())
			})
		}
	}
}
