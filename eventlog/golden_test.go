package eventlog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
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

const goldenDir = "testdata/v2"

// goldenNames are the objects of the frozen log, one of each kind. The identities
// that open them are in the files identity and identity-before.
func goldenNames(page string) []string {
	names := []string{"snap/0000000000000006", page}
	for p := 1; p <= 8; p++ {
		names = append(names, fmt.Sprintf("log/%016d", p))
	}
	return names
}

// TestGolden reads a log that was written when the format was frozen. Every later
// version must read it.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(goldenDir, filepath.FromSlash(name)))
		require.NoError(t, err)
		return data
	}
	identity := func(name string) *crypto.Identity {
		id, err := crypto.ParseIdentity(strings.TrimSpace(string(file(name))))
		require.NoError(t, err)
		return id
	}
	w := newWorld(t)
	w.id = identity("identity")
	before := identity("identity-before")
	keys := func(c *eventlog.Config) { c.Keys.Retired = []*crypto.Identity{before} }
	pages, err := filepath.Glob(filepath.Join(goldenDir, "page", "*"))
	require.NoError(t, err)
	require.Len(t, pages, 1)
	page := "page/" + filepath.Base(pages[0])
	for _, name := range goldenNames(page) {
		require.NoError(t, create(t.Context(), w.mem, prefix+name, file(name)))
	}

	l := w.handle(nil, keys)
	var got []eventlog.Entry
	var end error
	for e, err := range l.Read(t.Context()) {
		if end = err; err != nil {
			break
		}
		require.NoError(t, e.Junk)
		got = append(got, e)
	}
	require.ErrorIs(t, end, eventlog.ErrEnded)
	type short struct {
		kind    eventlog.Kind
		epoch   eventlog.Epoch
		terms   eventlog.Terms
		records string
	}
	var all []short
	for _, e := range got {
		all = append(all, short{e.Kind, e.Epoch, e.Terms, string(bytes.Join(e.Records, []byte("|")))})
	}
	assert.Equal(t, []short{
		{eventlog.Rekey, 1, eventlog.TermsOpen, "begin"},
		{eventlog.Owned, 1, eventlog.TermsOpen, "one||three"},
		{eventlog.Delivered, 1, eventlog.TermsOpen, "delivered"},
		{eventlog.Rekey, 2, eventlog.TermsClosed, ""},
		{eventlog.Owned, 2, eventlog.TermsClosed, "owned"},
		{eventlog.Delivered, 2, eventlog.TermsClosed, "delivered with a MAC"},
		{eventlog.Rekey, 3, eventlog.TermsClosed, ""},
	}, all)
	snap, err := l.LatestSnapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, got[5].Head, snap.Head)
	assert.Equal(t, "state", string(snap.Payload))
	assert.Equal(t, int64(1740830400), snap.Time.Unix())
	id, err := eventlog.ParseObjectID(strings.TrimPrefix(page, "page/"))
	require.NoError(t, err)
	data, err := l.GetObject(t.Context(), "page", id)
	require.NoError(t, err)
	assert.Equal(t, "columns", string(data))
	require.NoError(t, l.Check(t.Context(), func(p eventlog.Problem) { t.Errorf("check: %v", p) }))

	goldenBytes(t, w, file, got, page)
}

