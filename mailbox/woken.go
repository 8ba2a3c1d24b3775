package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// wakeParallel is how many accounts are followed at once, and how many wakes are
// read: one whose objects are slow to come does not keep the others waiting.
const wakeParallel = 8

// start begins to be woken, when the first account is opened.
func (w *waker) start() {
	w.greet()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.following || w.ctx.Err() != nil {
		return
	}
	w.following = true
	w.work.Go(w.follow)
	w.work.Go(w.upkeep)
	if !w.disabled() {
		w.work.Go(w.poll)
	}
}

// here wakes the sessions of an account in this process after a delivery, or
// after another process wrote.
func (w *waker) here(id eventlog.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.following {
		return
	}
	w.moved[id] = struct{}{}
	select {
	case w.local <- struct{}{}:
	default:
	}
}

// all wakes the sessions of every account in which one waits.
func (w *waker) all() {
	for _, id := range w.store.waiting() {
		w.here(id)
	}
}

// waiting returns the accounts that are watched.
func (s *Store) waiting() []eventlog.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []eventlog.ID
	for id, l := range s.accounts {
		select {
		case <-l.ready:
		default:
			continue
		}
		if l.account != nil && l.account.watched() {
			ids = append(ids, id)
		}
	}
	return ids
}

func (a *account) watched() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watches) > 0
}

// receive takes a message of the bus, from whoever.
func (w *waker) receive(message []byte) {
	if len(message) < len(w.process) || string(message[:len(w.process)]) == w.process {
		return
	}
	w.hear(message[len(w.process):])
}

// hear wakes the accounts that another process names.
func (w *waker) hear(ids []byte) {
	const size = len(eventlog.ID{})
	for ; len(ids) >= size; ids = ids[size:] {
		if id := eventlog.ID(ids[:size]); w.store.opening(id) != nil {
			w.here(id)
		}
	}
}

// opening returns the account if it is, or is about to be, open in this process,
// else nil.
func (s *Store) opening(id eventlog.ID) *loading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[id]
}

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
			l := w.store.opening(id)
			if l == nil {
				continue
			}
			room <- struct{}{}
			work.Go(func() {
				defer func() { <-room }()
				select {
				case <-l.ready: // what it read may be older than the wake
					if l.account != nil {
						w.catchUp(l.account)
					}
				case <-w.ctx.Done():
				}
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

// others is what a process knows of the others' wakes.
type others struct {
	seen   map[string]time.Time // objects that were read
	alive  map[string]time.Time // processes, and when one of their objects was seen last
	looked time.Time
}

// poll lists what other processes wrote, once per interval.
func (w *waker) poll() {
	tick := time.NewTicker(w.store.opts.PollInterval)
	defer tick.Stop()
	o := &others{seen: map[string]time.Time{}, alive: map[string]time.Time{}, looked: w.store.opts.Now()}
	swept := time.Time{}
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		now := w.store.opts.Now()
		if w.look(o, now) {
			if w.missed(o, now) {
				w.all()
			}
			o.looked = now
		}
		if now.Sub(swept) > wakeSlack {
			swept = now
			w.sweep(now)
		}
	}
}

// missed reports whether wakes may have been lost: a process fell silent without
// taking leave, or this one did not look for so long that others may have deleted
// what it did not see.
func (w *waker) missed(o *others, now time.Time) bool {
	away := now.Sub(o.looked)
	lost := away < 0 || away > wakeKept-2*wakeSlack // it may be deleted
	for p, t := range o.alive {
		if now.Sub(t) > wakeSilent {
			w.store.logger.Info("another process fell silent", "process", p)
			delete(o.alive, p)
			lost = true
		}
	}
	for name, t := range o.seen {
		if now.Sub(t) > 2*wakeSlack {
			delete(o.seen, name)
		}
	}
	return lost
}

func wakeAfter(t time.Time) string { return fmt.Sprintf("%s%010d", wakeFolder, t.Unix()) }

// look reads the wakes since the last time, less this process's own, and reports
// whether they could be listed.
func (w *waker) look(o *others, now time.Time) bool {
	from := now
	if o.looked.Before(now) {
		from = o.looked
	}
	var fresh []string
	for info, err := range w.store.blobs.List(w.ctx, wakeFolder, wakeAfter(from.Add(-wakeSlack))) {
		if err != nil {
			if w.ctx.Err() == nil {
				w.store.logger.Warn("wakes could not be listed", "error", err)
			}
			return false
		}
		parts := strings.Split(info.Name, "-")
		if _, ok := o.seen[info.Name]; ok || len(parts) != 3 || parts[1] == w.process {
			continue
		}
		if parts[2] == fmt.Sprintf("%08x", uint32(wakeLeave)) {
			o.seen[info.Name] = now
			delete(o.alive, parts[1])
			continue
		}
		o.alive[parts[1]] = now
		if info.Size == 0 {
			o.seen[info.Name] = now
			continue
		}
		fresh = append(fresh, info.Name)
	}
	for i, ok := range w.readWakes(fresh) {
		if ok {
			o.seen[fresh[i]] = now // else the next look tries again
		}
	}
	return true
}

// readWakes reads objects, some at once, and returns which need not be read again.
func (w *waker) readWakes(names []string) []bool {
	done := make([]bool, len(names))
	var work sync.WaitGroup
	room := make(chan struct{}, wakeParallel)
	for i, name := range names {
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			b, err := layout.ReadAll(w.ctx, w.store.blobs, name, 1<<20)
			w.hear(b)
			done[i] = err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, eventlog.ErrCorrupt)
		})
	}
	work.Wait()
	return done
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
	if len(old) == 0 {
		return
	}
	if err := w.store.blobs.Delete(w.ctx, old...); err != nil && w.ctx.Err() == nil {
		w.store.logger.Warn("old wakes were not deleted", "error", err)
	}
}

// delivered tells the sessions of an account, in this process at once and in
// others soon.
func (s *Store) delivered(id eventlog.ID) {
	if a := s.openAccount(id); a != nil {
		a.lastFresh.Store(neverFresh) // whoever asks next looks
	}
	s.waker.publish(id)
	s.waker.here(id)
}

// wakeful waits until other processes would notice if this one died before it told
// them of what it writes.
func (s *Store) wakeful(ctx context.Context) error { return s.waker.known(ctx) }
