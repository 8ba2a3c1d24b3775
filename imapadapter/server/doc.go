// Package server is an IMAP server for the mailboxes of package mailbox. It speaks
// IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051) with the extensions that mail programs
// ask for, among them CONDSTORE, QRESYNC, NOTIFY, SORT and COMPRESS; docs/imap.md
// lists them all.
//
//	socket -- TLS -- DEFLATE -- frame.Reader --> request --> mailbox.Account, mailbox.View
//	   |                                            |
//	   +---------------- wire.Encoder <-------------+
//
// One goroutine serves a connection from the greeting to its end: it reads a command,
// executes it, writes the answer, and waits for the next. Whoever has news for a
// waiting client wakes that goroutine (see waiting.go), so nothing else writes to a
// connection, and a connection that idles holds no buffer.
//
// # What is promised
//
// A client is notified of changes in an order in which it can follow: sequence numbers
// never shift while FETCH, STORE or SEARCH is answered, and a message that another
// session expunged can be read until this session's client was notified. One command
// is one entry of the account's log, whatever the number of messages. OK to APPEND
// means durable. A literal has exactly the bytes that were announced, and they are the
// bytes that came in; where they cannot be had, the command fails, or if it is too
// late for that the connection is cut. Bodies are streamed: memory depends on the size
// of neither message nor mailbox. A command ends within a second of the end of its
// connection.
//
// The bytes of a literal are never taken for commands, whatever is wrong with the
// command that they belong to.
//
// # What is not
//
// The server keeps no accounts and checks no secrets: [mailbox.Store] does, or
// [Options.Authenticate].
//
// To read the source begin with conn.go and command.go, which has the table of
// commands and says how to add one. imapadapter/internal/frame cuts the stream into
// commands, imapadapter/internal/wire parses them and formats responses.
package server
