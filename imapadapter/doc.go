// Package imapadapter serves the mailboxes of package mailbox over IMAP, with
// the server of github.com/emersion/go-imap/v2, which is called the engine here.
//
//	socket -- guard -- engine -- Session -- mailbox.Account, mailbox.View
//	            |                   |
//	            +-------------------+  all that the engine cannot say
//
// The engine reads and writes IMAP. The guard ([NewListener]) stands in front of
// it and hands it whole, well framed commands only, so that a mail's own text
// can never be taken for a command. The Session stands behind it: one for each
// connection, it turns commands into calls of package mailbox and keeps what
// only a session can know, such as what its client has been told.
//
// With the guard in front the Session answers nearly all commands itself, inside
// of the engine's Read and without the engine: native.go has the table, and says
// how a command is added. The engine keeps the greeting, the logins, CAPABILITY
// and LOGOUT.
//
// [Server] is the three together, and what most programs want. [NewSession] is
// the Session alone, for a program that has a server of the engine already. Behind
// a listener of the program's own it has no LITERAL+, no bounds on connections,
// the engine's own answers to malformed input, and nothing that the engine cannot
// say, such as CONDSTORE; behind [NewListener] it has all of it.
//
// # What is promised
//
// A client is told what happened to its mailbox in an order in which it can
// follow: sequence numbers never shift while FETCH, STORE or SEARCH is answered,
// and a message that another session expunged can be read until this session's
// client was told. One command is one entry of the account's log, whatever the
// number of messages. OK to APPEND means durable. A literal has exactly the
// bytes that were announced, and they are the bytes that came in; where they
// cannot be had, the command fails, or if it is too late for that the connection
// is cut. Bodies are streamed: memory depends on the size of neither message nor
// mailbox.
//
// docs/imap.md lists what is offered, the limits, and which error becomes which
// response code. To read the source begin with session.go, then native.go and
// fetch.go.
package imapadapter
