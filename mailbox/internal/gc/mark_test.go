package gc

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

func TestMarkCodec(t *testing.T) {
	m := &mark{time: time.Unix(5, 0), objects: []markedObject{{markBody, eventlog.ObjectID{1}}, {markPack, eventlog.ObjectID{2}}}}
	b := m.encode()
	golden.Equal(t, "mark", b)
	got, err := decodeMark(b)
	require.NoError(t, err)
	require.Equal(t, m, got)
	for i := range b {
		_, err := decodeMark(b[:i])
		require.Error(t, err)
	}
	_, err = decodeMark(append(bytes.Clone(b), 0))
	require.Error(t, err)
	b[0] = 3
	_, err = decodeMark(b)
	require.ErrorIs(t, err, eventlog.ErrNewerVersion)
}

// FuzzDecodeMark decodes marks.
func FuzzDecodeMark(f *testing.F) {
	f.Add((&mark{time: time.Unix(1, 0)}).encode())
	f.Add((&mark{
		time:    time.Unix(1_800_000_000, 0),
		objects: []markedObject{{markBody, eventlog.ObjectID{1}}, {markPack, eventlog.ObjectID{3}}},
	}).encode())
	f.Add([]byte{markVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMark(b); err == nil {
			require.Equal(t, b, m.encode())
		}
	})
}

func TestParts(t *testing.T) {
	of := func(n int) *state.Account { return &state.Account{Mailboxes: []*state.Mailbox{{Messages: n}}} }
	require.Equal(t, []idRange{everything}, parts(of(0), 10))
	require.Equal(t, []idRange{everything}, parts(of(10), 10))
	all := parts(of(100), 10)
	require.Len(t, all, 16)
	next := uint64(0)
	for _, p := range all {
		require.Equal(t, next, p.first, "they meet")
		next = p.last + 1
	}
	require.Zero(t, next, "the last one ends at the last ID")
}
