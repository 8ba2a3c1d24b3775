package eventlog

import (
	"sync"

	"github.com/letterlock/letterlock/crypto"
)

// ring is the keys of all identities that a log had, newest first. Where the log
// goes from one to the next is not written anywhere: the first entry that an
// identity sealed ends what the ones before it may seal. Whoever has only a
// retired identity can forge nothing after that.
type ring struct {
	keys []generation

	mu   sync.Mutex // protects what follows
	from []Position // of each generation, the least position known that it sealed; 0 if none is
}

// generation is what is derived from one identity.
type generation struct {
	identity          *crypto.Identity
	log, snap, object crypto.Key
	until             Position // of snapshots; 0 is no bound
}

func newRing(k Keys) *ring {
	r := &ring{from: make([]Position, 1+len(k.Retired))}
	add := func(id *crypto.Identity, until Position) {
		r.keys = append(r.keys, generation{
			identity: id, log: id.Derive(labelLog), snap: id.Derive(labelSnapshot), object: id.Derive(labelObject), until: until,
		})
	}
	add(k.Identity, 0)
	for _, old := range k.Retired {
		add(old.Identity, max(old.Until, 1))
	}
	return r
}

func (r *ring) wipe() {
	for _, g := range r.keys {
		g.log.Wipe()
		g.snap.Wipe()
		g.object.Wipe()
	}
}

func (r *ring) renewed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from[0] > 0
}

// sealedBy notes that a generation sealed what stands at a position; it fails if a
// newer one had begun by then.
func (r *ring) sealedBy(i int, p Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for newer := range i {
		if from := r.from[newer]; from > 0 && from <= p {
			return ErrRetired
		}
	}
	if r.from[i] == 0 || p < r.from[i] {
		r.from[i] = p
	}
	return nil
}

// openEntry opens the sealed part of an Owned entry.
func (r *ring) openEntry(p Position, sealed, ad []byte) ([]byte, error) {
	var first error
	for i, g := range r.keys {
		payload, err := g.log.Open(nil, sealed, ad)
		if err == nil {
			return payload, r.sealedBy(i, p)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// openDelivered opens the sealed part of a Delivered entry. Whoever delivers may
// still use a recipient that was retired.
func (r *ring) openDelivered(sealed []byte) ([]byte, error) {
	var first error
	for _, g := range r.keys {
		plaintext, err := g.identity.OpenSealed(sealed, MaxEntry)
		if err == nil {
			return plaintext, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// openSnapshot opens the sealed part of a snapshot.
func (r *ring) openSnapshot(p Position, sealed, ad []byte) ([]byte, error) {
	var first error
	for i, g := range r.keys {
		payload, err := g.snap.Open(nil, sealed, ad)
		if err == nil && g.until > 0 && p > g.until {
			return nil, ErrRetired
		}
		if err == nil {
			return payload, r.sealedBy(i, p)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// openObject opens a sealed object of a kind.
func (r *ring) openObject(kind string, sealed, ad []byte) ([]byte, error) {
	var first error
	for _, g := range r.keys {
		key := g.object.Derive(kind)
		plaintext, err := key.Open(nil, sealed, ad)
		key.Wipe()
		if err == nil {
			return plaintext, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}
