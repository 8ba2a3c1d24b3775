// Package state holds an account's folders and messages at one position of its log,
// and the rules by which events change them.
//
//	event --> Account.Apply --> the next Account
//
// An [Account] is a list of [Mailbox] values. A Mailbox keeps its messages in pages
// of up to [PageRows] rows in columns. Nothing is ever changed in place: the next
// state shares every mailbox and page that the event did not touch.
//
// The package does no I/O and knows no time, randomness or context. A page that lies
// in the store is read by the caller before Apply needs it ([Account.PagesFor]).
// Encodings of events, pages, metadata segments and snapshots are here too; sealing
// and storing them is not.
package state
