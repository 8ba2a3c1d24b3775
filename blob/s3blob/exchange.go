package s3blob

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// errStalled is why a request was given up that moved no byte for Options.Stall.
var errStalled = errors.New("the connection stalled")

// errEmpty is an answer without a body where S3 has one, which the SDK would take
// for one that says nothing of errors.
var errEmpty = errors.New("the answer is empty")

// maxErrorAnswer is how much of an answer that is an error is read: the SDK reads
// it whole, and it may come from anything that speaks HTTP.
const maxErrorAnswer = 1 << 20 // bytes

// A connection can be used again only when all of an answer was read. So the rest
// of one that nobody wants is read, if it is little, and comes soon.
const (
	maxDrain  = 64 << 10 // bytes
	drainTime = 20 * time.Millisecond
)

// exchange is one request and its answer. It holds a place, goes between the SDK
// and its HTTP client, where it watches that bytes move, and remembers of the
// answer what the SDK does not tell.
type exchange struct {
	places *places
	inner  s3.HTTPClient
	stall  time.Duration

	ctx    context.Context // of the request; its cause is errStalled if that was it
	cancel context.CancelCauseFunc
	timer  *time.Timer // gives up

	sent   bool          // the request left the SDK
	status int           // of the answer, 0 if there is none
	header http.Header   // of the answer
	body   io.ReadCloser // of the answer, if it is read as a stream
	left   int64         // bytes of the answer that were not read yet; negative if that is not known
}

// newExchange waits for a place.
func (s *Store) newExchange(ctx context.Context) (*exchange, error) {
	if err := s.places.acquire(ctx); err != nil {
		return nil, err
	}
	x := &exchange{places: s.places, stall: s.stall}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	return x, nil
}

// hangUp ends the exchange and gives its place back.
func (x *exchange) hangUp() {
	if x.body != nil {
		x.drain()
		x.body.Close()
	}
	if x.timer != nil {
		x.timer.Stop()
	}
	x.cancel(nil)
	x.places.release()
}

// drain reads the rest of the answer.
func (x *exchange) drain() {
	if x.left <= 0 || x.left > maxDrain || x.ctx.Err() != nil {
		return
	}
	t := time.AfterFunc(drainTime, func() { x.cancel(nil) })
	defer t.Stop()
	io.Copy(io.Discard, x.body) // the error is that the connection is lost
}

// configure makes the SDK do one request, over x. The checksums are those that
// every server knows: the hash of the body in the signature.
func (x *exchange) configure(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.RetryMaxAttempts = 0
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	x.inner = o.HTTPClient
	o.HTTPClient = x
}

// Do implements s3.HTTPClient.
func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	x.sent = true
	// Not signed, since it is set here, so proxies that change it do no harm.
	req.Header.Set("Cache-Control", "no-cache")
	x.timer = time.AfterFunc(x.stall, func() { x.cancel(errStalled) })
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{ReadCloser: req.Body, x: x}
	}
	resp, err := x.inner.Do(req)
	x.timer.Stop()
	if err != nil {
		return nil, err
	}
	x.status, x.header, x.left = resp.StatusCode, resp.Header, resp.ContentLength
	if x.left == 0 && req.Method == http.MethodPost && resp.StatusCode < 300 {
		resp.Body.Close()
		return nil, errEmpty
	}
	w := &watchedBody{ReadCloser: resp.Body, x: x, stop: true}
	resp.Body = w
	if resp.StatusCode >= 300 {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(w, maxErrorAnswer), w}
	}
	return resp, nil
}

// watchedBody puts off the end of a stalled exchange whenever bytes move.
type watchedBody struct {
	io.ReadCloser
	x    *exchange
	stop bool // it is the answer's. The time between two reads does not count: it is the reader's
	done atomic.Bool
}

func (w *watchedBody) Read(p []byte) (int, error) {
	if w.done.Load() {
		return w.ReadCloser.Read(p)
	}
	w.x.timer.Reset(w.x.stall)
	n, err := w.ReadCloser.Read(p)
	if w.stop {
		w.x.timer.Stop()
		w.x.left -= int64(n)
	}
	return n, err
}

// Close ends the watch: the HTTP client may read on for a moment, after the
// exchange has ended.
func (w *watchedBody) Close() error {
	w.done.Store(true)
	return w.ReadCloser.Close()
}

// cause returns why the exchange failed with err: the SDK would say "context
// canceled" of a stalled one.
func (x *exchange) cause(err error) error {
	if errors.Is(context.Cause(x.ctx), errStalled) {
		return errStalled
	}
	return err
}
