// Package translate says in IMAP's terms what package mailbox says, and the other way
// round: errors and response codes, flags, LIST, search keys and sets of messages. The
// server of this module and the plug for go-imap's server share it, so that both answer
// alike. It does no I/O and keeps no state.
package translate
