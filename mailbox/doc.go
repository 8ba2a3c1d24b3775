// Package mailbox keeps accounts of encrypted mail in a [blob.Store]: folders,
// flags, delivery, reading and search.
//
//	Store ---- accounts, by name ------------------ Deliver: needs no secret
//	  Account ---- a login: folders, append, secrets
//	    View ---- one folder as a session shows it
//	      Message ---- size, flags, header, structure, bytes
//
// An account is a log of events ([eventlog]) and what they add up to: an immutable
// state that every process arrives at alike. A call that changes something decides
// on the newest state, and its event takes effect whole or not at all, whatever
// number of messages it concerns and however many processes write at once. UIDs,
// UIDVALIDITY and MODSEQ follow from the order of events: two writers never hand
// out one UID, UIDVALIDITY never changes in a mailbox's life (but once, when an older
// copy of the store was restored), and MODSEQ is the position of the entry in the log.
//
// The package speaks the terms of IMAP (RFC 9051) but no wire format. A protocol
// is an adapter over it: see imapadapter and lmtpadapter.
//
// # What is promised
//
//   - When Append, Deliver or a change returns nil, it is durable and takes effect
//     once. Message bytes come back exactly as they came in, or with an error.
//   - Whoever holds the store reads nothing but sizes, times and counts; see
//     docs/threats.md.
//   - Memory does not follow the size of a message or of a folder: bodies are
//     streams, and what is kept of messages is read in pages through one bounded
//     cache.
//   - A copy, a move or a change of flags is an event and touches no body.
//   - What FETCH FULL, header listings and header searches ask for reads no body.
//   - A View changes only by [View.Sync], which returns what changed.
//
// # What is not
//
//   - An expunged message is not erased at once: what held it goes when two
//     collections, [Options.Grace] apart, found it unreferenced. A [Store] collects
//     in accounts that are open; see [Account.Collect].
//   - The keys of an account are in memory while a handle on it is open, and while
//     a last snapshot or a collection ends after that.
//
// # Where to read next
//
// The example of this package shows the way of a mail through it. In the source:
// internal/state/event.go has the events, internal/state/account.go how they change an
// account, view.go and sync.go what a session sees of it, snapshot.go how logs are kept
// short. docs/design.md has the reasons, docs/format.md the bytes.
package mailbox
