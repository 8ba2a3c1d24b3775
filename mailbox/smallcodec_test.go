package mailbox

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/eventlog"
)

// FuzzDecodeMark decodes notes of a collection.
func FuzzDecodeMark(f *testing.F) {
	f.Add((&mark{time: time.Unix(1, 0)}).encode())
	f.Add((&mark{
		time:     time.Unix(1_800_000_000, 0),
		objects:  []markedObject{{markBody, eventlog.ObjectID{1}}, {markMeta, eventlog.ObjectID{2}}, {markPage, eventlog.ObjectID{3}}},
		segments: []segmentSize{{eventlog.ObjectID{4}, 256}},
	}).encode())
	f.Add([]byte{markVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMark(b); err == nil {
			require.Equal(t, b, m.encode())
		}
	})
}

// FuzzName parses the objects that lead from names to accounts. Whoever may write
// the store can put anything there.
func FuzzName(f *testing.F) {
	f.Add(append([]byte{nameVersion}, bytes.Repeat([]byte{7}, 16)...))
	f.Add(append([]byte{nameVersion}, bytes.Repeat([]byte{7}, 60)...))
	f.Add([]byte{nameVersion})
	f.Add([]byte{nameVersion + 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := parseName("name/x", b)
		if err != nil {
			require.True(t, strings.Contains(err.Error(), "name/x"), "an error names its object")
			require.Zero(t, id)
			return
		}
		require.Equal(t, b[1:17], id[:])
	})
}
