package imapadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// ErrServerClosed is returned by [Server.Serve] after Shutdown or Close.
var ErrServerClosed = errors.New("imap server is closed")

// Server serves IMAP: the guard, the engine and a Session for each connection.
// Its methods may be called from many goroutines.
type Server struct {
	o      *Options
	engine *imapserver.Server

	mu        sync.Mutex // protects what follows
	listeners map[net.Listener]struct{}
	links     map[*link]struct{}
	closed    bool
	sessions  sync.WaitGroup // Add only with mu held and closed not set
}

// NewServer returns a server that serves nothing yet. It panics if o has neither
// a Store nor Authenticate.
func NewServer(o *Options) *Server {
	s := &Server{
		o:         checked(o),
		listeners: make(map[net.Listener]struct{}),
		links:     make(map[*link]struct{}),
	}
	caps := Caps()
	caps[imap.CapLiteralPlus] = struct{}{} // every connection goes through the guard
	s.engine = imapserver.New(&imapserver.Options{
		NewSession:   s.newSession,
		Caps:         caps,
		Logger:       engineLog{s.o.Logger},
		InsecureAuth: true, // TLS, and what may be said without it, is the guard's
	})
	return s
}

// Serve takes connections from ln, through the guard, until the server is shut
// down, and then returns [ErrServerClosed]. Several listeners may be served at a
// time: one of crypto/tls for port 993 beside one for port 143, on which the
// guard offers STARTTLS. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	guarded := &linkListener{Listener: NewListener(ln, &s.o.Guard)}
	if !s.add(guarded) {
		_ = ln.Close()
		return ErrServerClosed
	}
	defer s.remove(guarded)
	err := s.engine.Serve(guarded)
	_ = ln.Close()
	if s.isClosed() {
		return ErrServerClosed
	}
	if err != nil {
		return fmt.Errorf("serve imap: %w", err)
	}
	return nil
}

// Shutdown ends the server with nothing lost: it takes no more connections,
// waits until the commands at work are answered, tells each client BYE and
// closes its connection. When ctx is done before that it closes what is left, as
// Close does, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	links := s.close()
	var drains sync.WaitGroup
	for _, l := range links {
		drains.Go(l.drain)
	}
	ended := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
		cut(links)
		<-ended
	}
	drains.Wait()
	return err
}

// Close ends the server at once: commands at work are cancelled and connections
// closed. It returns when all sessions are over.
func (s *Server) Close() error {
	cut(s.close())
	s.sessions.Wait()
	return nil
}

func cut(links []*link) {
	for _, l := range links {
		l.session.cancel()
		_ = l.Close()
	}
}

// close makes the server take no more connections and returns those it has.
func (s *Server) close() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	links := make([]*link, 0, len(s.links))
	for l := range s.links {
		links = append(links, l)
	}
	return links
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

// newSession is called by the engine for each connection.
func (s *Server) newSession(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	l := c.NetConn().(*link)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, &imap.Error{Type: imap.StatusResponseTypeBye, Text: "Server is shutting down"}
	}
	s.sessions.Add(1)
	s.links[l] = struct{}{}
	l.done = func() { s.over(l) }
	l.session = newSession(s.o, c, l)
	return l.session, nil, nil
}

func (s *Server) over(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, l)
	s.sessions.Done()
}

// linkListener makes links of the guard's connections.
type linkListener struct{ net.Listener }

func (ln *linkListener) Accept() (net.Conn, error) {
	c, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &link{Conn: c, guard: c.(*guardConn), quit: make(chan struct{})}, nil
}

// engineLog takes what the engine logs. Most of it is about clients that went
// away or broke the protocol; it may quote them, and so only its kind is kept,
// but for a panic, whose trace is worth more.
type engineLog struct{ log *slog.Logger }

func (e engineLog) Printf(format string, args ...any) {
	if strings.HasPrefix(format, "panic") {
		e.log.Error("imap engine", slog.String("event", fmt.Sprintf(format, args...)))
		return
	}
	kind, _, _ := strings.Cut(format, ":")
	e.log.Debug("imap engine", slog.String("event", strings.ReplaceAll(kind, "%v ", "")))
}
