package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/letterlock/letterlock/mailbox/observe"
)

// ErrServerClosed is returned by [Server.Serve] after Shutdown or Close.
var ErrServerClosed = errors.New("imap server is closed")

// Server serves IMAP. Its methods may be called from many goroutines.
type Server struct {
	o      *Options
	memory loginMemory

	mu        sync.Mutex // protects what follows
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	addrs     map[netip.Addr]int // connections by network
	closed    bool
	running   sync.WaitGroup // connections; Add only with mu held and closed not set
}

// New returns a server that serves nothing yet. It panics if o has neither a Store nor
// Authenticate.
func New(o *Options) *Server {
	if o == nil || o.Store == nil && o.Authenticate == nil {
		panic("imapadapter/server: options need a Store or Authenticate")
	}
	s := &Server{
		o:         o.withDefaults(),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
		addrs:     make(map[netip.Addr]int),
	}
	s.memory.limit = s.o.LoginMemory
	return s
}

// Serve takes connections from ln until the server is shut down, and then returns
// [ErrServerClosed]. Several listeners may be served at a time: one of crypto/tls for
// port 993 beside one for port 143, on which STARTTLS is offered. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	if !s.add(ln) {
		_ = ln.Close()
		return ErrServerClosed
	}
	defer s.remove(ln)
	err := s.accept(ln)
	_ = ln.Close()
	if s.isClosed() {
		return ErrServerClosed
	}
	return fmt.Errorf("serve imap: %w", err)
}

// accept serves connections until the listener fails. It waits when the process lacks
// descriptors or memory.
func (s *Server) accept(ln net.Listener) error {
	const least, most = 5 * time.Millisecond, time.Second
	wait := least
	for {
		raw, err := ln.Accept()
		switch {
		case err == nil:
			wait = least
			s.open(raw)
		case isTemporary(err):
			s.o.Logger.Warn("imap server cannot accept a connection", slog.Any("error", err))
			time.Sleep(wait)
			wait = min(2*wait, most)
		default:
			return err
		}
	}
}

func isTemporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// lastSession is the ID of the newest session of the process.
var lastSession atomic.Uint64

// open serves a connection in a goroutine of its own, unless it is one too many.
func (s *Server) open(raw net.Conn) {
	c, err := s.admit(raw)
	switch err {
	case nil:
		go c.serve()
		return
	case ErrServerClosed:
		_ = raw.Close()
		return
	}
	s.o.Observe.Session(observe.IMAP, observe.ConnRefused)
	s.o.Logger.Warn("imap server refused a connection", slog.String("remote", raw.RemoteAddr().String()), slog.Any("reason", err))
	if _, isTLS := raw.(*tls.Conn); !isTLS && raw.SetWriteDeadline(time.Now().Add(goodbyeTimeout)) == nil {
		_, _ = raw.Write([]byte("* BYE [UNAVAILABLE] Too many connections\r\n"))
	}
	_ = raw.Close()
}

// errTooMany is why a connection is refused for the number of others.
var errTooMany = errors.New("too many connections")

// admit counts a connection in.
func (s *Server) admit(raw net.Conn) (*conn, error) {
	addr := network(raw.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, ErrServerClosed
	case s.o.MaxConns > 0 && len(s.conns) >= s.o.MaxConns:
		return nil, errTooMany
	case counted(addr) && s.o.MaxConnsPerAddr > 0 && s.addrs[addr] >= s.o.MaxConnsPerAddr:
		return nil, errTooMany
	}
	if counted(addr) {
		s.addrs[addr]++
	}
	c := newConn(s, raw, addr)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	return c, nil
}

// left counts a connection out.
func (s *Server) left(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if counted(c.addr) {
		if s.addrs[c.addr]--; s.addrs[c.addr] == 0 {
			delete(s.addrs, c.addr)
		}
	}
	s.running.Done()
}

// network returns the address by which connections are counted: the IPv4 address, or
// the first of the IPv6 /64 network. It is not valid if a has none.
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

// counted reports whether connections of an address are counted.
func counted(addr netip.Addr) bool { return addr.IsValid() && !addr.IsLoopback() }

// fromLoopback reports whether an address is of this machine: a loopback address or a
// Unix socket.
func fromLoopback(a net.Addr) bool {
	return a.Network() == "unix" || network(a).IsLoopback()
}

// Shutdown ends the server with nothing lost: it takes no more connections, waits until
// the commands at work are answered, sends each client BYE and closes its connection.
// When ctx is done before that it closes what is left, as Close does, and returns ctx's
// error.
func (s *Server) Shutdown(ctx context.Context) error {
	conns := s.close()
	for _, c := range conns {
		c.shutdown()
	}
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		for _, c := range conns {
			c.cut()
		}
		<-ended
		return ctx.Err()
	}
}

// Close ends the server at once: commands at work are cancelled and connections closed.
// It returns when all of them have ended.
func (s *Server) Close() error {
	for _, c := range s.close() {
		c.cut()
	}
	s.running.Wait()
	return nil
}

// close makes the server take no more connections and returns those it has.
func (s *Server) close() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

func (s *Server) add(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[ln] = struct{}{}
	}
	return !s.closed
}

func (s *Server) remove(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
