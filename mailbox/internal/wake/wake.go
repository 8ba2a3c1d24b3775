// Package wake lets processes wake each other when an account moved.
//
//	commit --> Waker.Publish --> wake/ objects, Bus --> other processes --> Accounts.CatchUp
//
// Each process writes, at most once per [Pause] and however many accounts moved, one
// object that names them, and lists the others' objects once per poll interval. What
// waiting costs follows the number of processes, not of users. A [Bus] carries the same
// at once.
//
// A wake that could not be written is written later. One that is lost with its process
// is noticed by the others: a process shows twice in every [Silence] that it lives, and
// says when it ends. The others look at every watched account when one fell silent, and
// when they could not list for long themselves.
//
//	wake/<seconds since 1970, 10 digits>-<process, 8 hex>-<counter, 8 hex>
//	  account IDs, 16 bytes each; none says only that the process lives, and with
//	  the counter ffffffff that it ends
package wake

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// Times of the protocol between processes. All processes must agree.
const (
	Pause        = 500 * time.Millisecond // between two objects of a process, at least
	Heartbeat    = 30 * time.Second
	Silence      = 3 * Heartbeat    // of another process; then something may be lost
	Kept         = 10 * time.Minute // how long objects are kept; then whoever polls deletes them
	CloseTimeout = 3 * time.Second  // for the last wakes of a process that ends

	retryMax      = 15 * time.Second // between tries to write
	clockSkew     = time.Minute      // how far clocks may be apart
	maxAccounts   = 4000             // in one object
	farewellCount = math.MaxUint32
)

// ErrClosed is returned by calls on a [Waker] that was closed.
var ErrClosed = errors.New("closed")

// Accounts are the accounts that are open in this process. Its methods are called from
// many goroutines.
type Accounts interface {
	// IsOpen reports whether an account is open, or being opened.
	IsOpen(id eventlog.ID) bool
	// Watched returns the accounts in which a session waits.
	Watched() []eventlog.ID
	// CatchUp reads what other processes wrote to an account, if it is open.
	CatchUp(ctx context.Context, id eventlog.ID)
}

// Bus carries messages between processes faster than the store.
type Bus interface {
	Publish(ctx context.Context, message []byte) error
	Subscribe(ctx context.Context, receive func(message []byte)) (stop func(), err error)
}

// Config is what a [Waker] works with.
type Config struct {
	Blobs        blob.Store
	Accounts     Accounts
	Bus          Bus           // may be nil
	PollInterval time.Duration // negative: there are no other processes
	Now          func() time.Time
	Logger       *slog.Logger
}

// Waker wakes other processes, and is woken by them. Its methods may be called from
// many goroutines.
type Waker struct {
	Config
	process   string
	ctx       context.Context
	stop      context.CancelFunc
	sending   context.Context    // of wakes; it outlives ctx, for the last ones
	cut       context.CancelFunc // of sending
	work      sync.WaitGroup
	local     chan struct{} // there are accounts in moved
	announced chan struct{} // closed when others can know of this process
	quit      func()        // ends the subscription to the bus

	mu          sync.Mutex // protects what follows
	announcing  bool       // Announce was called
	following   bool
	writing     bool
	publishing  bool
	pending     map[eventlog.ID]struct{} // to be written
	unpublished map[eventlog.ID]struct{} // to be published on the bus
	moved       map[eventlog.ID]struct{} // to be caught up
	counter     uint32
	wrote       time.Time // when the last object was
}

// New returns a Waker, and subscribes to the bus if there is one. It starts nothing
// else in the background.
func New(ctx context.Context, c Config) (*Waker, error) {
	var b [4]byte
	rand.Read(b[:])
	w := &Waker{
		Config: c, process: fmt.Sprintf("%x", b), quit: func() {},
		local: make(chan struct{}, 1), announced: make(chan struct{}),
		pending: map[eventlog.ID]struct{}{}, unpublished: map[eventlog.ID]struct{}{}, moved: map[eventlog.ID]struct{}{},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.sending, w.cut = context.WithCancel(context.Background())
	if c.Bus != nil {
		quit, err := c.Bus.Subscribe(ctx, w.receive)
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("mailbox: subscribe to the bus: %w", err)
		}
		w.quit = quit
	}
	return w, nil
}

// disabled reports whether there are no other processes.
func (w *Waker) disabled() bool { return w.PollInterval < 0 }

