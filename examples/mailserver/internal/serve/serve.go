// Package serve is the command that serves a store: IMAP, LMTP, TLS, metrics, and a
// stop that loses nothing. Begin with serve.go, which is all it takes to embed the
// library.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/demo"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/lmtpadapter"
	"github.com/letterlock/letterlock/mailbox"
)

type serveFlags struct {
	access.Flags
	logFlags
	monitorFlags
	imap, lmtp, imaps string
	tlsCert, tlsKey   string
	domain            string
	insecureAuth      bool
	demo              bool
	stopTimeout       time.Duration
	maxConns          int
	maxConnsPerAddr   int
}

func Command() cli.Command {
	return cli.Command{
		Name: "serve", About: "serve mailboxes by IMAP, and take mail in by LMTP",
		Text: `Serves the accounts of a store until SIGTERM or SIGINT. Then it takes no more
connections, finishes the commands and deliveries that are under way, says BYE or
421, and ends. What is not finished after two thirds of -stop-timeout is cut, and
at -stop-timeout the process ends, whatever it waits for. A second signal ends it at
once.
What was acknowledged is on the disk before it is acknowledged, so that a process
that is killed loses nothing either.

An address is HOST:PORT; without a host it is all of the machine's. An empty one
is not listened on. -lmtp also takes unix:/path/of/a/socket. Whoever reaches the
LMTP address can deliver mail: keep it on loopback, a socket, or a network that
you trust.

With a certificate, STARTTLS is offered on -imap and -lmtp, and -imaps is TLS from
the first byte (port 993). The files are read again when they change. Passwords
that would cross the network without TLS are refused, but from this machine
itself; -insecure-auth takes them from anywhere.

-demo makes an account "demo" with a few mails at the first start, and prints its
password and lines to paste. The password is kept in a file beside the server key: the
folder's name + .demo-password.

With -metrics an address of HTTP has /metrics for Prometheus, /healthz (the process
answers) and /readyz (it serves, and the store can be read; /readyz?write: and can be
written), and with -pprof /debug/pprof too. No name, address or text of a mail is in any of them, but how
many there are: keep it on loopback, which -pprof demands.

The log goes to standard error. It names no account, address, subject or secret.

` + access.ServerKeyHelp,
		Examples: []string{"mailserver serve -demo -store ./mail", "mailserver serve -store /var/lib/mail/store -imaps :993 -tls-cert cert.pem -tls-key key.pem"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f serveFlags
			f.add(fs)
			return func(ctx context.Context, p *cli.Program, _ []string) error { return f.serve(ctx, p) }
		},
	}
}

func (f *serveFlags) add(fs *flag.FlagSet) {
	f.Flags.Add(fs)
	f.logFlags.add(fs)
	fs.StringVar(&f.Cache, "cache", "", "the `folder` for a cache of what was read of a bucket, which any processes may share;\nwhat is in it is encrypted, and may be deleted at any time")
	fs.Int64Var(&f.CacheSize, "cache-size", 1024, "how large the cache may grow, in `MiB`")
	f.monitorFlags.add(fs)
	fs.StringVar(&f.imap, "imap", "127.0.0.1:1143", "the `address` of IMAP")
	fs.StringVar(&f.lmtp, "lmtp", "127.0.0.1:1124", "the `address` of LMTP")
	fs.StringVar(&f.imaps, "imaps", "", "the `address` of IMAP over TLS")
	fs.StringVar(&f.tlsCert, "tls-cert", "", "the certificate's `file`, PEM, with its chain")
	fs.StringVar(&f.tlsKey, "tls-key", "", "the `file` of the certificate's key, PEM")
	fs.StringVar(&f.domain, "domain", "", "the server's own `name` in LMTP and in Received lines (default the host's)")
	fs.BoolVar(&f.insecureAuth, "insecure-auth", false, "take passwords without TLS from beyond this machine")
	fs.BoolVar(&f.demo, "demo", false, "make an account with sample mails")
	fs.IntVar(&f.maxConns, "max-conns", 8192, "how many IMAP connections are taken at once")
	fs.IntVar(&f.maxConnsPerAddr, "max-conns-per-address", 256, "how many of them from one IPv4 address or IPv6 /64 network; this\nmachine's own are not counted")
	fs.DurationVar(&f.stopTimeout, "stop-timeout", 9*time.Second, "how long the end may take: then the process ends, whatever it waits for")
}

// maxCacheSize is in MiB: more is a slip of the finger.
const maxCacheSize = 1 << 30

