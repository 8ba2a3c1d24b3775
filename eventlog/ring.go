package eventlog

import (
	"errors"

	"github.com/letterlock/letterlock/crypto"
)

// ring is the keys of all identities that a log had, newest first. Which of them
// writes, from where on, the log says in its Rekey entries.
type ring struct{ keys []generation }

// generation is what is derived from one identity.
type generation struct {
	identity          *crypto.Identity
	log, snap, object crypto.Key
	deliver           crypto.Key // from which the keys of epochs derive
	print             fingerprint
}

func newGeneration(id *crypto.Identity) generation {
	return generation{
		identity: id, log: id.Derive(labelLog), snap: id.Derive(labelSnapshot), object: id.Derive(labelObject),
		deliver: id.Derive(labelDeliver), print: fingerprintOf(id.Recipient()),
	}
}

func (g generation) wipe() {
	g.log.Wipe()
	g.snap.Wipe()
	g.object.Wipe()
	g.deliver.Wipe()
}

// term returns the term of an epoch in which the i-th generation writes.
func (r *ring) term(i int, e Epoch, t Terms) term {
	out := term{epoch: e, terms: t, gen: i, to: r.keys[i].identity.Recipient()}
	if t == TermsClosed {
		out.mac = DeliveryKey(r.keys[i].identity, e)
	}
	return out
}

func newRing(k Keys) *ring {
	r := &ring{keys: []generation{newGeneration(k.Identity)}}
	for _, old := range k.Retired {
		r.keys = append(r.keys, newGeneration(old))
	}
	return r
}

func (r *ring) wipe() {
	for _, g := range r.keys {
		g.wipe()
	}
}

// first opens with the first of the generations that can. On failure the error is
// that of the newest.
func (r *ring) first(open func(generation) ([]byte, error)) (plaintext []byte, by int, err error) {
	for i, g := range r.keys {
		b, behind := open(g)
		if behind == nil {
			return b, i, nil
		}
		if err == nil {
			err = behind
		}
	}
	return nil, -1, err
}

// one opens with one generation, or with any if by is negative.
func (r *ring) one(by int, open func(generation) ([]byte, error)) ([]byte, error) {
	if by < 0 {
		b, _, err := r.first(open)
		return b, err
	}
	return open(r.keys[by])
}

// openObject opens a sealed object of a kind.
func (r *ring) openObject(kind string, sealed, ad []byte) ([]byte, error) {
	plaintext, _, err := r.first(func(g generation) ([]byte, error) {
		key := g.object.Derive(kind)
		defer key.Wipe()
		return key.Open(nil, sealed, ad)
	})
	return plaintext, err
}

var errWriter = errors.New("the identity of the keys does not write here")
