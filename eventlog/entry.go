package eventlog

import (
	"crypto/rand"
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
	formatVersion = 2
	magicSize     = 4
)

// The clear header of an entry: magic, kind, position, epoch, hash of the entry
// before. The highest bit of the kind says that the entry ends in a MAC, the next
// one, of a Rekey only, that it closes the epoch which it begins.
const (
	entryKindAt  = magicSize
	entryPosAt   = entryKindAt + 1
	entryEpochAt = entryPosAt + 8
	entryPrevAt  = entryEpochAt + 4
	entryHeadLen = entryPrevAt + len(Hash{})
	macBit       = 0x80
	closedBit    = 0x40
	macSize      = sha256.Size
	macLabel     = "entry"
)

// tombstoneSize is how many random bytes a Tombstone has in place of what is
// sealed, so that no two are equal.
const tombstoneSize = 16

// An Entry is one link of the chain, and what it carries.
type Entry struct {
	Head             // its position and the hash of its object's bytes
	Prev    Hash     // hash of the entry before, zero for entry 1
	Kind    Kind     // who may have written it
	Epoch   Epoch    // that it belongs to; that it begins, if it is a Rekey
	Terms   Terms    // of the epoch; zero if they are not known
	Records [][]byte // what it carries, in order; nil without keys or if it is junk. Not to be modified
	Size    int      // bytes of its object

	// Junk says why a Delivered entry cannot be opened or parsed, or has no MAC
	// ([ErrForged]): the entry is a good link of the chain and carries nothing.
	// Consumers report and skip it.
	Junk error
}

// entryHeader is the part of an entry that is not sealed.
type entryHeader struct {
	kind  Kind
	mac   bool // the object ends in one
	close bool // a Rekey begins a closed epoch
	pos   Position
	epoch Epoch
	prev  Hash
}

func (h entryHeader) append(b []byte) []byte {
	kind := byte(h.kind)
	if h.mac {
		kind |= macBit
	}
	if h.close {
		kind |= closedBit
	}
	b = append(b, entryMagic...)
	b = append(b, formatVersion, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(h.pos))
	b = binary.BigEndian.AppendUint32(b, uint32(h.epoch))
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
	h.kind = Kind(data[entryKindAt] &^ macBit)
	h.mac = data[entryKindAt]&macBit != 0
	if h.kind == Rekey|closedBit {
		h.kind, h.close = Rekey, true
	}
	h.pos = Position(binary.BigEndian.Uint64(data[entryPosAt:]))
	h.epoch = Epoch(binary.BigEndian.Uint32(data[entryEpochAt:]))
	copy(h.prev[:], data[entryPrevAt:])
	if !h.kind.known() {
		return h, fmt.Errorf("%v is not known", h.kind)
	}
	return h, nil
}

// follows checks what anyone can: that an entry is the one after a head in a term.
// A term without an epoch is not known.
func (h entryHeader) follows(prev Head, t term) error {
	switch {
	case h.pos != prev.Pos+1:
		return fmt.Errorf("holds entry %d", h.pos)
	case h.prev != prev.Hash:
		return errors.New("does not follow the entry before it")
	case h.pos == 1 && h.kind != Rekey:
		return fmt.Errorf("first entry is %v", h.kind)
	case h.kind == Rekey && !h.mac:
		return errors.New("has no MAC")
	case h.pos > 1 && t.epoch == 0:
		return nil
	case h.kind == Rekey && h.epoch != t.epoch+1, h.kind != Rekey && h.epoch != t.epoch:
		return fmt.Errorf("is of epoch %d, the entry before of epoch %d", h.epoch, t.epoch)
	}
	return nil
}

// sealer seals and opens entries. A keyless one has no ring.
type sealer struct {
	id   ID
	ring *ring // nil without keys
}

