package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/letterlock/letterlock/crypto"
)

// Every object begins with three letters and a version.
const (
	entryMagic    = "LLE"
	snapshotMagic = "LLS"
	objectMagic   = "LLO"
	formatVersion = 1
	magicSize     = 4
)

// The clear header of an entry: magic, kind, position, hash of the entry before.
const (
	entryKindAt  = magicSize
	entryPosAt   = entryKindAt + 1
	entryPrevAt  = entryPosAt + 8
	entryHeadLen = entryPrevAt + len(Hash{})
)

// An Entry is one link of the chain, and what it carries.
type Entry struct {
	Head             // its position and the hash of its object's bytes
	Prev    Hash     // hash of the entry before, zero for entry 1
	Kind    Kind     // who may have written it
	Records [][]byte // what it carries, in order; nil without keys or if it is junk. Not to be modified
	Size    int      // bytes of its object

	// Junk says why a Delivered entry cannot be opened or parsed: the entry is a
	// good link of the chain and carries nothing. Consumers report and skip it.
	Junk error
}

// entryHeader is the part of an entry that is not sealed.
type entryHeader struct {
	kind Kind
	pos  Position
	prev Hash
}

func (h entryHeader) append(b []byte) []byte {
	b = append(b, entryMagic...)
	b = append(b, formatVersion, byte(h.kind))
	b = binary.BigEndian.AppendUint64(b, uint64(h.pos))
	return append(b, h.prev[:]...)
}

// cutMagic checks the first four bytes of an object.
func cutMagic(data []byte, magic string) error {
	if len(data) < magicSize || string(data[:3]) != magic {
		return fmt.Errorf("does not begin with %s", magic)
	}
	switch v := data[3]; {
	case v == formatVersion:
		return nil
	case v > formatVersion:
		return fmt.Errorf("format version %d: %w", v, ErrNewerVersion)
	default:
		return fmt.Errorf("format version %d is not known", v)
	}
}

func parseEntryHeader(data []byte) (entryHeader, error) {
	var h entryHeader
	if err := cutMagic(data, entryMagic); err != nil {
		return h, err
	}
	if len(data) < entryHeadLen {
		return h, fmt.Errorf("%d bytes are too short for an entry", len(data))
	}
	if len(data) > MaxEntry {
		return h, fmt.Errorf("longer than %d bytes", MaxEntry)
	}
	h.kind = Kind(data[entryKindAt])
	h.pos = Position(binary.BigEndian.Uint64(data[entryPosAt:]))
	copy(h.prev[:], data[entryPrevAt:])
	if !h.kind.known() {
		return h, fmt.Errorf("%v is not known", h.kind)
	}
	return h, nil
}

// sealer seals and opens entries. A keyless one has no identity.
type sealer struct {
	id        ID
	identity  *crypto.Identity
	recipient *crypto.Recipient
	ring      *ring // nil without an identity
}

// seal returns the bytes of an entry. They differ with every call: an Owned
// entry by its nonce, a Delivered one by its file key.
func (s *sealer) seal(h entryHeader, payload []byte) ([]byte, error) {
	header := h.append(make([]byte, 0, entryHeadLen+len(payload)+crypto.Overhead))
	switch h.kind {
	case Owned:
		if s.identity == nil {
			return nil, errKeyless
		}
		return s.ring.keys[0].log.Seal(header, payload, s.entryAD(header)), nil
	case Delivered:
		if s.recipient == nil {
			return nil, errors.New("needs the recipient of the log")
		}
		binding := s.binding(header)
		sealed, err := crypto.SealTo(s.recipient, append(binding[:], payload...))
		if err != nil {
			return nil, err
		}
		return append(header, sealed...), nil
	}
	return nil, fmt.Errorf("%v is not known", h.kind)
}

// entryAD is the associated data of an Owned entry.
func (s *sealer) entryAD(header []byte) []byte {
	return append(s.id[:len(s.id):len(s.id)], header...)
}

// binding ties a Delivered entry's plaintext to its log and place. age has no
// associated data, so it stands at the beginning of the plaintext.
func (s *sealer) binding(header []byte) Hash { return sha256.Sum256(s.entryAD(header)) }

// open returns the records of a whole entry object whose header was parsed.
func (s *sealer) open(h entryHeader, data []byte) ([][]byte, error) {
	header, sealed := data[:entryHeadLen], data[entryHeadLen:]
	if h.kind == Owned {
		payload, err := s.ring.openEntry(h.pos, sealed, s.entryAD(header))
		if err != nil {
			return nil, err
		}
		return parseRecords(payload)
	}
	plaintext, err := s.ring.openDelivered(sealed)
	if err != nil {
		return nil, err
	}
	binding := s.binding(header)
	if len(plaintext) < len(binding) || Hash(plaintext[:len(binding)]) != binding {
		return nil, errors.New("was sealed for another log or position")
	}
	return parseRecords(plaintext[len(binding):])
}

// decode checks data as the entry after prev and opens it if the keys are here.
// Errors of a Delivered entry's sealed part are in Entry.Junk.
func (s *sealer) decode(prev Head, data []byte) (Entry, error) {
	h, err := parseEntryHeader(data)
	if err != nil {
		return Entry{}, err
	}
	if h.pos != prev.Pos+1 {
		return Entry{}, fmt.Errorf("holds entry %d", h.pos)
	}
	if h.prev != prev.Hash {
		return Entry{}, errors.New("does not follow the entry before it")
	}
	if h.pos == 1 && h.kind != Owned {
		return Entry{}, fmt.Errorf("first entry is %v", h.kind)
	}
	e := Entry{Head: Head{h.pos, sha256.Sum256(data)}, Prev: h.prev, Kind: h.kind, Size: len(data)}
	if s.identity == nil {
		return e, nil
	}
	e.Records, err = s.open(h, data)
	if err != nil && h.kind == Delivered && !s.wiped() {
		e.Junk = err
		return e, nil
	}
	return e, err
}

// wiped reports whether the identity is gone. Without it everything looks like
// junk, and good mail would be passed over.
func (s *sealer) wiped() bool { return s.identity.Export() == "" }
