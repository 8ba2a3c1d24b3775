package mailbox

import (
	"context"
	"math/rand/v2"
	"time"
)

// Collecting by itself costs a process nothing as long as nothing is due: what is
// known of an account in memory says when to look at the store's own note of the
// last collection, which is one small listing per Grace and account.

const collectTimeout = 30 * time.Minute

// collectDue reports whether it is time to look whether the account should be
// collected. It costs nothing.
func (a *account) collectDue() bool {
	s := a.store
	now := s.opts.Now()
	if s.opts.NoCollect || now.Sub(time.Unix(a.state().Created, 0)) < s.opts.Grace {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.known[a.id].collect
	return !s.closed && (now.After(due) || due.Sub(now) > 2*s.opts.Grace) // or the clock was set back
}

// collectIfDue collects, unless the last time, by whatever process, was less than
// about a grace time ago. One account is collected at a time.
func (a *account) collectIfDue(ctx context.Context) {
	s := a.store
	if !a.collectDue() || !s.collecting.TryLock() {
		return
	}
	defer s.collecting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	now := s.opts.Now()
	// So that the accounts which a process opened together come one by one, and
	// of several processes one is first.
	jitter := rand.N(s.opts.Grace/8 + 1)
	m, err := a.readMarks(ctx, now)
	next := now.Add(s.opts.Grace / 4)
	if err == nil {
		if next = m.newest.Add(s.opts.Grace + jitter); !next.After(now) {
			next = now.Add(s.opts.Grace + jitter)
			_, err = a.collect(ctx, CollectOptions{})
		}
	}
	if err != nil {
		next = now.Add(s.opts.Grace / 4)
		if ctx.Err() == nil {
			s.logger.Warn("account could not be collected", "log", a.prefix, "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[a.id]
	k.collect = next
	s.remember(a.id, k)
}
