package mailbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/wake"
)

// startBackground begins what runs as long as the store is open. It is called when an
// account was opened.
func (s *Store) startBackground() {
	s.waker.Start()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.upkeeping {
		return
	}
	s.upkeeping = true
	s.background.Go(s.upkeep)
}

// upkeep goes through the open accounts a few times per Grace: it moves those that
// nobody uses onto the newest snapshot, before what they know is collected, ends the
// sessions of those that another process removed, and collects where that is due. Then
// it finishes what removals of accounts left.
func (s *Store) upkeep() {
	tick := time.NewTicker(s.opts.Grace / 8)
	defer tick.Stop()
	ctx := s.closing
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, a := range s.openAccounts() {
			if s.wasRemoved(ctx, a) {
				s.expelThis(a)
				continue
			}
			s.maintain(ctx, a)
		}
		if s.opts.NoCollect {
			continue
		}
		if _, err := s.Sweep(ctx, SweepOptions{}); err != nil && ctx.Err() == nil {
			s.logger.Warn("what is left of removed accounts could not be erased", "error", err)
		}
	}
}

func (s *Store) maintain(ctx context.Context, a *account) {
	if a.enter() != nil {
		return // it was closed meanwhile
	}
	defer a.leave()
	if a.sinceLook() > s.opts.Grace/4 {
		if err := a.adopt(ctx); err != nil && ctx.Err() == nil {
			s.logger.Warn("account could not be moved onto the newest snapshot", "log", a.prefix, "error", err)
		}
	}
	a.collectIfDue(ctx)
}

func (s *Store) openAccounts() []*account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*account
	for _, l := range s.accounts {
		select {
		case <-l.ready:
			if l.account != nil && l.err == nil {
				out = append(out, l.account)
			}
		default:
		}
	}
	return out
}

// wakeable are the accounts of a store as package wake needs them.
type wakeable struct{ store *Store }

// IsOpen reports whether an account is open in this process, or being opened.
func (w wakeable) IsOpen(id eventlog.ID) bool { return w.store.opening(id) != nil }

// Watched returns the accounts in which a session waits.
func (w wakeable) Watched() []eventlog.ID {
	var ids []eventlog.ID
	for _, a := range w.store.openAccounts() {
		if a.watched() {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// CatchUp reads what other processes wrote to an account, once it is open: what it read
// while it was being opened may be older than the wake.
func (w wakeable) CatchUp(ctx context.Context, id eventlog.ID) {
	l := w.store.opening(id)
	if l == nil {
		return
	}
	select {
	case <-l.ready:
	case <-ctx.Done():
		return
	}
	a := l.account
	if a == nil || a.enter() != nil {
		return // it could not be opened, or was closed meanwhile
	}
	defer a.leave()
	if err := a.catchUp(ctx); err != nil && ctx.Err() == nil {
		w.store.logger.Warn("account could not be followed", "log", a.prefix, "error", err)
	}
}

// opening returns the account if it is, or is about to be, open in this process,
// else nil.
func (s *Store) opening(id eventlog.ID) *loading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[id]
}

func (a *account) watched() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watches) > 0
}

// delivered wakes the sessions of an account, in this process at once and in others
// soon.
func (s *Store) delivered(id eventlog.ID) {
	if a := s.openAccount(id); a != nil {
		a.lastFresh.Store(neverFresh) // whoever asks next looks
	}
	s.waker.Publish(id)
	s.waker.Wake(id)
}

// announced waits until other processes would notice if this one died before it woke
// them after what it writes.
func (s *Store) announced(ctx context.Context) error {
	err := s.waker.Announced(ctx)
	if errors.Is(err, wake.ErrClosed) {
		return ErrClosed
	}
	return err
}

// Bus carries wakes between processes faster than the store, for embedders who have
// a message bus: see [Options.Bus]. A message is at most 64 KiB, holds random IDs of
// accounts and no secret, and may be lost, doubled or come late: the store tells the
// same within [Options.PollInterval].
//
// [LocalBus] connects Stores of one process; examples/natsbus uses NATS.
type Bus interface {
	// Publish sends a message to all who subscribed. It may also reach the sender.
	Publish(ctx context.Context, message []byte) error
	// Subscribe calls receive, which does not block and does not keep the message,
	// for every message that comes until stop has returned.
	Subscribe(ctx context.Context, receive func(message []byte)) (stop func(), err error)
}

// LocalBus is a [Bus] between Stores of one process. Its zero value is ready.
type LocalBus struct {
	mu       sync.RWMutex // protects what follows; read while a message is handed out
	receives map[int]func([]byte)
	last     int
}

// Publish implements [Bus].
func (b *LocalBus) Publish(_ context.Context, message []byte) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, receive := range b.receives {
		receive(message)
	}
	return nil
}

// Subscribe implements [Bus].
func (b *LocalBus) Subscribe(_ context.Context, receive func([]byte)) (stop func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.receives == nil {
		b.receives = map[int]func([]byte){}
	}
	b.last++
	id := b.last
	b.receives[id] = receive
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.receives, id)
	}, nil
}
