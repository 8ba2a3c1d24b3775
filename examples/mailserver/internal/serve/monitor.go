package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
	"github.com/letterlock/letterlock/mailbox/observe/promobserver"
)

// monitorFlags say where the server can be watched.
type monitorFlags struct {
	metrics string
	pprof   bool
}

func (f *monitorFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&f.metrics, "metrics", "", "the `address` of HTTP for /metrics, /healthz and /readyz")
	fs.BoolVar(&f.pprof, "pprof", false, "serve /debug/pprof there too; the address must be loopback")
}

// monitor answers those who watch. All methods may be called on nil, which is
// watched by nobody.
type monitor struct {
	observer *promobserver.Observer
	registry *prometheus.Registry
	listener net.Listener
	server   http.Server
	store    *mailbox.Store
	writable func() error // whether the store can be written
	serving  atomic.Bool
	ended    chan struct{} // closed when server has
}

// pingTimeout bounds how long /readyz waits for the store.
const pingTimeout = 5 * time.Second

// monitor opens the address, or returns nil if there is none.
func (f *monitorFlags) monitor(logger *slog.Logger) (*monitor, error) {
	if f.metrics == "" {
		if f.pprof {
			return nil, cli.Usagef("-pprof needs -metrics")
		}
		return nil, nil
	}
	m := &monitor{registry: prometheus.NewRegistry(), ended: make(chan struct{})}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var err error
	if m.observer, err = promobserver.New(m.registry); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if m.listener, err = net.Listen("tcp", f.metrics); err != nil {
		return nil, fmt.Errorf("-metrics: %w", err)
	}
	if f.pprof && !local(m.listener.Addr()) {
		return nil, errors.Join(cli.Usagef("-pprof needs an address of loopback in -metrics"), m.listener.Close())
	}
	m.server = http.Server{
		Handler: m.handler(f.pprof), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	logger.Info("listening", "protocol", "metrics", "address", m.listener.Addr().String())
	return m, nil
}

func (m *monitor) handler(withPprof bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", m.answerReady)
	if withPprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// answerReady says whether clients should be sent here: whether mail can be read and,
// if it is asked, taken.
func (m *monitor) answerReady(w http.ResponseWriter, r *http.Request) {
	if !m.serving.Load() {
		http.Error(w, "not serving", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	if err := m.store.Ping(ctx); err != nil {
		http.Error(w, "the store cannot be read", http.StatusServiceUnavailable)
		return
	}
	if err := m.writable(); err != nil {
		if r.URL.Query().Has("write") {
			http.Error(w, "the store cannot be written", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok, but the store cannot be written")
		return
	}
	fmt.Fprintln(w, "ok")
}

// hooks returns what the library is to call.
func (m *monitor) hooks() observe.Hooks {
	if m == nil {
		return observe.Hooks{}
	}
	return observe.Hooks{Observer: m.observer}
}

// serve answers from now on.
func (m *monitor) serve(s *mailbox.Store, writable func() error) error {
	if m == nil {
		return nil
	}
	if err := m.observer.Watch(s); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	m.store, m.writable = s, writable
	go func() {
		defer close(m.ended)
		_ = m.server.Serve(m.listener) // the error is that it was closed
	}()
	return nil
}

// ready says whether mail is served.
func (m *monitor) ready(yes bool) {
	if m != nil {
		m.serving.Store(yes)
	}
}

// close ends what serve began.
func (m *monitor) close() {
	if m == nil {
		return
	}
	_ = m.listener.Close()
	_ = m.server.Close()
	if m.store != nil {
		<-m.ended
	}
}
