package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
	"github.com/letterlock/letterlock/mailbox/message"
)

func sampleBody(n byte) bodyRef {
	return bodyRef{
		id:  eventlog.ObjectID{n, 1, 2, 3},
		key: crypto.BodyKey{File: crypto.FileKey{n, 4, 5}, Nonce: [16]byte{n, 6, 7}, Header: 1627},
	}
}

func sampleMeta(text string) []byte {
	s := message.NewScanner()
	fmt.Fprint(s, text)
	m := s.Close()
	m.Preview, m.HasPreview = "", false // as they were when these bytes were frozen
	return m.Encode()
}

// sampleEvents has one of each kind, and what is special about it.
func sampleEvents() map[string]event {
	added := []newMessage{
		{Body: sampleBody(1), Size: 7, Date: 1_700_000_000, Flags: []string{FlagSeen, "$Work"}, Meta: sampleMeta("A: b\r\n\r\n")},
		{Body: sampleBody(2), Size: 0, Date: -1, Meta: sampleMeta("")},
	}
	return map[string]event{
		"genesis":   &genesis{UIDValidity: 1_700_000_000, Time: 1_700_000_000},
		"create":    &createMailbox{Name: "Sent/2024", SpecialUse: []string{`\Sent`}, UIDValidity: 5},
		"delete":    &deleteMailbox{Mailbox: 3},
		"rename":    &renameMailbox{Mailbox: 3, Name: "Åland"},
		"subscribe": &subscribe{Name: "Sent", On: true},
		"add":       &addMessages{Mailbox: 1, Time: 1_700_000_001, Messages: added},
		"flag":      &flagMessages{Mailbox: 1, UIDs: uidSet{{1, 1}, {3, 1000}, {4294967295, 4294967295}}, Op: FlagsAdd, Flags: []string{FlagDeleted}},
		"expunge":   &expungeMessages{Mailbox: 1, UIDs: uidSet{{2, 3}}},
		"copy":      &copyMessages{From: 1, To: 2, UIDs: uidSet{{1, 1}}, Time: 1_700_000_002},
		"move":      &copyMessages{From: 1, To: 2, UIDs: uidSet{{1, 1}}, Move: true, Time: 1_700_000_002},
		"recent":    &seenRecent{Mailbox: 1, UID: 9},
		"deliver":   &deliver{Folder: "lists", Time: 1_700_000_003, Messages: added[1:]},
		"import":    &importMessages{Mailbox: 2, Time: 1_700_000_004, UIDs: uidSet{{7, 7}, {9, 9}}, UIDNext: 12, Messages: added},
		"restored":  &restored{UIDValidity: 1_800_000_000, Mailbox: 70_000},
		"renew":     &renewMailbox{Mailbox: 1, UIDValidity: 1_600_000_000},
		"many":      newMany(&seenRecent{Mailbox: 1, UID: 9}, &subscribe{Name: "x"}),
	}
}

func samplePage() *page {
	p := newPage(3)
	p.push(row{uid: 1, flags: bitSeen, modseq: 2, size: 7, date: 1_700_000_000, saved: 1_700_000_001, body: sampleBody(1), meta: metaSource{segment: eventlog.ObjectID{9}}, slot: 4})
	p.push(row{uid: 5, flags: 1 << firstKeywordBit, modseq: 3, size: 1 << 31, date: -5, saved: 1, body: sampleBody(2), meta: metaSource{entry: 77}})
	p.push(row{uid: 4294967294, modseq: 4, body: sampleBody(3), meta: metaSource{segment: eventlog.ObjectID{9}}, slot: 5})
	return p
}

func sampleState() *state {
	ref := samplePage().ref()
	ref.id, ref.page = eventlog.ObjectID{8}, nil
	inbox := &Mailbox{
		id: 1, name: Inbox, uidValidity: 1_700_000_000, uidNext: 4294967295, recentFrom: 5, modseq: 4, created: 1,
		keywords: []string{"$Work"}, pages: []*pageRef{ref}, vanished: []vanished{{3, 2, 4}}, forgotten: 1,
	}
	inbox.count(ref)
	return &state{
		at: 4, boxes: []*Mailbox{inbox, {id: 2, name: "Sent", uidValidity: 1_700_000_001, uidNext: 1, recentFrom: 1, modseq: 2, created: 2, special: []string{`\Sent`}}},
		subscribed: []string{Inbox, "gone"}, nextMailbox: 3, nextValidity: 1_700_000_002, created: 1_700_000_000,
	}
}

