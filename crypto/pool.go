package crypto

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
)

// ErrBusy is what errors.Is finds when a derivation could not start in time,
// because too many others were waiting. The password was not looked at: the
// login is to be tried again later.
var ErrBusy = errors.New("crypto: too many password derivations at once")

const (
	minPoolMemory    = 48 << 20 // bytes, default of PoolOptions.Memory on one or two CPUs
	poolMemoryPerCPU = 24 << 20 // bytes
	defaultPoolWait  = 30 * time.Second

	// reclaimDelay is how long a pool is idle before it gives memory back, so
	// that logins which arrive one after the other cause one collection.
	reclaimDelay = time.Second

	// assumedDerivation is the time that a derivation is taken to need before one
	// was measured. It makes deadlines longer, and nothing is refused for it.
	assumedDerivation = time.Second
)

// PoolOptions sets up a [Pool]. The zero value is right for most programs.
type PoolOptions struct {
	// Memory is how many bytes derivations may keep resident together: those
	// that run, and the garbage of those that ended. 0 means 24 MiB for each CPU
	// that Go uses, and at least 48 MiB: one derivation with the default parameters
	// (see Key), or two with [LightPasswordParams].
	Memory int64
	// Parallel is how many derivations run at one time; 0 means one for each CPU
	// that Go uses.
	Parallel int
	// MaxWait is the longest expected wait that a derivation is queued for; one
	// that would wait longer is refused at once. One that is queued is refused
	// when it has waited for MaxWait longer than was expected. 0 means 30 s, a
	// negative value that nothing is queued.
	MaxWait time.Duration
	// ReturnMemory gives memory back to the operating system (debug.FreeOSMemory)
	// when no derivation has run for a second. Without it the memory is
	// collected then, and the Go runtime returns it at its own pace.
	ReturnMemory bool
}

// Pool bounds the CPU and the memory that derivations of keys from passwords use
// together. A server needs one for all its accounts; without it, a crowd of
// clients that reconnect is a crowd of 64 MiB allocations.
//
// Derivations that cannot start wait in a fair queue, which [Requester]
// describes. A large one at the head is not overtaken by small ones. The methods
// may be called from many goroutines.
type Pool struct {
	memory   int64
	parallel int
	maxWait  time.Duration
	collect  func() // frees the memory of derivations that ended
	reclaim  func() // the same when the pool is idle

	mu         sync.Mutex // protects what follows
	used       int64      // bytes of the derivations that run
	garbage    int64      // bytes of those that ended, not collected yet
	collecting bool       // somebody is in collect or reclaim, and admits afterwards
	queue      fairQueue
	mean       time.Duration // of a derivation, moving average; 0 before the first
	idle       uint64        // how often the pool became idle or busy
	stats      PoolStats     // what only grows, and Running
}

// PoolStats describe how busy a pool is.
type PoolStats struct {
	Running int    // derivations at this moment
	Waiting int    // in the queue at this moment
	Memory  int64  // bytes of those that run, and of those that ended and were not collected yet
	Budget  int64  // bytes that Memory is bounded by
	Started uint64 // derivations so far
	Refused uint64 // that did not start, by ErrBusy or because the caller gave up
}

// Stats returns how busy the pool is.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Waiting, s.Memory, s.Budget = p.queue.size(), p.used+p.garbage, p.memory
	return s
}

// NewPool returns a pool of its own. Most callers want [DefaultPool].
func NewPool(o PoolOptions) *Pool {
	cpus := runtime.GOMAXPROCS(0)
	if o.Memory <= 0 {
		o.Memory = max(minPoolMemory, poolMemoryPerCPU*int64(cpus))
	}
	if o.Parallel <= 0 {
		o.Parallel = cpus
	}
	if o.MaxWait == 0 {
		o.MaxWait = defaultPoolWait
	}
	p := &Pool{memory: o.Memory, parallel: o.Parallel, maxWait: o.MaxWait, collect: runtime.GC, reclaim: runtime.GC}
	if o.ReturnMemory {
		p.reclaim = debug.FreeOSMemory
	}
	return p
}

var defaultPool = sync.OnceValue(func() *Pool { return NewPool(PoolOptions{}) })

// DefaultPool returns the one pool, with default options, that the stores of a
// process share unless their options name another.
func DefaultPool() *Pool { return defaultPool() }

