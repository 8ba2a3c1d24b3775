// Package pack stores small values many to an object. A pack is an immutable
// object that holds sealed blocks one after the other. A block is read by its
// [Ref], which has all that is needed: where it lies, the secret that opens it
// and the hash of its sealed bytes.
//
//	manifest --Ref--> [ block | block | block | padding ]   acct/<id>/pack/<32 hex>
//
// # What is promised
//
//   - Nothing is read but what a Ref names: the hash is compared before a block is
//     opened. Whoever holds a Ref to be true holds its block to be true.
//   - One request reads all blocks of a pack that lie near each other.
//   - A block moves to another pack as ciphertext: hash and secret stay.
//   - A block whose every Ref is gone is erased, although its bytes may stay.
//
// # What is not
//
// A pack does not say what is in it. Only the manifests that name its blocks do.
//
// docs/format.md has the bytes.
package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/letterlock/letterlock/crypto"
)

// Limits. Decoding refuses what is above them before it allocates.
const (
	MaxBlock = 2 << 20  // bytes of a block, decoded
	MaxPack  = 32 << 20 // bytes of a pack

	align = 4 << 10 // a pack is padded to a multiple
)

// magic begins every pack. Its last byte is the version.
const magic = "LLP\x02"

// ErrCorrupt is a block that is not what its Ref names.
var ErrCorrupt = errors.New("damaged block")

// ID names a pack. It is random.
type ID [16]byte

// String returns 32 hexadecimal digits, as in the object's name.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Ref names a block. The zero Ref names none.
type Ref struct {
	Pack   ID
	Off    uint32 // of the sealed bytes in the pack
	Sealed uint32 // bytes in the pack
	Plain  uint32 // bytes of what the block holds
	Secret crypto.BlockSecret
	Hash   [sha256.Size]byte // of the sealed bytes
}

// BlockID is the identity of a block, wherever it lies: the first half of its hash.
// Half of it is enough to tell the blocks of an account apart; what is read is
// compared with all of it.
type BlockID [16]byte

// String returns 32 hexadecimal digits.
func (id BlockID) String() string { return hex.EncodeToString(id[:]) }

// ID returns the identity of the block.
func (r Ref) ID() BlockID { return BlockID(r.Hash[:16]) }

// IsZero reports whether the Ref names no block.
func (r Ref) IsZero() bool { return r.Sealed == 0 }

func (r Ref) end() int64 { return int64(r.Off) + int64(r.Sealed) }

// RefSize is the length of a Ref in a manifest, in bytes.
const RefSize = 2 + 4 + 4 + 4 + 16 + sha256.Size

// Table lists the packs that a manifest names, in order of their IDs, so that a Ref
// in it takes a number in place of an ID.
type Table struct {
	ids   []ID
	index map[ID]uint16
}

// MaxPacks is how many packs one manifest can name.
const MaxPacks = 1 << 16

// NewTable returns the table of packs, which must be in ascending order. It
// reports false if they are not, or are more than [MaxPacks].
func NewTable(ids []ID) (*Table, bool) {
	t := &Table{ids: ids, index: make(map[ID]uint16, len(ids))}
	for i, id := range ids {
		if i == MaxPacks || i > 0 && bytes.Compare(ids[i-1][:], id[:]) >= 0 {
			return nil, false
		}
		t.index[id] = uint16(i)
	}
	return t, true
}

// Append appends the encoding of r, whose pack is in the table, to b. The zero Ref
// is all zeros.
func (t *Table) Append(b []byte, r Ref) []byte {
	if r.IsZero() {
		return append(b, make([]byte, RefSize)...)
	}
	n, known := t.index[r.Pack]
	if !known {
		panic("pack: reference to a pack that is not in the table")
	}
	be := binary.BigEndian
	b = be.AppendUint16(b, n)
	b = be.AppendUint32(b, r.Off)
	b = be.AppendUint32(b, r.Sealed)
	b = be.AppendUint32(b, r.Plain)
	b = append(b, r.Secret[:]...)
	return append(b, r.Hash[:]...)
}

// Parse reads the Ref that Append wrote at the beginning of b, which has at least
// [RefSize] bytes.
func (t *Table) Parse(b []byte) (Ref, error) {
	be := binary.BigEndian
	r := Ref{Off: be.Uint32(b[2:]), Sealed: be.Uint32(b[6:]), Plain: be.Uint32(b[10:])}
	copy(r.Secret[:], b[14:])
	copy(r.Hash[:], b[30:])
	if n := int(be.Uint16(b)); r == (Ref{}) && n == 0 {
		return r, nil
	} else if n < len(t.ids) {
		r.Pack = t.ids[n]
	} else {
		return Ref{}, fmt.Errorf("reference to pack %d of %d", n, len(t.ids))
	}
	if r.Off < uint32(len(magic)) || r.end() > MaxPack || r.Plain > MaxBlock || r.Sealed < blockHead+crypto.BlockOverhead {
		return Ref{}, errors.New("reference with impossible numbers")
	}
	return r, nil
}