// goldenBytes checks the clear parts, byte by byte.
func goldenBytes(t *testing.T, w *world, file func(string) []byte, got []eventlog.Entry, page string) {
	mac := func(id *crypto.Identity, e eventlog.Epoch, data []byte) {
		t.Helper()
		at := len(data) - 32
		assert.True(t, eventlog.DeliveryKey(id, e).CheckMAC(data[at:], []byte("entry"), w.logID[:], data[:at]))
	}
	before, err := crypto.ParseIdentity(strings.TrimSpace(string(file("identity-before"))))
	require.NoError(t, err)
	entry := file("log/0000000000000002")
	assert.Equal(t, "LLE", string(entry[:3]))
	assert.Equal(t, []byte{2}, entry[3:4], "version")
	assert.Equal(t, []byte{1}, entry[4:5], "owned")
	assert.Equal(t, "0000000000000002", hex.EncodeToString(entry[5:13]), "position")
	assert.Equal(t, "00000001", hex.EncodeToString(entry[13:17]), "epoch")
	assert.Equal(t, got[0].Hash[:], entry[17:49], "hash of the entry before")
	assert.Len(t, entry, 49+crypto.Overhead+1+4+3+4+0+4+5)
	first := file("log/0000000000000001")
	assert.Equal(t, []byte{0x83}, first[4:5], "rekey, with a MAC")
	assert.Len(t, first, 49+crypto.Overhead+1+4+33+4+len("begin")+32)
	mac(before, 1, first)
	delivered := file("log/0000000000000003")
	assert.Equal(t, []byte{2}, delivered[4:5], "delivered")
	assert.Equal(t, "age-encryption.org/v1\n", string(delivered[49:71]), "an age file")
	assert.Equal(t, []byte{0xc3}, file("log/0000000000000004")[4:5], "rekey that closes")
	mac(before, 2, file("log/0000000000000004"))
	assert.Equal(t, []byte{0x81}, file("log/0000000000000005")[4:5], "owned, with a MAC")
	assert.Equal(t, "00000002", hex.EncodeToString(file("log/0000000000000005")[13:17]), "epoch")
	mac(before, 2, file("log/0000000000000005"))
	assert.Equal(t, []byte{0x82}, file("log/0000000000000006")[4:5], "delivered, with a MAC")
	mac(before, 2, file("log/0000000000000006"))
	mac(w.id, 3, file("log/0000000000000007"))
	end := file("log/0000000000000008")
	assert.Equal(t, []byte{0x84}, end[4:5], "tombstone, with a MAC")
	assert.Len(t, end, 49+16+32)
	mac(w.id, 3, end)
	snapshot := file("snap/0000000000000006")
	assert.Equal(t, "LLS\x02", string(snapshot[:4]))
	assert.Equal(t, "0000000000000006", hex.EncodeToString(snapshot[4:12]), "position")
	assert.Equal(t, got[5].Hash[:], snapshot[12:44], "hash of the entry there")
	assert.Equal(t, "0000000067c2f6c0", hex.EncodeToString(snapshot[44:52]), "unix time")
	assert.Equal(t, "00000003", hex.EncodeToString(snapshot[52:56]), "epoch of the writer")
	assert.Equal(t, "00000002", hex.EncodeToString(snapshot[56:60]), "epoch of the entry")
	assert.Equal(t, []byte{2}, snapshot[60:61], "closed")
	sum := sha256.Sum256([]byte(w.id.Recipient().String()))
	assert.Equal(t, sum[:8], snapshot[61:69], "whose it is")
	assert.Len(t, snapshot, 69+crypto.Overhead+len("state"))
	object := file(page)
	assert.Equal(t, "LLO\x02", string(object[:4]))
	assert.Len(t, object, 4+crypto.Overhead+len("columns"))
	sum = sha256.Sum256(object)
	assert.Equal(t, "page/"+hex.EncodeToString(sum[:16]), page)
}

func writeGolden(t *testing.T) {
	w := newWorld(t)
	w.clock.t = time.Unix(1740830400, 0)
	next := newIdentity(t)
	l := w.begin(0)
	add := func(kind eventlog.Kind, records ...string) eventlog.Entry {
		var all [][]byte
		for _, r := range records {
			all = append(all, []byte(r))
		}
		e, err := l.Append(t.Context(), kind, all...)
		require.NoError(t, err)
		return e
	}
	add(eventlog.Owned, "one", "", "three")
	add(eventlog.Delivered, "delivered")
	id, err := l.PutObject(t.Context(), "page", []byte("columns"))
	require.NoError(t, err)
	_, err = l.Rekey(t.Context(), nil, eventlog.TermsClosed)
	require.NoError(t, err)
	add(eventlog.Owned, "owned")
	e := add(eventlog.Delivered, "delivered with a MAC")
	require.NoError(t, l.WriteSnapshotFor(t.Context(), e.Head, next, []byte("state")))
	_, err = l.Rekey(t.Context(), next, eventlog.TermsClosed)
	require.NoError(t, err)
	after := w.handle(nil, func(c *eventlog.Config) { c.Keys = &eventlog.Keys{Identity: next, Retired: []*crypto.Identity{w.id}} })
	_, err = readAll(t.Context(), after)
	require.NoError(t, err)
	_, err = after.End(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(goldenDir))
	put := func(name string, data []byte) {
		path := filepath.Join(goldenDir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	put("identity", []byte(next.Export()+"\n"))
	put("identity-before", []byte(w.id.Export()+"\n"))
	for _, name := range goldenNames("page/" + id.String()) {
		put(name, w.bytes(prefix+name))
	}
}
