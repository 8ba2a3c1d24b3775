package diskblob

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"syscall"
	"time"
)

// Between link(2) and the fsync of its folder an object can be seen, and a power
// failure would take it back. Who reads it in that moment, in another process or
// for another session, must not build on it: a mailbox would tell its client of a
// message whose number is given to another one after the failure. So [Store.Open]
// finishes what the writer has begun, where it is not known to be finished.
const (
	// settledAfter is the age at which every name is taken to be on the disk. By
	// then the file system has written its journal more than once: ext4 does so
	// every 5 s, xfs and btrfs every 30 s.
	settledAfter = 2 * time.Minute

	// clockGrain is how much earlier than the name a file's time stamp may be: a
	// tick of the kernel's clock, and the time for which the writer was kept from
	// going on between the two.
	clockGrain = 2 * time.Second

	maxOwn    = 1024  // names remembered, of the last that this store made durable itself
	maxSynced = 16384 // folders remembered
)

// settled is what a store knows of names that it may read soon.
type settled struct {
	turn chan struct{} // held by the reader who syncs; the others wait for what it does for them

	mu     sync.Mutex           // guards what follows
	synced map[string]time.Time // when the last fsync of a folder began
	own    map[string]struct{}
	ring   [maxOwn]string // of own, in the order they came
	next   int
}

func newSettled() *settled {
	return &settled{turn: make(chan struct{}, 1), synced: map[string]time.Time{}, own: map[string]struct{}{}}
}

// folder notes that the names that were in dir at a time are durable.
func (s *settled) folder(dir string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.synced) >= maxSynced {
		for any := range s.synced {
			delete(s.synced, any)
			break
		}
	}
	if at.After(s.synced[dir]) {
		s.synced[dir] = at
	}
}

// name notes that a name is durable.
func (s *settled) name(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.own[name]; ok {
		return
	}
	delete(s.own, s.ring[s.next])
	s.ring[s.next] = name
	s.next = (s.next + 1) % maxOwn
	s.own[name] = struct{}{}
}

// forget drops a name that was deleted: if it comes back it is another's.
func (s *settled) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, name)
}

// has reports whether a name is known to be durable, whose file was given it, or
// changed otherwise, at born.
func (s *settled) has(name string, born time.Time) bool {
	now := time.Now()
	if age := now.Sub(born); age > settledAfter {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.own[name]; ok {
		return true
	}
	at, ok := s.synced[path.Dir(name)]
	if !ok || !born.Before(at.Add(-clockGrain)) {
		return false
	}
	// Time stamps and times can be compared while nobody sets the clock.
	drift := now.Round(0).Sub(at.Round(0)) - now.Sub(at)
	return drift.Abs() < clockGrain
}

// since reports whether an fsync of a folder began after a time.
func (s *settled) since(dir string, t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced[dir].After(t)
}

// settle makes the name of an object durable that was found in the store. Who may
// not list the folder, or finds it on a file system that does not write, has no
// means to, and no writer to fear for.
func (s *Store) settle(ctx context.Context, name string, fi fs.FileInfo) error {
	seen := time.Now()
	born, ok := changedAt(fi)
	if s.noSync || !ok || s.settled.has(name, born) {
		return nil
	}
	select {
	case s.settled.turn <- struct{}{}:
		defer func() { <-s.settled.turn }()
	case <-ctx.Done():
		return &fs.PathError{Op: "open", Path: name, Err: ctx.Err()}
	}
	dir := path.Dir(name)
	if !s.settled.since(dir, seen) { // else another reader's did it, or a writer's
		if err := s.acquire(ctx); err != nil {
			return &fs.PathError{Op: "open", Path: name, Err: err}
		}
		err := s.syncFolder(dir)
		s.release()
		if err != nil && !absent(err) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EROFS) {
			return failed("open", name, "fsync of the folder", err)
		}
	}
	s.settled.name(name)
	return nil
}
