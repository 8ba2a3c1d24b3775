package state

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
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/message"
)

func sampleBody(n byte) BodyRef {
	return BodyRef{
		ID:  eventlog.ObjectID{n, 1, 2, 3},
		Key: crypto.BodyKey{File: crypto.FileKey{n, 4, 5}, Nonce: [16]byte{n, 6, 7}, Header: 1627},
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
func sampleEvents() map[string]Event {
	added := []NewMessage{
		{Body: sampleBody(1), Size: 7, Date: 1_700_000_000, Flags: []string{FlagSeen, "$Work"}, Meta: sampleMeta("A: b\r\n\r\n")},
		{Body: sampleBody(2), Size: 0, Date: -1, Meta: sampleMeta("")},
	}
	return map[string]Event{
		"genesis":   &Genesis{UIDValidity: 1_700_000_000, Time: 1_700_000_000},
		"create":    &CreateMailbox{Name: "Sent/2024", SpecialUse: []string{`\Sent`}, UIDValidity: 5},
		"delete":    &DeleteMailbox{Mailbox: 3},
		"rename":    &RenameMailbox{Mailbox: 3, Name: "Åland"},
		"subscribe": &Subscribe{Name: "Sent", On: true},
		"add":       &AddMessages{Mailbox: 1, Time: 1_700_000_001, Messages: added},
		"flag":      &ChangeFlags{Mailbox: 1, UIDs: UIDSet{{1, 1}, {3, 1000}, {4294967295, 4294967295}}, Op: FlagsAdd, Flags: []string{FlagDeleted}},
		"expunge":   &ExpungeMessages{Mailbox: 1, UIDs: UIDSet{{2, 3}}},
		"copy":      &CopyMessages{From: 1, To: 2, UIDs: UIDSet{{1, 1}}, Time: 1_700_000_002},
		"move":      &CopyMessages{From: 1, To: 2, UIDs: UIDSet{{1, 1}}, Move: true, Time: 1_700_000_002},
		"recent":    &ClearRecent{Mailbox: 1, UID: 9},
		"deliver":   &Deliver{Folder: "lists", Time: 1_700_000_003, Messages: added[1:]},
		"import":    &ImportMessages{Mailbox: 2, Time: 1_700_000_004, UIDs: UIDSet{{7, 7}, {9, 9}}, UIDNext: 12, Messages: added},
		"restored":  &RenewAll{UIDValidity: 1_800_000_000, Mailbox: 70_000},
		"rekey":     &BeginRekey{ID: []byte("0123456789abcdef")},
		"renew":     &RenewMailbox{Mailbox: 1, UIDValidity: 1_600_000_000},
		"many":      NewBatch(&ClearRecent{Mailbox: 1, UID: 9}, &Subscribe{Name: "x"}),
	}
}

func samplePage() *Page {
	p := NewPage(3)
	p.Append(Row{UID: 1, Flags: Seen, ModSeq: 2, Size: 7, Date: 1_700_000_000, Saved: 1_700_000_001, Body: sampleBody(1), Meta: MetaSource{Segment: pack.BlockID{9}}, Slot: 4})
	p.Append(Row{UID: 5, Flags: 1 << firstKeywordBit, ModSeq: 3, Size: 1 << 31, Date: -5, Saved: 1, Body: sampleBody(2), Meta: MetaSource{Entry: 77}})
	p.Append(Row{UID: 4294967294, ModSeq: 4, Body: sampleBody(3), Meta: MetaSource{Segment: pack.BlockID{9}}, Slot: 5})
	return p
}

func sampleState() *Account {
	ref := samplePage().Ref()
	ref.Block, ref.Page = sampleRef(8), nil
	inbox := &Mailbox{
		ID: 1, Name: Inbox, UIDValidity: 1_700_000_000, UIDNext: 4294967295, RecentFrom: 5, ModSeq: 4, Created: 1,
		Keywords: []string{"$Work"}, Pages: []*PageRef{ref}, Vanished: []Vanished{{3, 2, 4}}, Forgotten: 1,
	}
	inbox.count(ref)
	return &Account{
		At: 4, Mailboxes: []*Mailbox{inbox, {ID: 2, Name: "Sent", UIDValidity: 1_700_000_001, UIDNext: 1, RecentFrom: 1, ModSeq: 2, Created: 2, SpecialUse: []string{`\Sent`}}},
		Subscribed: []string{Inbox, "gone"}, NextMailbox: 3, NextUIDValidity: 1_700_000_002, Created: 1_700_000_000,
		Packs:    map[pack.ID]uint32{{7}: 8 << 10, {8}: 4 << 10},
		Segments: map[pack.BlockID]Segment{{7}: {Messages: 2, Metadata: sampleRef(7)}},
	}
}

// sampleRef refers to a block in the pack of a number.
func sampleRef(n byte) pack.Ref {
	return pack.Ref{Pack: pack.ID{n}, Off: 4, Sealed: 100, Plain: 300, Secret: crypto.BlockSecret{n, 1}, Hash: [32]byte{n}}
}

func TestEventsAreFrozen(t *testing.T) {
	kinds := map[byte]bool{}
	for name, e := range sampleEvents() {
		b := EncodeEvent(e)
		kinds[b[0]] = true
		golden.Equal(t, "event-"+name, b)
		back, err := DecodeEvent(b)
		require.NoError(t, err, name)
		require.Equal(t, b, EncodeEvent(back), name)
		require.Equal(t, fmt.Sprint(e.Kind()), fmt.Sprint(back.Kind()))
	}
	for k := range byte(255) {
		require.Equal(t, NewEvent(k) != nil, kinds[k], "kind %d has a frozen sample", k)
	}
	_, err := DecodeEvent([]byte{200, 0x90})
	require.ErrorIs(t, err, eventlog.ErrNewerVersion)
}

func TestPagesAreFrozen(t *testing.T) {
	p := samplePage()
	golden.Equal(t, "page", p.Encode())
	back, err := DecodePage(p.Encode())
	require.NoError(t, err)
	require.Equal(t, p, back)
	newer := p.Encode()
	newer[0]++
	_, err = DecodePage(newer)
	require.ErrorIs(t, err, eventlog.ErrNewerVersion)
}

func TestSegmentsAreFrozen(t *testing.T) {
	metas := [][]byte{[]byte("one"), {}, []byte("three")}
	golden.Equal(t, "segment", EncodeSegment(metas))
	back, err := DecodeSegment(EncodeSegment(metas))
	require.NoError(t, err)
	require.Equal(t, metas, back)
}

func TestSnapshotsAreFrozen(t *testing.T) {
	s := sampleState()
	b := EncodeSnapshot(s)
	golden.Equal(t, "snapshot", b)
	back, err := DecodeSnapshot(b)
	require.NoError(t, err)
	require.Equal(t, b, EncodeSnapshot(back))
	require.Equal(t, s.Mailboxes[0].Messages, back.Mailboxes[0].Messages)
	require.Equal(t, s.Mailboxes[0].Size, back.Mailboxes[0].Size)
}

// Nothing but the one encoding is read.
func TestDecodersAreStrict(t *testing.T) {
	for name, e := range sampleEvents() {
		b := EncodeEvent(e)
		for i := range b {
			_, err := DecodeEvent(b[:i])
			require.Error(t, err, "%s cut at %d", name, i)
		}
		_, err := DecodeEvent(append(b[:len(b):len(b)], 0))
		require.Error(t, err, name)
	}
	// The integer 3 in two bytes instead of one.
	_, err := DecodeEvent([]byte{kindDelete, 0x91, 0xcc, 0x03})
	require.Error(t, err)
	for _, set := range []UIDSet{nil, {{1, 4294967295}}, {{2, 2}, {4, 9}}} {
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
		f.Add(EncodeEvent(e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := DecodeEvent(b); err == nil {
			require.Equal(t, b, EncodeEvent(e))
		}
	})
}

func FuzzDecodePage(f *testing.F) {
	f.Add(samplePage().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePage(b); err == nil {
			require.Equal(t, b, p.Encode())
			for i := range p.Len() {
				p.Row(i)
			}
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(EncodeSnapshot(sampleState()))
	f.Add(EncodeSnapshot(NewAccount(1, &Genesis{UIDValidity: 1})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeSnapshot(b); err == nil {
			require.Equal(t, b, EncodeSnapshot(s))
		}
	})
}

func FuzzDecodeSegment(f *testing.F) {
	f.Add(EncodeSegment([][]byte{[]byte("one"), {}, []byte("three")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeSegment(b); err == nil {
			require.Equal(t, b, EncodeSegment(m))
		}
	})
}

func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{"inbox", "Inbox/a", "Cafe\u0301", "a//b", "ä/ö", "a/", "*", "\xff", strings.Repeat("x/", 40)} {
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
		if NewEvent(k) != nil && !strings.Contains(string(script), fmt.Sprintf("if kind == %d:", k)) {
			require.Contains(t, strings.Split(ignored, ", "), fmt.Sprint(k), "event of kind %d", k)
		}
	}
}
