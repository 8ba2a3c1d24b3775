package mailbox

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

// pageRefSize is the length of a page's line in a manifest.
const pageRefSize = 16 + 4 + 4 + 2 + 2 + 2 + 8 + 8

// encodeManifest returns the one encoding of a state whose pages are all in the
// store.
func encodeManifest(s *state) []byte {
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	must(enc.EncodeArrayLen(7))
	must(enc.EncodeUint(manifestVersion))
	must(enc.EncodeUint(uint64(s.at)))
	encodeField(enc, &s.created)
	encodeField(enc, &s.nextMailbox)
	encodeField(enc, &s.nextValidity)
	encodeField(enc, &s.subscribed)
	must(enc.EncodeArrayLen(len(s.boxes)))
	for _, m := range s.boxes {
		encodeBox(enc, m)
	}
	return buf.Bytes()
}

func encodeBox(enc *msgpack.Encoder, m *Mailbox) {
	must(enc.EncodeArrayLen(12))
	encodeField(enc, &m.id)
	encodeField(enc, &m.name)
	encodeField(enc, &m.uidValidity)
	encodeField(enc, &m.uidNext)
	encodeField(enc, &m.recentFrom)
	must(enc.EncodeUint(uint64(m.modseq)))
	must(enc.EncodeUint(uint64(m.created)))
	encodeField(enc, &m.special)
	encodeField(enc, &m.keywords)
	must(enc.EncodeUint(uint64(m.forgotten)))
	gone := make([]byte, 0, 16*len(m.vanished))
	for _, v := range m.vanished {
		gone = binary.BigEndian.AppendUint64(gone, uint64(v.at))
		gone = binary.BigEndian.AppendUint32(gone, uint32(v.first))
		gone = binary.BigEndian.AppendUint32(gone, uint32(v.last))
	}
	must(enc.EncodeBytes(gone))
	pages := make([]byte, 0, pageRefSize*len(m.pages))
	for _, r := range m.pages {
		pages = r.append(pages)
	}
	must(enc.EncodeBytes(pages))
}

func (r *pageRef) append(b []byte) []byte {
	be := binary.BigEndian
	b = append(b, r.id[:]...)
	b = be.AppendUint32(b, uint32(r.first))
	b = be.AppendUint32(b, uint32(r.last))
	b = be.AppendUint16(b, uint16(r.count))
	b = be.AppendUint16(b, uint16(r.unseen))
	b = be.AppendUint16(b, uint16(r.deleted))
	b = be.AppendUint64(b, r.size)
	return be.AppendUint64(b, uint64(r.maxModSeq))
}

// decodeManifest reads what encodeManifest wrote, and nothing else.
func decodeManifest(b []byte) (*state, error) {
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
	s := &state{}
	at, err := dec.DecodeUint64()
	if err != nil || n != 7 {
		return nil, errMalformedManifest
	}
	s.at = ModSeq(at)
	for _, f := range []any{&s.created, &s.nextMailbox, &s.nextValidity, &s.subscribed} {
		if decodeField(dec, f) != nil {
			return nil, errMalformedManifest
		}
	}
	err = decodeSlice(dec, &s.boxes, func(m **Mailbox) error {
		*m = new(Mailbox)
		return decodeBox(dec, *m)
	})
	if err != nil || !bytes.Equal(encodeManifest(s), b) {
		return nil, errMalformedManifest
	}
	if !s.sound() {
		return nil, errMalformedManifest
	}
	return s, nil
}

// sound reports whether mailboxes and subscriptions are in order, no ID is there
// twice, and INBOX is there.
func (s *state) sound() bool {
	ids := make(map[MailboxID]bool, len(s.boxes))
	for i, m := range s.boxes {
		if i > 0 && m.name <= s.boxes[i-1].name || m.id == 0 || m.id >= s.nextMailbox || ids[m.id] {
			return false
		}
		ids[m.id] = true
	}
	for i, name := range s.subscribed {
		if i > 0 && name <= s.subscribed[i-1] {
			return false
		}
	}
	return s.byName(Inbox) != nil
}

func decodeBox(dec *msgpack.Decoder, m *Mailbox) error {
	if n, err := dec.DecodeArrayLen(); err != nil || n != 12 {
		return errMalformedManifest
	}
	var modseq, created, forgotten uint64
	var gone, pages []byte
	var err error
	for _, f := range []any{&m.id, &m.name, &m.uidValidity, &m.uidNext, &m.recentFrom} {
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
	if err := decodeField(dec, &m.special); err != nil {
		return err
	}
	if err := decodeField(dec, &m.keywords); err != nil {
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
	m.modseq, m.created, m.forgotten = ModSeq(modseq), ModSeq(created), ModSeq(forgotten)
	if len(m.keywords) > MaxKeywords || len(gone)%16 != 0 || len(gone)/16 > maxVanished || len(pages)%pageRefSize != 0 {
		return errMalformedManifest
	}
	be := binary.BigEndian
	for ; len(gone) > 0; gone = gone[16:] {
		v := vanished{ModSeq(be.Uint64(gone)), UID(be.Uint32(gone[8:])), UID(be.Uint32(gone[12:]))}
		if n := len(m.vanished); v.first == 0 || v.last < v.first || n > 0 && v.at < m.vanished[n-1].at {
			return errMalformedManifest
		}
		m.vanished = append(m.vanished, v)
	}
	return m.decodePages(pages)
}

// decodePages reads the lines of a mailbox's pages and counts its messages.
func (m *Mailbox) decodePages(pages []byte) error {
	be := binary.BigEndian
	refs := make([]pageRef, len(pages)/pageRefSize)
	m.pages = make([]*pageRef, len(refs))
	last := UID(0)
	for i := range refs {
		b, r := pages[i*pageRefSize:], &refs[i]
		*r = pageRef{
			id: eventlog.ObjectID(b[:16]), first: UID(be.Uint32(b[16:])), last: UID(be.Uint32(b[20:])),
			count: int(be.Uint16(b[24:])), unseen: int(be.Uint16(b[26:])), deleted: int(be.Uint16(b[28:])),
			size: be.Uint64(b[30:]), maxModSeq: ModSeq(be.Uint64(b[38:])),
		}
		if r.first <= last || r.last < r.first || r.last >= m.uidNext || r.count < 1 || r.count > pageRows ||
			int64(r.count) > int64(r.last)-int64(r.first)+1 || r.unseen > r.count || r.deleted > r.count {
			return errMalformedManifest
		}
		last = r.last
		m.pages[i] = r
		m.count(r)
	}
	return nil
}
