// Package eventlog keeps one ordered sequence of sealed entries in a
// [blob.Store], written by any number of processes without a lock.
//
// # The picture
//
//	log/…01  log/…02  log/…03  log/…04  log/…05      entries, one object each
//	                     ^                 ^
//	              snap/…03          Log.Head()
//
// Entry n is the object log/<n>, and appending is creating it: the store lets
// exactly one writer win a name. The loser reads what won and decides its own
// operation anew. Each entry carries one or more records (opaque bytes), and
// the SHA-256 of the entry before it, so that an entry which the owner of the
// store changed, swapped, moved or took from the middle is an error that names
// the place. Entries belong to an epoch, which a [Rekey] entry begins: it says whose
// identity seals and whether entries carry a MAC. A snapshot is what the records up to a position add up to, so that
// a reader replays only the entries after it; what old snapshots cover is
// trimmed.
//
// [Log] is that sequence. [Committer] is what most programs use: it holds the
// newest state, shares entries between concurrent callers, and is the one place
// that reads, decides, appends and tries again.
//
// # What is promised
//
//   - One winner per position, whatever the number of processes, and a record
//     whose Append or Commit returned nil is in the log once, at that position.
//   - A create whose answer was lost is read back before anything is decided.
//   - A writer or reader that stood still while the log was trimmed notices it
//     ([ErrTrimmed]) before it writes into, or believes, the trimmed past.
//   - Nothing but sealed bytes, positions, hashes and times reaches the store.
//   - A log shorter than this process saw, or another entry at a position that
//     it saw, is [ErrRolledBack].
//
// # What is not
//
//   - An owner of the store who removes the newest entries from a reader that
//     has never seen them is not noticed; [Config.Seen] closes that.
//   - In an epoch of [TermsOpen] anyone who may create objects can add a
//     [Delivered] entry. Anyone who may delete objects can destroy the log.
//   - Clocks are trusted to agree within three quarters of [Config.Grace]; nothing
//     else here depends on a clock.
//
// The package knows no mail: package mailbox gives the records their meaning.
// The bytes, and the order of writes, reads and deletes with the argument why it
// is enough, stand in docs/format-log.md.
package eventlog

import (
	"encoding/hex"
	"fmt"
)

// Limits, in bytes. They are part of the format: a reader refuses more.
const (
	// MaxEntry is the size of a whole entry object. It bounds what a reader must
	// hold to check the chain.
	MaxEntry = 8 << 20
	// MaxRecord is the size of one record. An entry holds one record of this
	// size, or several that need no more room together (each costs four bytes
	// more). What is left of MaxEntry is for headers and seals, whose size
	// depends on the recipient.
	MaxRecord = MaxEntry - 32<<10
	// MaxPayload is the plaintext of a snapshot or of a sealed object. They are
	// held in memory whole.
	MaxPayload = 64 << 20
	// MaxKind is the length of an object kind's name.
	MaxKind = 32
)

// MaxPosition is the last position that a name has room for.
const MaxPosition Position = 1e16 - 1

// A Position is the place of an entry in its log, from 1 to [MaxPosition].
// 0 stands before the first entry.
type Position uint64

// ID is the identity of a log. Everything in the log is sealed with it as
// associated data, so that no object of one log is taken for another's.
type ID [16]byte

// String returns 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Hash is the SHA-256 of the bytes of an entry object.
type Hash [32]byte

// String returns 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Head names an entry by position and content, and with it, by the chain,
// everything before it. The zero Head stands before the first entry. A Head is
// not secret; one that is kept elsewhere (see [Config.Seen]) proves later that
// the log was not rolled back behind it.
type Head struct {
	Pos  Position
	Hash Hash
}

// String returns the position and the first digits of the hash.
func (h Head) String() string { return fmt.Sprintf("%d@%x", h.Pos, h.Hash[:4]) }

// Epoch counts the changes of a log's identity or terms, from 1. It stands in the
// clear in every entry: who cannot open any still knows which epoch the log is in.
type Epoch uint32

// Terms say whether the entries of an epoch carry a MAC.
type Terms uint8

// The terms of an epoch. The numbers are part of the format.
const (
	// TermsOpen lets anyone deliver who knows the recipient.
	TermsOpen Terms = 1
	// TermsClosed makes every entry end in a MAC under the epoch's delivery key,
	// which derives from the identity. A Delivered entry without it is passed over.
	TermsClosed Terms = 2
)

// String returns "open" or "closed".
func (t Terms) String() string {
	switch t {
	case TermsOpen:
		return "open"
	case TermsClosed:
		return "closed"
	}
	return fmt.Sprintf("terms %d", uint8(t))
}

func (t Terms) known() bool { return t == TermsOpen || t == TermsClosed }

// Kind says how an entry is sealed, and so who may have written it.
type Kind uint8

// The kinds of entries. The numbers are part of the format.
const (
	// Owned entries are sealed under the log key: a holder of the keys wrote it.
	Owned Kind = 1
	// Delivered entries are sealed to the recipient of the log by someone who
	// needs no secret of it, or in a closed epoch the delivery key only. It may be
	// junk.
	Delivered Kind = 2
	// Rekey entries begin an epoch: they name the identity that writes from then on,
	// and its terms. Entry 1 is one. Who has only the identity before cannot make
	// one, except to an identity of its own.
	Rekey Kind = 3
	// Tombstone entries end a log: nothing follows.
	Tombstone Kind = 4
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case Owned:
		return "owned"
	case Delivered:
		return "delivered"
	case Rekey:
		return "rekey"
	case Tombstone:
		return "tombstone"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

func (k Kind) known() bool { return k >= Owned && k <= Tombstone }
