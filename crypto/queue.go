package crypto

import (
	"container/list"
	"net/netip"
)

// Requester says for whom a key is derived, which decides its turn in a [Pool].
//
// There are two queues, which are served in turn: one for accounts that somebody
// logged in to lately, which takes one derivation of each such account after the
// other; and one for all others, which takes one of each address after the other.
// So a crowd that guesses names or passwords delays neither those who use the
// server nor, as long as it comes from few addresses, those who come for the first
// time.
type Requester struct {
	// Recent is the account, if somebody logged in to it lately at this process;
	// else zero, whether or not the account exists.
	Recent [16]byte
	// Address is the client's. IPv6 addresses count by their /64 network. Those
	// without an address (clients of the same machine) count as one.
	Address netip.Addr
}

// queueOf returns which of the two queues a requester is in, and which of its
// flows.
func (r Requester) queueOf() (queue int, flow any) {
	if r.Recent != [16]byte{} {
		return 0, r.Recent
	}
	a := r.Address.Unmap()
	if a.Is6() {
		network, _ := a.WithZone("").Prefix(64) // fails for no IPv6 address
		a = network.Addr()
	}
	return 1, a
}

// poolWaiter is a derivation that waits for its turn.
type poolWaiter struct {
	need  int64
	ready chan struct{} // closed when it may run

	flow  *flow
	place *list.Element // in flow
}

// fairQueue holds the derivations that wait. The zero value is empty. It has no
// lock of its own.
type fairQueue struct {
	queues [2]flows
	turn   int // of the queue that is served next, unless it is empty
}

// flows is one of the two queues. Its flows take turns; each is first come, first
// served.
type flows struct {
	size  int
	byKey map[any]*flow
	order list.List // of *flow, the next first
}

type flow struct {
	of      *flows
	key     any
	waiting list.List // of *poolWaiter, in order of arrival; never empty
	place   *list.Element
}

func (q *fairQueue) size() int { return q.queues[0].size + q.queues[1].size }

func (q *fairQueue) push(who Requester, w *poolWaiter) {
	i, key := who.queueOf()
	fs := &q.queues[i]
	f := fs.byKey[key]
	if f == nil {
		f = &flow{of: fs, key: key}
		f.place = fs.order.PushBack(f)
		if fs.byKey == nil {
			fs.byKey = make(map[any]*flow)
		}
		fs.byKey[key] = f
	}
	w.flow, w.place = f, f.waiting.PushBack(w)
	fs.size++
}

// next returns the derivation whose turn it is, or nil.
func (q *fairQueue) next() *poolWaiter {
	fs := &q.queues[q.turn]
	if fs.size == 0 {
		fs = &q.queues[1-q.turn]
	}
	if fs.size == 0 {
		return nil
	}
	return fs.order.Front().Value.(*flow).waiting.Front().Value.(*poolWaiter)
}

// remove takes out a derivation, which starts or gives up. If it was its turn, the
// turn passes to the other queue and to the next flow of its own.
func (q *fairQueue) remove(w *poolWaiter) {
	f := w.flow
	if w == q.next() {
		if f.of == &q.queues[q.turn] {
			q.turn = 1 - q.turn
		}
		f.of.order.MoveToBack(f.place)
	}
	f.waiting.Remove(w.place)
	f.of.size--
	if f.waiting.Len() == 0 {
		f.of.order.Remove(f.place)
		delete(f.of.byKey, f.key)
	}
}

// ahead returns how many of those that wait will be served before a derivation
// that arrives now.
func (q *fairQueue) ahead(who Requester) int {
	i, key := who.queueOf()
	fs, others := &q.queues[i], &q.queues[1-i]
	rounds := 1
	if f := fs.byKey[key]; f != nil {
		rounds += f.waiting.Len()
	}
	n := 0
	for k, f := range fs.byKey {
		if k == key {
			n += rounds - 1
		} else {
			n += min(f.waiting.Len(), rounds)
		}
	}
	return n + min(others.size, n+1)
}
