package lmtpadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	maxAcceptDelay = time.Second     // between tries to accept when descriptors run out
	abortGrace     = 3 * time.Second // for the last answers, when Shutdown's context is over
)

// Server serves LMTP. Its methods may be called from many goroutines.
type Server struct {
	b      *Backend
	cancel context.CancelFunc // of every look-up and delivery

	mu        sync.Mutex // of the rest
	listeners map[net.Listener]struct{}
	peers     map[*peer]struct{}
	stopping  bool
	stopped   chan struct{} // closed when stopping begins
	idle      chan struct{} // closed when stopping and the last connection is gone
}

// NewServer returns a server that is ready to Serve. It panics if o.Store is
// nil. A Domain that is no host name is taken for [DefaultDomain].
func NewServer(o *Options) *Server {
	if o.Store == nil {
		panic("lmtpadapter: Options.Store is nil")
	}
	return newServer(o, o.Store)
}

func newServer(o *Options, store deliverer) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		b:         newBackend(ctx, o, store),
		cancel:    cancel,
		listeners: make(map[net.Listener]struct{}),
		peers:     make(map[*peer]struct{}),
		stopped:   make(chan struct{}),
		idle:      make(chan struct{}),
	}
}

// Serve accepts connections from ln until Shutdown or Close, and then returns
// nil. It closes ln. It may be called for several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	if !s.listen(ln) {
		return ln.Close()
	}
	defer s.unlisten(ln)
	var delay time.Duration
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			delay = 0
			s.start(c)
		case s.isStopping():
			return nil
		case temporary(err):
			delay = min(max(2*delay, 5*time.Millisecond), maxAcceptDelay)
			s.b.o.Logger.Warn("cannot accept connections for now", "error", err)
			select {
			case <-time.After(delay):
			case <-s.stopped:
			}
		default:
			return fmt.Errorf("lmtpadapter: serve: %w", err)
		}
	}
}

// temporary finds what passes by itself: too many open files, a connection that
// was gone before it was accepted.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *Server) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.listeners[ln] = struct{}{}
	}
	return !s.stopping
}

func (s *Server) unlisten(ln net.Listener) {
	ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// start serves a connection in a goroutine, for which Shutdown and Close wait.
func (s *Server) start(c net.Conn) {
	p := newPeer(c, s.b.o.ReadTimeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		c.Close()
		return
	}
	s.peers[p] = struct{}{}
	go func() {
		defer s.gone(p)
		s.serve(p)
	}()
}

func (s *Server) gone(p *peer) {
	p.raw.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, p)
	if s.stopping && len(s.peers) == 0 {
		close(s.idle)
	}
}

// serve runs an engine for the connection, and another after STARTTLS.
func (s *Server) serve(p *peer) {
	err := p.handshake(s.b.ctx)
	w := s.newWire(p)
	for err == nil {
		s.runEngine(w)
		if !w.startTLS {
			return
		}
		err = p.startTLS(s.b.ctx, s.b.o.TLSConfig)
		w = s.newWire(p)
		w.mute = true // the client was greeted
	}
	s.b.o.Logger.Warn("TLS handshake failed", "error", err)
}

func (s *Server) newWire(p *peer) *wire {
	return &wire{
		peer:         p,
		domain:       s.b.o.Domain,
		home:         s.b.o.home(),
		writeTimeout: s.b.o.WriteTimeout,
		offerTLS:     s.b.o.TLSConfig != nil && !p.secure,
	}
}

// runEngine serves one wire to its end. The engine has no call that serves one
// connection: an engine for each costs a kilobyte, and what it offers is decided
// anew after STARTTLS.
func (s *Server) runEngine(w *wire) {
	o := &s.b.o
	e := smtp.NewServer(s.b)
	e.LMTP = true
	e.Domain = o.Domain
	e.MaxRecipients = o.MaxRecipients
	e.MaxMessageBytes = o.MaxMessage
	e.MaxLineLength = 0 // wire limits commands; a message's lines have no limit
	e.ReadTimeout = o.ReadTimeout
	e.WriteTimeout = o.WriteTimeout
	e.EnableSMTPUTF8 = true
	e.ErrorLog = engineLog{o.Logger}
	if w.offerTLS {
		e.TLSConfig = o.TLSConfig // only announced: wire answers STARTTLS
	}
	e.Serve(&oneConn{c: w})          // returns as soon as it has the connection
	e.Shutdown(context.Background()) // waits for it
}

// Shutdown takes no further connections or commands, lets messages that are on
// their way in finish and be answered, and returns nil when the last connection
// is gone. Clients are told 421. If ctx ends first, deliveries under way are
// cancelled, messages not yet whole are given up, those clients are told 421 or
// 451, and Shutdown returns ctx's error; call Close then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop((*peer).stop)
	select {
	case <-s.idle:
		s.cancel()
		return nil
	case <-ctx.Done():
	}
	s.stop((*peer).abort)
	s.cancel()
	select {
	case <-s.idle:
	case <-time.After(abortGrace):
	}
	return fmt.Errorf("lmtpadapter: shutdown: %w", ctx.Err())
}

// Close cuts every connection, cancels what is under way, and returns when no
// goroutine of the server uses the store any more. A client whose message was
// just being stored may not hear that it was, and will send it again; Shutdown
// is kinder.
func (s *Server) Close() error {
	s.cancel()
	s.stop(func(p *peer) {
		p.abort()
		p.raw.Close()
	})
	<-s.idle
	return nil
}

// stop ends accepting and does what is given to every connection.
func (s *Server) stop(each func(*peer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stopped)
		for ln := range s.listeners {
			ln.Close()
		}
		if len(s.peers) == 0 {
			close(s.idle)
		}
	}
	for p := range s.peers {
		each(p)
	}
}

// oneConn is a listener for one connection.
type oneConn struct{ c net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c := l.c
	if c == nil {
		return nil, net.ErrClosed
	}
	l.c = nil
	return c, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.c.LocalAddr() }

// engineLog receives the engine's own reports: that a connection broke, which
// clients do, and panics.
type engineLog struct{ l *slog.Logger }

func (e engineLog) Printf(format string, v ...any) {
	level := slog.LevelDebug
	if strings.HasPrefix(format, "panic") {
		level = slog.LevelError
	}
	e.l.Log(context.Background(), level, "lmtp engine: "+fmt.Sprintf(format, v...))
}

func (e engineLog) Println(v ...any) { e.Printf("%s", fmt.Sprintln(v...)) }
