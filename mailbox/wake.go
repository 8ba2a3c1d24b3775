package mailbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
)

// Processes wake each other through the store: each writes, at most once per
// wakePause and however many accounts moved, one object that names them, and
// each lists the others' once per poll interval. What waiting costs follows the
// number of processes, not of users. A wake that is lost costs a delay, not a
// message: sessions look at the log itself when their clients ask.
//
//	wake/<seconds since 1970, 10 digits>-<process, 8 hex>-<counter, 8 hex>
//	  account IDs, 16 bytes each
const (
	wakeFolder = "wake/"
	wakePause  = 500 * time.Millisecond
	wakeKept   = 10 * time.Minute // then whoever polls deletes it
	wakeSlack  = time.Minute      // how far clocks may be apart
	maxWake    = 4096             // accounts in one object
)

type waker struct {
	store   *Store
	process string
	ctx     context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
	kick    chan struct{} // there are pending accounts
	local   chan struct{} // there are accounts that moved in this process

	mu      sync.Mutex // protects what follows
	started bool
	pending map[eventlog.ID]struct{}
	moved   map[eventlog.ID]struct{}
	counter uint32
}

func newWaker(s *Store) *waker {
	var b [4]byte
	rand.Read(b[:])
	ctx, cancel := context.WithCancel(context.Background())
	return &waker{
		store: s, process: fmt.Sprintf("%x", b), ctx: ctx, stop: cancel,
		kick: make(chan struct{}, 1), local: make(chan struct{}, 1),
		pending: map[eventlog.ID]struct{}{}, moved: map[eventlog.ID]struct{}{},
	}
}

func (w *waker) disabled() bool { return w.store.opts.PollInterval < 0 }

// start begins to wake and be woken, when the first account is opened.
func (w *waker) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.ctx.Err() != nil {
		return
	}
	w.started = true
	w.work.Go(w.follow)
	w.work.Go(w.upkeep)
	if !w.disabled() {
		w.work.Go(w.poll)
	}
}

func (w *waker) close() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
	w.work.Wait()
}

// wake notes that an account moved by a commit of this process.
func (s *Store) wake(id eventlog.ID) { s.waker.publish(id) }

// publish tells other processes soon.
func (w *waker) publish(id eventlog.ID) {
	if w.disabled() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	first := len(w.pending) == 0
	w.pending[id] = struct{}{}
	if first {
		w.work.Go(w.write)
	}
}

// write writes the pending accounts after a pause in which more may come.
func (w *waker) write() {
	select {
	case <-time.After(wakePause):
	case <-w.ctx.Done():
		// The last ones are told too: another process may be waiting.
	}
	w.mu.Lock()
	ids := w.pending
	w.pending = map[eventlog.ID]struct{}{}
	w.counter++
	name := fmt.Sprintf("%s%010d-%s-%08x", wakeFolder, w.store.opts.Now().Unix(), w.process, w.counter)
	w.mu.Unlock()
	var body []byte
	for id := range ids {
		if len(body) < maxWake*len(id) {
			body = append(body, id[:]...)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 30*time.Second)
	defer cancel()
	if err := w.store.blobs.Create(ctx, name, bytes.NewReader(body)); err != nil {
		w.store.logger.Warn("wake was not written", "object", name, "error", err)
	}
}

// here wakes the sessions of an account in this process after a delivery, or
// after another process wrote.
func (w *waker) here(id eventlog.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.started {
		return
	}
	w.moved[id] = struct{}{}
	select {
	case w.local <- struct{}{}:
	default:
	}
}

// wakeParallel is how many accounts are followed at once: one whose objects are
// slow to come does not keep the others waiting.
const wakeParallel = 8

// follow reads the log of accounts that moved.
func (w *waker) follow() {
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, wakeParallel)
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.local:
		}
		w.mu.Lock()
		ids := w.moved
		w.moved = map[eventlog.ID]struct{}{}
		w.mu.Unlock()
		for id := range ids {
			a := w.store.openAccount(id)
			if a == nil {
				continue
			}
			room <- struct{}{}
			work.Go(func() {
				w.catchUp(a)
				<-room
			})
		}
	}
}

func (w *waker) catchUp(a *account) {
	if a.enter() != nil {
		return // it was closed meanwhile
	}
	defer a.leave()
	if err := a.catchUp(w.ctx); err != nil && w.ctx.Err() == nil {
		w.store.logger.Warn("account could not be followed", "log", a.prefix, "error", err)
	}
}

// poll lists what other processes wrote, once per interval.
func (w *waker) poll() {
	tick := time.NewTicker(w.store.opts.PollInterval)
	defer tick.Stop()
	seen := map[string]time.Time{}
	swept := time.Time{}
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		now := w.store.opts.Now()
		w.look(seen, now)
		for name, t := range seen {
			if now.Sub(t) > 2*wakeSlack {
				delete(seen, name)
			}
		}
		if now.Sub(swept) > wakeSlack {
			swept = now
			w.sweep(now)
		}
	}
}

func wakeAfter(t time.Time) string { return fmt.Sprintf("%s%010d", wakeFolder, t.Unix()) }

// look reads the wakes since the last time, less this process's own.
func (w *waker) look(seen map[string]time.Time, now time.Time) {
	for info, err := range w.store.blobs.List(w.ctx, wakeFolder, wakeAfter(now.Add(-wakeSlack))) {
		if err != nil {
			if w.ctx.Err() == nil {
				w.store.logger.Warn("wakes could not be listed", "error", err)
			}
			return
		}
		if _, ok := seen[info.Name]; ok {
			continue
		}
		if parts := strings.Split(info.Name, "-"); len(parts) == 3 && parts[1] == w.process {
			seen[info.Name] = now
			continue
		}
		b, err := readAll(w.ctx, w.store.blobs, info.Name, maxWake*16)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, eventlog.ErrCorrupt) {
			continue // the next look tries again
		}
		seen[info.Name] = now
		for ; len(b) >= 16; b = b[16:] {
			w.here(eventlog.ID(b[:16]))
		}
	}
}

// sweep deletes wakes that everybody has seen.
func (w *waker) sweep(now time.Time) {
	var old []string
	limit := now.Add(-wakeKept).Unix()
	for info, err := range w.store.blobs.List(w.ctx, wakeFolder, "") {
		if err != nil {
			return
		}
		stamp, _, _ := strings.Cut(strings.TrimPrefix(info.Name, wakeFolder), "-")
		t, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			continue // not ours
		}
		if t > limit {
			break // in order of time
		}
		old = append(old, info.Name)
	}
	if err := w.store.blobs.Delete(w.ctx, old...); err != nil && w.ctx.Err() == nil {
		w.store.logger.Warn("old wakes were not deleted", "error", err)
	}
}
