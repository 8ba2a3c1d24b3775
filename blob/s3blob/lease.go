package s3blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ErrTwoWriters says that another process writes to the prefix of a store that
// was opened with [Options.Exclusive]: end one of them, and check what both wrote.
var ErrTwoWriters = errors.New("another process has the lease of this exclusive store")

const (
	leaseKey = privateFolder + "lease"

	leaseBeat   = 10 * time.Second // how often the holder rewrites the lease
	leaseTerm   = 30 * time.Second // a lease that did not change for this long is nobody's
	leaseTrust  = 20 * time.Second // how long the holder may write after it renewed the lease
	leaseSettle = time.Second      // how long two who take it at once need to see each other
)

// lease is the object by which two who each believe to write alone see each
// other. It is no lock: without a condition there is none. Clocks play no part:
// who wants the lease watches whether it changes.
type lease struct {
	s      *Store
	holder string
	stop   context.CancelFunc
	done   chan struct{} // closed when the beat has ended

	mu      sync.Mutex // guards what follows
	beats   int
	written time.Time // when the last rewriting that succeeded began
	lost    bool
}

// takeLease takes the lease, and keeps it until its end.
func (s *Store) takeLease(ctx context.Context) (*lease, error) {
	l := &lease{s: s, holder: rand.Text(), done: make(chan struct{})}
	if err := l.unheld(ctx); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if err := l.write(ctx); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if err := sleep(ctx, leaseSettle); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if err := l.confirm(ctx); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.keep(beat)
	return l, nil
}

// unheld waits until it is seen that nobody has the lease.
func (l *lease) unheld(ctx context.Context) error {
	was, err := l.read(ctx)
	if err != nil || was == nil {
		return err
	}
	if err := sleep(ctx, leaseTerm); err != nil {
		return err
	}
	is, err := l.read(ctx)
	if err != nil || is == nil || bytes.Equal(was, is) {
		return err
	}
	return ErrTwoWriters
}

// keep rewrites the lease until ctx ends or the lease is lost.
func (l *lease) keep(ctx context.Context) {
	defer close(l.done)
	for sleep(ctx, leaseBeat) == nil {
		// Failures are not final: mayWrite sees that the time runs out.
		l.beat(ctx)
		if errors.Is(l.mayWrite(), ErrTwoWriters) {
			return
		}
	}
}

func (l *lease) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseBeat)
	defer cancel()
	if l.confirm(ctx) == nil {
		l.write(ctx)
	}
}

// confirm looks whether the lease is ours.
func (l *lease) confirm(ctx context.Context) error {
	data, err := l.read(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.HasPrefix(data, []byte(l.holder)) {
		l.lost = true
		return ErrTwoWriters
	}
	return nil
}

// mayWrite returns nil while nobody else can have the lease.
func (s *Store) mayWrite() error {
	if s.lease == nil {
		return nil
	}
	return s.lease.mayWrite()
}

func (l *lease) mayWrite() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return ErrTwoWriters
	}
	// Both clocks: the monotonic one stands still while the machine sleeps.
	if age := max(time.Since(l.written), time.Since(l.written.Round(0))); age > leaseTrust {
		return fmt.Errorf("the lease of this exclusive store was last renewed %v ago", age.Round(time.Second))
	}
	return nil
}

// read returns the lease, or nil if there is none.
func (l *lease) read(ctx context.Context) ([]byte, error) {
	r, err := l.s.get(ctx, l.s.key(leaseKey), 0, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.hangUp()
	if r.x == nil {
		return []byte{}, nil
	}
	data, err := io.ReadAll(io.LimitReader(r.body, 1<<10))
	if err != nil {
		return nil, l.s.judge(r.x, err)
	}
	return data, nil
}

// write replaces the lease. Whoever waits for it to stand still has not seen it
// like this before the writing began, so that is when the trust in it begins.
func (l *lease) write(ctx context.Context) error {
	start := time.Now()
	l.mu.Lock()
	l.beats++
	data := fmt.Appendf(nil, "%s %d\n", l.holder, l.beats)
	l.mu.Unlock()
	key := l.s.key(leaseKey)
	_, err := l.s.request(ctx, func(ctx context.Context, o func(*s3.Options)) error {
		out, err := l.s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &l.s.bucket, Key: &key, Body: bytes.NewReader(data)}, o)
		if err != nil {
			return err
		}
		return wantETag(out.ETag)
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = start
	return nil
}

// end gives the lease back.
func (l *lease) end() error {
	l.stop()
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), leaseBeat)
	defer cancel()
	if err := l.confirm(ctx); err != nil {
		return err
	}
	return errors.Join(l.s.deleteKeys(ctx, []string{l.s.key(leaseKey)})...)
}
