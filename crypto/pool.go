package crypto

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
)

// ErrBusy is what errors.Is finds when a derivation could not start in time,
// because too many others were waiting. The password was not looked at: the
// login is to be tried again later.
var ErrBusy = errors.New("crypto: too many password derivations at once")

// Defaults of [PoolOptions].
const (
	defaultPoolMemory = 256 << 20
	defaultPoolWait   = 10 * time.Second
)

// PoolOptions sets up a [Pool]. The zero value is right for most servers.
type PoolOptions struct {
	// Memory is how many bytes all derivations that run at one time may use
	// together; 0 means 256 MiB, four of the default parameters. The garbage
	// collector may hold as much again for a while.
	Memory int64
	// MaxWait is how long a derivation may wait for its turn; 0 means 10 s, a
	// negative value not at all.
	MaxWait time.Duration
}

// Pool bounds the memory that derivations of keys from passwords use together.
// A server needs one for all its accounts; without it, a crowd of clients that
// reconnect is a crowd of 64 MiB allocations. Those that do not fit wait in a
// queue, first come, first served: a large one at the head is not overtaken by
// small ones. Its methods may be called from many goroutines.
type Pool struct {
	memory  int64
	maxWait time.Duration

	mu    sync.Mutex // protects what follows
	used  int64      // bytes granted
	queue list.List  // of *poolWaiter, in order of arrival
	stats PoolStats  // what only grows, and Running
}

// PoolStats tell how busy a pool is.
type PoolStats struct {
	Running int    // derivations at this moment
	Waiting int    // in the queue at this moment
	Memory  int64  // bytes of those that run
	Budget  int64  // bytes that all together may take
	Started uint64 // derivations so far
	Refused uint64 // that did not start, by ErrBusy or because the caller gave up
}

// Stats returns how busy the pool is.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Waiting, s.Memory, s.Budget = p.queue.Len(), p.used, p.memory
	return s
}

// granted counts a derivation that starts. p.mu is held.
func (p *Pool) granted(need int64) {
	p.used += need
	p.stats.Running++
	p.stats.Started++
}

type poolWaiter struct {
	need  int64
	ready chan struct{} // closed, under mu, when need was granted
}

// NewPool returns a pool of its own. Most callers want [DefaultPool].
func NewPool(o PoolOptions) *Pool {
	if o.Memory <= 0 {
		o.Memory = defaultPoolMemory
	}
	if o.MaxWait == 0 {
		o.MaxWait = defaultPoolWait
	}
	return &Pool{memory: o.Memory, maxWait: o.MaxWait}
}

var defaultPool = sync.OnceValue(func() *Pool { return NewPool(PoolOptions{}) })

// DefaultPool returns the one pool, with default options, that all of a process
// shares unless told otherwise.
func DefaultPool() *Pool { return defaultPool() }

// Key derives a key from a password by argon2id (RFC 9106). The zero params mean
// [DefaultPasswordParams]; params out of their limits are an error. A derivation
// larger than the whole budget waits until it is alone.
//
// Key fails with [ErrBusy] if the derivation could not start within the pool's
// MaxWait, or with ctx.Err() if ctx ended before. Once started, a derivation
// runs to its end in the caller's goroutine, a tenth of a second or so.
func (p *Pool) Key(ctx context.Context, password, salt []byte, params PasswordParams) (Key, error) {
	params = params.orDefault()
	if err := params.check(); err != nil {
		return Key{}, fmt.Errorf("crypto: derive password key: %w", err)
	}
	need := min(params.memory(), p.memory)
	if err := p.acquire(ctx, need); err != nil {
		return Key{}, fmt.Errorf("crypto: derive password key: %w", err)
	}
	defer p.release(need)
	return newKey(argon2.IDKey(password, salt, params.Time, params.Memory, params.Threads, keySize)), nil
}

// acquire takes need bytes of the budget, of which there are at least so many
// in all, or returns why it did not.
func (p *Pool) acquire(ctx context.Context, need int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if p.queue.Len() == 0 && p.used+need <= p.memory {
		p.granted(need)
		p.mu.Unlock()
		return nil
	}
	if p.maxWait < 0 {
		p.stats.Refused++
		p.mu.Unlock()
		return ErrBusy
	}
	w := &poolWaiter{need: need, ready: make(chan struct{})}
	place := p.queue.PushBack(w)
	p.mu.Unlock()

	timer := time.NewTimer(p.maxWait)
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrBusy
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready: // granted as it gave up
		p.used -= need
		p.stats.Running--
		p.stats.Started--
	default:
		p.queue.Remove(place)
	}
	p.stats.Refused++
	// Whoever stood behind it may fit now.
	p.grant()
	return err
}

func (p *Pool) release(need int64) {
	p.mu.Lock()
	p.used -= need
	p.stats.Running--
	p.grant()
	idle := p.used == 0
	p.mu.Unlock()
	if idle {
		// A derivation's memory is garbage of a size that would let the heap grow
		// to several times of what the rest of the process needs.
		runtime.GC()
	}
}

// grant starts as many of those that wait longest as fit. p.mu is held.
func (p *Pool) grant() {
	for e := p.queue.Front(); e != nil; e = p.queue.Front() {
		w := e.Value.(*poolWaiter)
		if p.used+w.need > p.memory {
			return
		}
		p.granted(w.need)
		p.queue.Remove(e)
		close(w.ready)
	}
}
