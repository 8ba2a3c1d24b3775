package pages

import (
	"context"
	"sync"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Nearby keeps the metadata that one loop over messages read last: neighbours have
// theirs in one place, which may be too large for the cache. It may be used from many
// goroutines.
type Nearby struct {
	mu    sync.Mutex // protects what follows
	src   state.MetaSource
	metas [][]byte
	front *readAhead // of the loop; may be nil
}

// begin is called by the loop.
func (n *Nearby) begin(front *readAhead) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.front = front
}

// Read returns the metadata of a source, which that of the message with a UID is
// part of.
func (n *Nearby) Read(ctx context.Context, s *Store, src state.MetaSource, u state.UID) ([][]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.metas == nil || n.src != src {
		n.front.metadata(src, u)
		metas, err := s.metadata(ctx, src, n.front.sealed)
		if err != nil {
			return nil, err
		}
		n.src, n.metas = src, metas
	}
	return n.metas, nil
}
