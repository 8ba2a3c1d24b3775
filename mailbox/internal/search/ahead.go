package search

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// bodiesAhead is how many bodies are searched at once: a bucket answers each of them
// after a while, and a search must not wait for one after the other. Each holds a few
// buffers of 64 KiB.
const bodiesAhead = 16

// errNeedsBody says that only the body decides.
var errNeedsBody = errors.New("the body decides")

// Matched is a candidate, and whether it matches.
type Matched struct {
	*Candidate
	OK bool
}

// Match yields the candidates in their order, each with whether it matches the plan's
// query. Bodies are searched several at a time. It ends with the first error.
func Match(ctx context.Context, candidates iter.Seq2[*Candidate, error]) iter.Seq2[Matched, error] {
	return func(yield func(Matched, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		m := matching{ctx: ctx, yield: yield}
		defer m.work.Wait()
		defer cancel()
		for c, err := range candidates {
			if err != nil {
				_ = m.settle(0) && yield(Matched{}, err)
				return
			}
			m.begin(c)
			if !m.settle(bodiesAhead - 1) {
				return
			}
		}
		m.settle(0)
	}
}

// matching is a search under way.
type matching struct {
	ctx   context.Context
	yield func(Matched, error) bool
	work  sync.WaitGroup
	queue []*verdict // not yielded yet, in order
}

// verdict is what becomes of a candidate.
type verdict struct {
	c    *Candidate
	ok   bool
	err  error
	done chan struct{} // closed when ok and err are known; nil: they are
}

// begin decides a candidate by what is kept of it, or begins to search its body.
// Metadata is loaded here: neighbours have theirs in one place.
func (m *matching) begin(c *Candidate) {
	v := &verdict{c: c}
	m.queue = append(m.queue, v)
	c.keptOnly = true
	v.ok, v.err = c.Matches(m.ctx)
	c.keptOnly = false
	if !errors.Is(v.err, errNeedsBody) {
		return
	}
	if v.err = c.load(m.ctx); v.err != nil {
		return
	}
	v.done = make(chan struct{})
	m.work.Go(func() {
		defer close(v.done)
		v.ok, v.err = c.Matches(m.ctx)
	})
}

// settle yields candidates that are decided, and waits until at most so many are left.
// It reports whether to go on.
func (m *matching) settle(left int) bool {
	for len(m.queue) > 0 {
		v := m.queue[0]
		if v.done != nil {
			if len(m.queue) <= left && !closed(v.done) {
				return true
			}
			<-v.done
		}
		m.queue = m.queue[1:]
		if !m.yield(Matched{v.c, v.ok}, v.err) || v.err != nil {
			return false
		}
	}
	return true
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
