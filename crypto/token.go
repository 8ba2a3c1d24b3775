package crypto

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// TokenPrefix is how the text of every token begins. A login whose password
// begins so is meant as a token, also where [ParseToken] finds a typing error.
const TokenPrefix = "llt1"

const tokenBytes = 16 + keySize + crc32.Size // slot, secret, checksum

var (
	tokenBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	tokenCRC    = crc32.MakeTable(crc32.Castagnoli)
	tokenLen    = len(TokenPrefix) + tokenBase32.EncodedLen(tokenBytes)
)

// Token is the secret of one device: it opens one slot and is revoked by
// deleting that. Its 256 random bits need no costly derivation. The zero Token
// opens nothing and exports as the empty string.
type Token struct {
	slot   SlotID
	secret Key
}

// ParseToken reads what [Token.Export] returned: 88 characters, lower case,
// without spaces or a line end. It fails for a text with a typing error, thanks
// to a checksum; so a token that parses and finds no slot was revoked. No error
// repeats any part of text.
func ParseToken(text []byte) (Token, error) {
	encoded, ok := bytes.CutPrefix(text, []byte(TokenPrefix))
	if !ok || len(text) != tokenLen {
		return Token{}, fmt.Errorf("crypto: parse token: want %d characters that begin with %s", tokenLen, TokenPrefix)
	}
	var b [tokenBytes]byte
	defer clear(b[:])
	n, err := tokenBase32.Decode(b[:], encoded)
	if err != nil || n != tokenBytes {
		return Token{}, errors.New("crypto: parse token: character out of a-z and 2-7")
	}
	t := Token{slot: SlotID(b[:16])}
	if t.secret, err = KeyFromBytes(b[16 : 16+keySize]); err != nil {
		return Token{}, errors.New("crypto: parse token: no secret")
	}
	// Comparing texts checks the checksum, and the spare bits of the last
	// character, which base32 ignores.
	again := t.text()
	defer clear(again)
	if !bytes.Equal(again, text) {
		return Token{}, errors.New("crypto: parse token: wrong checksum, a typing error")
	}
	return t, nil
}

// Export returns the token as text, llt1 and 84 more characters: to be shown to
// the account's owner once, and stored nowhere.
func (t Token) Export() string {
	if t.secret.IsZero() {
		return ""
	}
	return string(t.text())
}

func (t Token) text() []byte {
	b := make([]byte, 0, tokenBytes)
	defer clear(b[:tokenBytes])
	b = append(b, t.slot[:]...)
	b = append(b, t.secret.secret()...)
	b = appendCRC(b)
	return tokenBase32.AppendEncode([]byte(TokenPrefix), b)
}

func appendCRC(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, tokenCRC))
}

// Slot returns the slot that t opens.
func (t Token) Slot() SlotID { return t.slot }

func (t Token) slotKey() Key {
	return expand(t.secret.secret(), saltToken, string(t.slot[:]))
}
