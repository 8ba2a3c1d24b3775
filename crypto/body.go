package crypto

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// A body is an age file (age-encryption.org/v1): a text header that wraps the
// file key, a nonce, and the plaintext in chunks, each encrypted on its own
// under a key derived from file key and nonce (the STREAM construction).
const (
	bodyChunk    = 64 << 10                              // plaintext bytes of every chunk but the last
	bodySealed   = bodyChunk + chacha20poly1305.Overhead // the same encrypted
	bodyNonce    = 16                                    // bytes between header and first chunk
	maxBody      = int64(1) << 56                        // plaintext bytes; keeps all arithmetic far from overflow
	bodyFileKey  = 16                                    // bytes; given by age
	lastChunkBit = 1                                     // last byte of the nonce of the last chunk
	payloadInfo  = "payload"                             // HKDF info of the payload key, given by age
)

// MaxBodyHeader is how many bytes from the start of a body suffice for
// [RecoverBodyKey]. A header that this package writes, with its nonce, is less
// than half as long; the bound is what keeps a hostile one cheap.
const MaxBodyHeader = 4096

// FileKey is the 16-byte key of one age file. It prints as a placeholder, but
// see to it that it lies in an exported field or in none: fmt prints unexported
// fields of structs without asking methods.
type FileKey [bodyFileKey]byte

// BodyKey is all it takes to read one body without the account's identity, and
// without reading the header of the body: keep it, encrypted, beside the pointer
// to the body. It is 34 bytes of data.
type BodyKey struct {
	// File is the key that the header wraps.
	File FileKey
	// Nonce is the 16 bytes that follow the header. It is not secret.
	Nonce [bodyNonce]byte
	// Header is the length of the age header in bytes: from the start of the
	// file through the line end after the header's MAC. The nonce begins at
	// this offset, the first encrypted chunk 16 bytes later.
	Header uint16
}

// payload is the offset of the first encrypted chunk.
func (k BodyKey) payload() int64 { return int64(k.Header) + bodyNonce }

// EncryptedSize returns the length in bytes of the whole age file of a plaintext
// of the given length (0 to 2^56 bytes).
func (k BodyKey) EncryptedSize(plaintext int64) int64 {
	return k.payload() + plaintext + chunkCount(plaintext)*chacha20poly1305.Overhead
}

// PlaintextSize is the reverse of [BodyKey.EncryptedSize]: the length of the
// plaintext in an age file of the given length. If no age file with this header
// has that length it fails with an error that matches [ErrDecrypt]. A length it
// returns is proven only by reading the last chunk.
func (k BodyKey) PlaintextSize(encrypted int64) (int64, error) {
	rest := encrypted - k.payload()
	chunks := (rest + bodySealed - 1) / bodySealed
	size := rest - chunks*chacha20poly1305.Overhead
	if rest < 0 || size < 0 || size > maxBody || k.EncryptedSize(size) != encrypted {
		return 0, fmt.Errorf("crypto: no body is %d bytes long: %w", encrypted, ErrDecrypt)
	}
	return size, nil
}

// Span returns which bytes of the age file hold the plaintext [off, off+n) of a
// body of size plaintext bytes: srcLen bytes from srcOff on, always whole
// encrypted chunks. n < 0 means to the end; a range that reaches beyond the end
// is cut there. A range without bytes has a span of length 0, with one
// exception: the whole of an empty body (off 0, n not 0) is one chunk of 16
// bytes, which proves that it is empty.
func (k BodyKey) Span(size, off, n int64) (srcOff, srcLen int64) {
	first, last, ok := chunkRange(size, off, n)
	if !ok {
		return 0, 0
	}
	srcOff = k.payload() + first*bodySealed
	end := min(k.payload()+(last+1)*bodySealed, k.EncryptedSize(size))
	return srcOff, end - srcOff
}

// chunkCount returns the number of chunks of a body; an empty one has one.
func chunkCount(size int64) int64 {
	return max(1, (size+bodyChunk-1)/bodyChunk)
}

// chunkRange returns the first and the last chunk that hold plaintext of
// [off, off+n), or false if none does.
func chunkRange(size, off, n int64) (first, last int64, ok bool) {
	if size < 0 || size > maxBody || off < 0 {
		return 0, 0, false
	}
	if size == 0 {
		return 0, 0, off == 0 && n != 0
	}
	n = cutRange(size, off, n)
	if n <= 0 {
		return 0, 0, false
	}
	return off / bodyChunk, (off + n - 1) / bodyChunk, true
}

// cutRange returns n cut to what lies before the end of the plaintext.
func cutRange(size, off, n int64) int64 {
	if n < 0 || n > size-off {
		return max(0, size-off)
	}
	return n
}

// RecoverBodyKey returns the key of the body that src yields the beginning of,
// from the header alone, by one public-key operation: what check and rescue do
// where the recorded key is lost. It reads at most [MaxBodyHeader] bytes of src,
// and may read more of them than the header has. A header that id cannot open,
// or that was changed, matches [ErrDecrypt]; an error of src is returned wrapped.
func RecoverBodyKey(src io.Reader, id *Identity) (BodyKey, error) {
	start, err := io.ReadAll(io.LimitReader(src, MaxBodyHeader))
	if err != nil {
		return BodyKey{}, fmt.Errorf("crypto: read body header: %w", err)
	}
	// The errors of age quote the header, which is whatever a sender put there.
	header, err := age.ExtractHeader(bytes.NewReader(start))
	if err != nil || !bytes.HasPrefix(start, header) || len(start) < len(header)+bodyNonce {
		return BodyKey{}, fmt.Errorf("crypto: body header is malformed or cut short: %w", ErrDecrypt)
	}
	file, err := id.unwrap(header)
	if errors.Is(err, errWiped) {
		return BodyKey{}, err
	}
	if err != nil || len(file) != bodyFileKey {
		return BodyKey{}, fmt.Errorf("crypto: body header does not open: %w", ErrDecrypt)
	}
	return BodyKey{
		File:   FileKey(file),
		Nonce:  [bodyNonce]byte(start[len(header):]),
		Header: uint16(len(header)),
	}, nil
}

// aead returns the cipher of the body's chunks.
func (k BodyKey) aead() cipher.AEAD {
	key, err := hkdf.Key(sha256.New, k.File[:], k.Nonce[:], payloadInfo, chacha20poly1305.KeySize)
	if err != nil {
		panic("crypto: " + err.Error()) // only lengths above 255 hashes fail
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic("crypto: " + err.Error()) // only a key of another length fails
	}
	return aead
}

// chunkNonce is the nonce of one chunk: an 11-byte counter, then whether the
// chunk is the body's last.
func chunkNonce(chunk int64, last bool) (nonce [chacha20poly1305.NonceSize]byte) {
	binary.BigEndian.PutUint64(nonce[3:11], uint64(chunk))
	if last {
		nonce[11] = lastChunkBit
	}
	return nonce
}

// chunkBuffer holds one chunk, in plain or encrypted, and is the only memory of
// size that a body costs.
type chunkBuffer [bodySealed]byte

var chunkBuffers = sync.Pool{New: func() any { return new(chunkBuffer) }}

// recycle gives b back without the plaintext that was in it.
func (b *chunkBuffer) recycle() {
	clear(b[:])
	chunkBuffers.Put(b)
}
