package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/letterlock/letterlock/eventlog"
)

// A manifest is the payload of a snapshot: the whole state, with pages named
// but not contained. It answers STATUS of every folder alone.

const manifestVersion = 1

var errMalformedManifest = errors.New("malformed snapshot")

// PageRefSize is the length of a page's line in a manifest.
const PageRefSize = 16 + 4 + 4 + 2 + 2 + 2 + 8 + 8

// EncodeSnapshot returns the one encoding of a state whose pages are all in the
// store.
func EncodeSnapshot(s *Account) []byte {
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	must(enc.EncodeArrayLen(7))
	must(enc.EncodeUint(manifestVersion))
	must(enc.EncodeUint(uint64(s.At)))
	encodeField(enc, &s.Created)
	encodeField(enc, &s.NextMailbox)
	encodeField(enc, &s.NextUIDValidity)
	encodeField(enc, &s.Subscribed)
	must(enc.EncodeArrayLen(len(s.Mailboxes)))
	for _, m := range s.Mailboxes {
		encodeBox(enc, m)
	}
	return buf.Bytes()
}

func encodeBox(enc *msgpack.Encoder, m *Mailbox) {
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
		pages = r.append(pages)
	}
	must(enc.EncodeBytes(pages))
}

func (r *PageRef) append(b []byte) []byte {
	be := binary.BigEndian
	b = append(b, r.ID[:]...)
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
	if err != nil || n != 7 {
		return nil, errMalformedManifest
	}
	s.At = ModSeq(at)
	for _, f := range []any{&s.Created, &s.NextMailbox, &s.NextUIDValidity, &s.Subscribed} {
		if decodeField(dec, f) != nil {
			return nil, errMalformedManifest
		}
	}
	err = decodeSlice(dec, &s.Mailboxes, func(m **Mailbox) error {
		*m = new(Mailbox)
		return decodeBox(dec, *m)
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

func decodeBox(dec *msgpack.Decoder, m *Mailbox) error {
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
	return m.decodePages(pages)
}

// decodePages reads the lines of a mailbox's pages and counts its messages.
func (m *Mailbox) decodePages(pages []byte) error {
	be := binary.BigEndian
	refs := make([]PageRef, len(pages)/PageRefSize)
	m.Pages = make([]*PageRef, len(refs))
	last := UID(0)
	for i := range refs {
		b, r := pages[i*PageRefSize:], &refs[i]
		*r = PageRef{
			ID: eventlog.ObjectID(b[:16]), First: UID(be.Uint32(b[16:])), Last: UID(be.Uint32(b[20:])),
			Count: int(be.Uint16(b[24:])), Unseen: int(be.Uint16(b[26:])), Deleted: int(be.Uint16(b[28:])),
			Size: be.Uint64(b[30:]), MaxModSeq: ModSeq(be.Uint64(b[38:])),
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
