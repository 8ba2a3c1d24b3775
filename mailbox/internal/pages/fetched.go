package pages

import (
	"bytes"
	"context"
	"sync"

	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

// fetched has the sealed bytes of blocks that were read ahead and not taken yet. The
// zero value has none.
type fetched struct {
	mu     sync.Mutex // protects what follows
	size   int        // bytes of those that are here or expected
	blocks map[pack.BlockID]*fetchedBlock
}

// fetchedBlock is a block that is here or expected.
type fetchedBlock struct {
	size   int
	sealed []byte        // nil if it could not be read
	done   chan struct{} // closed when it is known
}

// bytes returns the size of the blocks that are here or expected.
func (f *fetched) bytes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// expect says that blocks are about to be read.
func (f *fetched) expect(refs []pack.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocks == nil {
		f.blocks = map[pack.BlockID]*fetchedBlock{}
	}
	for _, r := range refs {
		if f.blocks[r.ID()] == nil {
			f.blocks[r.ID()] = &fetchedBlock{size: int(r.Sealed), done: make(chan struct{})}
			f.size += int(r.Sealed)
		}
	}
}

// read reads blocks that are expected. Those that cannot be read are left to whoever
// asks for them, who meets the error.
func (f *fetched) read(ctx context.Context, s *Store, refs []pack.Ref) {
	for i, b := range pack.ReadSealed(ctx, s.openPack, refs) {
		f.put(refs[i].ID(), bytes.Clone(b.Bytes))
	}
	for _, r := range refs {
		f.put(r.ID(), nil) // what was not yielded
	}
}

func (f *fetched) put(id pack.BlockID, sealed []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.blocks[id]
	if b == nil {
		return // somebody gave up waiting
	}
	select {
	case <-b.done: // it is there
	default:
		b.sealed = sealed
		close(b.done)
	}
}

// take returns the sealed bytes of a block, and lets go of them. It waits for one that
// is expected, and returns nil if the block is not here.
func (f *fetched) take(ctx context.Context, id pack.BlockID) []byte {
	f.mu.Lock()
	b := f.blocks[id]
	f.mu.Unlock()
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocks[id] == b {
		delete(f.blocks, id)
		f.size -= b.size
	}
	return b.sealed
}