func (f *serveFlags) serve(ctx context.Context, p *cli.Program) (err error) {
	tuneRuntime()
	logger, err := f.logger(p.Err)
	if err != nil {
		return err
	}
	config, err := f.check(logger)
	if err != nil {
		return err
	}
	// All addresses first: one that is in use is known before a store is made.
	open, err := f.listen(ctx, config != nil, logger)
	if err != nil {
		return err
	}
	defer closeAll(open)
	m, err := f.monitor(logger)
	if err != nil {
		return err
	}
	defer m.close()
	f.Watch = m.hooks()
	defer watchdog(ctx, f.stopTimeout, logger, os.Exit)()
	store, err := f.Open(ctx, p, access.Serve, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	f.tell(store, logger)
	s := f.newServers(store.Store, open, config, logger)
	defer s.close()
	if err := m.serve(store.Store, store.Writable); err != nil {
		return err
	}
	if f.demo {
		if err := demo.Start(ctx, p.Out, store.Store, f.Beside(".demo-password"), addresses(open)); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	m.ready(true)
	context.AfterFunc(ctx, func() { m.ready(false) })
	return s.run(ctx, sessionTime(f.stopTimeout))
}

// check refuses flags that do not fit, and returns the configuration of TLS, nil if
// there is none.
func (f *serveFlags) check(logger *slog.Logger) (*tls.Config, error) {
	config, err := tlsConfig(f.tlsCert, f.tlsKey, logger)
	switch {
	case err != nil:
	case f.imaps != "" && config == nil:
		err = cli.Usagef("-imaps needs -tls-cert and -tls-key")
	case f.maxConns < 1 || f.maxConnsPerAddr < 1:
		err = cli.Usagef("-max-conns and -max-conns-per-address are 1 or more")
	case f.CacheSize < 1 || f.CacheSize > maxCacheSize:
		err = cli.Usagef("-cache-size is 1 to %d", maxCacheSize)
	case f.stopTimeout <= 0:
		err = cli.Usagef("-stop-timeout must be more than 0")
	case f.imap == "" && f.imaps == "" && f.lmtp == "":
		err = cli.Usagef("nothing to serve: -imap, -imaps and -lmtp are empty")
	default:
		err = f.Resolve()
	}
	return config, err
}

// tell logs what a mistyped -store would bring about.
func (f *serveFlags) tell(store *access.Store, logger *slog.Logger) {
	if store.Made {
		logger.Info("made a new store", "store", f.Where())
	}
	if err := store.Writable(); err != nil {
		logger.Warn("the store cannot be written: mail can be read, and none is taken", "error", err)
	}
}

// servers are the protocols' servers and the listeners they are to serve.
type servers struct {
	imap   *server.Server
	lmtp   *lmtpadapter.Server
	open   []listener
	tls    *tls.Config
	logger *slog.Logger
}

func (f *serveFlags) newServers(store *mailbox.Store, open []listener, config *tls.Config, logger *slog.Logger) *servers {
	imap := &server.Options{Store: store, Logger: logger, TLSConfig: config, MaxConns: f.maxConns, MaxConnsPerAddr: f.maxConnsPerAddr}
	if f.insecureAuth {
		imap.InsecureAuth = func(net.Addr) bool { return true }
	}
	domain := f.domain
	if domain == "" {
		domain, _ = os.Hostname() // without one the adapter has a default
	}
	return &servers{
		imap:   server.New(imap),
		lmtp:   lmtpadapter.NewServer(&lmtpadapter.Options{Store: store, Logger: logger, TLSConfig: config, Domain: domain}),
		open:   open,
		tls:    config,
		logger: logger,
	}
}

// serve serves one listener until it is closed.
func (s *servers) serve(l listener) error {
	switch l.protocol {
	case "lmtp":
		return s.lmtp.Serve(l)
	case "imaps":
		return s.imap.Serve(tls.NewListener(l, s.tls))
	}
	return s.imap.Serve(l)
}

// sessionTime is the part of -stop-timeout that sessions have. The rest is for the
// store.
func sessionTime(stopTimeout time.Duration) time.Duration { return stopTimeout * 2 / 3 }

// watchdog ends the process if it still runs a time after ctx has ended: a disk or a
// bucket that does not answer must not keep it. What was acknowledged is stored. stop
// says that the process has ended what it had to.
func watchdog(ctx context.Context, timeout time.Duration, logger *slog.Logger, exit func(code int)) (stop func()) {
	ended := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		select {
		case <-ended:
		case <-time.After(timeout):
			logger.Error("the process did not end in time and is cut off; what was acknowledged is stored", "stop-timeout", timeout)
			exit(cli.ExitFailed)
		}
	})
	return func() {
		unwatch()
		close(ended)
	}
}

// run serves until ctx ends or a listener fails, and then ends the sessions,
// within a time.
func (s *servers) run(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var serving sync.WaitGroup
	for _, l := range s.open {
		serving.Go(func() {
			if err := s.serve(l); err != nil && !errors.Is(err, server.ErrServerClosed) {
				cancel(err)
			}
		})
	}
	s.logger.Info("serving")
	notify(s.logger, "READY=1")
	<-ctx.Done()
	notify(s.logger, "STOPPING=1")
	s.logger.Info("stopping")
	failed := context.Cause(ctx)
	if errors.Is(failed, context.Canceled) {
		failed = nil
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer stop()
	var sessions sync.WaitGroup
	for _, shutdown := range []func(context.Context) error{s.imap.Shutdown, s.lmtp.Shutdown} {
		sessions.Go(func() {
			if err := shutdown(ending); err != nil {
				s.logger.Warn("sessions were cut", "error", err)
			}
		})
	}
	sessions.Wait()
	s.close()
	serving.Wait()
	s.logger.Info("stopped")
	return failed
}

// close ends at once what still runs. Closing twice is closing.
func (s *servers) close() {
	closeAll(s.open)
	s.imap.Close()
	s.lmtp.Close()
}
