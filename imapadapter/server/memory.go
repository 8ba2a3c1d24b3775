package server

import (
	"container/list"
	"sync"
)

// loginMemory bounds the memory for what clients have sent that have not logged in. A
// connection holds such memory from the first bytes of a command to its answer.
type loginMemory struct {
	limit int64

	mu      sync.Mutex // protects what follows
	total   int64
	holders list.List // of *holder; the one that began first is at the front
}

// holder is a connection that holds memory before its login.
type holder struct {
	conn *conn
	held int64
	at   *list.Element // nil if it holds none
	over bool          // it was closed for what it held: nothing counts any more
}

// set notes how much a connection holds. Beyond the limit it closes those that began
// first.
func (m *loginMemory) set(h *holder, held int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held == h.held || h.over {
		return
	}
	m.total += held - h.held
	h.held = held
	switch {
	case held == 0:
		m.drop(h)
	case h.at == nil:
		h.at = m.holders.PushBack(h)
	}
	for m.total > m.limit {
		first := m.holders.Front().Value.(*holder)
		m.total -= first.held
		first.held, first.over = 0, true
		m.drop(first)
		first.conn.evict()
	}
}

func (m *loginMemory) drop(h *holder) {
	if h.at != nil {
		m.holders.Remove(h.at)
		h.at = nil
	}
}
