package imapadapter

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/letterlock/letterlock/observe"
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
	defaultMaxCommand      = 1 << 20
	defaultAppendLimit     = 100 << 20
	defaultLoginTimeout    = time.Minute
	defaultIdleTimeout     = 35 * time.Minute // RFC 9051 section 5.4 asks for 30
	defaultMaxConns        = 8192
	defaultMaxConnsPerAddr = 256

	minLine = 1 << 10 // a limit below this would refuse sound clients

	commandTimeout = time.Minute      // for a command from its first byte on, for a read of a message
	messageTimeout = 5 * time.Minute  // for a message, besides what minRate allows
	minRate        = 8 << 10          // bytes a second that a slow client must reach
	writeTimeout   = 30 * time.Second // for what the guard itself says
	refuseTimeout  = time.Second      // for the word to a connection too many
	maxRefusals    = 50               // refused commands in a row
)

// GuardOptions are the options of [NewListener]. The zero value is a listener
// without TLS that takes logins from the same machine only.
type GuardOptions struct {
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

	// MaxLine bounds one command of the engine's in bytes, literals not counted. 0
	// means 50 KiB, which is also the most: the engine reads no more. The least is
	// 1 KiB.
	MaxLine int
	// MaxLiteral bounds the literals among the arguments of such a command, in
	// bytes, the message of an APPEND not counted. 0 means 64 KiB. A single one
	// above 4096 bytes is always refused: the engine takes no longer one.
	MaxLiteral int64
	// MaxCommand bounds a command that the Session answers without the engine, in
	// bytes: its lines, and its literals beside the message of an APPEND. It holds
	// once the client has logged in. 0 means 1 MiB, enough for the UIDs of a
	// hundred thousand messages.
	MaxCommand int
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
	// number no limit. A connection too many is told so and closed.
	MaxConns, MaxConnsPerAddr int

	// Logger is told why the guard closed a connection: the remote address and
	// a fixed reason, never what the client sent. Nil means no log.
	Logger *slog.Logger

	// Observe is told of connections that were refused or closed.
	Observe observe.Hooks
}

// NewListener returns a listener whose connections stand between the sockets of
// ln and go-imap's server, the engine, and keep the engine from reading
// anything but whole commands. docs/decisions/imap-guard.md says against what,
// and how.
//
// The engine's own options must say InsecureAuth and have no TLSConfig: TLS
// lies below the guard, which answers STARTTLS, refuses logins that would cross
// the network in plain text, and makes the advertised capabilities say so. They
// may have LITERAL+ among their capabilities, which must not be advertised on a
// connection that is not [Guarded].
//
// Closing the listener closes ln, and no connection. The options must not be
// changed afterwards; nil means the zero value. NewListener panics if they ask
// for ImplicitTLS without a TLSConfig.
func NewListener(ln net.Listener, o *GuardOptions) net.Listener {
	l := &guardListener{Listener: ln, addrs: make(map[netip.Addr]int)}
	if o != nil {
		l.o = *o
	}
	if l.o.ImplicitTLS && l.o.TLSConfig == nil {
		panic("imapadapter: GuardOptions.ImplicitTLS without TLSConfig")
	}
	l.o.setDefaults()
	return l
}

// Guarded reports whether a connection comes from a [NewListener]. The adapter
// asks before it advertises LITERAL+ (RFC 7888).
func Guarded(c net.Conn) bool {
	_, ok := c.(*guardConn)
	return ok
}

func (o *GuardOptions) setDefaults() {
	o.MaxLine = min(max(orDefault(o.MaxLine, maxEngineLine), minLine), maxEngineLine)
	o.MaxLiteral = orDefault(o.MaxLiteral, defaultMaxLiteral)
	o.MaxCommand = max(orDefault(o.MaxCommand, defaultMaxCommand), o.MaxLine)
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

// fromLoopback reports whether an address is of this machine: a loopback
// address or a Unix socket.
func fromLoopback(a net.Addr) bool {
	return a.Network() == "unix" || network(a).IsLoopback()
}

// network returns the address by which connections are counted: the IPv4
// address, or the first of the IPv6 /64 network. It is not valid if a has none.
func network(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// errTooMany marks a connection that is refused for the number of others.
var errTooMany = errors.New("too many connections")

type guardListener struct {
	net.Listener
	o GuardOptions

	mu    sync.Mutex // guards what follows
	conns int
	addrs map[netip.Addr]int
}

// Accept waits for the next connection that is not one too many. It does not
// wait for a TLS handshake, which the first use of the connection does.
func (l *guardListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := network(raw.RemoteAddr())
		if err := l.enter(addr); err != nil {
			l.o.Observe.Session(observe.IMAP, observe.ConnRefused)
			l.o.Logger.Warn("imap guard refused a connection", "remote", raw.RemoteAddr().String(), "reason", err)
			l.turnAway(raw)
			continue
		}
		return newGuardConn(raw, &l.o, func() { l.leave(addr) }), nil
	}
}

// turnAway tells a client in plain text that it is one too many, without
// letting it hold up the others.
func (l *guardListener) turnAway(raw net.Conn) {
	if _, isTLS := raw.(*tls.Conn); !isTLS && !l.o.ImplicitTLS {
		if raw.SetWriteDeadline(time.Now().Add(refuseTimeout)) == nil {
			_, _ = raw.Write([]byte("* BYE [UNAVAILABLE] Too many connections\r\n"))
		}
	}
	_ = raw.Close()
}

func (l *guardListener) enter(addr netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.MaxConns > 0 && l.conns >= l.o.MaxConns {
		return errTooMany
	}
	if counted(addr) {
		if l.o.MaxConnsPerAddr > 0 && l.addrs[addr] >= l.o.MaxConnsPerAddr {
			return errTooMany
		}
		l.addrs[addr]++
	}
	l.conns++
	return nil
}

func (l *guardListener) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns--
	if !counted(addr) {
		return
	}
	if l.addrs[addr]--; l.addrs[addr] == 0 {
		delete(l.addrs, addr)
	}
}

func counted(addr netip.Addr) bool { return addr.IsValid() && !addr.IsLoopback() }
