package lmtpadapter

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

const (
	// maxLine is the longest command line taken, with its end (RFC 5321 section
	// 4.5.3.1.4 asks for 512 bytes; an address of RFC 6531 and the parameters of
	// extensions need more). It must fit the engine's buffer of 4 KiB, so that
	// the engine gets a line in one read and asks for no more before it has
	// answered.
	maxLine = 4096

	readBuffer = 16 << 10 // bytes a connection keeps for reading
)

// peer is a client's connection: its bytes, and how long to wait for them. One
// goroutine at a time reads; stop and abort may be called from any.
type peer struct {
	raw     net.Conn // what deadlines are set on
	rw      net.Conn // raw, or TLS over it
	in      *bufio.Reader
	secure  bool
	timeout time.Duration // of one read inside a message

	mu       sync.Mutex // of the rest
	busy     bool       // a message is on its way in, or its answers are to be written
	stopping bool       // no further command is served
	aborted  bool       // nothing more is read
}

// newPeer takes a connection over. If it is TLS already, the handshake is still
// to come.
func newPeer(c net.Conn, timeout time.Duration) *peer {
	p := &peer{raw: c, rw: c, timeout: timeout}
	_, p.secure = c.(*tls.Conn)
	p.in = bufio.NewReaderSize(armed{p}, readBuffer)
	return p
}

// armed reads from the connection under the deadline of the moment.
type armed struct{ p *peer }

func (a armed) Read(b []byte) (int, error) {
	a.p.arm()
	return a.p.rw.Read(b)
}

// past is a deadline that has been missed.
func past() time.Time { return time.Unix(1, 0) }

// arm gives a message a new deadline for each read, so that a slow client is
// told from a dead one. That of a command line is the engine's: one for the
// whole line.
func (p *peer) arm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closing():
		p.raw.SetReadDeadline(past())
	case p.busy:
		p.raw.SetReadDeadline(time.Now().Add(p.timeout))
	}
}

// closing is called with the mutex held.
func (p *peer) closing() bool { return p.aborted || p.stopping && !p.busy }

// setBusy tells whether a message is being taken in. One that is, is finished
// also when the server stops.
func (p *peer) setBusy(busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = busy
}

// stop lets a message that is on its way in finish, and serves nothing after it.
func (p *peer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	if p.closing() {
		p.raw.SetReadDeadline(past())
	}
}

// abort reads no more, also of a message. Answers are still written.
func (p *peer) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping, p.aborted = true, true
	p.raw.SetReadDeadline(past())
}

// isClosing reports whether the next command is not to be served.
func (p *peer) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing()
}

// handshake does that of a connection that is TLS from its first byte.
func (p *peer) handshake(ctx context.Context) error {
	c, ok := p.rw.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return c.HandshakeContext(ctx)
}

// startTLS goes on in TLS. What the client sent before the handshake is thrown
// away: it came in the clear, from whoever could write there.
func (p *peer) startTLS(ctx context.Context, cfg *tls.Config) error {
	p.rw = tls.Server(p.raw, cfg)
	p.in.Reset(armed{p})
	p.secure = true
	return p.handshake(ctx)
}
