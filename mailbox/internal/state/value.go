package state

import (
	"bytes"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// A Mailbox may be kept alone, as a value with all its pages in memory. Place,
// ChangeFlags and Expunge change one as Account.Apply does. Each leaves m as it is
// and fails with [ErrInvalidEvent] if the messages are not as it says.

// Place adds rows that have their UIDs, ascending from UIDNEXT on, and raises
// UIDNEXT to next. flags has the flags of each row. A row keeps its MODSEQ; one
// without gets the position.
func (m *Mailbox) Place(at ModSeq, rows []Row, flags [][]string, next UID) (*Mailbox, error) {
	defined := *m
	last := m.UIDNext - 1
	for i := range rows {
		bits, words, err := defined.FlagBits(flags[i])
		if err != nil || rows[i].UID <= last || rows[i].UID > maxUID || rows[i].ModSeq > at {
			return nil, ErrInvalidEvent
		}
		rows[i].Flags, defined.Keywords, last = bits, words, rows[i].UID
	}
	n := defined.placing(at, rows)
	n.UIDNext = max(n.UIDNext, next)
	return n, nil
}

// ChangeFlags changes flags of messages, which must all be there.
func (m *Mailbox) ChangeFlags(at ModSeq, uids UIDSet, op FlagOp, flags []string, get PageSource) (*Mailbox, error) {
	if op < FlagsSet || op > FlagsRemove {
		return nil, ErrInvalidEvent
	}
	defined := *m
	bits := m.KnownFlagBits(flags)
	if op != FlagsRemove {
		var err error
		if bits, defined.Keywords, err = m.FlagBits(flags); err != nil {
			return nil, ErrInvalidEvent
		}
	}
	change := func(was FlagBits) FlagBits { return was.Change(op, bits) }
	n, fits := defined.flagging(at, uids, change, get)
	if !fits {
		return nil, ErrInvalidEvent
	}
	return n, nil
}

// InMemory yields the page of a reference that has it.
func InMemory(r *PageRef) *Page { return r.Page }

const valueVersion = 1

// EncodeMailbox returns the one encoding of a mailbox whose pages are all in
// memory, at a position. Equal messages have equal encodings, however they are
// divided into pages. What only the account's own log and store give a meaning is
// left out: where metadata lies, \Recent, keywords that no message has, and which
// UIDs were expunged when.
func EncodeMailbox(at ModSeq, m *Mailbox) []byte {
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	must(enc.EncodeArrayLen(11))
	must(enc.EncodeUint(valueVersion))
	must(enc.EncodeUint(uint64(at)))
	for _, f := range []any{&m.ID, &m.Name, &m.UIDValidity, &m.UIDNext} {
		encodeField(enc, f)
	}
	must(enc.EncodeUint(uint64(m.ModSeq)))
	must(enc.EncodeUint(uint64(m.Created)))
	encodeField(enc, &m.SpecialUse)
	full, words := m.repacked()
	encodeField(enc, &words)
	must(enc.EncodeArrayLen(len(full)))
	for _, p := range full {
		must(enc.EncodeBytes(p.Encode()))
	}
	return buf.Bytes()
}

// repacked returns the messages in full pages, without where their metadata lies,
// and the keywords that any of them has, in order.
func (m *Mailbox) repacked() (full []*Page, words []string) {
	used := FlagBits(0)
	for _, r := range m.Pages {
		for _, f := range r.Page.Flags {
			used |= f
		}
	}
	for i, w := range m.Keywords {
		if used&(1<<(firstKeywordBit+i)) != 0 {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	sorted := &Mailbox{Keywords: words}
	translate := map[FlagBits]FlagBits{}
	for _, r := range m.Pages {
		for i := range r.Page.Len() {
			row := r.Page.Row(i)
			bits, ok := translate[row.Flags]
			if !ok {
				bits = sorted.KnownFlagBits(row.Flags.Names(m.Keywords))
				translate[row.Flags] = bits
			}
			row.Flags, row.Meta, row.Slot = bits, MetaSource{}, 0
			if n := len(full); n == 0 || full[n-1].Len() == PageRows {
				full = append(full, NewPage(PageRows))
			}
			full[len(full)-1].Append(row)
		}
	}
	return full, words
}

// DecodeMailbox reads what EncodeMailbox wrote, and nothing else.
func DecodeMailbox(b []byte) (ModSeq, *Mailbox, error) {
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(b))
	n, err := dec.DecodeArrayLen()
	version, verr := dec.DecodeUint64()
	if err != nil || verr != nil || n != 11 || version != valueVersion {
		return 0, nil, errMalformedManifest
	}
	var numbers [3]uint64
	if numbers[0], err = dec.DecodeUint64(); err != nil {
		return 0, nil, errMalformedManifest
	}
	m := &Mailbox{RecentFrom: 1}
	for _, f := range []any{&m.ID, &m.Name, &m.UIDValidity, &m.UIDNext, &numbers[1], &numbers[2], &m.SpecialUse, &m.Keywords} {
		if u, ok := f.(*uint64); ok {
			*u, err = dec.DecodeUint64()
		} else {
			err = decodeField(dec, f)
		}
		if err != nil {
			return 0, nil, errMalformedManifest
		}
	}
	at := ModSeq(numbers[0])
	m.ModSeq, m.Created = ModSeq(numbers[1]), ModSeq(numbers[2])
	err = decodeSlice(dec, &m.Pages, func(r **PageRef) error {
		var b []byte
		if err := decodeField(dec, &b); err != nil {
			return err
		}
		p, err := DecodePage(b)
		if err == nil {
			*r = p.Ref()
			m.count(*r)
		}
		return err
	})
	if err != nil || len(m.Keywords) > MaxKeywords || !bytes.Equal(EncodeMailbox(at, m), b) {
		return 0, nil, errMalformedManifest
	}
	last := UID(0)
	for _, r := range m.Pages {
		if r.First <= last || r.Last >= m.UIDNext || r.MaxModSeq > m.ModSeq {
			return 0, nil, errMalformedManifest
		}
		last = r.Last
	}
	return at, m, nil
}
