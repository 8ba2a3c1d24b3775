package wake

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
)

// noAccounts are the accounts of a process that has none open.
type noAccounts struct{ t *testing.T }

func (noAccounts) IsOpen(eventlog.ID) bool                { return false }
func (noAccounts) Watched() []eventlog.ID                 { return nil }
func (n noAccounts) CatchUp(context.Context, eventlog.ID) { n.t.Error("an account that is not open") }

// FuzzWake receives wakes of all kinds, as objects and by a bus. They name accounts
// that are not open, and cost next to nothing.
func FuzzWake(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte{1}, 16))
	f.Add(bytes.Repeat([]byte{2}, 33))
	f.Add(binary.BigEndian.AppendUint64(nil, 1<<63))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := New(context.Background(), Config{
			Blobs: memblob.New(), Accounts: noAccounts{t}, PollInterval: -1, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		w.Start()
		w.wakeNamed(b)
		w.receive(b)
		w.Close()
	})
}
