package mailbox

import (
	"context"
	"sync"
)

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
