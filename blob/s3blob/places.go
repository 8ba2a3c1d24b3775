package s3blob

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// restGrace is how long a reader may rest between two reads before one who waits
// takes its connection. Shorter than anyone notices, longer than the pauses of a
// reader that is being read: continuing costs a request.
const restGrace = 50 * time.Millisecond

// places are the connections that a store may use at once. They are given out in
// the order in which they were asked for.
//
// A place is held for one request, by code of this package alone, so it always
// comes free; except the place of a reader that its caller does not read. Callers
// that hold one object open while they open the next would wait for each other
// for ever, and so would everybody for a reader that feeds a slow client. So a
// resting reader loses its place to those who wait.
type places struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting *list.List // of chan struct{}, closed when its owner has a place
	resting *list.List // of *body, the one that rests longest first
}

func newPlaces(n int) *places {
	return &places{free: n, waiting: list.New(), resting: list.New()}
}

// acquire takes a place.
func (p *places) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return nil
	}
	ready := make(chan struct{})
	e := p.waiting.PushBack(ready)
	p.mu.Unlock()

	tick := time.NewTicker(restGrace)
	defer tick.Stop()
	for {
		select {
		case <-ready:
			return nil
		case <-tick.C:
			p.reclaim()
		case <-ctx.Done():
			p.mu.Lock()
			select {
			case <-ready: // it came too late, and goes to the next
				p.passOn()
			default:
				p.waiting.Remove(e)
			}
			p.mu.Unlock()
			return ctx.Err()
		}
	}
}

// release gives a place back.
func (p *places) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passOn()
}

func (p *places) passOn() {
	first := p.waiting.Front()
	if first == nil {
		p.free++
		return
	}
	close(p.waiting.Remove(first).(chan struct{}))
}

// rest tells that nobody reads b, which holds a place, for now.
func (p *places) rest(b *body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.restsSince = time.Now()
	b.resting = p.resting.PushBack(b)
}

// wake tells that b is read again, or closed. If it has lost its place meanwhile
// it has lost its exchange.
func (p *places) wake(b *body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.resting != nil {
		p.resting.Remove(b.resting)
		b.resting = nil
	}
}

// reclaim takes the place of the reader that rests longest, if that is long.
func (p *places) reclaim() {
	p.mu.Lock()
	var x *exchange
	if first := p.resting.Front(); first != nil && time.Since(first.Value.(*body).restsSince) >= restGrace {
		b := p.resting.Remove(first).(*body)
		b.resting = nil
		x, b.x = b.x, nil
	}
	p.mu.Unlock()
	if x != nil {
		x.hangUp()
	}
}
