package mailbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
)

// Processes wake each other through the store: each writes, at most once per
// wakePause and however many accounts moved, one object that names them, and
// each lists the others' once per poll interval. What waiting costs follows the
// number of processes, not of users. A [Bus] tells the same at once.
//
// A wake that could not be written is written later. One that is lost with its
// process is missed by the others: a process says twice in every 3 wakeBeat that it
// lives, and takes its leave. They look at every account in which somebody waits
// when one fell silent, and when they could not list for long themselves.
//
//	wake/<seconds since 1970, 10 digits>-<process, 8 hex>-<counter, 8 hex>
//	  account IDs, 16 bytes each; none says only that the process lives, and with
//	  the counter ffffffff that it ends
const (
	wakeFolder = "wake/"
	wakePause  = 500 * time.Millisecond
	wakeRetry  = 15 * time.Second // between tries to write, at most
	wakeBeat   = 30 * time.Second
	wakeSilent = 3 * wakeBeat     // of another process; then something may be lost
	wakeKept   = 10 * time.Minute // then whoever polls deletes it
	wakeSlack  = time.Minute      // how far clocks may be apart
	maxWake    = 4000             // accounts in one object
	wakeLeave  = math.MaxUint32
	wakeEnd    = 3 * time.Second // for the last ones of a process that ends
)

type waker struct {
	store   *Store
	process string
	ctx     context.Context
	stop    context.CancelFunc
	sending context.Context    // of wakes; it outlives ctx, for the last ones
	cut     context.CancelFunc // of sending
	work    sync.WaitGroup
	local   chan struct{} // there are accounts that moved in this process
	hello   chan struct{} // closed when others can know of this process
	quit    func()        // ends the subscription to the bus

	mu        sync.Mutex // protects what follows
	greeting  bool       // hello was or is being said
	following bool
	writing   bool
	telling   bool
	pending   map[eventlog.ID]struct{} // to be written
	untold    map[eventlog.ID]struct{} // to be told by the bus
	moved     map[eventlog.ID]struct{}
	counter   uint32
	wrote     time.Time // when the last object was
}

// newWaker subscribes to the bus, if there is one.
func newWaker(ctx context.Context, s *Store) (*waker, error) {
	var b [4]byte
	rand.Read(b[:])
	w := &waker{
		store: s, process: fmt.Sprintf("%x", b), quit: func() {},
		local: make(chan struct{}, 1), hello: make(chan struct{}),
		pending: map[eventlog.ID]struct{}{}, untold: map[eventlog.ID]struct{}{}, moved: map[eventlog.ID]struct{}{},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.sending, w.cut = context.WithCancel(context.Background())
	if s.opts.Bus != nil {
		quit, err := s.opts.Bus.Subscribe(ctx, w.receive)
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("mailbox: subscribe to the bus: %w", err)
		}
		w.quit = quit
	}
	return w, nil
}

// disabled reports whether there are no other processes.
func (w *waker) disabled() bool { return w.store.opts.PollInterval < 0 }

// greet makes the process known to others before it writes the first time.
func (w *waker) greet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.greeting || w.ctx.Err() != nil {
		return
	}
	w.greeting = true
	if w.disabled() {
		close(w.hello)
		return
	}
	w.work.Go(func() {
		w.put(nil)
		close(w.hello)
		w.beat()
	})
}

// known waits until others know of the process, or cannot be told.
func (w *waker) known(ctx context.Context) error {
	w.greet()
	select {
	case <-w.hello:
		return nil
	case <-w.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// beat says that the process lives, where no wake does.
func (w *waker) beat() {
	tick := time.NewTicker(wakeBeat)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		due := time.Since(w.wrote) >= wakeBeat/2
		w.mu.Unlock()
		if due {
			w.put(nil)
		}
	}
}

// close ends what goes on in the background, when the last wakes were told, and
// takes leave. A store that takes neither soon is left without: others find the
// process silent then.
func (w *waker) close() {
	w.mu.Lock()
	w.stop()
	leave := w.greeting && !w.disabled()
	w.mu.Unlock()
	defer time.AfterFunc(wakeEnd, w.cut).Stop()
	w.quit()
	w.work.Wait()
	if leave {
		w.mu.Lock()
		lost := len(w.pending) > 0
		w.counter = wakeLeave - 1
		w.mu.Unlock()
		if !lost { // else others shall find the process silent
			w.put(nil)
		}
	}
}

// wake notes that an account moved by a commit of this process.
func (s *Store) wake(id eventlog.ID) { s.waker.publish(id) }

// publish tells other processes, at once by the bus and soon by the store.
func (w *waker) publish(id eventlog.ID) {
	if w.disabled() && w.store.opts.Bus == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	if w.store.opts.Bus != nil {
		w.untold[id] = struct{}{}
		if !w.telling {
			w.telling = true
			w.work.Go(w.tell)
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

// tell publishes on the bus until nothing is left to tell.
func (w *waker) tell() {
	for {
		w.mu.Lock()
		ids := takeSome(w.untold)
		w.telling = len(ids) > 0
		w.mu.Unlock()
		if len(ids) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(w.sending, 5*time.Second)
		err := w.store.opts.Bus.Publish(ctx, append([]byte(w.process), flat(ids)...))
		cancel()
		if err != nil {
			w.store.logger.Warn("bus did not take a wake", "error", err)
		}
	}
}

// write writes the pending accounts, one object after the other with pauses in
// which more may come, until none is left.
func (w *waker) write() {
	retry := time.Duration(0)
	for {
		w.mu.Lock()
		pause := max(wakePause-time.Since(w.wrote), retry)
		w.mu.Unlock()
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-w.ctx.Done():
				// The last ones are told too: another process may be waiting.
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
		retry = min(max(2*retry, wakePause), wakeRetry)
	}
}

// takeSome takes at most maxWake accounts from a set.
func takeSome(from map[eventlog.ID]struct{}) map[eventlog.ID]struct{} {
	some := make(map[eventlog.ID]struct{}, min(len(from), maxWake))
	for id := range from {
		if len(some) == maxWake {
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
func (w *waker) put(body []byte) error {
	w.mu.Lock()
	w.counter++
	name := fmt.Sprintf("%s%010d-%s-%08x", wakeFolder, w.store.opts.Now().Unix(), w.process, w.counter)
	w.wrote = time.Now()
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(w.sending, 30*time.Second)
	defer cancel()
	err := w.store.blobs.Create(ctx, name, bytes.NewReader(body))
	if err != nil && w.sending.Err() == nil {
		w.store.logger.Warn("wake was not written", "object", name, "error", err)
	}
	return err
}
