package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/letterlock/letterlock/lmtpadapter"
)

// listener is an address that is listened on.
type listener struct {
	protocol string
	net.Listener
}

// listen opens all addresses, so that one that is in use is known before anything is
// made or served.
func (f *serveFlags) listen(ctx context.Context, withTLS bool, logger *slog.Logger) (open []listener, err error) {
	var lc net.ListenConfig
	tcp := func(ctx context.Context, address string) (net.Listener, error) {
		return lc.Listen(ctx, "tcp", address)
	}
	for _, l := range []struct {
		protocol, address string
		open              func(context.Context, string) (net.Listener, error)
	}{{"imap", f.imap, tcp}, {"imaps", f.imaps, tcp}, {"lmtp", f.lmtp, lmtpadapter.Listen}} {
		if l.address == "" {
			continue
		}
		ln, err := l.open(ctx, l.address)
		if err != nil {
			closeAll(open)
			return nil, fmt.Errorf("-%s: %w", l.protocol, err)
		}
		open = append(open, listener{l.protocol, &patientListener{Listener: ln, protocol: l.protocol, logger: logger, closed: make(chan struct{})}})
		logger.Info("listening", "protocol", l.protocol, "address", ln.Addr().String())
		if l.protocol != "imaps" && !local(ln.Addr()) {
			f.warn(l.protocol, withTLS, logger)
		}
	}
	return open, nil
}

// warn says what an address that others can reach means.
func (f *serveFlags) warn(protocol string, withTLS bool, logger *slog.Logger) {
	switch {
	case protocol == "lmtp":
		logger.Warn("whoever reaches the LMTP address can deliver mail")
	case f.insecureAuth:
		logger.Warn("passwords may cross the network in plain text")
	case !withTLS:
		logger.Warn("there is no certificate: logins are refused but from this machine")
	}
}

func local(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// addresses returns where each protocol is listened on.
func addresses(open []listener) map[string]net.Addr {
	m := map[string]net.Addr{}
	for _, l := range open {
		m[l.protocol] = l.Addr()
	}
	return m
}

func closeAll(open []listener) {
	for _, l := range open {
		l.Close() // the error is that it is closed already
	}
}

const (
	maxAcceptDelay = time.Second // between two tries when no file can be opened
	acceptLogEvery = time.Minute
)

// patientListener waits while the process, or the machine, has no room for one more
// open file, and logs it once a minute. Connections wait meanwhile.
type patientListener struct {
	net.Listener
	protocol string
	logger   *slog.Logger
	closed   chan struct{}
	once     sync.Once
	logged   time.Time
}

// Accept is called by one goroutine.
func (l *patientListener) Accept() (net.Conn, error) {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, maxAcceptDelay) {
		c, err := l.Listener.Accept()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return c, err
		}
		if now := time.Now(); now.Sub(l.logged) >= acceptLogEvery {
			l.logged = now
			l.logger.Error("no connection can be accepted: there are too many open files (raise LimitNOFILE or ulimit -n, or lower -max-conns)",
				"protocol", l.protocol, "error", err)
		}
		select {
		case <-time.After(delay):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

func (l *patientListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
