package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/letterlock/letterlock/crypto"
)

// Rekeying is a change of a log's identity or terms.
type Rekeying struct {
	Epoch Epoch            // that it begins: one more than the log is in
	Next  *crypto.Identity // that writes from then on; nil for the one that does now
	Terms Terms
}

// Rekey makes a change, wherever the log ends by then. check is given the state that
// the change follows, and may refuse it; it runs again when another entry wins the
// position. After a change to another identity every other call fails with
// [ErrRekeyed].
//
// It fails with [ErrConflict] if the epoch has begun already, by another change, and
// as [Committer.Commit] does.
func (c *Committer[S]) Rekey(ctx context.Context, r Rekeying, check func(S) error) (Head, error) {
	if err := c.takeTurn(ctx); err != nil {
		return Head{}, err
	}
	defer c.endTurn()
	for attempt := 0; ; attempt++ {
		base, err := c.base()
		if err != nil {
			return Head{}, err
		}
		if now, _ := c.log.Epoch(); now+1 != r.Epoch {
			return Head{}, fmt.Errorf("eventlog: rekey: epoch %d has begun: %w", now, ErrConflict)
		}
		if err := check(base.state); err != nil {
			return Head{}, err
		}
		entry, err := c.log.Rekey(ctx, r.Next, r.Terms)
		switch {
		case err == nil:
			if r.Next == nil {
				c.note(entry)
				c.publish(&published[S]{base.state, entry.Head})
			}
			return entry.Head, nil
		case errors.Is(err, ErrUnknownOutcome) || attempt == rekeyTries:
			return Head{}, err
		case errors.Is(err, ErrTrimmed):
			err = c.reload(ctx)
		case errors.Is(err, ErrConflict):
			if err = pause(ctx, attempt, conflictDelay, conflictDelayMax); err == nil {
				err = c.read(ctx)
			}
		}
		if err != nil {
			return Head{}, err
		}
	}
}

// rekeyTries bounds how many positions a Rekey loses before it gives up.
const rekeyTries = 100
