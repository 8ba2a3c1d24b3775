package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

// A manifest is the payload of a snapshot: the whole state, with pages and segments
// named but not contained. It answers STATUS of every folder alone.

const manifestVersion = 2

var errMalformedManifest = errors.New("malformed snapshot")

// Lengths of a line in a manifest.
const (
	PageRefSize = pack.RefSize + 4 + 4 + 2 + 2 + 2 + 8 + 8 // of a page
	segmentSize = pack.RefSize + 2                         // of a segment
	packSize    = 16 + 4                                   // of a pack
)

// EncodeSnapshot returns the one encoding of a state whose pages are all in the
// store.
func EncodeSnapshot(s *Account) []byte {
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	table := s.packTable()
	must(enc.EncodeArrayLen(9))
	must(enc.EncodeUint(manifestVersion))
	must(enc.EncodeUint(uint64(s.At)))
	encodeField(enc, &s.Created)
	encodeField(enc, &s.NextMailbox)
	encodeField(enc, &s.NextUIDValidity)
	encodeField(enc, &s.Subscribed)
	must(enc.EncodeBytes(s.encodePacks()))
	must(enc.EncodeBytes(s.encodeSegments(table)))
	must(enc.EncodeArrayLen(len(s.Mailboxes)))
	for _, m := range s.Mailboxes {
		encodeBox(enc, table, m)
	}
	return buf.Bytes()
}

// packIDs returns the packs in the order of the table.
func (s *Account) packIDs() []pack.ID {
	return slices.SortedFunc(maps.Keys(s.Packs), func(a, b pack.ID) int { return bytes.Compare(a[:], b[:]) })
}

func (s *Account) packTable() *pack.Table {
	table, ok := pack.NewTable(s.packIDs())
	if !ok {
		panic("mailbox: a state refers to too many packs")
	}
	return table
}

func (s *Account) encodePacks() []byte {
	b := make([]byte, 0, packSize*len(s.Packs))
	for _, id := range s.packIDs() {
		b = append(b, id[:]...)
		b = binary.BigEndian.AppendUint32(b, s.Packs[id])
	}
	return b
}

// decodePacks reads what encodePacks wrote.
func (s *Account) decodePacks(b []byte) (*pack.Table, error) {
	if len(b)%packSize != 0 || len(b)/packSize > pack.MaxPacks {
		return nil, errMalformedManifest
	}
	ids := make([]pack.ID, 0, len(b)/packSize)
	s.Packs = make(map[pack.ID]uint32, len(b)/packSize)
	for ; len(b) > 0; b = b[packSize:] {
		id := pack.ID(b)
		ids = append(ids, id)
		s.Packs[id] = binary.BigEndian.Uint32(b[16:])
	}
	table, ok := pack.NewTable(ids)
	if !ok {
		return nil, errMalformedManifest
	}
	return table, nil
}

// encodeSegments writes the segments in order of their identities.
func (s *Account) encodeSegments(table *pack.Table) []byte {
	b := make([]byte, 0, segmentSize*len(s.Segments))
	ids := slices.SortedFunc(maps.Keys(s.Segments), func(a, b pack.BlockID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		b = table.Append(b, s.Segments[id].Metadata)
		b = binary.BigEndian.AppendUint16(b, uint16(s.Segments[id].Messages))
	}
	return b
}

// decodeSegments reads what encodeSegments wrote.
func (s *Account) decodeSegments(table *pack.Table, b []byte) error {
	if len(b)%segmentSize != 0 {
		return errMalformedManifest
	}
	s.Segments = make(map[pack.BlockID]Segment, len(b)/segmentSize)
	for ; len(b) > 0; b = b[segmentSize:] {
		ref, err := table.Parse(b)
		if err != nil || ref.IsZero() {
			return errMalformedManifest
		}
		s.Segments[ref.ID()] = Segment{Metadata: ref, Messages: int(binary.BigEndian.Uint16(b[pack.RefSize:]))}
	}
	return nil
}

func encodeBox(enc *msgpack.Encoder, table *pack.Table, m *Mailbox) {
	must(enc.EncodeArrayLen(12))
	encodeField(enc, &m.ID)
	encodeField(enc, &m.Name)
	encodeField(enc, &m.UIDValidity)
	encodeField(enc, &m.UIDNext)
	encodeField(enc, &m.RecentFrom)
	must(enc.EncodeUint(uint64(m.ModSeq)))
	must(enc.EncodeUint(uint64(m.Created)))
	encodeField(enc, &m.SpecialUse)
	encodeField(enc, &m.Keywords)
	must(enc.EncodeUint(uint64(m.Forgotten)))
	gone := make([]byte, 0, 16*len(m.Vanished))
	for _, v := range m.Vanished {
		gone = binary.BigEndian.AppendUint64(gone, uint64(v.At))
		gone = binary.BigEndian.AppendUint32(gone, uint32(v.First))
		gone = binary.BigEndian.AppendUint32(gone, uint32(v.Last))
	}
	must(enc.EncodeBytes(gone))
	pages := make([]byte, 0, PageRefSize*len(m.Pages))
	for _, r := range m.Pages {
		pages = r.append(pages, table)
	}
	must(enc.EncodeBytes(pages))
}

func (r *PageRef) append(b []byte, table *pack.Table) []byte {
	be := binary.BigEndian
	b = table.Append(b, r.Block)
	b = be.AppendUint32(b, uint32(r.First))
	b = be.AppendUint32(b, uint32(r.Last))
	b = be.AppendUint16(b, uint16(r.Count))
	b = be.AppendUint16(b, uint16(r.Unseen))
	b = be.AppendUint16(b, uint16(r.Deleted))
	b = be.AppendUint64(b, r.Size)
	return be.AppendUint64(b, uint64(r.MaxModSeq))
}

// DecodeSnapshot reads what EncodeSnapshot wrote, and nothing else.
func DecodeSnapshot(b []byte) (*Account, error) {
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(b))
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 1 {
		return nil, errMalformedManifest
	}
	version, err := dec.DecodeUint64()
	if err != nil {
		return nil, errMalformedManifest
	}
	if version != manifestVersion {
		return nil, fmt.Errorf("snapshot of version %d: %w", version, eventlog.ErrNewerVersion)
	}
	s := &Account{}
	at, err := dec.DecodeUint64()
	if err != nil || n != 9 {
		return nil, errMalformedManifest
	}
	s.At = ModSeq(at)
	for _, f := range []any{&s.Created, &s.NextMailbox, &s.NextUIDValidity, &s.Subscribed} {
		if decodeField(dec, f) != nil {
			return nil, errMalformedManifest
		}
	}
	var packs, segments []byte
	if decodeField(dec, &packs) != nil || decodeField(dec, &segments) != nil {
		return nil, errMalformedManifest
	}
	table, err := s.decodePacks(packs)
	if err != nil {
		return nil, err
	}
	if err := s.decodeSegments(table, segments); err != nil {
		return nil, err
	}
	err = decodeSlice(dec, &s.Mailboxes, func(m **Mailbox) error {
		*m = new(Mailbox)
		return decodeBox(dec, table, *m)
	})
	if err != nil || !bytes.Equal(EncodeSnapshot(s), b) {
		return nil, errMalformedManifest
	}
	if !s.sound() {
		return nil, errMalformedManifest
	}
	return s, nil
}

