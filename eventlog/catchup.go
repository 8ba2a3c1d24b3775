package eventlog

import (
	"context"
	"errors"
)

// catchUp is one reading of what others wrote, and who waits for it.
type catchUp struct {
	done  chan struct{} // closed when it is over
	moved bool
	err   error
	// gaveUp says that the context of the caller who ran it ended: the others
	// are not to suffer from it.
	gaveUp bool
}

// CatchUp applies what others wrote since the state. It reports whether the
// state moved while it ran. Calls that arrive together share one reading, which
// began after all of them. If the log was trimmed beyond the state it is loaded
// anew.
func (c *Committer[S]) CatchUp(ctx context.Context) (moved bool, err error) {
	for {
		cu := c.joinCatchUp()
		select {
		case <-cu.done:
		case c.turn <- struct{}{}:
			c.runCatchUp(ctx, cu)
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if !cu.gaveUp || ctx.Err() != nil {
			return cu.moved, cu.err
		}
	}
}

// joinCatchUp returns the next reading, which has not begun.
func (c *Committer[S]) joinCatchUp() *catchUp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.catchUp == nil {
		c.catchUp = &catchUp{done: make(chan struct{})}
	}
	return c.catchUp
}

// runCatchUp ends the turn that the caller took. Whoever gets the turn first does
// the reading for all who joined; those who get it later find it done.
func (c *Committer[S]) runCatchUp(ctx context.Context, cu *catchUp) {
	defer c.endTurn()
	c.mu.Lock()
	mine := c.catchUp == cu
	if mine {
		c.catchUp = nil // who comes now must wait for another reading
	}
	c.mu.Unlock()
	if !mine {
		return
	}
	finished := false
	defer func() {
		if !finished { // the model panicked
			cu.err = errors.New("eventlog: catch up: the model did not return")
		}
		close(cu.done)
	}()
	_, before := c.State()
	cu.err = c.read(ctx)
	_, after := c.State()
	cu.moved = before != after
	cu.gaveUp = cu.err != nil && ctx.Err() != nil
	finished = true
}
