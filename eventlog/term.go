package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/letterlock/letterlock/crypto"
)

// term says who may write at a place in the log, and how. It holds from a [Rekey]
// entry up to the next.
type term struct {
	epoch Epoch             // 0 before the first entry
	terms Terms             // 0 if not known
	gen   int               // whose identity seals, as in ring.keys
	mac   crypto.Key        // of MACs; the zero Key in open epochs and if not known
	to    *crypto.Recipient // of Delivered entries; nil if not known
}

// Delivery is what a deliverer needs to add to a log in one epoch.
type Delivery struct {
	Recipient *crypto.Recipient
	Key       crypto.Key // see [DeliveryKey]; the zero Key in an open epoch
}

// DeliveryKey returns the key of the MACs of an epoch: whoever has the identity of
// the epoch knows it, and deliverers are given it.
func DeliveryKey(identity *crypto.Identity, e Epoch) crypto.Key {
	root := identity.Derive(labelDeliver)
	defer root.Wipe()
	return root.Derive(fmt.Sprint(e))
}

// terms remembers from which position on which term holds, for handles that are
// put back to where the log was read before.
type terms struct {
	mu   sync.Mutex // protects what follows
	list []termFrom // ascending
}

type termFrom struct {
	pos Position
	term
}

// at returns the term that holds at a position, from the next entry on.
func (t *terms) at(p Position) (term, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, from := range slices.Backward(t.list) {
		if from.pos <= p {
			return from.term, true
		}
	}
	return term{}, p == 0
}

// in returns the term of an epoch.
func (t *terms) in(e Epoch) (term, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, from := range t.list {
		if from.epoch == e {
			return from.term, true
		}
	}
	return term{}, false
}

// note remembers that a term holds at a position.
func (t *terms) note(p Position, held term) {
	if now, ok := t.at(p); ok && now.epoch == held.epoch && p > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i, there := slices.BinarySearchFunc(t.list, p, func(f termFrom, p Position) int { return cmp.Compare(f.pos, p) })
	if there {
		t.list[i].term = held
		return
	}
	t.list = slices.Insert(t.list, i, termFrom{p, held})
}

// authenticate checks, for a deliverer, the MAC of an entry that was found in the
// log. It asks for what the epoch needs if that is not known yet.
func (l *Log) authenticate(ctx context.Context, t term, p Position, data []byte) (term, bool, error) {
	if l.delivery == nil || l.sealer.ring != nil {
		return t, true, nil
	}
	if !t.terms.known() {
		d, err := l.delivery(ctx, t.epoch)
		if err != nil {
			return t, false, fmt.Errorf("eventlog: %s: epoch %d: %w", l.entryName(p), t.epoch, err)
		}
		t.to, t.mac, t.terms = d.Recipient, d.Key, TermsClosed
		if d.Key.IsZero() {
			t.terms = TermsOpen
		}
	}
	return t, t.terms == TermsOpen || l.sealer.checkMAC(t.mac, data), nil
}

// Epoch returns the epoch at the head, and its terms; zero terms if they are not
// known.
func (l *Log) Epoch() (Epoch, Terms) {
	at := l.standing()
	return at.term.epoch, at.term.terms
}
