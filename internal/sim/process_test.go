package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/letterlock/letterlock/mailbox"
)

// process is a program that uses the storage. When it dies, the next who needs it
// starts it again.
type process struct {
	w        *world
	name     string
	keyless  bool          // only takes mail in
	starting chan struct{} // holds a value while it is being started
	starts   int           // protected by starting
	inst     *instance     // the living one; protected by world.mu
}

// instance is one life of a process.
type instance struct {
	proc  *process
	name  string
	store *mailbox.Store // set before anybody else sees the instance
	died  chan struct{}

	// Protected by world.mu.
	dead      bool
	frozenFor int           // turns of others
	jumpAt    int           // at which of them the clocks jump; 0 never
	thaw      chan struct{} // closed when it goes on
	trapped   bool          // stands still as long as another's day lasts
}

func (i *instance) frozen() bool { return i.frozenFor > 0 }

// pollInterval is long, so that hours of virtual time are cheap.
const pollInterval = 20 * time.Second

// living returns the process's living instance, and starts one if there is none.
func (p *process) living(ctx context.Context) (*instance, error) {
	select {
	case p.starting <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.starting }()
	p.w.mu.Lock()
	i := p.inst
	p.w.mu.Unlock()
	if i != nil {
		return i, nil
	}
	p.starts++
	i = &instance{proc: p, name: fmt.Sprintf("%s.%d", p.name, p.starts), died: make(chan struct{})}
	p.w.mu.Lock()
	p.inst = i // it may die while it starts
	p.w.mu.Unlock()
	s, err := mailbox.Open(ctx, &store{p.w, i}, mailbox.Options{
		Now: p.w.now, PollInterval: pollInterval, Password: passwordParams, Pool: p.w.pool,
	})
	if err != nil {
		p.w.mu.Lock()
		if p.inst == i {
			p.inst = nil
		}
		p.w.mu.Unlock()
		return nil, err
	}
	i.store = s
	p.w.closers.Go(func() {
		<-i.died
		s.Close()
	})
	return i, nil
}

// stop ends a process in good order.
func (p *process) stop() {
	p.w.mu.Lock()
	i := p.inst
	p.w.mu.Unlock()
	if i == nil || i.store == nil {
		return
	}
	i.store.Close()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if !i.dead {
		i.dead = true
		close(i.died)
		p.inst = nil
	}
}

// isDead reports whether an instance has died.
func (w *world) isDead(i *instance) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return i.dead
}
