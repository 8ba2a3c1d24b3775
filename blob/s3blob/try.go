package s3blob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	firstPause = 50 * time.Millisecond
	mostPause  = 5 * time.Second
)

// call is one request to the server, with the context and the option that make
// it go over an exchange.
type call func(ctx context.Context, o func(*s3.Options)) error

// patient counts how long something fails.
type patient struct {
	limit time.Duration
	since time.Time // of the first failure
	tries int
}

// pause waits before the next try: a random part of a time that doubles, so that
// those who were refused together do not come back together. It returns false,
// without waiting, when patience has ended.
func (p *patient) pause(ctx context.Context) (bool, error) {
	now := time.Now()
	if p.tries == 0 {
		p.since = now
	}
	d := mostPause
	if p.tries < 20 {
		d = min(mostPause, firstPause<<p.tries)
	}
	d = d/4 + rand.N(d*3/4)
	p.tries++
	if now.Add(d).Sub(p.since) > p.limit {
		return false, nil
	}
	if err := sleep(ctx, d); err != nil {
		return false, err
	}
	return true, nil
}

// gaveUp is the error of one whose patience has ended.
func (p *patient) gaveUp(err error) error {
	return fmt.Errorf("given up after %d tries in %v: %w", p.tries, time.Since(p.since).Round(time.Second), err)
}

// request makes a request, again and again while that may help. The exchange has
// ended when it returns. doubt reports whether a try that failed may have taken
// effect. An error of the server's is an *answer.
func (s *Store) request(ctx context.Context, c call) (doubt bool, err error) {
	x, doubt, err := s.stream(ctx, c)
	if err == nil {
		x.hangUp()
	}
	return doubt, err
}

// stream is request for answers that are read afterwards: the caller ends the
// exchange of the try that succeeded.
func (s *Store) stream(ctx context.Context, c call) (x *exchange, doubt bool, err error) {
	p := patient{limit: s.patience}
	skewed, odds := false, 0
	for {
		x, a, err := s.once(ctx, c)
		if err != nil || a == nil {
			return x, doubt, err
		}
		doubt = doubt || a.verdict == unknown || a.verdict == odd && a.status < 300
		if !skewed && has(a, "RequestTimeTooSkewed") {
			// The SDK has learnt the server's time from the answer.
			skewed = true
			continue
		}
		if a.verdict == odd {
			odds++
		}
		if a.verdict == final || odds >= oddTries {
			return nil, doubt, a
		}
		again, err := p.pause(ctx)
		if err != nil {
			return nil, doubt, fmt.Errorf("%w after: %w", err, a)
		}
		if !again {
			return nil, doubt, p.gaveUp(a)
		}
	}
}

// once makes one try. If it fails the exchange has ended, and either the server's
// answer or the context's error is returned.
func (s *Store) once(ctx context.Context, c call) (*exchange, *answer, error) {
	x, err := s.newExchange(ctx)
	if err != nil {
		return nil, nil, err
	}
	err = c(x.ctx, x.configure)
	if err == nil {
		return x, nil, nil
	}
	var a *answer
	if !errors.As(err, &a) {
		a = s.judge(x, err)
	}
	if webPage(x, a) {
		a = &answer{status: x.status, err: err, text: fmt.Sprintf("%d and a web page, which is no answer of S3; is this the endpoint?", x.status)}
	}
	x.hangUp()
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	return nil, a, nil
}

// sleep waits for d, or for ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
