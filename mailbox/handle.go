package mailbox

import (
	"context"
	"sync"
	"sync/atomic"
)

// Account is a handle on an open account: one login. All handles of an account in
// a process share what is loaded; the keys are in memory as long as one is open.
// Its methods may be called from many goroutines, and fail with [ErrClosed] after
// Close.
type Account struct {
	account *account
	name    string
	byToken bool // opened by an app token
	closed  atomic.Bool
	detach  func()
}

// Name returns the account's name.
func (h *Account) Name() string { return h.name }

// Close gives the handle back. Its views and messages fail with [ErrClosed] from
// then on, and its watches are signalled no more. Calls under way are not waited
// for.
func (h *Account) Close() error {
	h.closed.Store(true)
	h.detach()
	return nil
}

// use begins a call: the caller must leave the account when it ends.
func (h *Account) use() (*account, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	if err := h.account.enter(); err != nil {
		return nil, err
	}
	return h.account, nil
}

// fresh is use after a look at what other processes wrote.
func (h *Account) fresh(ctx context.Context) (*account, error) {
	a, err := h.use()
	if err != nil {
		return nil, err
	}
	if err := a.catchUp(ctx); err != nil {
		a.leave()
		return nil, err
	}
	return a, nil
}

// freshEnough is use after a look at what other processes wrote, unless somebody just
// looked: the counts of many mailboxes cost one look.
func (h *Account) freshEnough(ctx context.Context) (*account, error) {
	a, err := h.use()
	if err != nil {
		return nil, err
	}
	if err := a.freshen(ctx); err != nil {
		a.leave()
		return nil, err
	}
	return a, nil
}

func (h *Account) commit(ctx context.Context, decide decideFunc) error {
	a, err := h.use()
	if err != nil {
		return err
	}
	defer a.leave()
	return a.commit(ctx, decide)
}

// Watch signals that an account moved on: something happened in some mailbox.
type Watch struct {
	// C receives when there is something new, or the account was closed. Signals
	// coalesce: after one, pull with [View.Sync] or [Account.Mailboxes] what
	// changed.
	C <-chan struct{}

	c       chan struct{}
	f       func()
	account *account
	once    sync.Once
}

// Watch begins to wait for changes, by this process at once and by others within
// [Options.PollInterval]. Close the Watch when done.
func (h *Account) Watch() *Watch {
	c := make(chan struct{}, 1)
	return h.watch(&Watch{C: c, c: c, account: h.account})
}

// WatchFunc is Watch with a function that is called in place of a signal, so that
// many who wait need no goroutine each. It must return at once and call nothing of
// this package; calls do not overlap.
func (h *Account) WatchFunc(f func()) *Watch {
	return h.watch(&Watch{f: f, account: h.account})
}

func (h *Account) watch(w *Watch) *Watch {
	h.account.mu.Lock()
	defer h.account.mu.Unlock()
	h.account.watches[w] = struct{}{}
	if h.account.shut {
		w.signal()
	}
	return w
}

func (w *Watch) signal() {
	if w.f != nil {
		w.f()
		return
	}
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	w.once.Do(func() {
		w.account.mu.Lock()
		defer w.account.mu.Unlock()
		delete(w.account.watches, w)
	})
}
