package eventlog_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

var update = flag.Bool("update", false, "write testdata anew; old logs must still be read, so only with a new version")

const goldenDir = "testdata/v1"

// goldenNames are the objects of the frozen log, one of each kind. The identity
// that opens them is in the file identity.
func goldenNames(page string) []string {
	return []string{"log/0000000000000001", "log/0000000000000002", "log/0000000000000003", "snap/0000000000000002", page}
}

// TestGolden reads a log that was written when the format was frozen. Every later
// version must read it.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(goldenDir, name))
		require.NoError(t, err)
		return data
	}
	w := newWorld(t)
	var err error
	w.id, err = crypto.ParseIdentity(strings.TrimSpace(string(file("identity"))))
	require.NoError(t, err)
	pages, err := filepath.Glob(filepath.Join(goldenDir, "page", "*"))
	require.NoError(t, err)
	require.Len(t, pages, 1)
	page := "page/" + filepath.Base(pages[0])
	for _, name := range goldenNames(page) {
		require.NoError(t, create(t.Context(), w.mem, prefix+name, file(filepath.FromSlash(name))))
	}

	l := w.handle(nil)
	var got []eventlog.Entry
	for e, err := range l.Read(t.Context()) {
		require.NoError(t, err)
		require.NoError(t, e.Junk)
		got = append(got, e)
	}
	require.Len(t, got, 3)
	assert.Equal(t, [][]byte{[]byte("begin")}, got[0].Records)
	assert.Equal(t, [][]byte{[]byte("one"), {}, []byte("three")}, got[1].Records)
	assert.Equal(t, [][]byte{[]byte("delivered")}, got[2].Records)
	assert.Equal(t, eventlog.Owned, got[1].Kind)
	assert.Equal(t, eventlog.Delivered, got[2].Kind)
	snap, err := l.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, got[1].Head, snap.Head)
	assert.Equal(t, "state", string(snap.Payload))
	assert.Equal(t, int64(1740830400), snap.Time.Unix())
	id, err := eventlog.ParseObjectID(strings.TrimPrefix(page, "page/"))
	require.NoError(t, err)
	data, err := l.GetObject(t.Context(), "page", id)
	require.NoError(t, err)
	assert.Equal(t, "columns", string(data))
	w.clean()

	// The clear parts, byte by byte.
	entry := file("log/0000000000000002")
	assert.Equal(t, "LLE", string(entry[:3]))
	assert.Equal(t, []byte{1}, entry[3:4], "version")
	assert.Equal(t, []byte{1}, entry[4:5], "owned")
	assert.Equal(t, "0000000000000002", hex.EncodeToString(entry[5:13]), "position")
	assert.Equal(t, got[0].Hash[:], entry[13:45], "hash of the entry before")
	assert.Len(t, entry, 45+crypto.Overhead+1+4+3+4+0+4+5)
	delivered := file("log/0000000000000003")
	assert.Equal(t, []byte{2}, delivered[4:5], "delivered")
	assert.Equal(t, "age-encryption.org/v1\n", string(delivered[45:67]), "an age file")
	snapshot := file("snap/0000000000000002")
	assert.Equal(t, "LLS\x01", string(snapshot[:4]))
	assert.Equal(t, "0000000000000002", hex.EncodeToString(snapshot[4:12]), "position")
	assert.Equal(t, got[1].Hash[:], snapshot[12:44], "hash of the entry there")
	assert.Equal(t, "0000000067c2f6c0", hex.EncodeToString(snapshot[44:52]), "unix time")
	assert.Len(t, snapshot, 52+crypto.Overhead+len("state"))
	object := file(filepath.FromSlash(page))
	assert.Equal(t, "LLO\x01", string(object[:4]))
	assert.Len(t, object, 4+crypto.Overhead+len("columns"))
}

func writeGolden(t *testing.T) {
	w := newWorld(t)
	w.clock.t = time.Unix(1740830400, 0)
	l := w.begin(0)
	e, err := l.Append(t.Context(), eventlog.Owned, []byte("one"), nil, []byte("three"))
	require.NoError(t, err)
	_, err = l.Append(t.Context(), eventlog.Delivered, []byte("delivered"))
	require.NoError(t, err)
	require.NoError(t, l.WriteSnapshot(t.Context(), e.Head, []byte("state")))
	id, err := l.PutObject(t.Context(), "page", []byte("columns"))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(goldenDir))
	put := func(name string, data []byte) {
		path := filepath.Join(goldenDir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	put("identity", []byte(w.id.Export()+"\n"))
	for _, name := range goldenNames("page/" + id.String()) {
		put(name, w.bytes(prefix+name))
	}
}
