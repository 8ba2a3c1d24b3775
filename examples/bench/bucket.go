package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A bucket is where the example server keeps its objects in place of a folder. A
// proxy stands between the two and counts what goes by: these are the requests
// that a provider puts on the bill, whoever made them.
type bucket struct {
	store string // the -store of the server, which leads to the proxy
	proxy http.Server
	done  chan error

	mu    sync.Mutex // protects what follows
	calls requestKinds
}

// requestKinds are numbers of requests, as bills tell them apart.
type requestKinds struct{ put, get, list, delete int }

func (k requestKinds) minus(o requestKinds) requestKinds {
	return requestKinds{k.put - o.put, k.get - o.get, k.list - o.list, k.delete - o.delete}
}

// openBucket begins to count for a store, s3://bucket/prefix?endpoint=... Each run
// has a prefix of its own below the given one, which is left there when it ends.
func openBucket(store string) (*bucket, error) {
	u, err := url.Parse(store)
	if err != nil || u.Scheme != "s3" {
		return nil, errors.New("-store is not s3://bucket/prefix?endpoint=...")
	}
	query := u.Query()
	endpoint, err := url.Parse(query.Get("endpoint"))
	if err != nil || endpoint.Host == "" {
		return nil, errors.New("-store has no endpoint to count the requests to")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	query.Set("endpoint", "http://"+ln.Addr().String())
	u.RawQuery = query.Encode()
	u.Path = strings.TrimSuffix(u.Path, "/") + "/bench-" + strings.ToLower(rand.Text()[:10])

	b := &bucket{store: u.String(), done: make(chan error, 1)}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256
	forward := &httputil.ReverseProxy{
		// The Host stays what the client signed.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = endpoint.Scheme, endpoint.Host
			r.Out.Host = r.In.Host
		},
		Transport:     transport,
		FlushInterval: -1,
	}
	b.proxy.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.count(r)
		forward.ServeHTTP(w, r)
	})
	go func() { b.done <- b.proxy.Serve(ln) }()
	return b, nil
}

func (b *bucket) count(r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && (query.Has("list-type") || query.Has("uploads")):
		b.calls.list++
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		b.calls.get++
	case r.Method == http.MethodDelete || r.Method == http.MethodPost && query.Has("delete"):
		b.calls.delete++
	default: // the POSTs of a multipart upload cost what a PUT does
		b.calls.put++
	}
}

func (b *bucket) requests() requestKinds {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

func (b *bucket) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := b.proxy.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = b.proxy.Close()
	}
	if served := <-b.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// counted does something n times, and records what each took of the bucket, if
// there is one.
func (b *bench) counted(name string, n int, do func() error) error {
	c, ok := b.server.(interface{ requests() requestKinds })
	if !ok {
		return do()
	}
	before := c.requests()
	if err := do(); err != nil {
		return err
	}
	used := c.requests().minus(before)
	for _, k := range []struct {
		kind  string
		calls int
	}{{"PUT", used.put}, {"GET", used.get}, {"LIST", used.list}, {"DELETE", used.delete}} {
		if k.calls > 0 {
			b.add(fmt.Sprintf("%s, %s", name, k.kind), float64(k.calls)/float64(n), "requests")
		}
	}
	return nil
}
