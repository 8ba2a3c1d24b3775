package guard

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// errTooMany marks a connection that is refused for the number of others.
var errTooMany = errors.New("too many connections")

type listener struct {
	net.Listener
	o Options

	mu    sync.Mutex // protects what follows
	conns int
	addrs map[netip.Addr]int
}

// Accept waits for the next connection within the limits. It does not wait for a TLS
// handshake, which the first use of the connection does.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := network(raw.RemoteAddr())
		if err := l.enter(addr); err != nil {
			if l.o.Refused != nil {
				l.o.Refused(raw.RemoteAddr())
			}
			l.o.Logger.Warn("imap guard refused a connection", "remote", raw.RemoteAddr().String(), "reason", err)
			l.refuse(raw)
			continue
		}
		return newConn(raw, &l.o, func() { l.leave(addr) }), nil
	}
}

// refuse closes a connection, and says why if that needs no TLS. It takes at most
// [refuseTimeout].
func (l *listener) refuse(raw net.Conn) {
	if _, isTLS := raw.(*tls.Conn); !isTLS && !l.o.ImplicitTLS {
		if raw.SetWriteDeadline(time.Now().Add(refuseTimeout)) == nil {
			_, _ = raw.Write([]byte("* BYE [UNAVAILABLE] Too many connections\r\n"))
		}
	}
	_ = raw.Close()
}

func (l *listener) enter(addr netip.Addr) error {
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

func (l *listener) leave(addr netip.Addr) {
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
