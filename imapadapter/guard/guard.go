// Package guard makes a stock go-imap server safe: it stands between the listener and
// github.com/emersion/go-imap/v2/imapserver, and lets that server read whole, well
// framed commands only.
//
//	client -- TLS -- guard -- imapserver.Server -- imapserver.Session
//
// go-imap's server, called the engine here, parses a command while it reads it. When it
// refuses one, it goes on reading in the middle, and the rest of that command is parsed
// as commands: the text of a mail that a client uploads with {n+} (RFC 7888) becomes
// commands of the user who uploads it. docs/decisions/imap-guard.md lists this and
// twelve more habits of the engine, measured on v2.0.0-beta.8, and the reasons for what
// the guard does about each.
//
// # What is promised
//
// The engine never sees a command that the guard refused, nor what belongs to it.
// A message is handed to the session to its end only if the line behind it was read and
// is right. IDLE ends with DONE for the engine, whatever the client does. TLS, STARTTLS
// and the refusal of passwords in plain text are the guard's. Connections, lines,
// literals, refused commands and the time for each are bounded.
//
// # What is not
//
// The guard knows nothing of mailboxes and asks the session for nothing, so it serves
// any imapserver.Session, also one that wraps another. Programs that have no server of
// their own need no guard: package imapadapter/server does not use go-imap's server.
//
// To read the source begin with conn.go.
package guard

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	// maxEngineLine is what the engine reads of one command, literals not
	// counted. Beyond it the engine answers and parses the rest of the line as
	// the next command.
	maxEngineLine = 50 << 10

	// maxEngineLiteral is the longest literal the engine buffers. A longer one
	// it refuses in the middle of its parser, which then reads on.
	maxEngineLiteral = 4096
)

// Defaults and fixed bounds of the guard. Its limits cannot be above the engine's.
const (
	defaultMaxLiteral      = 64 << 10
	defaultAppendLimit     = 100 << 20
	defaultLoginTimeout    = time.Minute
	defaultIdleTimeout     = 35 * time.Minute // RFC 9051 section 5.4 asks for 30
	defaultMaxConns        = 8192
	defaultMaxConnsPerAddr = 256

	minLine = 1 << 10 // a limit below this would refuse sound clients

	commandTimeout = time.Minute      // for a command from its first byte on, for a read of a message
	minRate        = 8 << 10          // bytes a second that a slow client must reach
	writeTimeout   = 30 * time.Second // for what the guard itself says
	refuseTimeout  = time.Second      // for the last words to a connection that is closed
	maxRefusals    = 50               // refused commands in a row
)

// Options are the options of [NewListener]. The zero value means a listener without
// TLS that takes logins from the same machine only.
type Options struct {
	// TLSConfig is used for STARTTLS, or from the first byte on if ImplicitTLS
	// is set. Without it neither is offered.
	TLSConfig *tls.Config
	// ImplicitTLS says that clients begin with the TLS handshake (port 993, RFC
	// 8314). It needs TLSConfig. An inner listener whose connections are
	// *tls.Conn needs neither.
	ImplicitTLS bool
	// InsecureAuth says for which remote addresses a password may cross the
	// network in plain text. Nil means the loopback addresses.
	InsecureAuth func(net.Addr) bool

	// MaxLine bounds one command in bytes, literals not counted. 0 means 50 KiB,
	// which is also the most: the engine reads no more. The least is 1 KiB.
	MaxLine int
	// MaxLiteral bounds the literals among the arguments of one command, in bytes,
	// the message of an APPEND not counted. 0 means 64 KiB. A single one above 4096
	// bytes is always refused: the engine takes no longer one.
	MaxLiteral int64
	// AppendLimit bounds a message that is appended, in bytes. 0 means 100 MiB,
	// which is what the engine allows a session that sets no limit of its own.
	AppendLimit int64

	// LoginTimeout bounds the time from the connection's begin to a login that
	// succeeds. 0 means one minute; the engine waits 30 s for a single command.
	LoginTimeout time.Duration
	// IdleTimeout bounds the wait for a command, and for the end of IDLE, after
	// the login. 0 means 35 minutes, and the engine waits no longer.
	IdleTimeout time.Duration

	// MaxConns and MaxConnsPerAddr bound the connections at a time: of the
	// listener, and of one IPv4 address or IPv6 /64 network. The loopback
	// addresses are not counted by address. 0 means 8192 and 256, a negative
	// number no limit. A connection beyond a limit gets BYE and is closed.
	MaxConns, MaxConnsPerAddr int

	// Logger records why the guard closed a connection: the remote address and a
	// fixed reason, never what the client sent. Nil means no log.
	Logger *slog.Logger

	// Refused, if set, is called for each connection that is closed at once because
	// there are too many. It must not wait.
	Refused func(remote net.Addr)
}

// NewListener returns a listener for imapserver.Server.Serve. Its connections read
// from the connections of ln, and hand the engine whole commands only.
//
// The engine's own options must say InsecureAuth and have no TLSConfig: the guard does
// TLS and answers STARTTLS, refuses logins that would cross the network in plain text,
// and corrects the capabilities that the engine advertises. The engine's Caps may have
// LITERAL+ (RFC 7888) if every connection of it is [Guarded].
//
// Closing the listener closes ln, and no connection. The options must not be changed
// afterwards; nil means the zero value. NewListener panics if they ask for ImplicitTLS
// without a TLSConfig.
func NewListener(ln net.Listener, o *Options) net.Listener {
	l := &listener{Listener: ln, addrs: make(map[netip.Addr]int)}
	if o != nil {
		l.o = *o
	}
	if l.o.ImplicitTLS && l.o.TLSConfig == nil {
		panic("guard: Options.ImplicitTLS without TLSConfig")
	}
	l.o.setDefaults()
	return l
}

// Guarded reports whether a connection comes from a listener of [NewListener].
func Guarded(c net.Conn) bool {
	_, ok := c.(*conn)
	return ok
}

func (o *Options) setDefaults() {
	o.MaxLine = min(max(orDefault(o.MaxLine, maxEngineLine), minLine), maxEngineLine)
	o.MaxLiteral = orDefault(o.MaxLiteral, defaultMaxLiteral)
	o.AppendLimit = orDefault(o.AppendLimit, defaultAppendLimit)
	o.LoginTimeout = orDefault(o.LoginTimeout, defaultLoginTimeout)
	o.IdleTimeout = orDefault(o.IdleTimeout, defaultIdleTimeout)
	o.MaxConns = orDefault(o.MaxConns, defaultMaxConns)
	o.MaxConnsPerAddr = orDefault(o.MaxConnsPerAddr, defaultMaxConnsPerAddr)
	if o.InsecureAuth == nil {
		o.InsecureAuth = fromLoopback
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
