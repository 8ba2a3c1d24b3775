package mailbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// An origin is where an imported message comes from, hashed under a key of the
// account. It is the beginning of the ID of the message's body, so it becomes
// durable with the message, in the same entry, and stays with every copy of it:
// an import that was killed at any moment finds by it what is done. To others it
// looks as random as all IDs.
type origin [12]byte

func originKey(identity *crypto.Identity) crypto.Key {
	return identity.Derive("letterlock/v1/import")
}

func newOrigin(key crypto.Key, text string) origin {
	h := hmac.New(sha256.New, key.Bytes())
	h.Write([]byte(text))
	return origin(h.Sum(nil)[:len(origin{})])
}

// body returns an ID for the body. Another try gets another: the body of the
// first may lie in the store, and its key is lost.
func (o origin) body() eventlog.ObjectID {
	var id eventlog.ObjectID
	copy(id[:], o[:])
	rand.Read(id[len(o):])
	return id
}

// origins is the beginnings of all bodies' IDs of an account, sorted: 12 bytes a
// message.
type origins []origin

func (o origins) has(x origin) bool {
	_, ok := slices.BinarySearchFunc(o, x, func(a, b origin) int { return bytes.Compare(a[:], b[:]) })
	return ok
}

// origins reads the pages of all mailboxes.
func (a *account) origins(ctx context.Context) (origins, error) {
	s := a.state()
	n := 0
	for _, m := range s.Mailboxes {
		n += m.Messages
	}
	all := make(origins, 0, n)
	for _, m := range s.Mailboxes {
		for _, ref := range m.Pages {
			p, err := a.pages.Page(ctx, ref)
			if err != nil {
				return nil, err
			}
			for i := range p.Bodies {
				all = append(all, origin(p.Bodies[i].ID[:len(origin{})]))
			}
		}
	}
	slices.SortFunc(all, func(a, b origin) int { return bytes.Compare(a[:], b[:]) })
	return all, nil
}