// seal returns the bytes of an entry. They differ with every call: an Owned
// entry by its nonce, a Delivered one by its file key.
func (s *sealer) seal(h entryHeader, t term, payload []byte) ([]byte, error) {
	h.epoch, h.mac = t.epoch, t.terms == TermsClosed
	header := h.append(make([]byte, 0, entryHeadLen+len(payload)+crypto.Overhead+macSize))
	switch h.kind {
	case Owned:
		if s.ring == nil {
			return nil, errKeyless
		}
		if t.gen != 0 || !t.terms.known() {
			return nil, errWriter
		}
		return s.addMAC(h, t.mac, s.ring.keys[0].log.Seal(header, payload, s.entryAD(header))), nil
	case Delivered:
		if t.to == nil {
			return nil, errors.New("needs the recipient of the log")
		}
		binding := s.binding(header)
		sealed, err := crypto.SealTo(t.to, append(binding[:], payload...))
		if err != nil {
			return nil, err
		}
		return s.addMAC(h, t.mac, append(header, sealed...)), nil
	case Tombstone:
		if !t.terms.known() {
			return nil, errors.New("terms are not known")
		}
		var random [tombstoneSize]byte
		rand.Read(random[:])
		return s.addMAC(h, t.mac, append(header, random[:]...)), nil
	}
	return nil, fmt.Errorf("%v is not appended so", h.kind)
}

// sealRekey returns the bytes of the entry that makes next write from an epoch on:
// sealed under the generation before, and with a MAC of the one that follows.
func (s *sealer) sealRekey(h entryHeader, by generation, next *crypto.Identity, payload []byte) []byte {
	header := h.append(make([]byte, 0, entryHeadLen+len(payload)+crypto.Overhead+macSize))
	key := DeliveryKey(next, h.epoch)
	defer key.Wipe()
	return s.addMAC(h, key, by.log.Seal(header, payload, s.entryAD(header)))
}

// addMAC ends an entry with its MAC, if its header says that it has one.
func (s *sealer) addMAC(h entryHeader, key crypto.Key, data []byte) []byte {
	if !h.mac {
		return data
	}
	mac := key.MAC([]byte(macLabel), s.id[:], data)
	return append(data, mac[:]...)
}

// checkMAC reports whether an entry ends in the MAC that a key makes.
func (s *sealer) checkMAC(key crypto.Key, data []byte) bool {
	if len(data) < entryHeadLen+macSize || data[entryKindAt]&macBit == 0 {
		return false
	}
	at := len(data) - macSize
	return key.CheckMAC(data[at:], []byte(macLabel), s.id[:], data[:at])
}

// entryAD is the associated data of an Owned entry.
func (s *sealer) entryAD(header []byte) []byte {
	return append(s.id[:len(s.id):len(s.id)], header...)
}

// binding ties a Delivered entry's plaintext to its log and place. age has no
// associated data, so it stands at the beginning of the plaintext.
func (s *sealer) binding(header []byte) Hash { return sha256.Sum256(s.entryAD(header)) }

// decode checks data as the entry after prev in a term, and opens it if the keys
// are here. It returns the term that holds after it. What is wrong with a Delivered
// entry, except for its place, is in Entry.Junk.
func (s *sealer) decode(prev Head, t term, data []byte) (Entry, term, error) {
	h, err := parseEntryHeader(data)
	if err == nil {
		err = h.follows(prev, t)
	}
	if err != nil {
		return Entry{}, t, err
	}
	e := Entry{
		Head: Head{h.pos, sha256.Sum256(data)}, Prev: h.prev, Kind: h.kind, Epoch: h.epoch, Size: len(data),
	}
	if s.ring == nil {
		if t.epoch != h.epoch {
			t = term{epoch: h.epoch}
		}
		e.Terms = t.terms
		return e, t, nil
	}
	if h.kind == Rekey {
		e.Records, t, err = s.openRekey(h, t, data)
		e.Terms = t.terms
		return e, t, err
	}
	e.Terms = t.terms
	e.Records, err = s.open(h, t, data)
	if err != nil && h.kind == Delivered && !s.wiped() {
		e.Junk = err
		return e, t, nil
	}
	return e, t, err
}

// sealedPart returns what stands between the header and the MAC.
func (h entryHeader) sealedPart(data []byte) []byte {
	end := len(data)
	if h.mac {
		end -= macSize
	}
	return data[entryHeadLen:max(end, entryHeadLen)]
}

