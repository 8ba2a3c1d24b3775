package wake

import (
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

// parallel is how many accounts catch up at once, and how many wakes are
// read: one whose objects are slow to come does not keep the others waiting.
const parallel = 8

// Start begins to be woken. It is called when the first account is open, and does
// nothing after that.
func (w *Waker) Start() {
	w.Announce()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.following || w.ctx.Err() != nil {
		return
	}
	w.following = true
	w.work.Go(w.follow)
	if !w.disabled() {
		w.work.Go(w.poll)
	}
}

// Wake wakes the sessions of an account in this process, after a delivery or after
// another process wrote. It does not block.
func (w *Waker) Wake(id eventlog.ID) {
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

// wakeAll wakes the sessions of every account in which one waits.
func (w *Waker) wakeAll() {
	for _, id := range w.Accounts.Watched() {
		w.Wake(id)
	}
}

// receive takes a message of the bus, from whoever.
func (w *Waker) receive(message []byte) {
	if len(message) < len(w.process) || string(message[:len(w.process)]) == w.process {
		return
	}
	w.wakeNamed(message[len(w.process):])
}

// wakeNamed wakes the accounts that another process names.
func (w *Waker) wakeNamed(ids []byte) {
	const size = len(eventlog.ID{})
	for ; len(ids) >= size; ids = ids[size:] {
		if id := eventlog.ID(ids[:size]); w.Accounts.IsOpen(id) {
			w.Wake(id)
		}
	}
}

// follow lets the accounts that moved catch up.
func (w *Waker) follow() {
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, parallel)
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
			room <- struct{}{}
			work.Go(func() {
				defer func() { <-room }()
				w.Accounts.CatchUp(w.ctx, id)
			})
		}
	}
}

// peers is what a process knows of the others' wakes.
type peers struct {
	seen   map[string]time.Time // objects that were read
	alive  map[string]time.Time // processes, and when one of their objects was seen last
	looked time.Time
}

// poll lists what other processes wrote, once per interval.
func (w *Waker) poll() {
	tick := time.NewTicker(w.PollInterval)
	defer tick.Stop()
	o := &peers{seen: map[string]time.Time{}, alive: map[string]time.Time{}, looked: w.Now()}
	swept := time.Time{}
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		now := w.Now()
		if w.look(o, now) {
			if w.missed(o, now) {
				w.wakeAll()
			}
			o.looked = now
		}
		if now.Sub(swept) > clockSkew {
			swept = now
			w.sweep(now)
		}
	}
}

// missed reports whether wakes may have been lost: a process fell silent without
// saying that it ends, or this one did not look for so long that others may have deleted
// what it did not see.
func (w *Waker) missed(o *peers, now time.Time) bool {
	away := now.Sub(o.looked)
	lost := away < 0 || away > Kept-2*clockSkew // it may be deleted
	for p, t := range o.alive {
		if now.Sub(t) > Silence {
			w.Logger.Info("another process fell silent", "process", p)
			delete(o.alive, p)
			lost = true
		}
	}
	for name, t := range o.seen {
		if now.Sub(t) > 2*clockSkew {
			delete(o.seen, name)
		}
	}
	return lost
}

func nameBefore(t time.Time) string { return fmt.Sprintf("%s%010d", layout.WakeFolder, t.Unix()) }

// look reads the wakes since the last time, less this process's own, and reports
// whether they could be listed.
func (w *Waker) look(o *peers, now time.Time) bool {
	from := now
	if o.looked.Before(now) {
		from = o.looked
	}
	var fresh []string
	for info, err := range w.Blobs.List(w.ctx, layout.WakeFolder, nameBefore(from.Add(-clockSkew))) {
		if err != nil {
			if w.ctx.Err() == nil {
				w.Logger.Warn("wakes could not be listed", "error", err)
			}
			return false
		}
		parts := strings.Split(info.Name, "-")
		if _, ok := o.seen[info.Name]; ok || len(parts) != 3 || parts[1] == w.process {
			continue
		}
		if parts[2] == fmt.Sprintf("%08x", uint32(farewellCount)) {
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
func (w *Waker) readWakes(names []string) []bool {
	done := make([]bool, len(names))
	var work sync.WaitGroup
	room := make(chan struct{}, parallel)
	for i, name := range names {
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			b, err := layout.ReadAll(w.ctx, w.Blobs, name, 1<<20)
			w.wakeNamed(b)
			done[i] = err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, eventlog.ErrCorrupt)
		})
	}
	work.Wait()
	return done
}

// sweep deletes old wakes, which every process has seen.
func (w *Waker) sweep(now time.Time) {
	var old []string
	limit := now.Add(-Kept).Unix()
	for info, err := range w.Blobs.List(w.ctx, layout.WakeFolder, "") {
		if err != nil {
			return
		}
		stamp, _, _ := strings.Cut(strings.TrimPrefix(info.Name, layout.WakeFolder), "-")
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
	if err := w.Blobs.Delete(w.ctx, old...); err != nil && w.ctx.Err() == nil {
		w.Logger.Warn("old wakes were not deleted", "error", err)
	}
}
