package state

import (
	"fmt"
	"strings"
)

// System flags of RFC 9051 section 2.3.2. \Recent belongs to sessions, not to
// messages, and is never stored.
const (
	FlagSeen     = `\Seen`
	FlagAnswered = `\Answered`
	FlagFlagged  = `\Flagged`
	FlagDeleted  = `\Deleted`
	FlagDraft    = `\Draft`
)

// Limits of flags.
const (
	MaxKeywords   = 56  // different keywords in one mailbox: what fits beside the system flags in 64 bits
	MaxFlagLength = 128 // bytes of one keyword
)

// FlagBits is a message's flags: the low eight bits are system flags, bit 8+i is
// the mailbox's i-th keyword.
type FlagBits uint64

const (
	Seen FlagBits = 1 << iota
	Answered
	Flagged
	Deleted
	Draft

	firstKeywordBit = 8
)

var systemFlags = [...]string{FlagSeen, FlagAnswered, FlagFlagged, FlagDeleted, FlagDraft}

// CheckFlag returns nil if a message can have a flag, else [ErrBadFlag]: the system
// flags above, and keywords that are atoms of up to [MaxFlagLength] bytes.
func CheckFlag(f string) error {
	_, err := canonicalFlag(f)
	return err
}

// canonicalFlag returns the flag as it is stored: a system flag in its usual
// capitals, a keyword as it came.
func canonicalFlag(f string) (string, error) {
	if strings.HasPrefix(f, `\`) {
		for _, s := range systemFlags {
			if strings.EqualFold(f, s) {
				return s, nil
			}
		}
		return "", fmt.Errorf("%w: unknown system flag", ErrBadFlag)
	}
	if f == "" || len(f) > MaxFlagLength {
		return "", fmt.Errorf("%w: keyword of %d bytes, want 1 to %d", ErrBadFlag, len(f), MaxFlagLength)
	}
	for i := 0; i < len(f); i++ {
		// An atom of RFC 9051 section 9.
		if c := f[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return "", fmt.Errorf("%w: keyword has the byte %#02x", ErrBadFlag, c)
		}
	}
	return f, nil
}

// CanonicalFlags checks each flag and drops what is said twice.
func CanonicalFlags(flags []string) ([]string, error) {
	out := make([]string, 0, len(flags))
next:
	for _, f := range flags {
		f, err := canonicalFlag(f)
		if err != nil {
			return nil, err
		}
		for _, have := range out {
			if strings.EqualFold(have, f) {
				continue next
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// FlagBits returns the flags as bits of the mailbox and, where it defines new
// keywords, its keywords with those added. flags have passed CanonicalFlags.
func (m *Mailbox) FlagBits(flags []string) (FlagBits, []string, error) {
	var b FlagBits
	words := m.Keywords
	grown := false
	for _, f := range flags {
		bit, ok := FindFlag(words, f)
		if !ok {
			if len(words) == MaxKeywords {
				return 0, nil, ErrTooManyKeywords
			}
			if !grown { // the mailbox's own slice is shared with older states
				words = append(make([]string, 0, len(words)+len(flags)), words...)
				grown = true
			}
			words = append(words, f)
			bit = 1 << (firstKeywordBit + len(words) - 1)
		}
		b |= bit
	}
	return b, words, nil
}

// Change returns the flags after an operation with other flags.
func (b FlagBits) Change(op FlagOp, bits FlagBits) FlagBits {
	switch op {
	case FlagsAdd:
		return b | bits
	case FlagsRemove:
		return b &^ bits
	}
	return bits
}

// KnownFlagBits returns the bits of those flags that the mailbox defines.
func (m *Mailbox) KnownFlagBits(flags []string) FlagBits {
	var b FlagBits
	for _, f := range flags {
		bit, _ := FindFlag(m.Keywords, f)
		b |= bit
	}
	return b
}

func FindFlag(keywords []string, f string) (FlagBits, bool) {
	for i, s := range systemFlags {
		if equalFoldASCII(s, f) {
			return 1 << i, true
		}
	}
	for i, k := range keywords {
		if equalFoldASCII(k, f) {
			return 1 << (firstKeywordBit + i), true
		}
	}
	return 0, false
}

// Names returns the flags that b stands for.
func (b FlagBits) Names(keywords []string) []string {
	out := make([]string, 0, 4)
	for i, s := range systemFlags {
		if b&(1<<i) != 0 {
			out = append(out, s)
		}
	}
	for i, k := range keywords {
		if b&(1<<(firstKeywordBit+i)) != 0 {
			out = append(out, k)
		}
	}
	return out
}

// Flag operations of [View.Store].
type FlagOp uint8

const (
	FlagsSet    FlagOp = iota + 1 // replace all flags
	FlagsAdd                      // +FLAGS
	FlagsRemove                   // -FLAGS
)

// String returns the operation's name.
func (op FlagOp) String() string {
	switch op {
	case FlagsSet:
		return "set"
	case FlagsAdd:
		return "add"
	case FlagsRemove:
		return "remove"
	}
	return fmt.Sprintf("FlagOp(%d)", uint8(op))
}