// Announce makes the process known to others, before it writes the first time.
func (w *Waker) Announce() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.announcing || w.ctx.Err() != nil {
		return
	}
	w.announcing = true
	if w.disabled() {
		close(w.announced)
		return
	}
	w.work.Go(func() {
		w.put(nil)
		close(w.announced)
		w.heartbeat()
	})
}

// Announced waits until others know of the process, so that they would notice if it
// died with a wake that it did not write. It fails with [ErrClosed].
func (w *Waker) Announced(ctx context.Context) error {
	w.Announce()
	select {
	case <-w.announced:
		return nil
	case <-w.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heartbeat writes an empty wake where no other shows that the process lives.
func (w *Waker) heartbeat() {
	tick := time.NewTicker(Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		due := time.Since(w.wrote) >= Heartbeat/2
		w.mu.Unlock()
		if due {
			w.put(nil)
		}
	}
}

// Close writes the last wakes, says that the process ends, and waits for what goes on
// in the background. It takes [CloseTimeout] at most: if the store does not answer,
// others find the process silent.
func (w *Waker) Close() {
	w.mu.Lock()
	w.stop()
	farewell := w.announcing && !w.disabled()
	w.mu.Unlock()
	defer time.AfterFunc(CloseTimeout, w.cut).Stop()
	w.quit()
	w.work.Wait()
	if farewell {
		w.mu.Lock()
		lost := len(w.pending) > 0
		w.counter = farewellCount - 1
		w.mu.Unlock()
		if !lost { // else others must find the process silent
			w.put(nil)
		}
	}
}

// Publish says that an account moved by a commit of this process: at once by the bus
// and soon by the store. It does not block.
func (w *Waker) Publish(id eventlog.ID) {
	if w.disabled() && w.Bus == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	if w.Bus != nil {
		w.unpublished[id] = struct{}{}
		if !w.publishing {
			w.publishing = true
			w.work.Go(w.publish)
		}
	}
	if w.disabled() {
		return
	}
	w.pending[id] = struct{}{}
	if !w.writing {
		w.writing = true
		w.work.Go(w.write)
	}
}

// publish publishes on the bus until nothing is left.
func (w *Waker) publish() {
	for {
		w.mu.Lock()
		ids := takeSome(w.unpublished)
		w.publishing = len(ids) > 0
		w.mu.Unlock()
		if len(ids) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(w.sending, 5*time.Second)
		err := w.Bus.Publish(ctx, append([]byte(w.process), flat(ids)...))
		cancel()
		if err != nil {
			w.Logger.Warn("bus did not take a wake", "error", err)
		}
	}
}

// write writes the pending accounts, one object after the other with pauses in
// which more may come, until none is left.
func (w *Waker) write() {
	retry := time.Duration(0)
	for {
		w.mu.Lock()
		pause := max(Pause-time.Since(w.wrote), retry)
		w.mu.Unlock()
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-w.ctx.Done():
				// The last ones are written too: another process may be waiting.
			}
		}
		w.mu.Lock()
		ids := takeSome(w.pending)
		w.writing = len(ids) > 0
		w.mu.Unlock()
		if len(ids) == 0 {
			return
		}
		if w.put(flat(ids)) == nil {
			retry = 0
			continue
		}
		w.mu.Lock()
		maps.Copy(w.pending, ids)
		over := w.ctx.Err() != nil
		w.mu.Unlock()
		if over {
			return
		}
		retry = min(max(2*retry, Pause), retryMax)
	}
}

// takeSome takes at most maxAccounts accounts from a set.
func takeSome(from map[eventlog.ID]struct{}) map[eventlog.ID]struct{} {
	some := make(map[eventlog.ID]struct{}, min(len(from), maxAccounts))
	for id := range from {
		if len(some) == maxAccounts {
			break
		}
		some[id] = struct{}{}
		delete(from, id)
	}
	return some
}

func flat(ids map[eventlog.ID]struct{}) []byte {
	var b []byte
	for id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

// put writes one object.
func (w *Waker) put(body []byte) error {
	w.mu.Lock()
	w.counter++
	name := fmt.Sprintf("%s%010d-%s-%08x", layout.WakeFolder, w.Now().Unix(), w.process, w.counter)
	w.wrote = time.Now()
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(w.sending, 30*time.Second)
	defer cancel()
	err := w.Blobs.Create(ctx, name, bytes.NewReader(body))
	if err != nil && w.sending.Err() == nil {
		w.Logger.Warn("wake was not written", "object", name, "error", err)
	}
	return err
}
