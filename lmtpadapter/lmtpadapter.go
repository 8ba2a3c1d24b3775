// Package lmtpadapter takes mail in by LMTP (RFC 2033) and puts it into
// letterlock mailboxes: go-smtp speaks the protocol, package mailbox delivers.
//
//	mail server --LMTP--> Server --Deliver--> mailbox.Store --> blob.Store
//
// [NewServer] is the whole of it for most programs: a server for listeners of
// TCP or a Unix socket ([Listen] opens either). [NewBackend] is the part behind
// go-smtp alone, for a program that runs a go-smtp server of its own; it gives
// up what the next but one paragraph lists.
//
// What is promised: a recipient is answered 250 once the message is durable and
// in the mailbox, and not before. Each recipient has an answer of its own. The
// message is read once, in memory that does not depend on its size, however
// many recipients it has. Its bytes are stored as they came, behind three
// header lines of ours (Return-Path, Delivered-To, Received). A message that
// did not arrive whole is delivered to nobody. Delivering needs no secret: this
// package can add mail to an account and can read none of it.
//
// Server stands between the client and go-smtp's engine, and hands the engine
// one command line at a time. That keeps promises which the engine alone breaks:
// lines of any length in a message, and a limit on those of commands; a message
// whose lines end in CR CR LF; a connection lost inside the last BDAT chunk,
// which the engine takes for the end of the message; one answer per recipient
// also where a BDAT LAST is too large; a deadline that a slow but living client
// does not run into; and a Shutdown that does not wait for idle connections.
//
// What is not promised: that a message is delivered once only. A client that
// does not hear the 250, because the connection broke between the delivery and
// the answer, sends the message again (RFC 1047). LMTP has no authentication
// either: whoever can connect can deliver mail to any account, and ask which
// exist. Listen on a Unix socket, on loopback, or on a network that you trust.
//
// docs/lmtp.md describes the protocol's side: extensions, answers, limits. Read
// package mailbox next.
package lmtpadapter

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// What a zero field of [Options] means.
const (
	DefaultMaxRecipients  = 100             // the least that RFC 5321 section 4.5.3.1.8 allows
	DefaultReadTimeout    = 5 * time.Minute // RFC 5321 section 4.5.3.2.7
	DefaultWriteTimeout   = time.Minute     // one answer
	DefaultDeliverTimeout = 5 * time.Minute // half of what clients wait: RFC 5321 section 4.5.3.2.6
	DefaultDomain         = "localhost"     // in the greeting and in Received lines
)

// Options say how mail is taken in. Only Store must be set. They are read when
// a server or backend is made; changing them later has no effect.
type Options struct {
	// Store has the accounts. It stays the caller's, who closes it after the
	// server.
	Store *mailbox.Store

	// Domain is the host name in the greeting and in Received lines. A recipient
	// that is named without a domain is given it, or the first of Domains.
	Domain string

	// Logger gets one record at level Info for each message taken in and one at
	// Warn or Error for what went wrong on our side, with the message's id: the
	// id that also stands in the answer to the client and in the Received line.
	// No record of any level holds a mail address, an account's name or anything
	// of the message. Nil logs nothing.
	Logger *slog.Logger

	// Observe is told of sessions and refusals, and traces messages. The zero
	// value means what watches the Store.
	Observe observe.Hooks

	// MaxMessage is the largest message taken, in bytes as they are stored,
	// without our header lines. Zero is the Store's own limit, which counts these
	// lines too: a message that fits only without them is refused after it was
	// sent, not before.
	MaxMessage int64

	// MaxRecipients is how many recipients one message may have.
	MaxRecipients int

	// ReadTimeout is how long a connection may be silent: between commands, and
	// inside a message. WriteTimeout is how long it may take to accept one
	// answer. DeliverTimeout is how long the store may take to look up one
	// recipient, to ask for more of a message, and to make it durable once its
	// last byte has arrived.
	ReadTimeout, WriteTimeout, DeliverTimeout time.Duration

	// Domains are the domains that mail is taken for, in any case. Recipients of
	// others are refused with 550 5.1.2. Empty takes any domain: right when the
	// mail server in front has sorted that out. It is not asked when Resolve is
	// set.
	Domains []string

	// Resolve, if not nil, says where mail for an address goes. The address is
	// valid UTF-8 without control characters, at most 512 bytes, with its local
	// part unquoted: the domain begins after the last '@'. An empty folder means
	// INBOX. An error that matches mailbox.ErrNoAccount refuses the recipient
	// for good (550 5.1.1), a *smtp.SMTPError of go-smtp is answered as it is,
	// every other error is answered 451: the client tries again later. The text
	// of an error of Resolve is neither sent nor logged, as it may well name the
	// address. Resolve is called from many goroutines.
	//
	// The default takes the first of these accounts that exists: for
	// "user+folder@domain", the account "user@domain", then "user", both with
	// that folder, then "user+folder@domain" and "user+folder"; for an address
	// without '+', "user@domain", then "user".
	Resolve func(ctx context.Context, address string) (account, folder string, err error)

	// TLSConfig, if not nil, makes the server offer STARTTLS (RFC 3207). It is
	// offered, not demanded. A listener that is TLS from the first byte needs no
	// TLSConfig here.
	TLSConfig *tls.Config

	// Now tells the time for Received lines; nil is time.Now.
	Now func() time.Time
}

// deliverer is what this package needs of a [mailbox.Store].
type deliverer interface {
	MaxMessage() int64
	Lookup(ctx context.Context, name string) error
	Deliver(ctx context.Context, rcpts []mailbox.Recipient, r io.Reader) []error
}

// filled returns o with every zero field at its default.
func (o *Options) filled(store deliverer) Options {
	f := *o
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if checkDomain(f.Domain) != nil {
		f.Domain = DefaultDomain
	}
	if f.MaxMessage <= 0 {
		f.MaxMessage = store.MaxMessage()
	}
	if f.MaxRecipients <= 0 {
		f.MaxRecipients = DefaultMaxRecipients
	}
	if f.ReadTimeout <= 0 {
		f.ReadTimeout = DefaultReadTimeout
	}
	if f.WriteTimeout <= 0 {
		f.WriteTimeout = DefaultWriteTimeout
	}
	if f.DeliverTimeout <= 0 {
		f.DeliverTimeout = DefaultDeliverTimeout
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	f.Domains = make([]string, 0, len(o.Domains))
	for _, d := range o.Domains {
		f.Domains = append(f.Domains, strings.ToLower(strings.TrimSuffix(d, ".")))
	}
	return f
}

// home returns the domain of recipients that are named without one.
func (o *Options) home() string {
	if len(o.Domains) > 0 {
		return o.Domains[0]
	}
	return o.Domain
}
