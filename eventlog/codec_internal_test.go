package eventlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

func TestRecords(t *testing.T) {
	for _, records := range [][][]byte{{{}}, {{1}}, {{1, 2}, {}, {3}}, {make([]byte, MaxRecord)}} {
		b, err := appendRecords(records)
		require.NoError(t, err)
		assert.Len(t, b, recordsSize(records))
		got, err := parseRecords(b)
		require.NoError(t, err)
		assert.Equal(t, records, got)
	}
	for name, b := range map[string][]byte{
		"empty":          {},
		"version 0":      {0, 0, 0, 0, 0},
		"no record":      {1},
		"short length":   {1, 0, 0, 0},
		"short record":   {1, 0, 0, 0, 2, 9},
		"beyond":         {1, 0xff, 0xff, 0xff, 0xff},
		"rest":           {1, 0, 0, 0, 1, 9, 9},
		"over the limit": append([]byte{1}, make([]byte, maxRecords)...),
	} {
		_, err := parseRecords(b)
		assert.Error(t, err, name)
	}
	_, err := parseRecords([]byte{2})
	assert.ErrorIs(t, err, ErrNewerVersion)
}

// TestSince takes the larger of the distances on the two clocks.
func TestSince(t *testing.T) {
	from := time.Now()
	assert.Equal(t, time.Hour, since(from.Add(time.Hour), from))
	assert.Equal(t, time.Hour, since(from.Round(0).Add(time.Hour), from), "wall clock alone")
	assert.Greater(t, since(from.Add(-time.Second), from), 1000*time.Hour, "backwards")
	assert.Equal(t, 30*time.Hour, distance(30*time.Hour, time.Second), "the machine was suspended")
	assert.Equal(t, 30*time.Hour, distance(time.Second, 30*time.Hour), "the wall clock was set")
	assert.Greater(t, distance(-time.Second, time.Hour), 1000*time.Hour, "the wall clock was set back")
	assert.Greater(t, since(from, time.Time{}), 1000*time.Hour, "never")
}

func golden(f *testing.F, pattern string) {
	files, err := filepath.Glob(filepath.Join("testdata", "v2", pattern))
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(data)
	}
}

func FuzzParseRecords(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 9})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := parseRecords(b)
		if err != nil {
			return
		}
		again, err := appendRecords(records)
		require.NoError(t, err)
		require.Equal(t, b, again, "a list of records has one encoding")
	})
}

func FuzzEntryHeader(f *testing.F) {
	golden(f, "log/*")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseEntryHeader(b)
		if err != nil {
			return
		}
		require.True(t, bytes.HasPrefix(b, h.append(nil)))
	})
}

func FuzzSnapshotHeader(f *testing.F) {
	golden(f, "snap/*")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseSnapshotHeader(b)
		if err != nil {
			return
		}
		require.True(t, bytes.HasPrefix(b, h.append(nil)))
	})
}

// FuzzDecode feeds whole entries to a reader with keys: whatever it is given, it
// gives an entry of the place or an error, and records only for what it sealed.
func FuzzDecode(f *testing.F) {
	golden(f, "log/*")
	read := func(name string) *crypto.Identity {
		text, err := os.ReadFile(filepath.Join("testdata", "v2", name))
		require.NoError(f, err)
		id, err := crypto.ParseIdentity(string(bytes.TrimSpace(text)))
		require.NoError(f, err)
		return id
	}
	id, before := read("identity"), read("identity-before")
	s := sealer{id: ID{1, 2, 3}, ring: newRing(Keys{Identity: id, Retired: []*crypto.Identity{before}})}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseEntryHeader(b)
		if err != nil {
			return
		}
		for _, held := range []term{{}, s.ring.term(1, h.epoch, TermsOpen), s.ring.term(1, h.epoch, TermsClosed), s.ring.term(0, h.epoch, TermsClosed)} {
			if h.kind == Rekey && held.epoch > 0 {
				held.epoch--
			}
			e, after, err := s.decode(Head{Pos: h.pos - 1, Hash: h.prev}, held, b)
			if err != nil {
				require.Equal(t, held, after)
				continue
			}
			if e.Junk == nil && (h.kind == Owned || h.kind == Delivered) {
				require.NotEmpty(t, e.Records)
			}
			if h.kind != Delivered {
				require.NoError(t, e.Junk)
			}
			if h.kind != Rekey {
				require.Equal(t, held, after)
			}
		}
	})
}

func FuzzParseObjectID(f *testing.F) {
	f.Add("000102030405060708090a0b0c0d0e0f")
	f.Add("000102030405060708090A0B0C0D0E0F")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseObjectID(s); err == nil {
			require.Equal(t, s, id.String())
		}
	})
}
