// Package imapadapter is the plug between the mailboxes of package mailbox and the IMAP
// server of github.com/emersion/go-imap/v2, called the engine here: a [Session] for each
// connection, which does what imapserver.Session asks for.
//
//	client -- guard -- imapserver.Server -- Session -- mailbox.Account, mailbox.View
//
// It is for programs that run a server of the engine, with sessions of their own beside
// this one or around it. It says all that the engine can say: IMAP4rev1 and IMAP4rev2,
// and the extensions that [Caps] lists. Programs that want an IMAP server and have none
// use package imapadapter/server, which offers more (CONDSTORE, QRESYNC, NOTIFY, SORT,
// THREAD, QUOTA, COMPRESS and others) and does not use the engine.
//
// The engine should listen behind the guard of package imapadapter/guard. Without it the
// text of a mail can be obeyed as commands, and nothing bounds the connections.
//
// # What is promised
//
// The client is notified of changes to its mailbox in an order in which it can follow:
// sequence numbers never shift while FETCH, STORE or SEARCH is answered, and a message
// that another session expunged can be read until this session's client was notified.
// One command is one entry of the account's log, whatever the number of messages. OK to
// APPEND means durable. A literal has exactly the bytes that were announced, and they are
// the bytes that came in; where they cannot be read the command fails, or if it is too
// late for that the connection is cut. Bodies are streamed: memory depends on the size
// of neither message nor mailbox.
//
// # What is not
//
// The engine has no place for some of what a mailbox knows. ENVELOPE has its dates and
// addresses printed anew, and no source routes; BODYSTRUCTURE has no Content-MD5; LSUB
// is answered as LIST (SUBSCRIBED) is; a part that is not there is empty in place of
// NIL. A command goes on when its client is gone, until it ends or makes no progress for
// [Options].Timeout.
//
// To read the source begin with session.go, then fetch.go and poll.go.
package imapadapter