// Key derives a key from a password by argon2id (RFC 9106). The zero params mean
// [DefaultPasswordParams]; params out of their limits are an error. A derivation
// larger than the whole budget waits until it is alone.
//
// Key fails with [ErrBusy] if the derivation would start or started too late
// ([PoolOptions].MaxWait), or with ctx.Err() if ctx ended before. Once started, a
// derivation runs to its end in the caller's goroutine, a tenth of a second or so.
func (p *Pool) Key(ctx context.Context, who Requester, password, salt []byte, params PasswordParams) (Key, error) {
	params = params.orDefault()
	if err := params.check(); err != nil {
		return Key{}, fmt.Errorf("crypto: derive password key: %w", err)
	}
	need := params.memory()
	if err := p.acquire(ctx, who, need); err != nil {
		return Key{}, fmt.Errorf("crypto: derive password key: %w", err)
	}
	start := time.Now()
	defer func() { p.release(need, time.Since(start)) }()
	return newKey(argon2.IDKey(password, salt, params.Time, params.Memory, params.Threads, keySize)), nil
}

// acquire waits until a derivation of need bytes may run, or returns why it may
// not.
func (p *Pool) acquire(ctx context.Context, who Requester, need int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &poolWaiter{need: need, ready: make(chan struct{})}
	wait, err := p.enqueue(who, w)
	if err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrBusy
	}
	p.giveUp(w)
	return err
}

// enqueue grants w at once or queues it. It returns how long w may wait.
func (p *Pool) enqueue(who Requester, w *poolWaiter) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.maxWait
	if p.queue.size() > 0 || !p.free(w.need) {
		expected := p.expected(who, w.need)
		if p.maxWait < 0 || p.mean > 0 && expected > p.maxWait {
			p.stats.Refused++
			return 0, ErrBusy
		}
		wait += expected
	}
	if p.maxWait < 0 {
		wait = assumedDerivation // only a collection may be in the way
	}
	p.idle++
	p.queue.push(who, w)
	p.admit()
	return wait, nil
}

// expected returns how long a derivation that arrives now will wait: the work
// ahead of it in the fair queue, at the speed of the last derivations. p.mu is
// held.
func (p *Pool) expected(who Requester, need int64) time.Duration {
	mean := p.mean
	if mean == 0 {
		mean = assumedDerivation
	}
	atOnce := max(1, min(int64(p.parallel), p.memory/need))
	return mean * time.Duration(p.queue.ahead(who)+p.stats.Running) / time.Duration(atOnce)
}

// giveUp withdraws a derivation that was not waited for.
func (p *Pool) giveUp(w *poolWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready: // granted as it gave up
		p.used -= w.need
		p.stats.Running--
		p.stats.Started--
	default:
		p.queue.remove(w)
	}
	p.stats.Refused++
	p.admit() // whoever stood behind it may fit now
	p.rest()
}

// release ends a derivation, whose memory is garbage now.
func (p *Pool) release(need int64, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= need
	p.garbage += need
	p.stats.Running--
	if p.mean == 0 {
		p.mean = took
	}
	p.mean += (took - p.mean) / 8
	p.admit()
	p.rest()
}

// free reports whether need bytes fit beside the derivations that run. p.mu is
// held.
func (p *Pool) free(need int64) bool {
	return p.stats.Running == 0 || p.stats.Running < p.parallel && p.used+need <= p.memory
}

// admit starts as many of the waiting derivations, in their order, as fit. Where
// only garbage is in the way it collects that. p.mu is held, but not while it
// collects.
func (p *Pool) admit() {
	for w := p.queue.next(); w != nil && !p.collecting && p.free(w.need); w = p.queue.next() {
		if p.garbage > 0 && p.used+p.garbage+w.need > p.memory {
			p.collectBy(p.collect)
			continue
		}
		p.used += w.need
		p.stats.Running++
		p.stats.Started++
		p.queue.remove(w)
		close(w.ready)
	}
}

// collectBy calls f, which frees the garbage of this moment, without p.mu. It is
// called with p.mu held.
func (p *Pool) collectBy(f func()) {
	p.collecting = true
	garbage := p.garbage
	p.mu.Unlock()
	f()
	p.mu.Lock()
	p.garbage -= garbage
	p.collecting = false
}

// rest gives memory back a while from now, if the pool is idle and stays so. The
// garbage of a derivation would let the heap of the process grow to several times
// of what the rest of it needs. p.mu is held.
func (p *Pool) rest() {
	if p.stats.Running > 0 || p.queue.size() > 0 || p.garbage == 0 {
		return
	}
	p.idle++
	idle := p.idle
	time.AfterFunc(reclaimDelay, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.idle == idle && !p.collecting {
			p.collectBy(p.reclaim)
			p.admit()
		}
	})
}
