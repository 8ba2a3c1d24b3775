package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// Defaults of [Options].
const (
	defaultAppendLimit     = 100 << 20
	defaultMaxCommand      = 1 << 20
	defaultTimeout         = 5 * time.Minute
	defaultLoginDelay      = time.Second
	defaultLoginTimeout    = time.Minute
	defaultLoginMemory     = 16 << 20
	defaultIdleTimeout     = 35 * time.Minute // RFC 9051 section 5.4 asks for 30
	defaultMaxConns        = 8192
	defaultMaxConnsPerAddr = 256
)

// Fixed limits.
const (
	// A client that has not logged in can send this much in one command.
	maxLoginLine     = 50 << 10 // bytes of its lines: an OAuth token can be long
	maxLoginLiteral  = 4096     // bytes of one literal
	maxLoginLiterals = 64 << 10 // bytes of all literals
	maxLoginDrop     = 64 << 10 // bytes that are skipped of a refused command

	maxRefusals   = 50               // refused commands in a row
	maxLoginDelay = 10 * time.Second // a client that is merely wrong is not taken for gone

	commandTimeout  = time.Minute      // for a command from its first byte on, for each read of a message
	messageTimeout  = 5 * time.Minute  // for a message, besides what minRate allows
	minRate         = 8 << 10          // bytes a second that a client must reach
	writeTimeout    = 30 * time.Second // for a TLS handshake
	transferTimeout = 2 * time.Minute  // for a client to take each block of an answer
	goodbyeTimeout  = time.Second      // for the last line of a connection
)

// Options are the options of [New]. One of Store and Authenticate is needed, all else
// has a default. They must not be changed after New.
type Options struct {
	// Store is where names and secrets are looked up.
	Store *mailbox.Store

	// Authenticate, if set, is asked in place of Store.LoginFrom. It returns an open
	// account, which the server closes, or an error: [mailbox.ErrAuth] for a wrong
	// name or secret, an imap.Error of go-imap to choose the answer, anything else
	// for trouble. secret is what the client sent: a password, or the token of
	// OAUTHBEARER. It is overwritten afterwards and must not be kept.
	Authenticate func(ctx context.Context, user string, secret []byte) (*mailbox.Account, error)

	// Hooks are called at logins and around commands.
	Hooks Hooks

	// TLSConfig is used for STARTTLS, which is not offered without it. For TLS from
	// the first byte on (port 993, RFC 8314) give [Server.Serve] a listener of
	// crypto/tls.
	TLSConfig *tls.Config

	// InsecureAuth reports for which remote addresses a password may cross the
	// network in plain text. Nil means the loopback addresses.
	InsecureAuth func(net.Addr) bool

	// AppendLimit is the longest message that APPEND takes, in bytes. 0 means what
	// Store takes, which is also the most; without a Store 100 MiB.
	AppendLimit int64

	// MaxCommand bounds a command after the login, in bytes: its lines, and its
	// literals beside the message of an APPEND. 0 means 1 MiB, enough for the UIDs
	// of a hundred thousand messages; the least is 50 KiB, which holds before the
	// login.
	MaxCommand int

	// Timeout bounds the work on one command: within this time it must end or make
	// progress, that is hand a message to the client or take a block of one. 0
	// means five minutes.
	Timeout time.Duration

	// LoginDelay is by how much the answer to a failed login is delayed; each
	// further one of the connection is delayed by as much more, up to ten seconds.
	// 0 means one second, a negative number no delay.
	LoginDelay time.Duration

	// LoginTimeout bounds the time from the connection's begin to a login that
	// succeeds. 0 means one minute.
	LoginTimeout time.Duration

	// LoginMemory bounds the memory for what all clients together have sent that
	// have not logged in, in bytes. Beyond it the connection that has held such
	// memory for the longest time is closed. 0 means 16 MiB.
	LoginMemory int64

	// IdleTimeout bounds the wait for a command, and for the end of IDLE, after the
	// login. 0 means 35 minutes.
	IdleTimeout time.Duration

	// MaxConns and MaxConnsPerAddr bound the connections at a time: of the server,
	// and of one IPv4 address or IPv6 /64 network. The loopback addresses are not
	// counted by address. 0 means 8192 and 256, a negative number no limit. A
	// connection too many gets BYE and is closed.
	MaxConns, MaxConnsPerAddr int

	// Logger gets trouble: which session and command, and the error, which holds no
	// name, address, or content; failed logins and refused connections with the
	// remote address. Nil means no log.
	Logger *slog.Logger

	// Observe gets sessions, and traces commands. The zero value means the hooks of
	// the Store, if there is one.
	Observe observe.Hooks
}

func (o *Options) withDefaults() *Options {
	c := *o
	limit := int64(defaultAppendLimit)
	if c.Store != nil {
		limit = c.Store.MaxMessage()
		c.AppendLimit = min(c.AppendLimit, limit)
	}
	c.AppendLimit = min(orDefault(c.AppendLimit, limit), math.MaxUint32)
	c.MaxCommand = max(orDefault(c.MaxCommand, defaultMaxCommand), maxLoginLine)
	c.Timeout = orDefault(c.Timeout, defaultTimeout)
	c.LoginDelay = orDefault(c.LoginDelay, defaultLoginDelay)
	c.LoginTimeout = orDefault(c.LoginTimeout, defaultLoginTimeout)
	c.LoginMemory = orDefault(c.LoginMemory, defaultLoginMemory)
	c.IdleTimeout = orDefault(c.IdleTimeout, defaultIdleTimeout)
	c.MaxConns = orDefault(c.MaxConns, defaultMaxConns)
	c.MaxConnsPerAddr = orDefault(c.MaxConnsPerAddr, defaultMaxConnsPerAddr)
	if c.InsecureAuth == nil {
		c.InsecureAuth = fromLoopback
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if !c.Observe.Watched() && !c.Observe.Traced() && c.Store != nil {
		c.Observe = c.Store.Hooks()
	}
	return &c
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