// sound reports whether mailboxes and subscriptions are in order, no ID is there
// twice, and INBOX is there.
func (s *Account) sound() bool {
	ids := make(map[MailboxID]bool, len(s.Mailboxes))
	for i, m := range s.Mailboxes {
		if i > 0 && m.Name <= s.Mailboxes[i-1].Name || m.ID == 0 || m.ID >= s.NextMailbox || ids[m.ID] {
			return false
		}
		ids[m.ID] = true
	}
	for i, name := range s.Subscribed {
		if i > 0 && name <= s.Subscribed[i-1] {
			return false
		}
	}
	return s.ByName(Inbox) != nil
}

func decodeBox(dec *msgpack.Decoder, table *pack.Table, m *Mailbox) error {
	if n, err := dec.DecodeArrayLen(); err != nil || n != 12 {
		return errMalformedManifest
	}
	var modseq, created, forgotten uint64
	var gone, pages []byte
	var err error
	for _, f := range []any{&m.ID, &m.Name, &m.UIDValidity, &m.UIDNext, &m.RecentFrom} {
		if err := decodeField(dec, f); err != nil {
			return err
		}
	}
	if modseq, err = dec.DecodeUint64(); err != nil {
		return err
	}
	if created, err = dec.DecodeUint64(); err != nil {
		return err
	}
	if err := decodeField(dec, &m.SpecialUse); err != nil {
		return err
	}
	if err := decodeField(dec, &m.Keywords); err != nil {
		return err
	}
	if forgotten, err = dec.DecodeUint64(); err != nil {
		return err
	}
	if err := decodeField(dec, &gone); err != nil {
		return err
	}
	if err := decodeField(dec, &pages); err != nil {
		return err
	}
	m.ModSeq, m.Created, m.Forgotten = ModSeq(modseq), ModSeq(created), ModSeq(forgotten)
	if len(m.Keywords) > MaxKeywords || len(gone)%16 != 0 || len(gone)/16 > MaxVanished || len(pages)%PageRefSize != 0 {
		return errMalformedManifest
	}
	be := binary.BigEndian
	for ; len(gone) > 0; gone = gone[16:] {
		v := Vanished{ModSeq(be.Uint64(gone)), UID(be.Uint32(gone[8:])), UID(be.Uint32(gone[12:]))}
		if n := len(m.Vanished); v.First == 0 || v.Last < v.First || n > 0 && v.At < m.Vanished[n-1].At {
			return errMalformedManifest
		}
		m.Vanished = append(m.Vanished, v)
	}
	return m.decodePages(table, pages)
}

// decodePages reads the lines of a mailbox's pages and counts its messages.
func (m *Mailbox) decodePages(table *pack.Table, pages []byte) error {
	be := binary.BigEndian
	refs := make([]PageRef, len(pages)/PageRefSize)
	m.Pages = make([]*PageRef, len(refs))
	last := UID(0)
	for i := range refs {
		line, r := pages[i*PageRefSize:], &refs[i]
		block, err := table.Parse(line)
		if err != nil || block.IsZero() {
			return errMalformedManifest
		}
		b := line[pack.RefSize:]
		*r = PageRef{
			Block: block, First: UID(be.Uint32(b)), Last: UID(be.Uint32(b[4:])),
			Count: int(be.Uint16(b[8:])), Unseen: int(be.Uint16(b[10:])), Deleted: int(be.Uint16(b[12:])),
			Size: be.Uint64(b[14:]), MaxModSeq: ModSeq(be.Uint64(b[22:])),
		}
		if r.First <= last || r.Last < r.First || r.Last >= m.UIDNext || r.Count < 1 || r.Count > PageRows ||
			int64(r.Count) > int64(r.Last)-int64(r.First)+1 || r.Unseen > r.Count || r.Deleted > r.Count {
			return errMalformedManifest
		}
		last = r.Last
		m.Pages[i] = r
		m.count(r)
	}
	return nil
}