func TestEventsAreFrozen(t *testing.T) {
	kinds := map[byte]bool{}
	for name, e := range sampleEvents() {
		b := encodeEvent(e)
		kinds[b[0]] = true
		golden.Equal(t, "event-"+name, b)
		back, err := decodeEvent(b)
		require.NoError(t, err, name)
		require.Equal(t, b, encodeEvent(back), name)
		require.Equal(t, fmt.Sprint(e.kind()), fmt.Sprint(back.kind()))
	}
	for k := range byte(255) {
		require.Equal(t, newEvent(k) != nil, kinds[k], "kind %d has a frozen sample", k)
	}
	_, err := decodeEvent([]byte{200, 0x90})
	require.ErrorIs(t, err, eventlog.ErrNewerVersion)
}

func TestPagesAreFrozen(t *testing.T) {
	p := samplePage()
	golden.Equal(t, "page", p.encode())
	back, err := decodePage(p.encode())
	require.NoError(t, err)
	require.Equal(t, p, back)
	newer := p.encode()
	newer[0]++
	_, err = decodePage(newer)
	require.ErrorIs(t, err, eventlog.ErrNewerVersion)
}

func TestSegmentsAreFrozen(t *testing.T) {
	metas := [][]byte{[]byte("one"), {}, []byte("three")}
	golden.Equal(t, "segment", encodeSegment(metas))
	back, err := decodeSegment(encodeSegment(metas))
	require.NoError(t, err)
	require.Equal(t, metas, back)
}

func TestSnapshotsAreFrozen(t *testing.T) {
	s := sampleState()
	b := encodeManifest(s)
	golden.Equal(t, "snapshot", b)
	back, err := decodeManifest(b)
	require.NoError(t, err)
	require.Equal(t, b, encodeManifest(back))
	require.Equal(t, s.boxes[0].exists, back.boxes[0].exists)
	require.Equal(t, s.boxes[0].size, back.boxes[0].size)
}

// Nothing but the one encoding is read.
func TestDecodersAreStrict(t *testing.T) {
	for name, e := range sampleEvents() {
		b := encodeEvent(e)
		for i := range b {
			_, err := decodeEvent(b[:i])
			require.Error(t, err, "%s cut at %d", name, i)
		}
		_, err := decodeEvent(append(b[:len(b):len(b)], 0))
		require.Error(t, err, name)
	}
	// The integer 3 in two bytes instead of one.
	_, err := decodeEvent([]byte{kindDelete, 0x91, 0xcc, 0x03})
	require.Error(t, err)
	for _, set := range []uidSet{nil, {{1, 4294967295}}, {{2, 2}, {4, 9}}} {
		back, err := decodeUIDSet(set.encode())
		require.NoError(t, err)
		require.Equal(t, set, back)
	}
	for _, bad := range [][]byte{{0, 0}, {1}, {1, 0, 1, 0}, {0x81, 0x00, 0}, {1, 0xff, 0xff, 0xff, 0xff, 0x1f}} {
		_, err := decodeUIDSet(bad)
		require.Error(t, err, "%x", bad)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, e := range sampleEvents() {
		f.Add(encodeEvent(e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeEvent(b); err == nil {
			require.Equal(t, b, encodeEvent(e))
		}
	})
}

func FuzzDecodePage(f *testing.F) {
	f.Add(samplePage().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodePage(b); err == nil {
			require.Equal(t, b, p.encode())
			for i := range p.len() {
				p.row(i)
			}
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(encodeManifest(sampleState()))
	f.Add(encodeManifest(applyGenesis(1, &genesis{UIDValidity: 1})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeManifest(b); err == nil {
			require.Equal(t, b, encodeManifest(s))
		}
	})
}

func FuzzDecodeSegment(f *testing.F) {
	f.Add(encodeSegment([][]byte{[]byte("one"), {}, []byte("three")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeSegment(b); err == nil {
			require.Equal(t, b, encodeSegment(m))
		}
	})
}

func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{"inbox", "Inbox/a", "a//b", "ä/ö", "a/", "*", "\xff", strings.Repeat("x/", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CanonicalName(s)
		if err != nil {
			require.ErrorIs(t, err, ErrBadName)
			return
		}
		again, err := CanonicalName(name)
		require.NoError(t, err)
		require.Equal(t, name, again)
	})
}

// The program that reads a store when this one is gone knows every event.
func TestRescueKnowsEveryEvent(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "rescue.py"))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(script), "elif kind not in (")
	require.True(t, ok)
	ignored, _, _ := strings.Cut(rest, ")")
	for k := range byte(255) {
		if newEvent(k) != nil && !strings.Contains(string(script), fmt.Sprintf("if kind == %d:", k)) {
			require.Contains(t, strings.Split(ignored, ", "), fmt.Sprint(k), "event of kind %d", k)
		}
	}
}
