// Package imapadapter serves the mailboxes of package mailbox over IMAP, with
// the server of github.com/emersion/go-imap/v2, which is called the engine here.
//
//	socket -- guard -- engine -- Session -- mailbox.Account, mailbox.View
//
// The engine reads and writes IMAP. The guard ([NewListener]) stands in front of
// it and hands it whole, well framed commands only, so that a mail's own text
// can never be taken for a command. The Session stands behind it: one for each
// connection, it turns commands into calls of package mailbox and keeps what
// only a session can know, such as what its client has been told.
//
// [Server] is the three together, and what most programs want. [NewSession] is
// the Session alone, for a program that has a server of the engine already; it
// then has no LITERAL+, no bounds on connections, and the engine's own answers
// to malformed input.
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
// # What is not
//
// What the engine cannot say, a client cannot have: CONDSTORE, QRESYNC, SORT,
// THREAD, OBJECTID and others are not offered, and ENVELOPE shows dates and raw
// 8-bit text in the engine's spelling.
//
// docs/imap.md lists what is offered, the limits, and which error becomes which
// response code. To read the source begin with session.go, then fetch.go.
package imapadapter
