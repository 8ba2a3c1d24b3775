package crypto

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The slot object begins with these bytes; the last is the version.
const slotMagic = "llslot\x00\x02"

// Lengths of the parts of a slot object, in order.
const (
	slotHead     = len(slotMagic) + 1 + 16 + 8 // kind, ID, time of creation
	slotPassword = 4 + 4 + 1 + 16 + 4          // parameters, salt and server key
	slotLabel    = 1 + MaxLabel + Overhead     // sealed label
	slotTail     = keySize + identityText + Overhead
)

// maxCreated keeps times within what Go and other languages print: year 9999.
const maxCreated = 253402300799

// Marshal returns the slot as the bytes to store. They hold nothing that has to
// be kept secret.
func (s *Slot) Marshal() []byte {
	return append(s.appendHead(nil), s.sealed...)
}

// appendHead appends all of the slot before the wrapped identity.
func (s *Slot) appendHead(b []byte) []byte {
	b = append(b, slotMagic...)
	b = append(b, byte(s.Kind))
	b = append(b, s.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Created.Unix()))
	switch s.Kind {
	case SlotPassword:
		b = binary.BigEndian.AppendUint32(b, s.Params.Time)
		b = binary.BigEndian.AppendUint32(b, s.Params.Memory)
		b = append(b, s.Params.Threads)
		b = append(b, s.Salt[:]...)
		b = append(b, s.KeyID[:]...)
	case SlotToken:
		b = append(b, s.label...)
	}
	return append(b, s.commit[:]...)
}

// ParseSlot reads what [Slot.Marshal] returned. It accepts no other bytes for
// the same slot, and no parameters outside the limits of [PasswordParams], so
// that opening a slot costs a bounded amount whoever wrote it. It keeps no
// reference to b.
func ParseSlot(b []byte) (*Slot, error) {
	if len(b) < slotHead || string(b[:len(slotMagic)-1]) != slotMagic[:len(slotMagic)-1] {
		return nil, fmt.Errorf("crypto: parse slot: %d bytes that are no slot", len(b))
	}
	switch v, known := b[len(slotMagic)-1], slotMagic[len(slotMagic)-1]; {
	case v > known:
		return nil, fmt.Errorf("crypto: parse slot: version %d, written by a newer version", v)
	case v < known:
		return nil, fmt.Errorf("crypto: parse slot: version %d is not known", v)
	}
	d := slotDecoder(b[len(slotMagic):])
	s := &Slot{Kind: SlotKind(d.next(1)[0]), ID: SlotID(d.next(16))}
	created := binary.BigEndian.Uint64(d.next(8))
	if created > maxCreated {
		return nil, fmt.Errorf("crypto: parse slot %v: created after the year 9999", s.ID)
	}
	s.Created = time.Unix(int64(created), 0).UTC()

	want := 0
	switch s.Kind {
	case SlotPassword:
		want = slotPassword
	case SlotToken:
		want = slotLabel
	default:
		return nil, fmt.Errorf("crypto: parse slot %v: unknown %v, written by a newer version", s.ID, s.Kind)
	}
	if len(d) != want+slotTail {
		return nil, fmt.Errorf("crypto: parse slot %v: %d bytes, want %d", s.ID, len(b), slotHead+want+slotTail)
	}
	switch s.Kind {
	case SlotPassword:
		s.Params.Time = binary.BigEndian.Uint32(d.next(4))
		s.Params.Memory = binary.BigEndian.Uint32(d.next(4))
		s.Params.Threads = d.next(1)[0]
		copy(s.Salt[:], d.next(16))
		copy(s.KeyID[:], d.next(4))
		if err := s.Params.check(); err != nil {
			return nil, fmt.Errorf("crypto: parse slot %v: %w", s.ID, err)
		}
	case SlotToken:
		s.label = append(s.label, d.next(slotLabel)...)
	}
	copy(s.commit[:], d.next(keySize))
	s.sealed = append(s.sealed, d...)
	return s, nil
}

// slotDecoder is what is left of a slot whose length was checked.
type slotDecoder []byte

func (d *slotDecoder) next(n int) []byte {
	b := (*d)[:n]
	*d = (*d)[n:]
	return b
}
