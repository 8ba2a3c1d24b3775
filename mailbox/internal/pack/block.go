package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/letterlock/letterlock/crypto"
)

// Kind says what a block holds. It is part of the block and of the data that is
// authenticated with it, so that a block of one kind is never read as another.
type Kind byte

// Codec is how the data of a block is compressed.
type Codec byte

const (
	raw   Codec = 0 // what does not get shorter
	Zstd  Codec = 1 // RFC 8878: fast
	Flate Codec = 2 // RFC 1951: every language's library reads it
)

const (
	blockVersion = 1
	blockHead    = 7 // kind, version, codec, length of the tail
)

// Block is a sealed block and what refers to it, but for its place.
type Block struct {
	Kind   Kind
	Ref    Ref
	Sealed []byte
}

// Sealer seals the blocks of one log and opens them. The zero Sealer is of no log.
type Sealer struct{ Log [16]byte }

// ad is what is authenticated with a block. Neither the pack nor the identity of
// the account takes part: a block moves, and outlives a change of identity.
func (s Sealer) ad(k Kind) []byte {
	ad := append(make([]byte, 0, len(magic)+len(s.Log)+1), magic...)
	ad = append(ad, s.Log[:]...)
	return append(ad, byte(k))
}

// Seal returns data as a block, compressed where that makes it shorter. The last tail
// bytes are stored as they are: keys, which do not compress, and which a compressor
// would keep in its memory. Seal panics if data is longer than [MaxBlock].
func (s Sealer) Seal(k Kind, c Codec, data []byte, tail int) Block {
	if len(data) > MaxBlock {
		panic(fmt.Sprintf("pack: block of %d bytes, limit %d", len(data), MaxBlock))
	}
	head := binary.BigEndian.AppendUint32([]byte{byte(k), blockVersion, byte(c)}, uint32(tail))
	// A compressor keeps what it is given: that must share no memory with the keys.
	packed := c.compress(bytes.Clone(data[:len(data)-tail]))
	plain := slices.Concat(head, packed, data[len(data)-tail:])
	if len(plain) >= blockHead+len(data) {
		plain = append(append(plain[:0], byte(k), blockVersion, byte(raw), 0, 0, 0, 0), data...)
	}
	secret := crypto.NewBlockSecret()
	sealed := secret.Seal(nil, plain, s.ad(k))
	return Block{Kind: k, Sealed: sealed, Ref: Ref{
		Sealed: uint32(len(sealed)), Plain: uint32(len(data)), Secret: secret, Hash: sha256.Sum256(sealed),
	}}
}

// Open returns the data of a block. It fails with [ErrCorrupt] if sealed is not
// what r names.
func (s Sealer) Open(k Kind, r Ref, sealed []byte) ([]byte, error) {
	if err := r.check(sealed); err != nil {
		return nil, err
	}
	plain, err := r.Secret.Open(nil, sealed, s.ad(k))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(plain) < blockHead || plain[0] != byte(k) || plain[1] != blockVersion || r.Plain > MaxBlock {
		return nil, fmt.Errorf("%w: unknown kind or version", ErrCorrupt)
	}
	data, ok := decode(Codec(plain[2]), plain[blockHead:], int64(binary.BigEndian.Uint32(plain[3:])), int(r.Plain))
	if !ok {
		return nil, fmt.Errorf("%w: its data does not decode", ErrCorrupt)
	}
	return data, nil
}

// decode returns the size bytes that data and the tail at its end stand for.
func decode(c Codec, data []byte, tail int64, size int) ([]byte, bool) {
	if c == raw {
		return data, tail == 0 && len(data) == size
	}
	if tail > int64(len(data)) || tail > int64(size) {
		return nil, false
	}
	packed, last := data[:len(data)-int(tail)], data[len(data)-int(tail):]
	out := make([]byte, size)
	ok := c.expand(out[:size-len(last)], packed)
	copy(out[size-len(last):], last)
	return out, ok
}

// check compares sealed bytes with the hash that names them.
func (r Ref) check(sealed []byte) error {
	if uint32(len(sealed)) != r.Sealed || sha256.Sum256(sealed) != r.Hash {
		return fmt.Errorf("%w: its hash is another", ErrCorrupt)
	}
	return nil
}