// open returns the records of an entry that follows in a term. If the term is not
// known, all that can be said of the entry is whether one of the identities opens
// it.
func (s *sealer) open(h entryHeader, t term, data []byte) ([][]byte, error) {
	by := t.gen
	switch t.terms {
	case 0:
		by = -1
	case TermsOpen:
		if h.mac {
			return nil, errors.New("has a MAC in an open epoch")
		}
	case TermsClosed:
		if !s.checkMAC(t.mac, data) {
			return nil, ErrForged
		}
	}
	header, sealed := data[:entryHeadLen], h.sealedPart(data)
	switch h.kind {
	case Owned:
		payload, err := s.ring.one(by, func(g generation) ([]byte, error) { return g.log.Open(nil, sealed, s.entryAD(header)) })
		if err != nil {
			return nil, err
		}
		return parseRecords(payload)
	case Tombstone:
		if len(sealed) != tombstoneSize {
			return nil, errors.New("tombstone of another length")
		}
		return nil, nil
	}
	plaintext, err := s.ring.one(by, func(g generation) ([]byte, error) { return g.identity.OpenSealed(sealed, MaxEntry) })
	if err != nil {
		return nil, err
	}
	binding := s.binding(header)
	if len(plaintext) < len(binding) || Hash(plaintext[:len(binding)]) != binding {
		return nil, errors.New("was sealed for another log or position")
	}
	return parseRecords(plaintext[len(binding):])
}

// The first record of a Rekey is not for the model: SHA-256 of the text of the
// recipient whose identity writes from then on, and the terms.
const rekeySize = sha256.Size + 1

func rekeyRecord(to *crypto.Recipient, t Terms) []byte {
	sum := sha256.Sum256([]byte(to.String()))
	return append(sum[:], byte(t))
}

// openRekey returns the records of an entry that begins an epoch, and the term that
// it begins. The MAC says which identity does.
func (s *sealer) openRekey(h entryHeader, t term, data []byte) ([][]byte, term, error) {
	next := s.successor(h, t, data)
	by := t.gen
	switch {
	case h.pos == 1 && next < 0:
		return nil, t, errors.New("no identity of the keys made it")
	case h.pos == 1:
		by = next
	case !t.terms.known():
		by = -1
	}
	payload, err := s.ring.one(by, func(g generation) ([]byte, error) {
		return g.log.Open(nil, h.sealedPart(data), s.entryAD(data[:entryHeadLen]))
	})
	if err != nil {
		return nil, t, err
	}
	records, err := parseRecords(payload)
	if err != nil {
		return nil, t, err
	}
	own := records[0]
	if len(own) != rekeySize || !Terms(own[rekeySize-1]).known() {
		return nil, t, errors.New("rekey is malformed")
	}
	terms := Terms(own[rekeySize-1])
	names := func(g generation) bool {
		return string(own) == string(rekeyRecord(g.identity.Recipient(), terms))
	}
	if next < 0 {
		for _, g := range s.ring.keys {
			if names(g) {
				return nil, t, errors.New("has the MAC of another identity")
			}
		}
		return nil, t, ErrRekeyed
	}
	if h.close != (terms == TermsClosed) {
		return nil, t, errors.New("says two things of its terms")
	}
	if !names(s.ring.keys[next]) {
		return nil, t, errors.New("names another identity than its MAC")
	}
	return records[1:], s.ring.term(next, h.epoch, terms), nil
}

// successor returns the generation whose MAC a Rekey has: the one that writes, or a
// newer one; -1 if it is none of these.
func (s *sealer) successor(h entryHeader, t term, data []byte) int {
	oldest := t.gen
	if !t.terms.known() {
		oldest = len(s.ring.keys) - 1
	}
	for i := oldest; i >= 0; i-- {
		key := s.ring.keys[i].deliver.Derive(fmt.Sprint(h.epoch))
		ok := s.checkMAC(key, data)
		key.Wipe()
		if ok {
			return i
		}
	}
	return -1
}

// wiped reports whether the identities are gone. Without them everything looks like
// junk, and good mail would be passed over.
func (s *sealer) wiped() bool { return s.ring.keys[0].identity.Export() == "" }
